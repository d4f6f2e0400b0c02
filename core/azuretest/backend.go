package azuretest

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Backend is an account that speaks the protocol, with what a test needs to open
// it in its own way.
type Backend struct {
	Name             string // "standin", "azurite" or "azure"
	Endpoint         string // the account's address, without a slash at its end
	Account          string
	Key              string // base64; "" if only SAS is there
	SAS              string // query without "?"; "" if Key is there
	ConnectionString string
	Transport        http.RoundTripper
	Server           *Server // the stand-in; nil for the others
	Quirks           Quirks
}

// Quirks are the known differences from the service. The suite holds a backend
// to each one that it has.
type Quirks struct {
	NoBlockLimit      bool // takes more than 50,000 blocks in a commit
	KeepsUncommitted  bool // Put Blob leaves uncommitted blocks
	EmptyRangeAtEnd   bool // a GET at offset == length answers 206 with nothing
	ResetsTier        bool // a commit sets the tier back to Hot
	AnyMetadataSize   bool // takes more than 8 KiB of metadata
	AuthorizationCode bool // answers AuthorizationFailure where Azure says AuthenticationFailed
}

// Backends is every backend at hand: the stand-in always, Azurite if
// AZUREBLOB_TEST_AZURITE names its azurite-blob, a real account if
// AZURE_STORAGE_CONNECTION_STRING is set and AZUREBLOB_TEST_AZURE is 1. Where
// Azurite must not be missing (CI=true, AZUREBLOB_TEST_REQUIRE_AZURITE=1) the
// test fails without it.
func Backends(t testing.TB) []Backend {
	t.Helper()
	s := New()
	all := []Backend{StandIn(s, s.Start(t), newTransport(t))}
	switch program := os.Getenv("AZUREBLOB_TEST_AZURITE"); {
	case program != "":
		endpoint, err := startAzurite(program)
		if err != nil {
			t.Fatalf("start Azurite %q: %v", program, err)
		}
		all = append(all, azurite(endpoint, newTransport(t)))
	case os.Getenv("CI") == "true" || os.Getenv("AZUREBLOB_TEST_REQUIRE_AZURITE") == "1":
		t.Fatal("AZUREBLOB_TEST_AZURITE is not set: it must name azurite-blob (`make test` sets it)")
	default:
		t.Log("==== NOT TESTED AGAINST AZURITE: AZUREBLOB_TEST_AZURITE is not set (`make test` sets it) ====")
	}
	if conn := os.Getenv("AZURE_STORAGE_CONNECTION_STRING"); conn != "" && os.Getenv("AZUREBLOB_TEST_AZURE") == "1" {
		b, err := fromConnectionString(conn)
		if err != nil {
			t.Fatalf("read AZURE_STORAGE_CONNECTION_STRING: %v", err)
		}
		b.Transport = newTransport(t)
		all = append(all, b)
	}
	return all
}

// StandIn is s as a backend, reached at endpoint over rt: what Start or StartTLS
// returned, or TransportEndpoint and s.Transport().
func StandIn(s *Server, endpoint string, rt http.RoundTripper) Backend {
	return Backend{
		Name:             "standin",
		Endpoint:         endpoint,
		Account:          s.Account(),
		Key:              s.Key(),
		ConnectionString: s.ConnectionString(endpoint),
		Transport:        rt,
		Server:           s,
	}
}

func newTransport(t testing.TB) *http.Transport {
	rt := http.DefaultTransport.(*http.Transport).Clone()
	rt.MaxIdleConns, rt.MaxIdleConnsPerHost = 0, 256
	rt.DisableCompression = true // net/http would inflate gzip blobs on its own
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

// NewContainer makes a container with a name of its own, which goes when the
// test ends.
func (b Backend) NewContainer(t testing.TB) string {
	t.Helper()
	name := "azuretest-" + strings.ToLower(rand.Text()[:20])
	if b.Server != nil {
		b.Server.MakeContainer(name)
		return name
	}
	q := url.Values{"restype": {"container"}}
	if resp := b.do(t, http.MethodPut, name, "", q, nil, ""); resp.StatusCode != http.StatusCreated {
		t.Fatalf("create container %q on %s: %s", name, b.Name, resp.Status)
	}
	t.Cleanup(func() { b.do(t, http.MethodDelete, name, "", q, nil, "") })
	return name
}

// Client is the SDK's client for one blob. It does not retry.
func (b Backend) Client(container, name string) *blockblob.Client {
	u := b.Endpoint + "/" + container + "/" + url.PathEscape(name)
	opts := &blockblob.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: b.Transport},
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}}
	if b.Key == "" {
		if b.SAS != "" {
			u += "?" + b.SAS
		}
		c, err := blockblob.NewClientWithNoCredential(u, opts)
		if err != nil {
			panic(err) // the endpoint is not a URL
		}
		return c
	}
	cred, err := blob.NewSharedKeyCredential(b.Account, b.Key)
	if err != nil {
		panic(fmt.Sprintf("azuretest: the key of %s is not base64", b.Name))
	}
	c, err := blockblob.NewClientWithSharedKeyCredential(u, cred, opts)
	if err != nil {
		panic(err)
	}
	return c
}

// do sends one signed request and returns the answer with its body closed. It is
// for what the SDK does not send, and for containers, whose client brings half of
// Apache Arrow along.
func (b Backend) do(t testing.TB, method, container, name string, query url.Values, header map[string]string, body string) *http.Response {
	t.Helper()
	u := b.Endpoint + "/" + container
	if name != "" {
		u += "/" + url.PathEscape(name)
	}
	raw := query.Encode()
	if b.SAS != "" {
		raw += "&" + b.SAS
	}
	// A test's own context has ended when its clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u+"?"+raw, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s %s/%s: %v", method, container, name, err)
	}
	req.Header.Set("x-ms-version", "2021-12-02")
	req.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
	for k, v := range header {
		req.Header.Set(k, v)
	}
	if b.Key != "" {
		text := stringToSign(b.Account, method, req.Header, req.ContentLength, req.URL.EscapedPath(), query)
		req.Header.Set("Authorization", "SharedKey "+b.Account+":"+sign(b.Key, text))
	}
	resp, err := b.Transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s/%s on %s: %v", method, container, name, b.Name, err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

// fromConnectionString is the real account that conn opens.
func fromConnectionString(conn string) (Backend, error) {
	v := map[string]string{}
	for _, field := range strings.Split(conn, ";") {
		if k, x, ok := strings.Cut(field, "="); ok {
			v[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(x)
		}
	}
	b := Backend{
		Name:             "azure",
		Account:          v["accountname"],
		Key:              v["accountkey"],
		SAS:              strings.TrimPrefix(v["sharedaccesssignature"], "?"),
		Endpoint:         strings.TrimSuffix(v["blobendpoint"], "/"),
		ConnectionString: conn,
	}
	if b.Endpoint == "" && b.Account != "" {
		scheme, suffix := v["defaultendpointsprotocol"], v["endpointsuffix"]
		if scheme == "" {
			scheme = "https"
		}
		if suffix == "" {
			suffix = "core.windows.net"
		}
		b.Endpoint = scheme + "://" + b.Account + ".blob." + suffix
	}
	if b.Endpoint == "" || b.Key == "" && b.SAS == "" {
		return b, fmt.Errorf("it needs BlobEndpoint or AccountName, and AccountKey or SharedAccessSignature")
	}
	return b, nil
}

// azurite is the emulator's account, whose key is the same everywhere.
func azurite(endpoint string, rt http.RoundTripper) Backend {
	const account = "devstoreaccount1"
	const key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	endpoint += "/" + account
	return Backend{
		Name:     "azurite",
		Endpoint: endpoint,
		Account:  account,
		Key:      key,
		ConnectionString: "DefaultEndpointsProtocol=http;AccountName=" + account + ";AccountKey=" + key +
			";BlobEndpoint=" + endpoint,
		Transport: rt,
		Quirks: Quirks{
			NoBlockLimit:      true,
			KeepsUncommitted:  true,
			EmptyRangeAtEnd:   true,
			ResetsTier:        true,
			AnyMetadataSize:   true,
			AuthorizationCode: true,
		},
	}
}

// emulator is the one Azurite of this test process. It lives as long as the
// write end of its stdin pipe, which the kernel closes however the process ends.
var emulator struct {
	once     sync.Once
	stdin    io.WriteCloser // kept, or the garbage collector would close it
	endpoint string
	err      error
}

// keeper starts a program, waits for the end of its own stdin and stops it. It
// gives up its own output first, so that the program's end is seen on the pipe;
// it does not ask nicely, for a program may have inherited that it ignores that.
const keeper = `"$@" </dev/null & pid=$!
trap '' INT TERM
exec >/dev/null 2>&1
cat
kill -9 $pid`

func startAzurite(program string) (endpoint string, err error) {
	emulator.once.Do(func() {
		emulator.endpoint, emulator.stdin, emulator.err = launchAzurite(program)
	})
	return emulator.endpoint, emulator.err
}

func launchAzurite(program string, options ...string) (string, io.WriteCloser, error) {
	program, err := exec.LookPath(program)
	if err != nil && !strings.HasSuffix(program, ".js") {
		return "", nil, fmt.Errorf("find azurite-blob: %w: AZUREBLOB_TEST_AZURITE must name it", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return "", nil, err
	}
	args := []string{"-c", keeper, "keeper"}
	if strings.HasSuffix(program, ".js") {
		args = append(args, "node")
	}
	args = append(args, program, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence",
		"--skipApiVersionCheck", "--disableTelemetry", "--silent")
	cmd := exec.Command("/bin/sh", append(args, options...)...)
	cmd.Dir = os.TempDir()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, endpoint, ok := strings.Cut(lines.Text(), "successfully listens on "); ok {
			return strings.TrimSpace(endpoint), stdin, nil
		}
		said.WriteString(lines.Text() + " ")
	}
	stdin.Close()
	cmd.Wait()
	return "", nil, fmt.Errorf("it ended without listening: %s", strings.TrimSpace(said.String()))
}
