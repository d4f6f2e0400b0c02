package logopt

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core"
)

const containerID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// web is a container with those log-opts.
func web(logOpts map[string]string) *Info {
	return &Info{
		Config:              logOpts,
		ContainerID:         containerID,
		ContainerName:       "/web",
		ContainerEntrypoint: "/bin/server",
		ContainerArgs:       []string{"--port", "80"},
		ContainerImageID:    "sha256:fedcba9876543210",
		ContainerImageName:  "shop/web:1.2",
		ContainerCreated:    time.Date(2026, 11, 23, 2, 8, 25, 743042951, time.FixedZone("", 3600*5)),
		ContainerEnv:        []string{"APP=shop", "EMPTY=", "EQ=a=b", "nonsense"},
		ContainerLabels:     map[string]string{"app": "label", "com.example.Tier": "front"},
		DaemonName:          "docker",
	}
}

// host has an environment and profiles.
func host(t testing.TB, env, profiles map[string]string) *Host {
	t.Helper()
	dir := t.TempDir()
	for name, text := range profiles {
		write(t, dir+"/"+name, text)
	}
	return &Host{
		Lookup:     func(name string) (string, bool) { v, set := env[name]; return v, set },
		ProfileDir: dir,
		Hostname:   "host1",
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func settings(t testing.TB, h *Host, info *Info) *Settings {
	t.Helper()
	s, err := h.Settings(info)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// show prints all of s; secrets as their type prints them.
func show(s *Settings) string {
	return fmt.Sprintf("%+v %+v", *s.Config, Settings{
		Blob: s.Blob, Metadata: s.Metadata, Attrs: s.Attrs, CacheSize: s.CacheSize, SpoolSize: s.SpoolSize, DropOldest: s.DropOldest, Warnings: s.Warnings})
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s := settings(t, host(t, nil, nil), web(nil))
	if s.Blob != "web/"+containerID+".log" || s.Config.ContainerName != "logs" || s.Config.Format != "json" || s.Config.FlushInterval != time.Second {
		t.Errorf("%s", show(s))
	}
	if s.CacheSize != 100<<20 || s.SpoolSize != 1<<30 || s.DropOldest || s.Attrs != nil || s.Warnings != nil {
		t.Errorf("%s", show(s))
	}
	want := map[string]string{"container_name": "web", "container_id": containerID, "image": "shop/web:1.2", "host": "host1"}
	if fmt.Sprint(s.Metadata) != fmt.Sprint(want) {
		t.Errorf("metadata %v, want %v", s.Metadata, want)
	}
	if f := Fallback(); f.CacheSize != s.CacheSize || f.SpoolSize != s.SpoolSize || f.DropOldest {
		t.Errorf("fallback: %+v", f)
	}
}

// TestOrder: the log-opt counts before the profile, that before the environment.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, o := range []struct {
		logOpt, env string
		values      [3]string // of the environment, the profile, the log-opt
		get         func(*Settings) any
		want        [4]any // by default, and with one more of them each
	}{
		{"azureblob-max-size", "AZUREBLOB_MAX_SIZE", [3]string{"1M", "2M", "3M"},
			func(s *Settings) any { return int(s.Config.MaxSize >> 20) }, [4]any{0, 1, 2, 3}},
		{"azureblob-compress", "AZUREBLOB_COMPRESS", [3]string{"gzip", "zstd", "none"},
			func(s *Settings) any { return s.Config.Compress }, [4]any{"none", "gzip", "zstd", "none"}},
		{"azureblob-path", "AZUREBLOB_PATH", [3]string{"a", "b", "c"},
			func(s *Settings) any { return s.Blob }, [4]any{"web/" + containerID + ".log", "a", "b", "c"}},
		{"azureblob-cache-size", "AZUREBLOB_CACHE_SIZE", [3]string{"1M", "2M", "0"},
			func(s *Settings) any { return int(s.CacheSize >> 20) }, [4]any{100, 1, 2, 0}},
		{"azureblob-spool-size", "AZUREBLOB_SPOOL_SIZE", [3]string{"8M", "9M", "10M"},
			func(s *Settings) any { return int(s.SpoolSize >> 20) }, [4]any{1024, 8, 9, 10}},
		{"azureblob-on-full", "AZUREBLOB_ON_FULL", [3]string{"drop-oldest", "block", "Drop-Oldest"},
			func(s *Settings) any { return s.DropOldest }, [4]any{false, true, false, true}},
	} {
		env, profile, logOpts := map[string]string{}, "", map[string]string{}
		for i := range 4 {
			switch i {
			case 1:
				env[o.env] = o.values[0]
			case 2:
				profile = o.env + "=" + o.values[1]
			case 3:
				logOpts[o.logOpt] = o.values[2]
			}
			h := host(t, env, map[string]string{"p": profile})
			h.Profile = "p"
			if got := o.get(settings(t, h, web(logOpts))); got != o.want[i] {
				t.Errorf("%s, %d of them set: %v, want %v", o.logOpt, i, got, o.want[i])
			}
		}
	}
}

// Which profile: the container's, or else the plugin's; the container may have none.
func TestWhichProfile(t *testing.T) {
	t.Parallel()
	h := host(t, nil, map[string]string{"a": "AZUREBLOB_CONTAINER_NAME=from-a", "b": "AZUREBLOB_CONTAINER_NAME=from-b"})
	h.Profile = "a"
	for want, logOpts := range map[string]map[string]string{
		"from-a": nil,
		"from-b": {"azureblob-profile": "b"},
		"logs":   {"azureblob-profile": ""},
	} {
		if got := settings(t, h, web(logOpts)).Config.ContainerName; got != want {
			t.Errorf("%v: %s, want %s", logOpts, got, want)
		}
	}
}

func TestBlob(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"{{.Name}}/{{.FullID}}.log":            "web/" + containerID + ".log",
		"%Y/%m/%d/%H/{{.Name}}-{{.ID}}":        "2026/11/22/21/web-0123456789ab", // created, in UTC
		"{{.ImageName}}/{{.Tag}}":              "shop/web:1.2/0123456789ab",
		"{{.Hostname}}/{{.DaemonName}}":        "host1/docker",
		"{{.ContainerLabels.app}}":             "label",
		`{{index .ContainerLabels "none"}}x`:   "x",
		"{{upper .Name}}":                      "WEB",
		"../{{.Name}}":                         "%2E%2E/web",
		"{{with .ContainerLabels}}%Y{{end}}-x": "2026-x",
	} {
		info := web(map[string]string{"azureblob-path": path})
		h := host(t, nil, nil)
		first := settings(t, h, info).Blob
		if first != want {
			t.Errorf("%s: %q, want %q", path, first, want)
		}
		if again := settings(t, h, info).Blob; again != first {
			t.Errorf("%s: %q, and then %q", path, first, again)
		}
	}
	info := web(map[string]string{"azureblob-path": "{{.Tag}}", "tag": "{{.Name}}-{{.ImageName}}"})
	if got := settings(t, host(t, nil, nil), info).Blob; got != "web-shop/web:1.2" {
		t.Errorf("with a tag: %q", got)
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	h := host(t, nil, nil)
	h.Hostname = ""
	info := web(map[string]string{"azureblob-path": "{{.Hostname}}"})
	s := settings(t, h, info)
	if system, _ := os.Hostname(); s.Blob != system || s.Metadata["host"] != system {
		t.Errorf("%q %q, want %q", s.Blob, s.Metadata["host"], system)
	}
}

// TestInfo reads what dockerd sends.
func TestInfo(t *testing.T) {
	t.Parallel()
	const sent = `{"Config":{"tag":"x"},"ContainerID":"` + containerID + `","ContainerName":"/web","ContainerEntrypoint":"/bin/sh",` +
		`"ContainerArgs":["-c","true"],"ContainerImageID":"sha256:fedcba9876543210","ContainerImageName":"busybox",` +
		`"ContainerCreated":"2026-11-23T02:08:25.743042951Z","ContainerEnv":["A=b"],"ContainerLabels":{"l":"v"},"LogPath":"","DaemonName":"docker","New":1}`
	var i Info
	if err := json.Unmarshal([]byte(sent), &i); err != nil {
		t.Fatal(err)
	}
	got := []string{i.ID(), i.FullID(), i.Name(), i.Command(), i.ImageID(), i.ImageFullID(), i.ImageName(), i.DaemonName, i.ContainerCreated.String()}
	want := []string{containerID[:12], containerID, "web", "/bin/sh -c true", "sha256:fedcb", "sha256:fedcba9876543210", "busybox", "docker", "2026-11-23 02:08:25.743042951 +0000 UTC"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q\nwant %q", got, want)
	}
	if none := new(Info); none.ID() != "" || none.ImageID() != "" || none.Name() != "" || none.Command() != "" {
		t.Error("of an empty Info")
	}
	// It is kept on disk, and read again.
	b, err := json.Marshal(&i)
	if err != nil || strings.Contains(string(b), "hostname") {
		t.Errorf("%s, %v", b, err)
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"":                               "",
		"plain":                          "plain",
		"{{.Name}}/{{.ID}}":              "web/0123456789ab",
		"{{.ImageID}} {{.ImageFullID}}":  "sha256:fedcb sha256:fedcba9876543210",
		"{{.Command}}":                   "/bin/server --port 80",
		"{{.Hostname}}":                  "host1",
		"{{.ContainerLabels.none}}":      "<no value>", // as Docker's
		"100% %Y":                        "100% %Y",    // no dates in tags
		`{{join (split "a b" " ") "-"}}`: "a-b",
		`{{title "ab"}}{{upper "c"}}{{lower "D"}}`:                    "AbCd",
		`{{pad "x" 1 2}}|{{pad "" 1 2}}`:                              " x  |",
		`{{truncate "abcdef" 3}}{{truncate "é" 1}}{{truncate "a" 9}}`: "abca",
		"{{json .ContainerLabels.app}}":                               `"label"`,
		`{{json "<&>"}}`:                                              `"<&>"`,
	} {
		s := settings(t, host(t, nil, nil), web(map[string]string{"tag": tag}))
		var attrs struct{ Tag string }
		if s.Attrs != nil {
			if err := json.Unmarshal(s.Attrs, &attrs); err != nil {
				t.Fatal(err)
			}
		}
		if attrs.Tag != want || s.Metadata["tag"] != want {
			t.Errorf("%s: %q and %q, want %q", tag, attrs.Tag, s.Metadata["tag"], want)
		}
	}
}

// TestAccount: logs share a store if, and only if, nothing about it differs.
func TestAccount(t *testing.T) {
	t.Parallel()
	profiles := map[string]string{"a": "AZURE_STORAGE_ACCOUNT=x\nAZURE_STORAGE_KEY=a2V5", "same": "AZURE_STORAGE_KEY='a2V5'\nAZURE_STORAGE_ACCOUNT=x", "b": "AZURE_STORAGE_ACCOUNT=x\nAZURE_STORAGE_KEY=b3RoZXI="}
	h := host(t, map[string]string{"AZURE_STORAGE_SAS_TOKEN": "sig=1"}, profiles)
	key := func(logOpts map[string]string) string { return settings(t, h, web(logOpts)).Account }
	base := key(nil)
	for name, c := range map[string]struct {
		logOpts map[string]string
		same    bool
	}{
		"another format":    {map[string]string{"azureblob-format": "raw", "tag": "x", "azureblob-path": "y"}, true},
		"another container": {map[string]string{"azureblob-container-name": "other"}, false},
		"another login":     {map[string]string{"azureblob-auth-type": "managed_identity"}, false},
		"a profile":         {map[string]string{"azureblob-profile": "a"}, false},
	} {
		if same := key(c.logOpts) == base; same != c.same {
			t.Errorf("%s: the same is %v", name, same)
		}
	}
	profile := func(name string) string { return key(map[string]string{"azureblob-profile": name}) }
	if profile("a") != profile("same") || profile("a") == profile("b") {
		t.Error("profiles: the key is what counts")
	}
	write(t, h.ProfileDir+"/a", profiles["b"])
	if profile("a") != profile("b") {
		t.Error("an edited profile has the old account")
	}
	if strings.Contains(profile("a"), "b3Ro") {
		t.Error("the secret is in the account's key")
	}
}

// TestCredentials: what the profile says hides what the environment says, as
// core.Load has it.
func TestCredentials(t *testing.T) {
	t.Parallel()
	env := map[string]string{"AZURE_STORAGE_ACCOUNT": "envacct", "AZURE_STORAGE_KEY": "ZW52", "AZUREBLOB_LOG_KEY": "x", "AZUREBLOB_IDLE_TIMEOUT": "nonsense"}
	h := host(t, env, map[string]string{
		"sas":  "AZURE_STORAGE_ACCOUNT=sasacct\nAZURE_STORAGE_SAS_TOKEN='sv=1&sig=x'",
		"file": "AZURE_STORAGE_ACCOUNT=fileacct\nAZURE_STORAGE_KEY_FILE=key.txt",
	})
	write(t, h.ProfileDir+"/key.txt", "ZmlsZQ==\n")
	c := settings(t, h, web(nil)).Config
	if c.AccountName != "envacct" || c.SharedKey.Reveal() != "ZW52" || c.LogKey != "" || c.IdleTimeout != 0 {
		t.Errorf("environment: %+v", c)
	}
	c = settings(t, h, web(map[string]string{"azureblob-profile": "sas"})).Config
	if c.AccountName != "sasacct" || c.SASToken.Reveal() != "sv=1&sig=x" || !c.SharedKey.IsZero() {
		t.Errorf("profile: %+v", c)
	}
	c = settings(t, h, web(map[string]string{"azureblob-profile": "file"})).Config
	if c.SharedKey.Reveal() != "ZmlsZQ==" {
		t.Errorf("profile with a file: %+v", c)
	}
	write(t, h.ProfileDir+"/key.txt", "bmV3\n")
	if got := c.SharedKey.Reveal(); got != "bmV3" {
		t.Errorf("a rotated key: %q", got)
	}
	if _, err := core.Open(c, core.StoreOptions{}); err != nil {
		t.Error(err)
	}
	// The account of one and the key of another.
	for name, logOpts := range map[string]map[string]string{
		"set azureblob-account-name: AZURE_STORAGE_KEY is that of another account: put both into a profile (azureblob-profile)":                        {"azureblob-account-name": "other"},
		`set azureblob-account-name: AZURE_STORAGE_SAS_TOKEN in profile "sas" is that of another account: put both into a profile (azureblob-profile)`: {"azureblob-account-name": "other", "azureblob-profile": "sas"},
	} {
		if _, err := h.Settings(web(logOpts)); err == nil || err.Error() != name {
			t.Errorf("%v: %v", logOpts, err)
		}
	}
	for _, logOpts := range []map[string]string{{"azureblob-account-name": "envacct"}, {"azureblob-account-name": "other", "azureblob-auth-type": "managed_identity"}} {
		settings(t, h, web(logOpts))
	}
}

// TestSeveralAccounts: a list and its keys come together from a profile, from the
// environment, or as a log-opt where an identity is good for all.
func TestSeveralAccounts(t *testing.T) {
	t.Parallel()
	h := host(t, map[string]string{"AZURE_STORAGE_ACCOUNT": "a,b,c", "AZURE_STORAGE_KEY": "YQ==,Yg==,Yw=="}, map[string]string{
		"p":     "AZURE_STORAGE_ACCOUNT=x,y\nAZURE_STORAGE_KEY_FILE=keys",
		"short": "AZURE_STORAGE_ACCOUNT=x,y\nAZURE_STORAGE_KEY=" + sentinel,
		"one":   "AZURE_STORAGE_CONNECTION_STRING='AccountName=z;AccountKey=eg=='",
	})
	write(t, h.ProfileDir+"/keys", "eA==\neQ==\n")
	for _, c := range []struct {
		logOpts map[string]string
		want    string // accounts, or the error
	}{
		{nil, "a b c"},
		{map[string]string{"azureblob-profile": "p"}, "x y"},
		{map[string]string{"azureblob-profile": "one"}, "z"}, // the environment's list is not about it
		{map[string]string{"azureblob-account-name": "a,b", "azureblob-auth-type": "managed_identity"}, "a b"},
		{map[string]string{"azureblob-account-name": "a,b"}, "set azureblob-account-name: AZURE_STORAGE_KEY is that of another account: put both into a profile (azureblob-profile)"},
		{map[string]string{"azureblob-profile": "short"}, "open store: shared_key has 1 key for 2 accounts: list one key for each, in the order of account_name"},
	} {
		s, err := h.Settings(web(c.logOpts))
		got := ""
		if err == nil {
			var store *core.Store
			if store, err = core.Open(s.Config, core.StoreOptions{}); err == nil {
				for _, a := range store.Accounts() {
					got += " " + a.Name()
				}
			}
		}
		if err != nil {
			got = err.Error()
		}
		if strings.TrimSpace(got) != c.want {
			t.Errorf("%v: %s", c.logOpts, got)
		}
	}
}
