package logopt

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/liveblob/azureblob/core"
)

const sentinel = "hunter2SENTINELhunter2"

// TestRefusals is each refusal with its text.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const (
		inspect = "anyone who may use Docker can read log-opts (docker inspect): put it into a profile (azureblob-profile) as "
		others  = ", or set that for the plugin"
	)
	for name, c := range map[string]struct{ value, want string }{
		"azureblob-shared-key":        {sentinel, `log-opt "azureblob-shared-key" is refused: ` + inspect + "AZURE_STORAGE_KEY" + others},
		"azureblob-shared-key-file":   {sentinel, `log-opt "azureblob-shared-key-file" is refused: ` + inspect + "AZURE_STORAGE_KEY_FILE" + others},
		"azureblob-connection-string": {sentinel, `log-opt "azureblob-connection-string" is refused: ` + inspect + "AZURE_STORAGE_CONNECTION_STRING" + others},
		"azureblob-sas-token":         {sentinel, `log-opt "azureblob-sas-token" is refused: ` + inspect + "AZURE_STORAGE_SAS_TOKEN" + others},
		"azureblob-client-secret":     {sentinel, `log-opt "azureblob-client-secret" is refused: ` + inspect + "AZURE_CLIENT_SECRET" + others},
		"azureblob-endpoint": {"https://evil.example.com", `log-opt "azureblob-endpoint" is refused: the plugin's credentials would be sent to where a container says: ` +
			"put it into a profile (azureblob-profile) as AZURE_STORAGE_SERVICE_ENDPOINT" + others},
		"azureblob-endpoint-suffix": {"evil.example.com", `log-opt "azureblob-endpoint-suffix" is refused: the plugin's credentials would be sent to where a container says: ` +
			"put it into a profile (azureblob-profile) as AZUREBLOB_ENDPOINT_SUFFIX" + others},
		"azureblob-log-key":      {"x", `log-opt "azureblob-log-key" is refused: a container's line has no fields: its text is stored`},
		"azureblob-time-key":     {"x", `log-opt "azureblob-time-key" is refused: json records have the keys of Docker's json-file, time among them`},
		"azureblob-time-format":  {"x", `log-opt "azureblob-time-format" is refused: times are written as Docker's json-file writes them`},
		"azureblob-idle-timeout": {"1m", `log-opt "azureblob-idle-timeout" is refused: a blob is marked complete when its container stops, however long that was silent`},

		"max-size": {"10m", `log-opt "max-size" is json-file's: azureblob-max-size makes the log go on in a new blob, azureblob-cache-size bounds what stays on this disk`},
		"max-file": {"3", `log-opt "max-file" is json-file's: blobs are kept until a lifecycle rule of the storage account deletes them, azureblob-cache-size bounds what stays on this disk`},
		"compress": {"true", `log-opt "compress" is json-file's: write azureblob-compress=gzip or zstd`},

		"azureblob-pth":            {"x", `unknown log-opt "azureblob-pth"; did you mean azureblob-path?`},
		"azureblob-flushinterval":  {"x", `unknown log-opt "azureblob-flushinterval"; did you mean azureblob-flush-interval?`},
		"azureblob-flush_interval": {"x", `unknown log-opt "azureblob-flush_interval"; did you mean azureblob-flush-interval?`},
		"azureblob_path":           {"x", `unknown log-opt "azureblob_path"; did you mean azureblob-path?`},
		"AZUREBLOB_PATH":           {"x", `unknown log-opt "AZUREBLOB_PATH"; did you mean azureblob-path?`},
		"path":                     {"x", `unknown log-opt "path"; did you mean azureblob-path?`},
		"profile":                  {"x", `unknown log-opt "profile"; did you mean azureblob-profile?`},
		"cache-size":               {"x", `unknown log-opt "cache-size"; did you mean azureblob-cache-size?`},
		"azureblob-tag":            {"x", `unknown log-opt "azureblob-tag"; did you mean tag?`},
		"azureblob-labels":         {"x", `unknown log-opt "azureblob-labels"; did you mean labels?`},
		"label":                    {"x", `unknown log-opt "label"; did you mean labels?`},
		"env_regex":                {"x", `unknown log-opt "env_regex"; did you mean env-regex?`},
		"tags":                     {"x", `unknown log-opt "tags"; did you mean azureblob-tags?`},
		"mod":                      {"x", `unknown log-opt "mod"; did you mean mode?`},
		"awslogs-group":            {"x", `unknown log-opt "awslogs-group": the README lists them`},
		"":                         {"x", `unknown log-opt "": the README lists them`},
		"azureblob-":               {"x", `unknown log-opt "azureblob-": the README lists them`},
		"AZURE_STORAGE_KEY":        {sentinel, `unknown log-opt "AZURE_STORAGE_KEY"; azureblob-shared-key is refused as well: ` + inspect + "AZURE_STORAGE_KEY" + others},
		"sas-tokn":                 {sentinel, `unknown log-opt "sas-tokn"; azureblob-sas-token is refused as well: ` + inspect + "AZURE_STORAGE_SAS_TOKEN" + others},

		"azureblob-compress":       {"gzp", `set option azureblob-compress: "gzp" is not one of none, gzip, zstd: did you mean "gzip"?`},
		"azureblob-flush-interval": {"soon", `set option azureblob-flush-interval: "soon" is not a duration: write 500ms, 1s, 10m, 2h, 1d, or seconds`},
		"azureblob-cache-size":     {"lots", `set azureblob-cache-size: the value is not a size: write 512K, 100M, 2G, or bytes`},
		"azureblob-spool-size":     {"1M", `set azureblob-spool-size: it is less than 8M, and the spool needs that much`},
		"azureblob-on-full":        {"drop-newest", `set azureblob-on-full: the value is neither block nor drop-oldest`},
		"labels-regex":             {"(\n", `set labels-regex: read regular expression "(\n": missing closing )`},
		"env-regex":                {"*", `set env-regex: read regular expression "*": missing argument to repetition operator`},
		"tag":                      {"{{.Nme}}", `expand tag "{{.Nme}}": <.Nme>: can't evaluate field Nme in type *logopt.Info`},
		"azureblob-metadata":       {"Stopped=1", `set azureblob-metadata: the name "stopped" is taken: the driver writes it when the container stops`},
		"azureblob-profile":        {"../prod", `read profile "../prod": a profile is named by letters, digits, - _ and ., and not by a path: it is a file in DIR`},
	} {
		h := host(t, nil, nil)
		_, err := h.Settings(web(map[string]string{name: c.value}))
		if err == nil {
			t.Errorf("%s=%s is accepted", name, c.value)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), h.ProfileDir, "DIR"); got != c.want {
			t.Errorf("%s=%s:\n     %s\nwant %s", name, c.value, got, c.want)
		}
	}
}

// TestTemplateErrors: a path or tag that cannot be expanded is refused in one line
// that names the option.
func TestTemplateErrors(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"{{.Nme}}", "{{.Name", "{{nope}}", "{{.Name.Length}}", "a\n{{.Nme}}", `{{template "x"}}`, `{{truncate "x" -1}}`, "{{index .ContainerArgs 9}}", "{{.hostname}}"} {
		for name, begins := range map[string]string{"tag": "expand tag ", "azureblob-path": "set azureblob-path: "} {
			_, err := host(t, nil, nil).Settings(web(map[string]string{name: template}))
			if err == nil || !strings.HasPrefix(err.Error(), begins) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: %v", name, template, err)
			}
		}
	}
	for name, c := range map[string]struct{ template, part string }{
		"tag":            {"{{.Tag}}", "a tag cannot be made of itself"},
		"azureblob-path": {"%Q", "for a percent sign"},
	} {
		_, err := host(t, nil, nil).Settings(web(map[string]string{name: c.template}))
		if err == nil || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s=%s: %v", name, c.template, err)
		}
	}
	_, err := host(t, map[string]string{"AZUREBLOB_PATH": "{{.Nme}}"}, nil).Settings(web(nil))
	if err == nil || !strings.HasPrefix(err.Error(), `set AZUREBLOB_PATH: expand path "{{.Nme}}": `) {
		t.Error(err)
	}
}

// Docker's own log-opts reach the driver, and are not its business.
func TestDockersLogOpts(t *testing.T) {
	t.Parallel()
	settings(t, host(t, nil, nil), web(map[string]string{
		"mode": "non-blocking", "max-buffer-size": "4m", "cache-disabled": "true", "cache-max-size": "1m", "cache-max-file": "2", "cache-compress": "false"}))
}

// TestEveryOption: each option of the core is a log-opt, or is refused with a reason.
func TestEveryOption(t *testing.T) {
	t.Parallel()
	values := map[string]string{"text": "abc", "switch": "on", "duration": "1s", "size": "1M", "list": "a=b"}
	for i := range core.Options {
		o := &core.Options[i]
		value := values[o.Type()]
		if o.Values != nil {
			value = o.Values[0]
		}
		_, err := host(t, nil, nil).Settings(web(map[string]string{logOpt(o): value}))
		refused := o.Credential() || notHere[o.Name] != "" || strings.HasPrefix(o.Name, "endpoint")
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "is refused: ") {
			t.Errorf("%s=%s: %v", logOpt(o), value, err)
		}
	}
}

func TestProfileErrors(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("# nothing\n", maxProfile/10+1)
	h := host(t, nil, map[string]string{"prod": "AZURE_STORAGE_ACCOUNT=x", "test": "", ".hidden": "", "big": big})
	if err := os.Mkdir(h.ProfileDir+"/dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(h.ProfileDir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(h.ProfileDir+"/prod", h.ProfileDir+"/link"); err != nil { // as in Kubernetes' volumes
		t.Fatal(err)
	}
	named := " a profile is named by letters, digits, - _ and ., and not by a path: it is a file in DIR"
	for name, want := range map[string]string{
		"nope":        `read profile "nope": DIR has no such file: there are big, link, prod, test`,
		"prdo":        `read profile "prdo": DIR has no such file: did you mean "prod"? there are big, link, prod, test`,
		"../prod":     `read profile "../prod":` + named,
		"/etc/passwd": `read profile "/etc/passwd":` + named,
		"..":          `read profile "..":` + named,
		".":           `read profile ".":` + named,
		".hidden":     `read profile ".hidden":` + named,
		"a\nb":        `read profile "a\nb":` + named,
		"a\x00":       `read profile "a\x00":` + named,
		"dir":         `read profile "dir": DIR/dir is not a file`,
		"pipe":        `read profile "pipe": DIR/pipe is not a file`,
		"big":         `read profile "big": DIR/big is larger than 16 KiB: is this the right file?`,
		"prod":        "",
		"link":        "",
		"test":        "",
	} {
		_, err := h.Settings(web(map[string]string{"azureblob-profile": name}))
		if got := strings.ReplaceAll(fmt.Sprint(err), h.ProfileDir, "DIR"); got != want && !(want == "" && err == nil) {
			t.Errorf("%q:\n     %s\nwant %s", name, got, want)
		}
	}
	h.ProfileDir += "/none"
	_, err := h.Settings(web(map[string]string{"azureblob-profile": "prod"}))
	if err == nil || !strings.Contains(err.Error(), "the folder of profiles cannot be read: open ") {
		t.Error(err)
	}
	h.ProfileDir = t.TempDir()
	if _, err := h.Settings(web(map[string]string{"azureblob-profile": "prod"})); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Error(err)
	}
}

// TestProfileContents is what may be wrong in a profile. No error shows what stands there.
func TestProfileContents(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"AZURE_STORAGE_ACOUNT=" + sentinel:                             `read profile "p": line 1 sets an unknown variable: did you mean AZURE_STORAGE_ACCOUNT?`,
		"# x\n\nazure_storage_key=" + sentinel:                         `read profile "p": line 3 sets an unknown variable: did you mean AZURE_STORAGE_KEY?`,
		"AZUREBLOB_XYZZY_PLUGH_TWISTY=" + sentinel:                     `read profile "p": line 1 sets an unknown variable: the README lists them`,
		"AZURE_STORAGE_KEY" + sentinel + "==":                          `read profile "p": line 1 sets an unknown variable: the README lists them`,
		"AZURE_STORAGE_KEY " + sentinel + "==":                         `read profile "p": line 1 sets an unknown variable: the README lists them`,
		"A=1\n" + sentinel + "\nB=2":                                   `read profile "p": line 2 is not NAME=value`,
		"A=1\n" + sentinel:                                             `read profile "p": a line is not NAME=value`,
		"A=1\nB='2\n3'\nAZURE_STORAGE_KEY='" + sentinel + "\nC=3":      `read profile "p": line 4 is not NAME=value`,
		"A=1\n{" + sentinel + "}":                                      `read profile "p": line 2 is not NAME=value`,
		"AZUREBLOB_PROFILE=" + sentinel:                                `set AZUREBLOB_PROFILE in profile "p": a profile cannot name another`,
		"AZUREBLOB_STATE_DIR=" + sentinel:                              `set AZUREBLOB_STATE_DIR in profile "p": it is a setting of the whole plugin: set it there`,
		"HTTPS_PROXY=" + sentinel:                                      `set HTTPS_PROXY in profile "p": it is a setting of the whole plugin: set it there`,
		"AZUREBLOB_IDLE_TIMEOUT=" + sentinel:                           `set AZUREBLOB_IDLE_TIMEOUT in profile "p": a blob is marked complete when its container stops, however long that was silent`,
		"AZUREBLOB_FORMAT=json AZURE_STORAGE_KEY=" + sentinel:          `set AZUREBLOB_FORMAT in profile "p": two settings are on one line: write each on its own`,
		"AZUREBLOB_PATH={{.Name}} AZURE_STORAGE_KEY=" + sentinel:       `set AZUREBLOB_PATH in profile "p": two settings are on one line: write each on its own`,
		"AZUREBLOB_FORMAT=" + sentinel:                                 `set AZUREBLOB_FORMAT in profile "p": the value is not valid: write one of json, text, raw`,
		"AZUREBLOB_FLUSH_INTERVAL=" + sentinel:                         `set AZUREBLOB_FLUSH_INTERVAL in profile "p": the value is not valid: write 500ms, 1s, 10m, 2h, 1d, or seconds`,
		"AZUREBLOB_MAX_SIZE=" + sentinel:                               `set AZUREBLOB_MAX_SIZE in profile "p": the value is not valid: write 512K, 10M, 2G, or bytes`,
		"AZUREBLOB_AUTO_CREATE_CONTAINER=" + sentinel:                  `set AZUREBLOB_AUTO_CREATE_CONTAINER in profile "p": the value is not valid: write on or off`,
		"AZUREBLOB_METADATA=" + sentinel:                               `set AZUREBLOB_METADATA in profile "p": the value is not valid: write name=value,name=value`,
		"AZUREBLOB_CONTAINER_NAME=" + sentinel:                         `set AZUREBLOB_CONTAINER_NAME in profile "p": the value is not valid`,
		"AZUREBLOB_PATH={{." + sentinel + "}}":                         `set AZUREBLOB_PATH in profile "p": the template is not valid: give it as log-opt azureblob-path to see why`,
		"AZUREBLOB_CACHE_SIZE=" + sentinel:                             `set AZUREBLOB_CACHE_SIZE in profile "p": the value is not a size: write 512K, 100M, 2G, or bytes`,
		"AZUREBLOB_ON_FULL=" + sentinel:                                `set AZUREBLOB_ON_FULL in profile "p": the value is neither block nor drop-oldest`,
		"AZURE_STORAGE_KEY_FILE=" + sentinel:                           `set AZURE_STORAGE_KEY_FILE in profile "p": there is no such file in the folder of profiles: write a name there, or a path from / on`,
		"AZURE_STORAGE_KEY=" + sentinel + "\nAZURE_STORAGE_KEY_FILE=p": `set option AZURE_STORAGE_KEY_FILE in profile "p": set the value or its file, not both`,
	} {
		_, err := host(t, nil, map[string]string{"p": text}).Settings(web(map[string]string{"azureblob-profile": "p"}))
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n     %v\nwant %s", text, err, want)
		}
	}
}

// A profile as people write them.
func TestProfile(t *testing.T) {
	t.Parallel()
	h := host(t, nil, map[string]string{"p": "\n# a comment\r\nexport BASE=prod\nAZURE_STORAGE_ACCOUNT=${BASE}logs # the account\n" +
		"AZUREBLOB_PATH='{{$n := .Name}}{{$n}}/%Y.log'\nAZUREBLOB_METADATA=\"team=shop,tier=1\"\nAZUREBLOB_COMPRESS=\nOTHER=ignored"})
	h.Profile = "p"
	s := settings(t, h, web(nil))
	if s.Config.AccountName != "prodlogs" || s.Blob != "web/2026.log" || s.Metadata["team"] != "shop" || s.Config.Compress != "none" {
		t.Errorf("%s", show(s))
	}
	write(t, h.ProfileDir+"/p", "AZURE_STORAGE_ACCOUNT=edited")
	if got := settings(t, h, web(nil)).Config.AccountName; got != "edited" {
		t.Errorf("after an edit: %q", got)
	}
}

func TestProfileOpenToAll(t *testing.T) {
	t.Parallel()
	h := host(t, nil, map[string]string{"secret": "AZURE_STORAGE_KEY=" + sentinel, "plain": "AZURE_CLIENT_ID=x"})
	for name, mode := range map[string]os.FileMode{"secret": 0o644, "plain": 0o644} {
		if err := os.Chmod(h.ProfileDir+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("[profile %q has a secret in it, and every user of this host may read the file: chmod 600 %s]", "secret", h.ProfileDir+"/secret")
	for name, warnings := range map[string]string{"secret": want, "plain": "[]"} {
		s := settings(t, h, web(map[string]string{"azureblob-profile": name}))
		if got := fmt.Sprint(s.Warnings); got != warnings {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestSecretsAreNotShown puts a secret everywhere one could be, wrong as it may be
// there, and looks for it in all that is said.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	looked := 0
	look := func(where string, h *Host, logOpts map[string]string) {
		t.Helper()
		s, err := h.Settings(web(logOpts))
		said := fmt.Sprint(err)
		if err == nil {
			said = fmt.Sprint(s.Warnings, s.Account) + fmt.Sprintf("%v %+v %#v", s.Config.SharedKey, s.Config.ConnectionString, s.Config.SASToken)
			if _, err := core.Open(s.Config, core.StoreOptions{}); err != nil {
				said += err.Error()
			}
		}
		looked++
		if strings.Contains(said, sentinel) || strings.Contains(said, "\n") {
			t.Errorf("%s: %s", where, said)
		}
	}
	for i := range core.Options {
		o := &core.Options[i]
		name := o.EnvName()
		for _, value := range []string{sentinel, sentinel + "==", "a=b;" + sentinel, " " + sentinel} {
			look("profile "+name, host(t, nil, map[string]string{"p": "AZURE_STORAGE_ACCOUNT=x\n" + name + "='" + value + "'"}), map[string]string{"azureblob-profile": "p"})
			if o.Credential() {
				look("environment "+name, host(t, map[string]string{"AZURE_STORAGE_ACCOUNT": "x", name: value}, nil), nil)
				look("log-opt "+name, host(t, nil, nil), map[string]string{logOpt(o): value})
				look("log-opt "+name, host(t, nil, nil), map[string]string{o.Name: value})
				look("log-opt "+name, host(t, nil, nil), map[string]string{name: value})
			}
		}
	}
	for _, v := range append(Process, Variable{Name: "AZUREBLOB_PROFILE"}, Variable{Name: "AZUREBLOB_CACHE_SIZE"}, Variable{Name: "AZUREBLOB_SPOOL_SIZE"}, Variable{Name: "AZUREBLOB_ON_FULL"}) {
		look("profile "+v.Name, host(t, nil, map[string]string{"p": v.Name + "=" + sentinel}), map[string]string{"azureblob-profile": "p"})
	}
	if looked < 200 {
		t.Errorf("looked at %d", looked)
	}
}

// FuzzProfile: whatever stands before and after a secret in a file, the secret is not
// in the error, and the error is one line.
func FuzzProfile(f *testing.F) {
	for _, s := range [][2]string{
		{"AZURE_STORAGE_KEY=", "\n"}, {"AZURE_STORAGE_KEY='", ""}, {"AZURE_STORAGE_KEY: \"", "\nA=b"}, {"AZURE_STORAGE_KEY", "=="},
		{"export AZURE_STORAGE_ACCOUNT=", " AZURE_STORAGE_KEY=x"}, {"\xef\xbb\xbfAZUREBLOB_FORMAT=", "$A ${B} \\"}, {"AZUREBLOB_METADATA=a=", ",b"},
		{"AZUREBLOB_TAGS=", "=x"}, {"AZURE_STORAGE_KEY_FILE=", "\x00"}, {"=", ""}, {"AZURE", "=1"}, {"AZUREBLOB_PATH={{", "}}"},
	} {
		f.Add(s[0], s[1])
	}
	dir := f.TempDir()
	h := &Host{Lookup: func(string) (string, bool) { return "", false }, ProfileDir: dir, Hostname: "h"}
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > maxProfile {
			return
		}
		p := &profile{name: "p", path: dir + "/p"}
		err := p.parse([]byte(before+sentinel+after), dir)
		if err == nil {
			src := &sources{profile: p, env: h.Lookup}
			if _, _, err = src.load(); err == nil {
				_, err = src.size("azureblob-cache-size", 0)
			}
		}
		if err == nil {
			return
		}
		if text := err.Error(); strings.Contains(text, sentinel) && !strings.Contains(before+after, "/") || strings.Contains(text, "\n") {
			t.Errorf("%q: %s", before+sentinel+after, text)
		}
	})
}
