package core

import (
	"strings"
	"testing"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys           Map
		endpoint, name string
		kind           string
		err            string
	}{
		{Map{"account_name": "acct"}, "https://acct.blob.core.windows.net", "acct", "", ""},
		{Map{"account_name": "acct", "endpoint_suffix": "core.chinacloudapi.cn"}, "https://acct.blob.core.chinacloudapi.cn", "acct", "", ""},
		{Map{"endpoint": "https://acct.blob.core.windows.net/"}, "https://acct.blob.core.windows.net", "acct", "", ""},
		{Map{"endpoint": "acct.blob.core.windows.net"}, "https://acct.blob.core.windows.net", "acct", "", ""},
		{Map{"endpoint": "http://127.0.0.1:10000", "account_name": "dev"}, "http://127.0.0.1:10000/dev", "dev", "", ""},
		{Map{"endpoint": "http://127.0.0.1:10000/dev"}, "http://127.0.0.1:10000/dev", "dev", "", ""},
		{Map{"endpoint": "http://[::1]:10000/dev"}, "http://[::1]:10000/dev", "dev", "", ""},
		{Map{"endpoint": "http://azurite:10000", "account_name": "dev"}, "http://azurite:10000/dev", "dev", "", ""},
		{Map{"connection_string": "UseDevelopmentStorage=true"}, devEndpoint, devAccount, "key", ""},
		{Map{"connection_string": "usedevelopmentstorage=TRUE; developmentstorageproxyuri=http://host.lan"}, "http://host.lan:10000/devstoreaccount1", devAccount, "key", ""},
		{Map{"connection_string": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=" + devKey + ";EndpointSuffix=core.usgovcloudapi.net"},
			"https://a.blob.core.usgovcloudapi.net", "a", "key", ""},
		{Map{"connection_string": "blobendpoint=http://127.0.0.1:1/a;ACCOUNTNAME=a;accountkey=a2V5;"}, "http://127.0.0.1:1/a", "a", "key", ""},
		{Map{"connection_string": "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x"}, "https://a.blob.core.windows.net", "a", "sas", ""},
		{Map{"connection_string": "AccountKey=" + marker}, "", "", "", "neither AccountName nor BlobEndpoint"},
		{Map{"connection_string": marker}, "", "", "", "NAME=VALUE"},
		{Map{"connection_string": "AccountName=a;" + marker}, "", "", "", "NAME=VALUE"},
		{Map{"connection_string": "BlobEndpoint=https://a.b.c?sig=" + marker + ";AccountName=a"}, "", "", "", "has a query"},
		{Map{"connection_string": "AccountName=a;AccountKey=k", "endpoint": "https://b.c.d"}, "", "", "", "both set"},
		{Map{"endpoint": "https://u:" + marker + "@a.blob.core.windows.net"}, "", "", "", "without a user"},
		{Map{"endpoint": "ftp://x"}, "", "", "", "not valid"},
		{Map{"endpoint": "https://acct.dfs.core.windows.net"}, "", "", "", "in place of .dfs."},
		{Map{"account_name": marker + "/x=="}, "", "", "", "letters and digits"},
		{Map{"account_name": marker + "/x==", "connection_string": "AccountName=a;AccountKey=k"}, "", "", "", "letters and digits"},
		{Map{"connection_string": "AccountKey=k;AccountName=" + marker + "/x=="}, "", "", "", "letters and digits"},
		{Map{"endpoint": "https://a.blob.core.windows.net?sv=1&sig=" + marker}, "", "", "", "as sas_token"},
		{Map{"endpoint": "https://u:" + marker + "@a.blob.core.windows.net?sv=1"}, "", "", "", "as sas_token"},
		{Map{"connection_string": "AccountName=a;AccountKey=k", "endpoint_suffix": "core.chinacloudapi.cn"}, "https://a.blob.core.chinacloudapi.cn", "a", "key", ""},
		{Map{"connection_string": "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=k"}, "http://a.blob.core.windows.net", "a", "key", ""},
	} {
		cfg, err := load(c.keys, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := only(cfg.accounts())
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), marker) {
				t.Errorf("%v: %v, want %q and no secret", c.keys, err, c.err)
			}
			if _, err := Open(cfg, StoreOptions{}); err == nil {
				t.Errorf("%v: opened", c.keys)
			}
			continue
		}
		kind, kindErr := cfg.authType(a)
		if err != nil || kindErr != nil || a.endpoint.String() != c.endpoint || a.name != c.name || kind != c.kind {
			t.Errorf("%v: %v %q %q, %v %v", c.keys, a.endpoint, a.name, kind, err, kindErr)
		}
	}
}

// only is the one account of most settings.
func only(all []account, err error) (account, error) { return all[0], err }

func TestParseLocation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		arg, container, name, endpoint, sas string
		err                                 string
	}{
		{arg: "logs/a/b.log", container: "logs", name: "a/b.log"},
		{arg: "logs", container: "logs"},
		{arg: "logs/a%20b", container: "logs", name: "a%20b"},
		{arg: "https://acct.blob.core.windows.net/logs/a%20b/c", container: "logs", name: "a b/c", endpoint: "https://acct.blob.core.windows.net"},
		{arg: "https://acct.blob.core.windows.net/logs/a?sv=1&sig=x%2B", container: "logs", name: "a", endpoint: "https://acct.blob.core.windows.net", sas: "sv=1&sig=x%2B"},
		{arg: "http://127.0.0.1:10000/dev/logs/a", container: "logs", name: "a", endpoint: "http://127.0.0.1:10000/dev"},
		{arg: "http://localhost:1/dev/logs", container: "logs", endpoint: "http://localhost:1/dev"},
		{arg: "logs/a?b=1", container: "logs", name: "a?b=1"},
		{arg: "logs/a?sv=1&sig=" + marker, err: "put the URL's https://… in front, or set AZURE_STORAGE_SAS_TOKEN"},
		{arg: "acct.blob.core.windows.net/logs/a?SIG=" + marker + "&sv=1", err: "AZURE_STORAGE_SAS_TOKEN"},
		{arg: "", err: "CONTAINER/NAME"},
		{arg: "/a", err: "CONTAINER/NAME"},
		{arg: "My/a", err: "not valid"},
		{arg: "https://acct.blob.core.windows.net", err: "no container"},
		{arg: "http://127.0.0.1/dev", err: "no container"},
		{arg: "ftp://x/logs/a", err: "write https"},
		{arg: "https://u:" + marker + "@x.y/logs/a", err: "has a user"},
		{arg: "https://x.y/logs/a?token=" + marker, err: "not a SAS token"},
		{arg: "https://x.y/logs/a?sig=" + marker + "&snapshot=1", err: "snapshot"},
		{arg: "https://x.y/lo%gs?sig=" + marker, err: "not a URL"},
		{arg: "https://x.y/logs/a?sig=" + marker + "#b", err: "fragment"},
		{arg: "https://x.y/Logs/a?sig=" + marker, err: "not valid"},
	} {
		l, err := ParseLocation(c.arg)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), marker) {
				t.Errorf("%s: %v, want %q", c.arg, err, c.err)
			}
		} else if err != nil || l.Container != c.container || l.Name != c.name || l.Endpoint != c.endpoint || l.SAS.Reveal() != c.sas {
			t.Errorf("%s: %+v %q, %v", c.arg, l, l.SAS.Reveal(), err)
		}
	}
}

// TestAt checks that a URL on the command line gets credentials only where they
// belong.
func TestAt(t *testing.T) {
	t.Parallel()
	const own, other, foreign = "https://acct.blob.core.windows.net/logs/a", "https://other.blob.core.windows.net/logs/a", "https://blob.core.windows.net.evil.example/logs/a"
	key := Map{"account_name": "acct", "shared_key": "a2V5"}
	const plain, here = "http://other.blob.core.windows.net/logs/a", "http://127.0.0.1:10000/other/logs/a"
	login := Map{"account_name": "acct", "auth_type": "cli"}
	for _, c := range []struct {
		keys Map
		arg  string
		kind string
	}{
		{key, "other/x", "account key"},
		{key, own, "account key"},
		{key, other, "none (public)"},
		{key, foreign, "none (public)"},
		{key, own + "?sv=1&sig=x", "SAS token"},
		{key, foreign + "?sv=1&sig=x", "SAS token"},
		{login, own, "Azure CLI login"},
		{login, other, "Azure CLI login"},
		{login, foreign, "none (public)"},
		{login, plain, "none (public)"},
		{login, here, "none (public)"},
		{login, "https://localhost/other/logs/a", "none (public)"},
		{Map{"auth_type": "cli"}, other, "Azure CLI login"},
		{Map{"auth_type": "cli"}, plain, "none (public)"},
		{Map{"auth_type": "cli"}, here, "none (public)"},
		{Map{"auth_type": "cli"}, foreign, "none (public)"},
		{Map{"auth_type": "cli", "endpoint": "http://127.0.0.1:10000/other"}, here, "Azure CLI login"},
		{Map{"shared_key": "a2V5"}, other, "account key"},
		{Map{"shared_key": "a2V5"}, here, "account key"},
		{Map{"shared_key": "a2V5"}, plain, "none (public)"},
		{Map{"shared_key": "a2V5"}, foreign, "none (public)"},
		{Map{"sas_token": "sv=1&sig=x"}, other, "none (public)"},
		{Map{"sas_token": "sv=1&sig=x"}, plain, "none (public)"},
		{Map{"sas_token": "sv=1&sig=x"}, here, "none (public)"},
		{Map{"sas_token": "sv=1&sig=x"}, foreign, "none (public)"},
		{Map{"connection_string": "UseDevelopmentStorage=true"}, "http://127.0.0.1:10000/devstoreaccount1/logs/a", "account key"},
		{Map{"connection_string": "UseDevelopmentStorage=true"}, foreign, "none (public)"},
	} {
		cfg, err := load(c.keys, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := ParseLocation(c.arg)
		if err != nil {
			t.Fatal(err)
		}
		at, err := cfg.At(l)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(at, StoreOptions{})
		if err != nil {
			t.Errorf("%v %s: %v", c.keys, c.arg, err)
			continue
		}
		if s.Kind() != c.kind || s.Name() != l.Container {
			t.Errorf("%v %s: %s, want %s", c.keys, c.arg, s.Kind(), c.kind)
		}
		if want, _, _ := strings.Cut(c.arg, "?"); l.Endpoint != "" && s.BlobURL(l.Name) != want {
			t.Errorf("%s: aimed at %s", c.arg, s.BlobURL(l.Name))
		}
	}
}

// FuzzParseLocation: no panic, no secret in an error, and what is accepted with a
// name leads back to itself through the URL of the blob.
func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{"logs/a", "https://a.blob.core.windows.net/logs/x y?sv=1&sig=2", "http://[::1]:1/d/logs/%2e%2e/%00", "http://h/%2F/logs/", "://", "logs/\xff?#%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		if _, err := ParseLocation("https://h.example/" + strings.ReplaceAll(arg, "?", "") + "?sig=" + marker); err != nil && strings.Contains(err.Error(), marker) {
			t.Fatal(err)
		}
		l, err := ParseLocation(arg)
		if err != nil || l.Name == "" {
			return
		}
		cfg := &Config{AccountName: "acct"}
		if cfg, err = cfg.At(l); err != nil {
			return // an endpoint that cannot be one
		}
		s, err := Open(cfg, StoreOptions{})
		if err != nil {
			return
		}
		back, err := ParseLocation(s.BlobURL(l.Name))
		if err != nil || back.Container != l.Container || back.Name != l.Name {
			t.Fatalf("%q: %+v became %q and that %+v, %v", arg, l, s.BlobURL(l.Name), back, err)
		}
	})
}
