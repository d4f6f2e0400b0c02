package core

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/liveblob/azureblob/core/liveblob"
)

// serve answers requests without a network, so that time may be fake.
func serve(h http.HandlerFunc) policy.Transporter {
	return transporterFunc(func(req *http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		h(rec, req)
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		resp := rec.Result()
		resp.Request = req
		return resp, nil
	})
}

func open(t *testing.T, keys Map, opts StoreOptions) *Store {
	t.Helper()
	cfg, err := load(keys, nil, Map{"account_name": "acct", "container_name": "logs"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	key1 = "a2V5LW9uZQ=="
	key2 = "a2V5LXR3bw=="
	key3 = "a2V5LXRocmVl"
)

// signedBy reports whether the account's key signed the request, by the rules of
// the service's documentation.
func signedBy(account, key string, req *http.Request) bool {
	h := req.Header
	var text strings.Builder
	length := ""
	if req.ContentLength > 0 {
		length = fmt.Sprint(req.ContentLength)
	}
	lower := map[string]string{}
	for k, v := range h {
		lower[strings.ToLower(k)] = v[0]
	}
	text.WriteString(req.Method + "\n\n\n" + length + "\n\n" + lower["content-type"] + "\n\n\n" +
		lower["if-match"] + "\n" + lower["if-none-match"] + "\n\n\n")
	for _, k := range slices.Sorted(maps.Keys(lower)) {
		if strings.HasPrefix(k, "x-ms-") {
			text.WriteString(k + ":" + lower[k] + "\n")
		}
	}
	text.WriteString("/" + account + req.URL.EscapedPath())
	q := req.URL.Query()
	for _, k := range slices.Sorted(maps.Keys(q)) {
		text.WriteString("\n" + k + ":" + strings.Join(q[k], ","))
	}
	raw, _ := base64.StdEncoding.DecodeString(key)
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(text.String()))
	return h.Get("Authorization") == "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// TestContainerCalls checks every call that is aimed at something other than a
// blob: method, path, query, signature, and no header that only a blob has.
func TestContainerCalls(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var got string
	s := open(t, Map{"shared_key": key1}, StoreOptions{Transport: serve(func(w http.ResponseWriter, req *http.Request) {
		got = req.Method + " " + req.URL.String()
		if !signedBy("acct", key1, req) {
			t.Errorf("%s: not signed by the key", got)
		}
		for k := range req.Header {
			if l := strings.ToLower(k); strings.HasPrefix(l, "x-ms-blob-") || l == "x-ms-access-tier" || l == "content-type" {
				t.Errorf("%s: header %s", got, k)
			}
		}
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("x-ms-blob-public-access", "blob")
		w.Header().Set("x-ms-has-immutability-policy", "true")
		switch {
		case req.Method == "PUT":
			w.WriteHeader(201)
		case req.URL.Query().Get("comp") == "list":
			io.WriteString(w, "\ufeff<?xml version=\"1.0\"?><EnumerationResults><Containers><Container><Name>a</Name></Container><Container><Name>b</Name></Container></Containers><NextMarker/></EnumerationResults>")
		case req.URL.Query().Get("comp") == "properties":
			io.WriteString(w, "\ufeff<?xml version=\"1.0\"?><StorageServiceProperties><DeleteRetentionPolicy><Enabled>true</Enabled><Days>7</Days></DeleteRetentionPolicy></StorageServiceProperties>")
		}
	})})
	want := func(err error, request string) {
		t.Helper()
		if err != nil || got != request {
			t.Errorf("%s, %v; want %s", got, err, request)
		}
	}
	const at = "https://acct.blob.core.windows.net"
	want(s.accounts[0].CreateContainer(ctx), "PUT "+at+"/logs?restype=container")

	p, err := s.accounts[0].Properties(ctx)
	want(err, "HEAD "+at+"/logs?restype=container")
	if p.Public != "blob" || !p.Immutable || p.LegalHold {
		t.Errorf("%+v", p)
	}
	sp, err := s.accounts[0].ServiceProperties(ctx)
	want(err, "GET "+at+"/?comp=properties&restype=service")
	if sp.SoftDelete != 7 {
		t.Errorf("%+v", sp)
	}
	r, err := s.accounts[0].Reach(ctx)
	want(err, "HEAD "+at+"/logs?restype=container")
	if r.Skew < time.Hour-3*time.Second || r.Skew > time.Hour+3*time.Second {
		t.Errorf("skew %v", r.Skew)
	}
	var names []string
	for name, err := range s.Containers(ctx) {
		want(err, "GET "+at+"/?comp=list")
		names = append(names, name)
	}
	if fmt.Sprint(names) != "[a b]" {
		t.Error(names)
	}
	for range s.List(ctx, "a b/ü") {
	}
	want(nil, "GET "+at+"/logs?comp=list&include=metadata&prefix=a%20b%2F%C3%BC&restype=container")
}

func TestBlobURL(t *testing.T) {
	t.Parallel()
	var got *url.URL
	s := open(t, Map{"shared_key": key1}, StoreOptions{Transport: serve(func(w http.ResponseWriter, req *http.Request) {
		got = req.URL
		if !signedBy("acct", key1, req) {
			t.Errorf("%s: not signed by the key", got)
		}
	})})
	for _, name := range []string{"a", "a/b.log", "a b?c#d&e+f=g", "100%25", "grün/日本", "it's (a) [b] {c}!~*;,:@$", CleanName("../\x00//")} {
		client, err := s.Container(name).Client(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.BlobClient().GetProperties(t.Context(), nil); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if got.Path != "/logs/"+name || got.RawQuery != "" || got.String() != s.BlobURL(name) {
			t.Errorf("%q became %q, query %q", name, got.Path, got.RawQuery)
		}
	}
}

// TestList covers pages, the order, decoding, and a page that fails half way: it
// is fetched again and nothing is given twice.
func TestList(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := requests.Add(1)
		blob := func(i int, name string) string {
			return fmt.Sprintf("<Blob>%s<Properties><Last-Modified>Mon, 23 Nov 2026 02:08:25 GMT</Last-Modified><Content-Length>%d</Content-Length>"+
				"<Content-Type>text/plain</Content-Type><Content-Encoding>gzip</Content-Encoding><AccessTier>Hot</AccessTier></Properties>"+
				"<Metadata><Complete>1</Complete><cursor>a%%25b%%0A</cursor><odd>100%%</odd></Metadata></Blob>", name, i)
		}
		page := "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>"
		switch req.URL.Query().Get("marker") {
		case "":
			page += blob(1, "<Name>a &amp; b</Name>") + blob(2, `<Name Encoded="true">c%01</Name>`) + "</Blobs><NextMarker>m 2</NextMarker></EnumerationResults>"
		case "m 2":
			page += blob(3, "<Name>d</Name>") + "</Blobs><NextMarker/></EnumerationResults>"
		default:
			t.Errorf("marker %q", req.URL.Query().Get("marker"))
		}
		switch n {
		case 1:
			w.Header().Set("x-ms-error-code", "ServerBusy")
			w.WriteHeader(503)
		case 2: // cut
			w.Header().Set("Content-Length", fmt.Sprint(len(page)))
			io.WriteString(w, page[:len(page)/2])
		default:
			io.WriteString(w, page)
		}
	}))
	defer srv.Close()
	s := open(t, Map{"account_name": "acct", "endpoint": srv.URL, "shared_key": key1}, StoreOptions{Transport: srv.Client()})
	var got []string
	for item, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%q %d", item.Name, item.Size))
		if item.Metadata["complete"] != "1" || item.Metadata["cursor"] != "a%b\n" || item.Metadata["odd"] != "100%" || item.ContentEncoding != "gzip" ||
			item.LastModified.Second() != 25 {
			t.Errorf("%+v", item)
		}
	}
	if fmt.Sprint(got) != `["a & b" 1 "c\x01" 2 "d" 3]` || requests.Load() != 4 {
		t.Errorf("%v in %d requests", got, requests.Load())
	}
	for range s.List(t.Context(), "") {
		break // leaves no second page being fetched
	}
	if requests.Load() != 5 {
		t.Errorf("%d requests", requests.Load())
	}
}

// TestListGoesOn: a page that says to go on where it began would be asked for for
// ever.
func TestListGoesOn(t *testing.T) {
	t.Parallel()
	requests := 0
	s := open(t, nil, StoreOptions{Transport: serve(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests > 10 {
			w.WriteHeader(400)
		}
		io.WriteString(w, "<EnumerationResults><Containers><Container><Name>a</Name></Container></Containers><NextMarker>m</NextMarker></EnumerationResults>")
	})})
	var last error
	for _, last = range s.Containers(t.Context()) {
	}
	if last == nil || !strings.HasPrefix(last.Error(), "list containers of https://acct") || requests != 2 {
		t.Errorf("%v after %d requests", last, requests)
	}
}

func TestCreateContainer(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"":                       "",
		"ContainerAlreadyExists": "",
		"AuthorizationFailure":   "create container logs: 403 AuthorizationFailure: ",
	} {
		s := open(t, nil, StoreOptions{Transport: serve(func(w http.ResponseWriter, req *http.Request) {
			if code == "" {
				w.WriteHeader(201)
				return
			}
			w.Header().Set("x-ms-error-code", code)
			w.WriteHeader(map[string]int{"ContainerAlreadyExists": 409, "AuthorizationFailure": 403}[code])
		})})
		err := s.accounts[0].CreateContainer(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v", code, err)
		}
		if s.Container("a").Create == nil {
			t.Error("auto_create_container is on, but there is no Create")
		}
	}
	if open(t, Map{"auto_create_container": "off"}, StoreOptions{}).Container("a").Create != nil {
		t.Error("auto_create_container is off, but there is Create")
	}
}

func TestMissingContainer(t *testing.T) {
	t.Parallel()
	s := open(t, nil, StoreOptions{Transport: serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })})
	_, err := s.accounts[0].Properties(t.Context())
	var le *liveblob.Error
	if !errors.As(err, &le) || le.Code != "ContainerNotFound" || le.Hint == "" {
		t.Errorf("%v", err)
	}
	if _, err := s.accounts[0].Reach(t.Context()); err != nil {
		t.Errorf("a refusal is an answer: %v", err)
	}
}

// TestRotation changes a key's and a token's file under an open store. A client
// that was made before takes up the new one; a broken file changes nothing and
// is logged once.
func TestRotation(t *testing.T) {
	for _, kind := range []string{"shared_key_file", "sas_token_file"} {
		t.Run(kind, func(t *testing.T) {
			first, second, broken := key1, key2, "not/base64!"+marker
			if kind == "sas_token_file" {
				first, second, broken = "?sv=1&sig=one%2B", "sv=1&sig=two", "sv=1&si="+marker
			}
			var got *http.Request
			var log bytes.Buffer
			file := t.TempDir() + "/secret"
			write(t, file, first+"\n")
			s := open(t, Map{kind: file}, StoreOptions{
				Log:       slog.New(slog.NewTextHandler(&log, nil)),
				Transport: serve(func(_ http.ResponseWriter, req *http.Request) { got = req }),
			})
			client, err := s.Container("a").Client("a")
			if err != nil {
				t.Fatal(err)
			}
			check := func(want string) {
				t.Helper()
				for range 2 {
					var raw *http.Response
					if _, err := client.BlobClient().GetProperties(policy.WithCaptureResponse(t.Context(), &raw), nil); err != nil {
						t.Fatal(err)
					}
					ok := signedBy("acct", want, got)
					if kind == "sas_token_file" {
						ok = got.URL.RawQuery == strings.TrimPrefix(want, "?") && got.Header.Get("Authorization") == ""
						if raw.Request.URL.RawQuery != "" {
							t.Errorf("the answer's URL holds the token")
						}
					}
					if !ok {
						t.Errorf("sent %s %s, want %s", got.URL, got.Header.Get("Authorization"), want)
					}
				}
			}
			check(first)
			write(t, file, second)
			check(second)
			write(t, file, broken)
			check(second)
			check(second)
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), kind) {
				t.Errorf("logged %q", log.String())
			}
			write(t, file, "")
			check(second)
			write(t, file, first)
			check(first)
			if strings.Contains(log.String(), marker) || strings.Contains(client.URL()+s.accounts[0].URL()+s.BlobURL("a"), "sig") {
				t.Errorf("a secret is in the log or a URL: %s", log.String())
			}
		})
	}
}

// TestErrorsHoldNoSecret makes every kind of failure with a marker in every kind
// of credential, and looks for it in what comes out.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString([]byte(marker))
	refuse := func(status int) policy.Transporter {
		return serve(func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>AuthenticationFailed</Code><Message>%s</Message></Error>", req.URL.RawQuery)
		})
	}
	dead := &http.Client{Transport: &http.Transport{}} // nobody listens on port 1
	for name, keys := range map[string]Map{
		"key":    {"shared_key": key},
		"sas":    {"sas_token": "sv=1&sig=" + marker},
		"string": {"connection_string": "BlobEndpoint=http://127.0.0.1:1/acct;SharedAccessSignature=sig=" + marker, "account_name": ""},
	} {
		for what, transport := range map[string]policy.Transporter{"403": refuse(403), "500": refuse(500), "dead": dead} {
			if keys["endpoint"] == "" && keys["connection_string"] == "" {
				keys["endpoint"] = "http://127.0.0.1:1"
			}
			var log bytes.Buffer
			s := open(t, keys, StoreOptions{Transport: transport, Log: slog.New(slog.NewJSONHandler(&log, nil)), GiveUp: time.Nanosecond})
			var errs []error
			errs = append(errs, s.accounts[0].CreateContainer(t.Context()))
			_, err := s.accounts[0].ServiceProperties(t.Context())
			errs = append(errs, err)
			_, err = s.accounts[0].Properties(t.Context())
			errs = append(errs, err)
			for _, err := range s.List(t.Context(), "") {
				errs = append(errs, err)
			}
			client, err := s.Container("a").Client("a")
			if err != nil {
				t.Fatal(err)
			}
			_, raw := client.GetProperties(t.Context(), nil) // the SDK's own error
			errs = append(errs, raw)
			for i, err := range errs {
				if err == nil {
					t.Errorf("%s %s: call %d did not fail", name, what, i)
					continue
				}
				all := fmt.Sprintf("%v %+v %#v", err, err, err)
				if i < len(errs)-1 {
					if strings.Contains(err.Error(), "\n") {
						t.Errorf("%s %s: %v", name, what, err)
					}
				} else if re := (*azcore.ResponseError)(nil); errors.As(err, &re) {
					all = re.RawResponse.Request.URL.String() // its text is the server's, which liveblob leaves out
				}
				if strings.Contains(all, marker) || strings.Contains(all, key) {
					t.Errorf("%s %s: %s", name, what, all)
				}
			}
			if strings.Contains(log.String(), marker) || strings.Contains(log.String(), key) {
				t.Errorf("%s %s: %s", name, what, log.String())
			}
		}
	}
	for _, keys := range []Map{
		{"shared_key": "!" + marker},
		{"sas_token": "sv=1&sg=" + marker},
		{"shared_key": key, "sas_token": marker},
		{"client_secret": marker, "client_id": "a"},
		{"client_secret": marker, "client_id": marker + "/", "tenant_id": marker + "/"},
		{"connection_string": "AccountName=a;AccountKey=!" + marker},
	} {
		cfg, err := load(keys, nil, Map{"account_name": "a"})
		if err == nil {
			_, err = Open(cfg, StoreOptions{})
		}
		if err == nil || strings.Contains(err.Error(), marker) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", slices.Sorted(maps.Keys(keys)), err)
		}
	}
}

// entra is an identity service that gives tokens for the right secret.
type entra struct {
	secret string // accepted
	status int    // of every answer, if not 0
	down   bool
	tokens int
}

func (e *entra) serve(t *testing.T, blob http.HandlerFunc) policy.Transporter {
	inner := serve(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		base := "https://" + req.URL.Host + "/tenant"
		switch {
		case !strings.HasPrefix(req.URL.Host, "login."):
			blob(w, req)
		case e.status != 0:
			w.WriteHeader(e.status)
		case strings.Contains(req.URL.Path, "discovery"):
			fmt.Fprintf(w, `{"tenant_discovery_endpoint":"%s/v2.0/.well-known/openid-configuration","metadata":[{"preferred_network":%q,"preferred_cache":%q,"aliases":[%q]}]}`,
				base, req.URL.Host, req.URL.Host, req.URL.Host)
		case strings.Contains(req.URL.Path, "openid-configuration"):
			fmt.Fprintf(w, `{"authorization_endpoint":"%s/a","token_endpoint":"%s/t","issuer":"%s/v2.0"}`, base, base, base)
		default:
			body, _ := io.ReadAll(req.Body)
			q, _ := url.ParseQuery(string(body))
			if q.Get("client_secret") != e.secret {
				w.WriteHeader(401)
				fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret %s. Trace ID: x\r\nTimestamp: y"}`, q.Get("client_secret"))
				return
			}
			e.tokens++
			fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3600,"token_type":"Bearer"}`, e.tokens)
		}
	})
	return transporterFunc(func(req *http.Request) (*http.Response, error) {
		if e.down && strings.HasPrefix(req.URL.Host, "login.") {
			return nil, &url.Error{Op: "Post", URL: req.URL.String(), Err: errors.New("connection refused")}
		}
		return inner.Do(req)
	})
}

// TestServicePrincipal logs in for many blobs with one token, takes up a rotated
// secret, and tells a wrong secret from a service that is down.
func TestServicePrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := t.TempDir() + "/secret"
		write(t, file, marker)
		e := &entra{secret: marker}
		var header, host string
		s := open(t, Map{"client_id": "client", "tenant_id": "tenant", "client_secret_file": file, "endpoint_suffix": "core.usgovcloudapi.net"},
			StoreOptions{Transport: e.serve(t, func(_ http.ResponseWriter, req *http.Request) {
				header, host = req.Header.Get("Authorization"), req.URL.Host
			})})
		head := func(name string) error {
			client, err := s.Container(name).Client(name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.GetProperties(t.Context(), nil)
			return err
		}
		for _, name := range []string{"a", "b", "c"} {
			if err := head(name); err != nil || header != "Bearer token-1" || host != "acct.blob.core.usgovcloudapi.net" {
				t.Fatalf("%v, %q to %s", err, header, host)
			}
		}
		if s.Kind() != "service principal" {
			t.Error(s.Kind())
		}

		e.secret = "rotated"
		write(t, file, "rotated")
		time.Sleep(2 * time.Hour) // the token runs out
		if err := head("a"); err != nil || header != "Bearer token-2" {
			t.Fatalf("after rotation: %v, %q", err, header)
		}

		try := func(want string, final bool) {
			t.Helper()
			time.Sleep(2 * time.Hour)
			err := head("a")
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), marker) {
				t.Errorf("%v, want %q", err, want)
			}
			var mark interface{ NonRetriable() }
			if errors.As(err, &mark) != final {
				t.Errorf("%v: marked as final %v, want %v", err, !final, final)
			}
		}
		write(t, file, marker+"-wrong")
		try("log in by service principal: 401 AADSTS7000215: Invalid client secret [redacted]", true)
		e.down = true
		try("connection refused", false)
		e.down, e.status = false, 503
		try("503", false)
	})
}

func TestTokensNeedTLS(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"https://acct.blob.core.windows.net": true,
		"http://acct.blob.core.windows.net":  false,
		"http://10.0.0.1/acct":               false,
		"http://127.0.0.1:1/acct":            true,
		"http://localhost:1/acct":            true,
	} {
		cfg, err := load(Map{"endpoint": endpoint, "auth_type": "managed_identity"}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(cfg, StoreOptions{})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "is not https") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// TestOpenEveryKind: no kind needs the network to open.
func TestOpenEveryKind(t *testing.T) {
	t.Parallel()
	none := transporterFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("Open sent %s", req.URL)
		return nil, context.Canceled
	})
	file := t.TempDir() + "/token"
	write(t, file, "x")
	for kind, more := range map[string]Map{
		"":                  {},
		"key":               {"shared_key": key1},
		"sas":               {"sas_token": "sig=x"},
		"managed_identity":  {"client_id": "id"},
		"workload_identity": {"client_id": "id", "tenant_id": "t", "workload_identity_token_file": file},
		"service_principal": {"client_id": "id", "tenant_id": "t", "client_secret": "s"},
		"cli":               {},
		"default":           {},
	} {
		if kind != "" {
			more["auth_type"] = kind
		}
		if s := open(t, more, StoreOptions{Transport: none}); s.Kind() != kinds[kind] || s.Kind() == "" {
			t.Errorf("%s: %s", kind, s.Kind())
		}
	}
}

// TestTransport: redirects are not followed, and gzip is not asked for.
func TestTransport(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asks for %s", req.Header.Get("Accept-Encoding"))
		}
		http.Redirect(w, req, other.URL, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	s := open(t, Map{"endpoint": srv.URL, "sas_token": "sig=" + marker}, StoreOptions{Transport: client})
	if _, err := s.accounts[0].ServiceProperties(t.Context()); err == nil || elsewhere.Load() != 0 {
		t.Errorf("%v, and %d requests went elsewhere", err, elsewhere.Load())
	}
}

// TestProxy: a proxy's variable that is not a URL is an error at once, and not
// shown; net/http would go around the proxy.
func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "")
	t.Setenv("HTTPS_PROXY", "")
	for _, value := range []string{"pro xy:" + marker, "http://pro xy/" + marker, "http://h:" + marker, "http://"} {
		t.Setenv("https_proxy", value)
		client := newHTTPClient()
		s := open(t, Map{"shared_key": key1}, StoreOptions{Transport: client, GiveUp: time.Nanosecond})
		_, err := s.accounts[0].Properties(t.Context())
		var final interface{ NonRetriable() }
		if !errors.As(err, &final) || !strings.Contains(err.Error(), "https_proxy is not a URL: write http://HOST:PORT") || strings.Contains(err.Error(), marker) {
			t.Errorf("%q: %v", value, err)
		}
		here := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		req, _ := http.NewRequest("GET", here.URL, nil)
		if p, err := Proxy(req); p != nil || err != nil {
			t.Errorf("%q: this machine is reached by %v, %v", value, p, err)
		}
		here.Close()
		t.Setenv("HTTPS_PROXY", "proxy:8080") // which counts then
		req, _ = http.NewRequest("GET", "https://acct.blob.core.windows.net", nil)
		if _, err := Proxy(req); err != nil {
			t.Error(err)
		}
		t.Setenv("HTTPS_PROXY", "")
	}
}

// TestDependencies keeps what makes the programs large out of the package.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, bad := range []string{"apache/arrow", "azblob/container", "azblob/service", "google/flatbuffers", "core/azuretest"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("%s is linked in", bad)
		}
	}
}
