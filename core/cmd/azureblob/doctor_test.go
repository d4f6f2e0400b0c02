package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
)

func (b *bench) client(name string) *blockblob.Client {
	b.t.Helper()
	cfg, err := core.Load(core.Env(b.lookup))
	if err != nil {
		b.t.Fatal(err)
	}
	store, err := core.Open(cfg, core.StoreOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := store.Container(name).Client(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) upload(c *blockblob.Client, content []byte, encoding string) {
	b.t.Helper()
	_, err := c.Upload(b.t.Context(), streaming.NopCloser(bytes.NewReader(content)), &blockblob.UploadOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentEncoding: &encoding},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// sas makes the environment that of a token.
func (b *bench) sas(perm string, expiry time.Time) {
	b.env["AZURE_STORAGE_CONNECTION_STRING"] = "BlobEndpoint=" + b.url + ";SharedAccessSignature=" + b.server.SAS(perm, expiry)
}

// badInput is what a user's surroundings can be like. Nothing that was committed
// may be lost by it.
var badInput = []struct {
	name   string
	spoil  func(b *bench)
	flags  string
	code   int
	says   []string
	doctor string // what doctor says, exit code 1; "": nothing is wrong with the account
}{
	{
		name:   "missing container",
		spoil:  func(b *bench) { b.env["AZUREBLOB_AUTO_CREATE_CONTAINER"] = "off" },
		flags:  "@nothere",
		code:   exitFailed,
		says:   []string{"404 ContainerNotFound", "check its name, or create it"},
		doctor: "✗ container: nothere does not exist",
	},
	{
		name: "wrong key",
		spoil: func(b *bench) {
			b.env["AZURE_STORAGE_CONNECTION_STRING"] = strings.ReplaceAll(b.server.ConnectionString(b.url), b.server.Key(), "U0VDUkVUTUFSS0VS")
		},
		code:   exitFailed,
		says:   []string{"403 AuthenticationFailed", "the account key or SAS token is wrong or expired"},
		doctor: "the account key or SAS token is wrong",
	},
	{
		name:  "key that is not base64",
		spoil: func(b *bench) { b.env["AZURE_STORAGE_CONNECTION_STRING"] = "AccountName=x;AccountKey=SECRETMARKER!" },
		code:  exitUsage,
		says:  []string{"the account key is not base64"},
	},
	{
		name:  "connection string that is none",
		spoil: func(b *bench) { b.env["AZURE_STORAGE_CONNECTION_STRING"] = "SECRETMARKER" },
		code:  exitUsage,
		says:  []string{"AZURE_STORAGE_CONNECTION_STRING", "copy it again"},
	},
	{
		name:   "expired SAS",
		spoil:  func(b *bench) { b.sas("rwdlac", time.Now().Add(-time.Minute)) },
		code:   exitFailed,
		says:   []string{"403 AuthenticationFailed", "expired"},
		doctor: "expired",
	},
	{
		name:   "SAS that may only read",
		spoil:  func(b *bench) { b.sas("r", time.Now().Add(time.Hour)) },
		code:   exitFailed,
		says:   []string{"lacks a permission", "a SAS with read, create, write and list"},
		doctor: "lacks a permission",
	},
	{
		name: "skewed clock",
		spoil: func(b *bench) {
			b.server.Now = func() time.Time { return time.Now().Add(20 * time.Minute) }
		},
		code:   exitFailed,
		says:   []string{"403 AuthenticationFailed", "clock is more than 15 minutes off"},
		doctor: "✗ clock: this machine is 20m0s behind the service, which refuses more than 15m",
	},
	{name: "unknown option", flags: "--compres gzip", code: exitUsage, says: []string{"unknown flag --compres: did you mean --compress?"}},
	{name: "impossible template", flags: "@logs/{{.SECRET}}", code: exitUsage, says: []string{`expand name "{{.SECRET}}"`, "write {{hostname}}"}},
	{name: "name of somebody else", flags: "@logs/theirs", code: exitFailed, says: []string{`it is the log of "them"`, "choose another name"}},
	{
		name:   "missing secret file",
		spoil:  func(b *bench) { b.env = map[string]string{"AZURE_STORAGE_ACCOUNT": "x"} },
		flags:  "--shared-key-file /nonexistent/SECRETFILE",
		code:   exitUsage,
		says:   []string{`--shared-key-file`, "no such file"},
		doctor: "",
	},
}

func TestBadInput(t *testing.T) {
	for _, c := range badInput {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.ok(b.run("kept\n", "pipe", "logs/kept"))
			b.server.Put("logs", "theirs", []byte("theirs"), map[string]string{"stream": "them"})
			if c.spoil != nil {
				c.spoil(b)
			}
			place, flags := "logs/new", strings.Fields(c.flags)
			if len(flags) > 0 && flags[0][0] == '@' {
				place, flags = flags[0][1:], flags[1:]
			}
			if !strings.Contains(place, "/") {
				place += "/new"
			}
			b.fails(b.run("lost\n", append([]string{"pipe", place}, flags...)...), c.code, c.says...)
			if c.doctor != "" {
				container, _, _ := strings.Cut(place, "/")
				r := b.run("", "doctor", container)
				if r.code != exitFailed || !strings.Contains(r.stdout, c.doctor) || !strings.Contains(r.stdout, "✗") || r.stderr != "" {
					t.Errorf("doctor: exit code %d, %q is not in\n%s%s", r.code, c.doctor, r.stdout, r.stderr)
				}
			}
			b.holds("kept", "kept\n", true)
			b.holds("theirs", "theirs", false)
		})
	}
}

func TestDoctor(t *testing.T) {
	b := newBench(t)
	r := b.ok(b.run("", "doctor"))
	for _, want := range []string{"✓ credentials: account key", "✓ TCP: connected to 127.0.0.1", "✓ clock: within", "✓ container: logs is there",
		"✓ write:", "✓ read:", "✓ delete:", "✓ list:", "✓ versioning: off", "✓ soft delete: off"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
	if names := b.server.Blobs("logs"); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
	if r := b.ok(b.run("", "doctor", "new", "--tags", "a=b")); !strings.Contains(r.stdout, "✓ container: new was missing, and is made") || !strings.Contains(r.stdout, "✓ tags: can be set") {
		t.Errorf("%s", r.stdout)
	}
}

func TestDoctorWarns(t *testing.T) {
	b := newBench(t)
	b.server.Versioning, b.server.SoftDelete = true, true
	b.server.Now = func() time.Time { return time.Now().Add(-7 * time.Minute) }
	r := b.ok(b.run("", "doctor"))
	for _, want := range []string{"! clock: this machine is 7m", "ahead of the service", "! versioning: on", "! soft delete: on", "→ switch it off"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
}

// Credentials that may do less than all are fine, as long as a log can be written.
func TestDoctorFewRights(t *testing.T) {
	b := newBench(t)
	b.sas("rwc", time.Now().Add(time.Hour))
	r := b.ok(b.run("", "doctor"))
	for _, want := range []string{"✓ credentials: SAS token", "✓ write:", "! delete: not permitted, so the probe logs/.azureblob-doctor stays", "! list: not permitted"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
	r = b.run("", "doctor", "--tags", "a=b")
	if r.code != exitFailed || !strings.Contains(r.stdout, "permission t") {
		t.Errorf("exit code %d\n%s", r.code, r.stdout)
	}
}

// An answer that is lost, and the try after it that finds nothing to delete.
func TestDoctorLostDelete(t *testing.T) {
	b := newBench(t)
	deletes := 0
	b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Op == azuretest.DeleteBlob {
			if deletes++; deletes == 1 {
				return azuretest.Fault{Kind: azuretest.LostAnswer}
			}
		}
		return azuretest.Fault{}
	})
	if r := b.ok(b.run("", "doctor")); !strings.Contains(r.stdout, "✓ delete:") || deletes != 2 {
		t.Errorf("%d deletes\n%s", deletes, r.stdout)
	}
}

// net/http goes around a proxy whose variable is not a URL.
func TestDoctorBadProxy(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "pro xy:SECRETMARKER")
	}
	for endpoint, want := range map[string]string{"http://no.such.host.test/x": "HTTP_PROXY", "https://no.such.host.test": "HTTPS_PROXY"} {
		b.env["AZURE_STORAGE_CONNECTION_STRING"] = b.server.ConnectionString(endpoint)
		r := b.run("", "doctor")
		if want = "✗ network: " + want + " is not a URL: write http://HOST:PORT, or unset it\n"; r.code != exitFailed || !strings.Contains(r.stdout, want) {
			t.Errorf("exit code %d, %q is not in\n%s", r.code, want, r.stdout)
		}
		b.fails(b.run("", "ls", "logs"), exitFailed, "is not a URL")
	}
}

// DNS, TCP, TLS and what comes after them are told apart.
func TestDoctorNetwork(t *testing.T) {
	b := newBench(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := azuretest.New()
	https, _ := secure.StartTLS(t)
	for endpoint, want := range map[string]string{
		"http://no..such.host/standin":                  "✗ DNS: there is no host no..such.host",
		"http://" + closed.Addr().String() + "/standin": "✗ TCP: dial tcp",
		https: "✗ TLS: tls: failed to verify certificate",
		strings.Replace(b.url, "http:", "https:", 1): "✗ TLS: ",
	} {
		b.env["AZURE_STORAGE_CONNECTION_STRING"] = b.server.ConnectionString(endpoint)
		r := b.run("", "doctor")
		if r.code != exitFailed || !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout, "→ ") {
			t.Errorf("%s: exit code %d, %q is not in\n%s", endpoint, r.code, want, r.stdout)
		}
	}
}
