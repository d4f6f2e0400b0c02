package keys

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/fluentbit/chunk"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// conf is what a user wrote; as in Fluent Bit, upper and lower case are the same.
type conf map[string]string

func (c conf) key(name string) string {
	for k, v := range c {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func (c conf) lookup(name string) (string, bool) { v, ok := c[name]; return v, ok }

// load is Load on a machine named node-7.
func load(keys, env conf) (*Settings, error) {
	all := conf{"HOSTNAME": "node-7"}
	for k, v := range env {
		all[k] = v
	}
	return Load(keys.key, all.lookup)
}

func mustLoad(t testing.TB, keys, env conf) *Settings {
	t.Helper()
	s, err := load(keys, env)
	if err != nil {
		t.Fatalf("%v: %v", keys, err)
	}
	return s
}

// name is the blob that an event of the tag goes into.
func name(s *Settings, tag string, body any) string {
	n, _ := s.Path.Namer(tag).Name(event(body))
	return n
}

func event(body any) *chunk.Event {
	return &chunk.Event{Time: time.Date(2026, 11, 23, 12, 4, 5, 0, time.UTC), Body: flbtest.AppendValue(nil, body)}
}

func record1(key string, value any) flbtest.Map {
	return flbtest.Map{flbtest.Pair{Key: key, Value: value}}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, nil, nil)
	e := &s.Encoder
	if got := name(s, "app.web", flbtest.Map{}); got != "node-7/app.web.log" {
		t.Errorf("blob %q", got)
	}
	if s.Hostname != "node-7" || s.FlushTimeout != 10*time.Second || !s.StartupProbe || s.CompleteOnExit {
		t.Errorf("%+v", s)
	}
	if e.Format != record.JSON || !e.LogKey.IsZero() || e.TimeKey != "@timestamp" || e.TimeFormat != chunk.Iso8601 || e.MetadataKey != "" || e.GroupKey != "" {
		t.Errorf("%+v", e)
	}
	if c := s.Core; c.IdleTimeout != 10*time.Minute || c.ContainerName != "logs" || !c.AutoCreateContainer || c.Compress != "none" || c.ContentType != "application/x-ndjson" || c.MaxSize != 0 {
		t.Errorf("%+v", c)
	}
	if len(s.Metadata)+len(s.Tags)+len(s.Notes)+len(s.Warnings) != 0 {
		t.Errorf("%q %q", s.Notes, s.Warnings)
	}
}

// Without the variable the machine's own name counts.
func TestHostname(t *testing.T) {
	t.Parallel()
	s, err := Load(conf{}.key, conf{}.lookup)
	if err != nil || s.Hostname == "" || name(s, "t", nil) != s.Hostname+"/t.log" {
		t.Errorf("%+v, %v", s, err)
	}
	s = mustLoad(t, conf{"hostname": "edge/3", "path": "x/${HOSTNAME}-$TAG"}, nil)
	if got := name(s, "t", nil); s.Hostname != "edge/3" || got != "x/edge/3-t" {
		t.Errorf("%q: %q", s.Hostname, got)
	}
}

// Values as people write them for Fluent Bit.
func TestValues(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, conf{
		"Account_Name": " acct ", "AUTO_CREATE_CONTAINER": "Off", "idle_timeout": "1H", "max_size": "10MB", "flush_timeout": "1M",
		"startup_probe": "FALSE", "complete_on_exit": "Yes", "time_format": "EPOCH_MS", "compress": "GZip", "format": "JSON",
		"tier_on_complete": "Cool", "path": `"logs/$TAG.log"`,
	}, nil)
	c := s.Core
	if c.AccountName != "acct" || c.AutoCreateContainer || c.IdleTimeout != time.Hour || c.MaxSize != 10<<20 || s.FlushTimeout != time.Minute ||
		s.StartupProbe || !s.CompleteOnExit || s.Encoder.TimeFormat != chunk.EpochMillis || c.Compress != "gzip" || c.TierOnComplete != "cool" {
		t.Errorf("%+v\n%+v", s, c)
	}
	if got := name(s, "t", nil); got != "logs/t.log" {
		t.Errorf("blob %q", got)
	}
	for v, want := range map[string]time.Duration{"30s": 30 * time.Second, "90": 90 * time.Second, "1D": 24 * time.Hour, "off": 0, "0": 0, "False": 0} {
		if got := mustLoad(t, conf{"idle_timeout": v}, nil).Core.IdleTimeout; got != want {
			t.Errorf("idle_timeout %s is %v", v, got)
		}
	}
	for v, want := range map[string]core.Size{"1G": 1 << 30, "512k": 512 << 10, "1000": 1000, "off": 0} {
		if got := mustLoad(t, conf{"max_size": v}, nil).Core.MaxSize; got != want {
			t.Errorf("max_size %s is %v", v, got)
		}
	}
}

// A key counts before the environment, and that before the default.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	env := conf{
		"AZURE_STORAGE_ACCOUNT": "envacct", "AZUREBLOB_PATH": "env/$TAG", "AZUREBLOB_FORMAT": "text", "AZUREBLOB_TAGS": "team=$team",
		"AZUREBLOB_CONTAINER_NAME": "envlogs", "AZUREBLOB_METADATA": "a=b", "AZUREBLOB_LOG_KEY": "msg",
	}
	s := mustLoad(t, conf{"container_name": "keylogs"}, env)
	if s.Core.AccountName != "envacct" || s.Core.ContainerName != "keylogs" || name(s, "t", nil) != "env/t" || s.Encoder.Format != record.Text || s.Encoder.LogKey.String() != "msg" {
		t.Errorf("%+v %+v", s.Core, s.Encoder)
	}
	if got := s.BlobTags("t", event(record1("team", "shop")))["team"]; got != "shop" {
		t.Errorf("tag %q", got)
	}
	if s = mustLoad(t, conf{"tags": "x=y"}, env); len(s.Tags) != 1 || s.Tags["x"] == nil {
		t.Errorf("%v", s.Tags)
	}
	for variable, value := range map[string]string{"AZUREBLOB_PATH": "a//b", "AZUREBLOB_TAGS": "nonsense", "AZUREBLOB_TIME_FORMAT": "noon", "AZUREBLOB_IDLE_TIMEOUT": "soon"} {
		if _, err := load(nil, conf{variable: value}); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s=%s: %v", variable, value, err)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys    conf
		format  record.Format
		logKey  string
		content string
	}{
		{conf{}, record.JSON, "", "application/x-ndjson"},
		{conf{"log_key": "$kubernetes['x']"}, record.Raw, "$kubernetes['x']", "text/plain; charset=utf-8"},
		{conf{"log_key": "msg", "format": "text"}, record.Text, "msg", "text/plain; charset=utf-8"},
		{conf{"log_key": "msg", "format": "json"}, record.JSON, "", "application/x-ndjson"},
		{conf{"format": "text"}, record.Text, "log", "text/plain; charset=utf-8"},
		{conf{"format": "raw"}, record.Raw, "log", "text/plain; charset=utf-8"},
		{conf{"format": "raw", "content_type": "text/csv"}, record.Raw, "log", "text/csv"},
	} {
		s := mustLoad(t, c.keys, nil)
		if e := s.Encoder; e.Format != c.format || e.LogKey.String() != c.logKey || s.Core.ContentType != c.content || s.Core.Format != c.format.String() {
			t.Errorf("%v: %v, log key %q, %s", c.keys, e.Format, e.LogKey, s.Core.ContentType)
		}
	}
}

func TestRecordKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys             conf
		time, meta, grup string
	}{
		{conf{"time_key": "ts"}, "ts", "", ""},
		{conf{"date_key": "ts"}, "ts", "", ""},
		{conf{"date_key": "ts", "time_key": "ts"}, "ts", "", ""},
		{conf{"time_key": "off"}, "", "", ""},
		{conf{"date_key": "False"}, "", "", ""},
		{conf{"date_key": `""`}, "", "", ""},
		{conf{"time_key": `"at"`}, "at", "", ""},
		{conf{"metadata_key": "meta", "group_key": "$group"}, "@timestamp", "meta", "$group"},
		{conf{"metadata_key": "off", "group_key": "no"}, "@timestamp", "", ""},
	} {
		e := mustLoad(t, c.keys, nil).Encoder
		if e.TimeKey != c.time || e.MetadataKey != c.meta || e.GroupKey != c.grup {
			t.Errorf("%v: %+v", c.keys, e)
		}
	}
}

// A path that cannot tell tags apart is a folder, as azure_blob's is, unless it has an
// extension.
func TestPathIsAFolder(t *testing.T) {
	for path, want := range map[string]string{
		"kube": "kube/app.web", "a/kube/": "a/kube/app.web", "${HOSTNAME}": "node/app.web", "logs/%Y": "logs/2026/app.web",
		"all.log": "all.log", "kube/$TAG": "kube/app.web", "$TAG[0]": "app", "a.b/c": "a.b/c/app.web", "$x": "unknown",
	} {
		s := mustLoad(t, conf{"path": path, "hostname": "node"}, nil)
		if got := name(s, "app.web", nil); got != want {
			t.Errorf("path %s: the blob is %s, want %s", path, got, want)
		}
		noted := strings.Contains(strings.Join(s.Notes, " "), "is a folder, as azure_blob's")
		if folder := strings.HasSuffix(want, "/app.web") && path != "kube/$TAG"; noted != folder {
			t.Errorf("path %s: noted: %v", path, s.Notes)
		}
	}
}

// Keys that do nothing in a format are told, and so is a path that begins with /.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys conf
		want []string
	}{
		{conf{"format": "json", "log_key": "msg"}, []string{"log_key does nothing with format json"}},
		{conf{"format": "raw", "time_key": "t", "metadata_key": "m"}, []string{"time_key does nothing with format raw", "metadata_key does nothing with format raw"}},
		{conf{"path": "all.log"}, nil},
		{conf{"path": "%F.log"}, nil},
		{conf{"path": "logs/$TAG"}, nil},
		{conf{"path": "$level"}, nil},
		{conf{"path": "/$TAG.log"}, []string{"the / at its beginning is dropped; was a ${NAME} before it not set?"}},
	} {
		got := mustLoad(t, c.keys, nil).Warnings
		if len(got) != len(c.want) {
			t.Errorf("%v: %q", c.keys, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%v: %q, want %q", c.keys, got[i], c.want[i])
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys conf
		want string
	}{
		{conf{"auth_type": "magic"}, `set option auth_type: "magic" is not one of key, sas`},
		{conf{"auto_create_container": "maybe"}, `set option auto_create_container: "maybe" is neither on nor off`},
		{conf{"startup_probe": "maybe"}, `set option startup_probe: "maybe" is neither on nor off`},
		{conf{"emulator_mode": "2"}, "set option emulator_mode"},
		{conf{"compress_blob": "gzip"}, "set option compress_blob"},
		{conf{"container_name": "My Logs"}, `"my-logs" would do`},
		{conf{"flush_timeout": "0"}, "set option flush_timeout"},
		{conf{"flush_timeout": "off"}, "set option flush_timeout"},
		{conf{"idle_timeout": "soon"}, "set option idle_timeout"},
		{conf{"max_size": "big"}, "set option max_size"},
		{conf{"format": "xml"}, "set option format"},
		{conf{"time_format": "noon"}, "set option time_format"},
		{conf{"log_key": "$a['b"}, "set option log_key"},
		{conf{"time_key": "a", "date_key": "b"}, `time_key "a" and date_key "b" are one setting`},
		{conf{"time_key": "a", "metadata_key": "a"}, `time_key and metadata_key are both "a"`},
		{conf{"metadata_key": "a", "group_key": "a"}, `metadata_key and group_key are both "a"`},
		{conf{"path": "$TAG/"}, "set option path: parse template \"$TAG/\""},
		{conf{"path": "/"}, "set option path: parse template"},
		{conf{"path": "$UUID"}, "set option path"},
		{conf{"path": "${AZURE_STORAGE_KEY}"}, "may hold a secret"},
		{conf{"metadata": "team"}, `set option metadata: "team" is not name=value`},
		{conf{"metadata": "a=1,a=2"}, `set option metadata: "a" is given twice`},
		{conf{"metadata": "a=1,A=2"}, `set option metadata: the name`},
		{conf{"metadata": "cursor=1"}, "set option metadata"},
		{conf{"metadata": "a-b=$TAG"}, "set option metadata"},
		{conf{"metadata": "a=" + strings.Repeat("x", 5000)}, "set option metadata"},
		{conf{"metadata": "a=$nope["}, "set option metadata: a: parse template"},
		{conf{"tags": "a=b!"}, "set option tags"},
		{conf{"tags": "a=b!$TAG"}, "set option tags"},
		{conf{"tags": "a!=b"}, "set option tags"},
		{conf{"tags": "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10,k=11"}, "ten at most"},
		{conf{"shared_key_file": "/nowhere/at/all"}, "read shared_key_file"},
		{conf{"configuration_endpoint_url": "https://conf.example.com"}, "key configuration_endpoint_url is refused: no settings are fetched from elsewhere"},
		{conf{"configuration_endpoint_bearer_token": "hunter2"}, "is refused"},
	} {
		_, err := load(c.keys, nil)
		if err == nil {
			t.Errorf("%v is taken", c.keys)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "\n") || strings.Contains(text, "hunter2") {
			t.Errorf("%v: %v\nwant: %s", c.keys, err, c.want)
		}
	}
}

// No credential is ever seen: not in an error, a note, a warning, nor in settings that
// somebody prints.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	for _, keys := range []conf{
		{"account_name": "a", "shared_key": secret},
		{"account_name": "a", "shared_kye": secret},
		{"account_name": "a", "account_key": secret, "sas": secret, "azure_storage_key": secret},
		{"account_name": "a", "sas_token": secret, "shared_key": secret},
		{"account_name": "a", "shared_key_file": "/none/" + secret + "?sig=x"},
		{"endpoint": "https://a.blob.core.windows.net/?sig=" + secret},
		{"endpoint": "https://u:" + secret + "@a.blob.core.windows.net/"},
		{"endpoint": "localhost?sig=" + secret, "emulator_mode": "on"},
		{"connection_string": secret},
		{"connection_string": "AccountName=a;AccountKey=" + secret, "shared_key": secret},
		{"configuration_endpoint_password": secret},
		{"client_id": "c", "tenant_id": "t", "client_secret": secret, "account_name": "a", "auth_type": "key"},
	} {
		var said []string
		s, err := load(keys, nil)
		if err == nil {
			said = append(append(said, s.Notes...), s.Warnings...)
			_, err = core.Open(s.Core, core.StoreOptions{})
		}
		if err != nil {
			said = append(said, err.Error())
		}
		for _, line := range said {
			if strings.Contains(line, secret) {
				t.Errorf("%s", line)
			}
		}
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	keys := conf{"flush_interval": "5s"}
	want := []string{"flush_interval does nothing here: "}
	for _, k := range builtIn {
		if k.inert {
			keys[k.name] = "1"
			want = append(want, k.name+" does nothing here: ")
		}
	}
	s := mustLoad(t, keys, nil)
	if len(s.Notes) != len(want) || len(s.Warnings) != 0 {
		t.Fatalf("%d notes of %d; warnings %q", len(s.Notes), len(want), s.Warnings)
	}
	for _, w := range want {
		if !slices.ContainsFunc(s.Notes, func(n string) bool { return strings.HasPrefix(n, w) && !strings.Contains(n, "\n") }) {
			t.Errorf("no note %q", w)
		}
	}
	if s = mustLoad(t, nil, conf{"AZUREBLOB_FLUSH_INTERVAL": "5s"}); len(s.Notes) != 0 {
		t.Errorf("%q", s.Notes)
	}
}

func TestCompress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys conf
		want string
	}{
		{conf{"compress_blob": "on"}, "gzip"},
		{conf{"compress_blob": "on", "compress": "zstd"}, "zstd"},
		{conf{"compress_blob": "off"}, "none"},
		{conf{"compress_blob": "off", "compress": "gzip"}, "gzip"},
	} {
		if got := mustLoad(t, c.keys, nil).Core.Compress; got != c.want {
			t.Errorf("%v: %s", c.keys, got)
		}
	}
}

// The emulator's address and key stand where nothing is set, and the environment, which
// is for the real account, does not get in between.
func TestEmulator(t *testing.T) {
	t.Parallel()
	real := conf{"AZURE_STORAGE_ACCOUNT": "prod", "AZURE_STORAGE_KEY": "cHJvZA==", "AZURE_STORAGE_SERVICE_ENDPOINT": "https://prod.blob.core.windows.net"}
	inString := conf{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=prod;AccountKey=cHJvZA=="}
	token := conf{"AZURE_STORAGE_ACCOUNT": "prod", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x"}
	for _, env := range []conf{nil, real, inString, token} {
		for _, c := range []struct {
			keys      conf
			url, kind string
		}{
			{conf{}, "http://127.0.0.1:10000/devstoreaccount1/logs", "account key"},
			{conf{"auth_type": "key"}, "http://127.0.0.1:10000/devstoreaccount1/logs", "account key"},
			{conf{"account_name": "other"}, "http://127.0.0.1:10000/other/logs", "account key"},
			{conf{"endpoint": "azurite:10000"}, "http://azurite:10000/devstoreaccount1/logs", "account key"},
			{conf{"endpoint": "azurite.test.svc:10000/"}, "http://azurite.test.svc:10000/devstoreaccount1/logs", "account key"},
			{conf{"endpoint": "http://localhost:10000/devstoreaccount1"}, "http://localhost:10000/devstoreaccount1/logs", "account key"},
			{conf{"endpoint": "https://azurite:10000"}, "https://azurite:10000/devstoreaccount1/logs", "account key"},
			{conf{"account_name": "other", "shared_key": "b3RoZXI=", "endpoint": "http://azurite.test:1"}, "http://azurite.test:1/other/logs", "account key"},
			{conf{"sas_token": "sv=1&sig=x"}, "http://127.0.0.1:10000/devstoreaccount1/logs", "SAS token"},
			{conf{"auth_type": "sas", "sas_token": "?sv=1&sig=x"}, "http://127.0.0.1:10000/devstoreaccount1/logs", "SAS token"},
			{conf{"connection_string": "UseDevelopmentStorage=true;BlobEndpoint=http://azurite:1/devstoreaccount1"}, "http://azurite:1/devstoreaccount1/logs", "account key"},
		} {
			c.keys["emulator_mode"] = "On"
			s := mustLoad(t, c.keys, env)
			store, err := core.Open(s.Core, core.StoreOptions{})
			if err != nil {
				t.Errorf("%v, environment %v: %v", c.keys, env, err)
				continue
			}
			if store.Accounts()[0].URL() != c.url || store.Kind() != c.kind {
				t.Errorf("%v, environment %v: %s, %s", c.keys, env, store.Accounts()[0].URL(), store.Kind())
			}
		}
	}
	s := mustLoad(t, conf{"emulator_mode": "on", "account_name": "a,b", "shared_key": "YQ==,Yg=="}, nil)
	if store, err := core.Open(s.Core, core.StoreOptions{}); err != nil || len(store.Accounts()) != 2 || store.Accounts()[1].URL() != "http://127.0.0.1:10000/b/logs" {
		t.Errorf("several accounts: %v, %v", store, err)
	}
	s = mustLoad(t, conf{"emulator_mode": "off"}, real)
	if store, err := core.Open(s.Core, core.StoreOptions{}); err != nil || store.Accounts()[0].URL() != "https://prod.blob.core.windows.net/logs" {
		t.Errorf("%v, %v", store, err)
	}
}

// azure_blob's own configuration works as it is, underscore deleted.
func TestMovingFromAzureBlob(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, conf{
		"account_name": "acct", "shared_key": "a2V5", "container_name": "logs", "auto_create_container": "on", "blob_type": "blockblob",
		"path": "kubernetes/$TAG[0]", "date_key": "@timestamp", "compress": "gzip", "compress_blob": "on", "buffering_enabled": "true",
		"buffer_dir": "/tmp/x", "upload_file_size": "50M", "upload_timeout": "5m", "auth_type": "key", "emulator_mode": "off",
	}, nil)
	store, err := core.Open(s.Core, core.StoreOptions{})
	if err != nil || store.Accounts()[0].URL() != "https://acct.blob.core.windows.net/logs" || store.Kind() != "account key" {
		t.Errorf("%v, %v", store, err)
	}
	if len(s.Notes) != 5 || len(s.Warnings) != 0 {
		t.Errorf("%q %q", s.Notes, s.Warnings)
	}
}

// Several accounts are lists, in keys as in the environment; one that does not fit is
// told, and shows nothing.
func TestSeveralAccounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys, env conf
		want      string // URLs, or the error
	}{
		{conf{"account_name": "a, b", "shared_key": "YQ==,Yg=="}, nil, "https://a.blob.core.windows.net/logs https://b.blob.core.windows.net/logs"},
		{conf{"account_name": "\"a,b\"", "auth_type": "managed_identity"}, nil, "https://a.blob.core.windows.net/logs https://b.blob.core.windows.net/logs"},
		{conf{"endpoint": "https://a.example,https://b.example", "account_name": "a,b"}, conf{"AZURE_STORAGE_SAS_TOKEN": "sv=1&spr=https,http&sig=1,sv=1&sig=2"}, "https://a.example/logs https://b.example/logs"},
		{nil, conf{"AZURE_STORAGE_ACCOUNT": "a,b", "AZURE_STORAGE_KEY": "YQ==,Yg=="}, "https://a.blob.core.windows.net/logs https://b.blob.core.windows.net/logs"},
		{conf{"account_name": "a,b", "shared_key": "c2VjcmV0"}, nil, "open store: shared_key has 1 key for 2 accounts: list one key for each, in the order of account_name"},
		{conf{"account_name": "a,,b", "shared_key": "c2VjcmV0"}, nil, "open store: account_name is a list of 3 with nothing at place 2: is a comma too many in it, or a variable empty?"},
	} {
		s := mustLoad(t, c.keys, c.env)
		store, err := core.Open(s.Core, core.StoreOptions{})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			for _, a := range store.Accounts() {
				got += " " + a.URL()
			}
		}
		if strings.TrimSpace(got) != c.want {
			t.Errorf("%v, environment %v: %s", c.keys, c.env, got)
		}
	}
}
