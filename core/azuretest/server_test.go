package azuretest

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	sdkcontainer "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inProcess is a blob of a fresh stand-in behind Transport.
func inProcess(t *testing.T, s *Server) *subject {
	s.MakeContainer("logs")
	b := StandIn(s, TransportEndpoint, s.Transport())
	return &subject{T: t, Client: b.Client("logs", "x"), b: b, container: "logs", name: "x"}
}

func TestLooking(t *testing.T) {
	s := New()
	x := inProcess(t, s)
	if _, ok := s.Blob("logs", "x"); ok {
		t.Error("a blob is there before anything was written")
	}
	x.stage(2, "two")
	x.stage(1, "one")
	b, ok := s.Blob("logs", "x")
	if want := []Block{{id(1), 3}, {id(2), 3}}; !ok || b.Commits != 0 || !reflect.DeepEqual(b.Uncommitted, want) || len(s.Blobs("logs")) != 0 {
		t.Errorf("with uncommitted blocks alone: %+v, listed %q", b, s.Blobs("logs"))
	}
	etag := x.commit(ids(2, 1), &blockblob.CommitBlockListOptions{
		Metadata:    map[string]*string{"Cursor": to.Ptr("7")},
		Tags:        map[string]string{"app": "web"},
		Tier:        to.Ptr(blob.AccessTierCool),
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("text/plain"), BlobContentEncoding: to.Ptr("gzip"), BlobCacheControl: to.Ptr("no-store")},
	})
	b, _ = s.Blob("logs", "x")
	want := Blob{
		Content: []byte("twoone"), ETag: string(etag), LastModified: b.LastModified,
		Metadata: map[string]string{"cursor": "7"}, Tags: map[string]string{"app": "web"},
		ContentType: "text/plain", ContentEncoding: "gzip", CacheControl: "no-store", Tier: "Cool",
		Blocks: []Block{{id(2), 3}, {id(1), 3}}, Commits: 1,
	}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("the blob is %+v, want %+v", b, want)
	}
	s.Put("logs", "x", []byte("theirs"), map[string]string{"Writer": "they"})
	s.Put("new", "y", nil, nil)
	b, _ = s.Blob("logs", "x")
	if b.ETag == string(etag) || b.Metadata["writer"] != "they" || len(b.Blocks) != 0 || b.Commits != 2 || string(b.Content) != "theirs" {
		t.Errorf("after another's Put the blob is %+v", b)
	}
	if got := s.Blobs("new"); !reflect.DeepEqual(got, []string{"y"}) {
		t.Errorf("blobs of new are %q", got)
	}
}

func TestUncommittedLimit(t *testing.T) {
	b := &storedBlob{}
	for i := range maxUncommitted {
		if p := b.stage(id(i), nil); p != nil {
			t.Fatalf("block %d: %s", i, p.code)
		}
	}
	if p := b.stage(id(maxUncommitted), nil); p == nil || p.code != "BlockCountExceedsLimit" || p.status != http.StatusConflict {
		t.Errorf("one block too many: %v", p)
	}
	if p := b.stage(id(0), nil); p != nil {
		t.Errorf("a block that replaces one of many: %s", p.code)
	}
}

func TestEmptyBlock(t *testing.T) {
	x := inProcess(t, New())
	_, err := x.StageBlock(t.Context(), id(1), body(""), nil)
	x.refused("a block of no bytes", err, "400 InvalidHeaderValue")
}

func TestClockSkew(t *testing.T) {
	s := New()
	x := inProcess(t, s)
	for _, c := range []struct {
		skew time.Duration
		want string
	}{
		{14 * time.Minute, "success"}, {-14 * time.Minute, "success"},
		{16 * time.Minute, "403 AuthenticationFailed"}, {-16 * time.Minute, "403 AuthenticationFailed"},
	} {
		s.Now = func() time.Time { return time.Now().Add(c.skew) }
		_, err := x.Upload(t.Context(), body("x"), nil)
		x.refused(fmt.Sprint("a clock that is off by ", c.skew), err, c.want)
	}
	// A bubble's clock is years behind; the server's own goes with it.
	synctest.Test(t, func(t *testing.T) { inProcess(t, New()).put("x", nil) })
}

func TestSAS(t *testing.T) {
	s := New()
	x := inProcess(t, s)
	x.put("one", nil)
	hour := time.Now().Add(time.Hour)
	client := func(sas string) *blockblob.Client {
		b := x.b
		b.Key, b.SAS = "", sas
		return b.Client("logs", "x")
	}
	read, write := client(s.SAS("r", hour)), client(s.SAS("wc", hour))
	_, err := read.GetProperties(t.Context(), nil)
	x.refused("HEAD with r", err, "success")
	_, err = read.StageBlock(t.Context(), id(1), body("x"), nil)
	x.refused("Put Block with r", err, "403 AuthorizationPermissionMismatch")
	_, err = write.StageBlock(t.Context(), id(1), body("x"), nil)
	x.refused("Put Block with cw", err, "success")
	_, err = write.CommitBlockList(t.Context(), ids(1), &blockblob.CommitBlockListOptions{Tags: map[string]string{"a": "b"}})
	x.refused("tags without t", err, "403 AuthorizationPermissionMismatch")
	_, err = client(s.SAS("c", hour)).Upload(t.Context(), body("x"), nil)
	x.refused("overwrite with c", err, "403 AuthorizationPermissionMismatch")
	_, err = client(s.SAS("r", time.Now().Add(-time.Second))).GetProperties(t.Context(), nil)
	x.refused("an expired token", err, "403 AuthenticationFailed")
	_, err = client(New().SAS("rw", hour)+"x").GetProperties(t.Context(), nil)
	x.refused("another signature", err, "403 AuthenticationFailed")
	v, _ := url.ParseQuery(s.SAS("r", hour))
	v.Set("sp", "rwd")
	_, err = client(v.Encode()).Upload(t.Context(), body("x"), nil)
	x.refused("a token with more permissions than were signed", err, "403 AuthenticationFailed")
}

type staticToken string

func (s staticToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(s), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestBearerOverTLS(t *testing.T) {
	s := New()
	s.Token = "let-me-in"
	s.MakeContainer("logs")
	endpoint, roots := s.StartTLS(t)
	rt := newTransport(t)
	rt.TLSClientConfig.RootCAs = roots
	for token, want := range map[staticToken]string{"let-me-in": "success", "or-else": "401 InvalidAuthenticationInfo"} {
		c, err := blockblob.NewClient(endpoint+"/logs/x", token, &blockblob.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: &http.Client{Transport: rt}, Retry: policy.RetryOptions{MaxRetries: -1},
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Upload(t.Context(), body("x"), nil)
		(&subject{T: t}).refused("token "+string(token), err, want)
	}
}

func TestAnonymous(t *testing.T) {
	s := New()
	s.Put("logs", "x", []byte("0123456789"), nil)
	get := func(method string, header ...string) (int, string) {
		req, _ := http.NewRequest(method, TransportEndpoint+"/logs/x", nil)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := s.Transport().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	const v, rng = "2021-12-02", "bytes=8-"
	if status, b := get("GET", "x-ms-version", v); status != 401 || !strings.Contains(b, "<Code>NoAuthenticationInformation</Code>") {
		t.Errorf("anonymous GET of a private blob: %d %s", status, b)
	}
	s.Public = true
	if status, b := get("GET", "x-ms-version", v, "x-ms-range", rng); status != 206 || b != "89" {
		t.Errorf("anonymous GET of a range: %d %q", status, b)
	}
	if status, b := get("GET", "Range", rng); status != 200 || b != "0123456789" {
		t.Errorf("anonymous GET of an open range without a version: %d %q, want all", status, b)
	}
	if status, b := get("HEAD"); status != 200 || b != "" {
		t.Errorf("anonymous HEAD: %d with %d bytes", status, len(b))
	}
	if status, _ := get("PUT", "x-ms-blob-type", "BlockBlob"); status != 401 {
		t.Errorf("anonymous PUT: %d", status)
	}
}

// What the SDK's own clients for containers and accounts make of the answers.
func TestContainersAndLists(t *testing.T) {
	s := New()
	s.SoftDelete, s.Versioning = true, true
	opts := azcore.ClientOptions{Transport: &http.Client{Transport: s.Transport()}, Retry: policy.RetryOptions{MaxRetries: -1}}
	c, err := sdkcontainer.NewClientFromConnectionString(s.ConnectionString(TransportEndpoint), "logs", &sdkcontainer.ClientOptions{ClientOptions: opts})
	if err != nil {
		t.Fatal(err)
	}
	x := &subject{T: t}
	_, err = c.GetProperties(t.Context(), nil)
	x.refused("properties of no container", err, "404 ContainerNotFound")
	_, err = c.Create(t.Context(), nil)
	x.refused("create", err, "success")
	_, err = c.Create(t.Context(), nil)
	x.refused("create again", err, "409 ContainerAlreadyExists")

	for _, name := range []string{"a/1", "a/2", "a&b<c>", "b", "z/y/x"} {
		s.Put("logs", name, []byte(name), map[string]string{"complete": "1"})
	}
	x.Client = StandIn(s, TransportEndpoint, s.Transport()).Client("logs", "staged")
	x.stage(1, "x") // is not listed

	var flat []string
	pages := 0
	for p := c.NewListBlobsFlatPager(&sdkcontainer.ListBlobsFlatOptions{MaxResults: to.Ptr[int32](2), Include: sdkcontainer.ListBlobsInclude{Metadata: true}}); p.More(); pages++ {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Segment.BlobItems {
			flat = append(flat, *b.Name)
			if *b.Metadata["complete"] != "1" || *b.Properties.ContentLength != int64(len(*b.Name)) || b.Properties.LastModified == nil {
				t.Errorf("%s is listed as %+v with metadata %v", *b.Name, b.Properties, b.Metadata)
			}
		}
	}
	if want := []string{"a&b<c>", "a/1", "a/2", "b", "z/y/x"}; !reflect.DeepEqual(flat, want) || pages != 3 {
		t.Errorf("%d pages list %q, want 3 with %q", pages, flat, want)
	}
	var tree []string
	for p := c.NewListBlobsHierarchyPager("/", &sdkcontainer.ListBlobsHierarchyOptions{MaxResults: to.Ptr[int32](1)}); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Segment.BlobItems {
			tree = append(tree, *b.Name)
		}
		for _, b := range page.Segment.BlobPrefixes {
			tree = append(tree, *b.Name)
		}
	}
	if want := []string{"a&b<c>", "a/", "b", "z/"}; !reflect.DeepEqual(tree, want) {
		t.Errorf("the tree is %q, want %q", tree, want)
	}

	account, err := service.NewClientFromConnectionString(s.ConnectionString(TransportEndpoint), &service.ClientOptions{ClientOptions: opts})
	if err != nil {
		t.Fatal(err)
	}
	props, err := account.GetProperties(t.Context(), nil)
	if err != nil || !*props.DeleteRetentionPolicy.Enabled || *props.DeleteRetentionPolicy.Days != 7 {
		t.Errorf("the account's properties are %+v, %s", props.DeleteRetentionPolicy, code(err))
	}
	page, err := account.NewListContainersPager(&service.ListContainersOptions{Prefix: to.Ptr("lo")}).NextPage(t.Context())
	if err != nil || len(page.ContainerItems) != 1 || *page.ContainerItems[0].Name != "logs" {
		t.Errorf("containers are %+v, %s", page.ContainerItems, code(err))
	}
	r, err := x.Upload(t.Context(), body("x"), nil)
	if err != nil || r.VersionID == nil {
		t.Errorf("a write to a versioned account answers version %v, %s", r.VersionID, code(err))
	}
	_, err = c.Delete(t.Context(), nil)
	x.refused("delete", err, "success")
	_, err = x.Upload(t.Context(), body("x"), nil)
	x.refused("put blob in a deleted container", err, "404 ContainerNotFound")
}

func TestRefusals(t *testing.T) {
	s := New()
	x := inProcess(t, s)
	x.put("x", nil)
	put := func(path string, header map[string]string, q url.Values, b string) string {
		name, blob, _ := strings.Cut(path, "/")
		r := x.b.do(t, http.MethodPut, name, blob, q, header, b)
		return fmt.Sprint(r.StatusCode, " ", r.Header.Get("x-ms-error-code"))
	}
	block := map[string]string{"x-ms-blob-type": "BlockBlob"}
	tags := func(query string) map[string]string {
		return map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-tags": query}
	}
	for _, c := range []struct {
		path   string
		header map[string]string
		query  url.Values
		body   string
		want   string
	}{
		{"logs/x", nil, nil, "", "400 MissingRequiredHeader"},
		{"logs/x", map[string]string{"x-ms-blob-type": "AppendBlob"}, nil, "", "400 InvalidHeaderValue"},
		{"logs/x", block, url.Values{"comp": {"lease"}}, "", "400 InvalidUri"},
		{"Logs/x", block, nil, "", "400 InvalidResourceName"},
		{"logs/" + strings.Repeat("ü", 1024), block, nil, "", "201 "},
		{"logs/" + strings.Repeat("ü", 1025), block, nil, "", "400 InvalidUri"},
		{"logs/" + strings.Repeat("a/", 253) + "b", block, nil, "", "201 "},
		{"logs/" + strings.Repeat("a/", 254) + "b", block, nil, "", "400 InvalidUri"},
		{"logs/a//b", block, nil, "", "201 "},
		{"logs//a", block, nil, "", "201 "},
		{"logs/a/", block, nil, "", "400 InvalidUri"},
		{"logs/a.", block, nil, "", "400 InvalidUri"},
		{"logs/a./b", block, nil, "", "400 InvalidUri"},
		{"logs/a/../b", block, nil, "", "400 InvalidUri"},
		{"logs/./b", block, nil, "", "400 InvalidUri"},
		{"logs/a\\b", block, nil, "", "400 InvalidResourceName"},
		{"logs/a\x01b", block, nil, "", "400 InvalidResourceName"},
		{"logs/a\u0081b", block, nil, "", "400 InvalidResourceName"},
		{"logs/a\xffb", block, nil, "", "400 InvalidResourceName"},
		{"logs/x", tags(strings.Repeat("k", 128) + "=" + strings.Repeat("v", 256)), nil, "x", "201 "},
		{"logs/x", tags("a+%2B-.%2F:%3D_=&b=1"), nil, "x", "201 "},
		{"logs/x", tags(strings.Repeat("k", 129) + "=v"), nil, "", "400 InvalidTag"},
		{"logs/x", tags("k=" + strings.Repeat("v", 257)), nil, "", "400 InvalidTag"},
		{"logs/x", tags("=v"), nil, "", "400 InvalidTag"},
		{"logs/x", tags("k!=v"), nil, "", "400 InvalidTag"},
		{"logs/x", tags("k=%7E"), nil, "", "400 InvalidTag"},
		{"logs/x", tags("k=%C3%BC"), nil, "", "400 InvalidTag"},
		{"logs/x", tags("a=&b=&c=&d=&e=&f=&g=&h=&i=&j=&k="), nil, "", "400 InvalidTag"},
		{"logs/x", map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-lease-id": "1"}, nil, "", "412 LeaseNotPresentWithBlobOperation"},
		{"logs/x", map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-access-tier": "Tepid"}, nil, "", "400 InvalidBlobTier"},
		{"logs/x", map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-meta-a-b": "1"}, nil, "", "400 InvalidMetadata"},
		{"logs/x", map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-meta-a": "ü"}, nil, "", "400 InvalidMetadata"},
		{"logs/x", nil, url.Values{"comp": {"blocklist"}}, "<BlockList><Latest>", "400 InvalidXmlDocument"},
		{"logs/x", nil, url.Values{"comp": {"blocklist"}}, "", "400 InvalidXmlDocument"},
		{"logs/x", nil, url.Values{"comp": {"blocklist"}}, "<BlockList><Latest></Latest></BlockList>", "400 InvalidBlockList"},
	} {
		if got := put(c.path, c.header, c.query, c.body); got != c.want {
			t.Errorf("PUT %.20s %v %v: %s, want %s", c.path, c.header, c.query, got, c.want)
		}
	}
	x.holds("x")

	_, err := x.Upload(t.Context(), body("x"), &blockblob.UploadOptions{Tier: to.Ptr(blob.AccessTierArchive)})
	x.refused("put blob in the archive", err, "success")
	_, err = x.DownloadStream(t.Context(), nil)
	x.refused("get from the archive", err, "409 BlobArchived")
}

// Names of metadata with an underscore are sorted by the service in an order of
// their own, which the signature covers.
func TestSignatureOfMetadata(t *testing.T) {
	x := inProcess(t, New())
	x.put("x", &blockblob.UploadOptions{Metadata: map[string]*string{
		"a": to.Ptr("1"), "a_b": to.Ptr("2"), "ab": to.Ptr("3"), "a1": to.Ptr("4"), "_z": to.Ptr("5"), "Ab_c": to.Ptr("a, b"),
	}})
	if got := lookUp(x.head().Metadata, "ab_c"); got != "a, b" {
		t.Errorf("metadata is %q", got)
	}
}

func FuzzBlockList(f *testing.F) {
	for _, doc := range []string{
		"<BlockList><Latest>QUJD</Latest></BlockList>",
		"\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n <Committed>QUJD</Committed>\n <Uncommitted> QQ== </Uncommitted></BlockList>\n",
		"<BlockList />", "<BlockList></BlockList>x", "<BlockList><Latest>QUJD</Committed></BlockList>", "<BlockList><Latest>&#65;</Latest></BlockList>",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, ok := parseBlockList(doc)
		if !ok {
			return
		}
		// What is taken means what encoding/xml says that it means.
		if _, rest, found := bytes.Cut(doc, []byte("?>")); found {
			doc = rest
		}
		var want struct {
			XMLName xml.Name `xml:"BlockList"`
			Entries []struct {
				XMLName xml.Name
				ID      string `xml:",chardata"`
			} `xml:",any"`
		}
		if err := xml.Unmarshal(bytes.TrimPrefix(doc, []byte("\ufeff")), &want); err != nil {
			t.Fatalf("%q is taken, but it is not XML: %v", doc, err)
		}
		if len(got) != len(want.Entries) {
			t.Fatalf("%q has %d entries, want %d", doc, len(got), len(want.Entries))
		}
		for i, e := range want.Entries {
			if got[i] != (entry{e.XMLName.Local, strings.TrimSpace(e.ID)}) {
				t.Fatalf("%q: entry %d is %v", doc, i, got[i])
			}
		}
	})
}

// The server's share of a commit to a blob of 200 blocks: no socket, no SDK.
func BenchmarkCommit(b *testing.B) {
	s := New()
	s.NoLog = true
	s.MakeContainer("logs")
	var doc strings.Builder
	doc.WriteString("<BlockList>")
	c := StandIn(s, TransportEndpoint, s.Transport()).Client("logs", "x")
	for i := range 200 {
		if _, err := c.StageBlock(b.Context(), id(i), body(strings.Repeat("x", 4096)), nil); err != nil {
			b.Fatal(err)
		}
		doc.WriteString("<Latest>" + id(i) + "</Latest>")
	}
	doc.WriteString("</BlockList>")
	request := func(query url.Values, content string) func() {
		req, _ := http.NewRequest(http.MethodPut, TransportEndpoint+"/logs/x?"+query.Encode(), nil)
		req.ContentLength = int64(len(content))
		for _, k := range []string{"writer", "seq", "cursor", "stream"} {
			req.Header.Set("x-ms-meta-"+k, "0123456789")
		}
		req.Header.Set("x-ms-version", "2021-12-02")
		req.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
		req.Header.Set("Authorization", "SharedKey "+accountName+":"+sign(accountKey, stringToSign(accountName, http.MethodPut, req.Header, req.ContentLength, req.URL.EscapedPath(), query)))
		return func() {
			req.Body = io.NopCloser(strings.NewReader(content))
			w := &recorder{header: http.Header{}}
			if w.serve(s, req); w.status != http.StatusCreated {
				b.Fatal(w.status, w.body.String())
			}
		}
	}
	stage := request(url.Values{"comp": {"block"}, "blockid": {id(200)}}, strings.Repeat("x", 4096))
	commit := request(url.Values{"comp": {"blocklist"}}, doc.String())
	b.ReportAllocs()
	for b.Loop() {
		stage()
		commit()
	}
}
