package core

import (
	"strings"
	"testing"
	"time"
)

// load reads settings as a host does: its keys, an environment, its defaults.
func load(keys, env, defaults Map) (*Config, error) {
	return Load(
		Source{Lookup: keys.Source().Lookup, Spell: func(n string) string { return "--" + strings.ReplaceAll(n, "_", "-") }},
		Env(func(name string) (string, bool) { v, ok := env[name]; return v, ok }),
		defaults.Source())
}

func TestParse(t *testing.T) {
	t.Parallel()
	field := func(c *Config, name string) any {
		switch p := FindOption(name).field(c).(type) {
		case *string:
			return *p
		case *bool:
			return *p
		case *time.Duration:
			return *p
		case *Size:
			return int64(*p)
		case *Map:
			return p.String()
		}
		return nil
	}
	for _, c := range []struct {
		option, value string
		want          any    // nil: an error
		err           string // part of it
	}{
		{"flush_interval", "1s", time.Second, ""},
		{"flush_interval", "250ms", 250 * time.Millisecond, ""},
		{"flush_interval", "1", time.Second, ""},
		{"flush_interval", "0.5", 500 * time.Millisecond, ""},
		{"flush_interval", "0", time.Duration(0), ""},
		{"idle_timeout", "10m", 10 * time.Minute, ""},
		{"idle_timeout", "2d", 48 * time.Hour, ""},
		{"idle_timeout", "1h30m", 90 * time.Minute, ""},
		{"flush_interval", "-1s", nil, "negative"},
		{"flush_interval", "-1", nil, "not a duration"},
		{"flush_interval", "", nil, `"" is not a duration`},
		{"flush_interval", "1.2.3", nil, "not a duration"},
		{"flush_interval", "NaN", nil, "not a duration"},
		{"flush_interval", "1e300", nil, "not a duration"},
		{"flush_interval", "99999999999999999999", nil, "not a duration"},
		{"flush_interval", "fast", nil, `"fast" is not a duration: write 500ms`},
		{"max_size", "0", int64(0), ""},
		{"max_size", "10M", int64(10 << 20), ""},
		{"max_size", "10MiB", int64(10 << 20), ""},
		{"max_size", "1.5G", int64(3 << 29), ""},
		{"max_size", "4096", int64(4096), ""},
		{"max_size", "-1", nil, "not a size"},
		{"max_size", "9999999999P", nil, "not a size"},
		{"max_size", "1e300", nil, "not a size"},
		{"max_size", "10X", nil, "not a size"},
		{"auto_create_container", "On", true, ""},
		{"auto_create_container", "off", false, ""},
		{"auto_create_container", "no", false, ""},
		{"auto_create_container", "maybe", nil, "neither on nor off"},
		{"compress", "ZSTD", "zstd", ""},
		{"compress", "gzp", nil, `one of none, gzip, zstd: did you mean "gzip"?`},
		{"format", "xml", nil, "json, text, raw"},
		{"tier_on_complete", "cold", "cold", ""},
		{"tier_on_complete", "archive", nil, "hot, cool, cold"},
		{"auth_type", "magic", nil, "managed_identity"},
		{"metadata", "a=1, b = x=y ,", "a=1,b=x=y", ""},
		{"metadata", "a", nil, "not name=value"},
		{"metadata", "a=1,a=2", nil, "twice"},
		{"metadata", "a=1,A=2", nil, "twice"},
		{"metadata", "1a=1", nil, "letters, digits"},
		{"metadata", "a-b=1", nil, "letters, digits"},
		{"metadata", "Cursor=1", nil, `"Cursor" is taken`},
		{"metadata", "complete=1", nil, "taken"},
		{"metadata", "a=" + strings.Repeat("x", 5000), nil, "at most 4096"},
		{"tags", "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10", "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10", ""},
		{"tags", "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10,k=11", nil, "ten at most"},
		{"tags", "a=ü", nil, "'ü'"},
		{"content_type", "text/plain\r\nX: y", nil, "header"},
		{"container_name", "My_Logs", nil, `"my-logs" would do`},
	} {
		cfg, err := load(Map{c.option: c.value}, nil, nil)
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: error %v, want %q", c.option, c.value, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s=%q: %v", c.option, c.value, err)
		} else if got := field(cfg, c.option); got != c.want {
			t.Errorf("%s=%q: %v, want %v", c.option, c.value, got, c.want)
		}
	}
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	c, err := load(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.ContainerName != "logs" || !c.AutoCreateContainer || c.FlushInterval != time.Second || c.Format != "json" ||
		c.Compress != "none" || c.MaxSize != 0 || c.Path != "" || c.EndpointSuffix != "core.windows.net" {
		t.Errorf("defaults: %+v", c)
	}
	env := Map{"AZUREBLOB_PATH": "env", "AZUREBLOB_FORMAT": "text", "AZURE_STORAGE_ACCOUNT": "envacct", "AZUREBLOB_COMPRESS": ""}
	c, err = load(Map{"format": "raw"}, env, Map{"path": "host", "format": "text", "idle_timeout": "10m", "compress": "gzip"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Format != "raw" || c.Path != "env" || c.AccountName != "envacct" || c.IdleTimeout != 10*time.Minute || c.Compress != "gzip" {
		t.Errorf("keys, then environment, then the host's defaults: %+v", c)
	}
	// Each source's users read their own spelling.
	_, err = load(Map{"max_size": "x"}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "--max-size") {
		t.Error(err)
	}
	_, err = load(nil, Map{"AZUREBLOB_MAX_SIZE": "x"}, nil)
	if err == nil || !strings.Contains(err.Error(), "AZUREBLOB_MAX_SIZE") {
		t.Error(err)
	}
}

// TestLoadCredentials checks which credentials are left when several places set
// some, by what Open then makes of them.
func TestLoadCredentials(t *testing.T) {
	t.Parallel()
	const key, sas = "a2V5", "sv=1&sig=x"
	file := t.TempDir() + "/key"
	write(t, file, "ZmlsZQ==\n")
	cs := "AccountName=csacct;AccountKey=Y3M="
	principal := Map{"client_id": "id", "tenant_id": "t"}
	with := func(ms ...Map) Map {
		all := Map{"account_name": "acct"}
		for _, m := range ms {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		keys, env Map
		kind      string // or
		err       string
	}{
		"nothing":                    {with(), nil, "", ""},
		"key":                        {with(Map{"shared_key": key}), nil, "key", ""},
		"key file":                   {with(Map{"shared_key_file": file}), nil, "key", ""},
		"key and its file":           {with(Map{"shared_key": key, "shared_key_file": file}), nil, "-", "not both"},
		"key, file in env":           {with(Map{"shared_key": key}), Map{"AZURE_STORAGE_KEY_FILE": "/nowhere"}, "key", ""},
		"two in one place":           {with(Map{"shared_key": key, "sas_token": sas}), nil, "-", "shared_key and sas_token are both set"},
		"string and key":             {Map{"connection_string": cs, "shared_key": key}, nil, "-", "connection_string and shared_key are both set"},
		"env holds several":          {with(), Map{"AZURE_STORAGE_KEY": key, "AZURE_STORAGE_SAS_TOKEN": sas}, "key", ""},
		"key over env's string":      {with(Map{"shared_key": key}), Map{"AZURE_STORAGE_CONNECTION_STRING": cs}, "key", ""},
		"sas over env's key":         {with(Map{"sas_token": sas}), Map{"AZURE_STORAGE_KEY": key}, "sas", ""},
		"string over env's account":  {Map{"connection_string": cs}, Map{"AZURE_STORAGE_ACCOUNT": "other"}, "key", ""},
		"both in env":                {nil, Map{"AZURE_STORAGE_CONNECTION_STRING": cs, "AZURE_STORAGE_ACCOUNT": "other"}, "key", ""},
		"account against env string": {with(), Map{"AZURE_STORAGE_CONNECTION_STRING": cs}, "-", `account_name "acct" contradicts connection_string`},
		"auth_type picks in env":     {with(Map{"auth_type": "sas"}), Map{"AZURE_STORAGE_KEY": key, "AZURE_STORAGE_SAS_TOKEN": sas}, "sas", ""},
		"auth_type over env's key":   {with(Map{"auth_type": "managed_identity"}), Map{"AZURE_STORAGE_KEY": key}, "managed_identity", ""},
		"auth_type against key":      {with(Map{"auth_type": "managed_identity", "shared_key": key}), nil, "-", "auth_type is managed_identity, but shared_key is set"},
		"key over env's auth_type":   {with(Map{"shared_key": key}), Map{"AZUREBLOB_AUTH_TYPE": "cli"}, "key", ""},
		"key missing":                {with(Map{"auth_type": "key"}), nil, "-", "shared_key is not set"},
		"sas missing":                {with(Map{"auth_type": "sas"}), nil, "-", "sas_token is not set"},
		"principal":                  {with(principal, Map{"client_secret": "x"}), nil, "service_principal", ""},
		"principal, secret in env":   {with(principal, Map{"auth_type": "service_principal"}), Map{"AZURE_CLIENT_SECRET": "x", "AZURE_STORAGE_KEY": key}, "service_principal", ""},
		"principal half":             {with(Map{"client_secret": "x", "tenant_id": "t"}), nil, "-", "client_id is not set"},
		"principal without secret":   {with(principal), nil, "-", "without client_secret"},
		"client alone":               {with(Map{"client_id": "id"}), nil, "managed_identity", ""},
		"webhook":                    {with(), Map{"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": file}, "workload_identity", ""},
		"workload half":              {with(Map{"auth_type": "workload_identity", "client_id": "id"}), nil, "-", "AZURE_TENANT_ID"},
		"no account":                 {Map{"shared_key": key}, nil, "-", "no storage account is set"},
		"string of an address":       {Map{"connection_string": "BlobEndpoint=https://x.example.com", "sas_token": sas}, nil, "sas", ""},
	} {
		cfg, err := load(c.keys, c.env, nil)
		kind := "-"
		if err == nil {
			var a account
			if a, err = only(cfg.accounts()); err == nil {
				kind, err = cfg.authType(a)
			}
		}
		if c.err == "" && (err != nil || kind != c.kind) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %q, %v; want %q, %q", name, kind, err, c.kind, c.err)
		}
	}
}

// TestLoadAddress: a connection string says where the account is, also where
// another way to log in was asked for.
func TestLoadAddress(t *testing.T) {
	t.Parallel()
	const named = "AccountName=csacct;AccountKey=Y3M="
	const addressed = "BlobEndpoint=https://blobs.example.com;" + named
	env := func(cs string, more Map) Map {
		m := Map{"AZURE_STORAGE_CONNECTION_STRING": cs, "AZURE_STORAGE_ACCOUNT": "envacct"}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	sas := Map{"AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x"}
	for name, c := range map[string]struct {
		keys, env      Map
		endpoint, kind string // or
		err            string
	}{
		"suffix":                  {Map{"endpoint_suffix": "core.usgovcloudapi.net"}, env(named, nil), "https://csacct.blob.core.usgovcloudapi.net", "key", ""},
		"suffix, string has one":  {Map{"endpoint_suffix": "core.usgovcloudapi.net"}, env(named+";EndpointSuffix=core.chinacloudapi.cn", nil), "https://csacct.blob.core.chinacloudapi.cn", "key", ""},
		"suffix, string has URL":  {Map{"endpoint_suffix": "core.usgovcloudapi.net"}, env(addressed, nil), "https://blobs.example.com", "key", ""},
		"cli":                     {Map{"auth_type": "cli"}, env(named, nil), "https://csacct.blob.core.windows.net", "cli", ""},
		"managed identity":        {Map{"auth_type": "managed_identity"}, env(addressed, nil), "https://blobs.example.com", "managed_identity", ""},
		"cli, all in env":         {nil, env(named, Map{"AZUREBLOB_AUTH_TYPE": "cli"}), "https://csacct.blob.core.windows.net", "cli", ""},
		"cli and account":         {Map{"auth_type": "cli", "account_name": "acct"}, env(named, nil), "https://acct.blob.core.windows.net", "cli", ""},
		"cli and suffix":          {Map{"auth_type": "cli", "endpoint_suffix": "core.usgovcloudapi.net"}, env(named, nil), "https://csacct.blob.core.usgovcloudapi.net", "cli", ""},
		"cli, string unreadable":  {Map{"auth_type": "cli"}, env("AccountName", nil), "", "", "use connection_string"},
		"cli against string":      {Map{"auth_type": "cli", "connection_string": named}, nil, "", "", "auth_type is cli, but connection_string is set"},
		"sas, string with key":    {Map{"auth_type": "sas"}, env(named, sas), "https://csacct.blob.core.windows.net", "sas", ""},
		"sas, string with sas":    {Map{"auth_type": "sas"}, env("AccountName=csacct;SharedAccessSignature=sig=y", sas), "https://csacct.blob.core.windows.net", "sas", ""},
		"sas, all in env":         {nil, env(named, Map{"AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x", "AZUREBLOB_AUTH_TYPE": "sas"}), "https://csacct.blob.core.windows.net", "sas", ""},
		"sas, but only a key":     {Map{"auth_type": "sas"}, env(named, nil), "", "", "auth_type is sas, but sas_token is not set"},
		"key beats string's":      {Map{"shared_key": "a2V5"}, env(addressed, nil), "https://blobs.example.com", "key", ""},
		"string of an address":    {nil, env("BlobEndpoint=https://blobs.example.com", Map{"AZURE_STORAGE_KEY": "a2V5"}), "https://blobs.example.com", "key", ""},
		"address, account chosen": {Map{"account_name": "acct"}, env("BlobEndpoint=https://blobs.example.com", Map{"AZURE_STORAGE_KEY": "a2V5"}), "https://acct.blob.core.windows.net", "key", ""},
	} {
		cfg, err := load(c.keys, c.env, nil)
		var a account
		var kind string
		if err == nil {
			if a, err = only(cfg.accounts()); err == nil {
				kind, err = cfg.authType(a)
			}
		}
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
		case err != nil || kind != c.kind || a.endpoint.String() != c.endpoint:
			t.Errorf("%s: %v %q, %v; want %s %q", name, a.endpoint, kind, err, c.endpoint, c.kind)
		case name == "key beats string's" && a.key.Reveal() != "a2V5":
			t.Errorf("%s: the string's key is used", name)
		}
	}
}

func TestUnknownOption(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"acount_name":   `unknown option "acount_name": did you mean "account_name"?`,
		"flushinterval": `did you mean "flush_interval"?`,
		"compression":   `did you mean "compress"?`,
		"xyzzy":         "README",
		"":              "README",
	} {
		if got := UnknownOption(name).Error(); !strings.Contains(got, want) {
			t.Errorf("%q: %s", name, got)
		}
	}
}

// TestTable holds the table to its own rules, so that a new row cannot break them.
func TestTable(t *testing.T) {
	t.Parallel()
	table := Table()
	envs := map[string]string{}
	for i := range Options {
		o := &Options[i]
		if o.About() == "" || (o.FileOf == "") != (o.field != nil) {
			t.Errorf("%s: no help, or not exactly one of field and FileOf", o.Name)
		}
		if o.FileOf != "" && o.Name != o.FileOf+"_file" {
			t.Errorf("%s is the file of %s", o.Name, o.FileOf)
		}
		if !strings.Contains(table, "| `"+o.Name+"` |") {
			t.Errorf("%s is not in the README's table", o.Name)
		}
		if other := envs[o.EnvName()]; other != "" {
			t.Errorf("%s and %s are both set by %s", o.Name, other, o.EnvName())
		}
		envs[o.EnvName()] = o.Name
		if o.Default != "" {
			if err := o.set(new(Config), o.Default); err != nil {
				t.Errorf("%s: the default: %v", o.Name, err)
			}
			if o.Credential() {
				t.Errorf("%s: a credential with a default", o.Name)
			}
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if strings.Count(line, "|")-strings.Count(line, `\|`) != 5 {
			t.Errorf("not four columns: %s", line)
		}
	}
	for _, name := range []string{"connection_string", "shared_key", "shared_key_file", "sas_token", "client_secret", "client_secret_file"} {
		if !FindOption(name).Credential() {
			t.Errorf("%s is not a credential", name)
		}
	}
}
