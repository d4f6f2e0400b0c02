package azuretest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// The rules that Conform checks, in the order of its table.

func stagedIsInvisible(s *subject) {
	s.stage(1, "one")
	_, err := s.DownloadStream(s.Context(), nil)
	s.refused("GET of a blob with only uncommitted blocks", err, "404 BlobNotFound")
	_, err = s.GetProperties(s.Context(), nil)
	s.refused("HEAD of a blob with only uncommitted blocks", err, "404 BlobNotFound")
	s.lists(nil, ids(1))

	// To a condition there is no blob either.
	s.commit(ids(1), &blockblob.CommitBlockListOptions{AccessConditions: ifNoneMatch("*")})
	s.holds("one")
	s.stage(2, "two")
	s.holds("one")
}

func stagingChangesNothing(s *subject) {
	etag := s.put("one", nil)
	before := s.head()
	s.stage(1, "two")
	after := s.head()
	if *after.ETag != etag || !after.LastModified.Equal(*before.LastModified) {
		s.Errorf("after Put Block the ETag is %s and the date %v, were %s and %v", *after.ETag, after.LastModified, etag, before.LastModified)
	}
}

func commitIsTheList(s *subject) {
	for n, content := range []string{"zero ", "one ", "two "} {
		s.stage(n, content)
	}
	first := s.commit(ids(2, 0), nil)
	s.holds("two zero ")
	s.lists(ids(2, 0), nil)
	s.stage(3, "three ")
	second := s.commit(ids(0, 3, 2), &blockblob.CommitBlockListOptions{AccessConditions: ifMatch(first)})
	s.holds("zero three two ")
	s.lists(ids(0, 3, 2), nil)
	if first == second {
		s.Error("two commits have one ETag")
	}
	if third := s.commit(ids(0, 3, 2), nil); third == second {
		s.Error("a commit of the same list keeps the ETag")
	}
	r, err := s.GetBlockList(s.Context(), blockblob.BlockListTypeCommitted, nil)
	if err != nil {
		s.Fatal(code(err))
	}
	if n := *r.CommittedBlocks[1].Size; n != 6 {
		s.Errorf("a block of 6 bytes is listed with %d", n)
	}
	if h := s.head(); r.ETag == nil || *r.ETag != *h.ETag {
		s.Error("the block list does not carry the blob's ETag")
	}
}

func mergeKeepsBytes(s *subject) {
	s.stage(1, "one ")
	s.stage(2, "two ")
	before := s.commit(ids(1, 2), nil)
	s.stage(3, "one two three ")
	after := s.commit(ids(3), &blockblob.CommitBlockListOptions{AccessConditions: ifMatch(before)})
	if before == after {
		s.Error("a merge keeps the ETag")
	}
	s.holds("one two three ")
	s.lists(ids(3), nil)
}

func commitDiscards(s *subject) {
	s.stage(1, "one")
	s.stage(2, "two")
	s.commit(ids(1), nil)
	s.lists(ids(1), nil)
	_, err := s.CommitBlockList(s.Context(), ids(1, 2), nil)
	s.refused("commit of a discarded block", err, "400 InvalidBlockList")
	s.holds("one")
}

func putBlobDiscards(s *subject) {
	s.stage(1, "one")
	s.put("whole", nil)
	_, err := s.CommitBlockList(s.Context(), ids(1), nil)
	if s.b.Quirks.KeepsUncommitted {
		s.refused("[quirk] commit of a block staged before Put Blob", err, "success")
		return
	}
	s.refused("commit of a block staged before Put Blob", err, "400 InvalidBlockList")
	s.holds("whole")
}

func putBlobHasNoList(s *subject) {
	s.put("whole", nil)
	s.lists(nil, nil)
	s.stage(1, "one")
	s.commit(ids(1), nil)
	s.holds("one") // what Put Blob wrote is gone, not appended to
	s.put("whole again", nil)
	s.lists(nil, nil)
	s.holds("whole again")
}

func latestIsUncommittedFirst(s *subject) {
	s.stage(1, "old")
	s.commit(ids(1), nil)
	s.stage(1, "new")
	list := func(where string) int {
		doc := "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n  <" + where + ">" + id(1) + "</" + where + ">\n</BlockList>"
		return s.b.do(s, http.MethodPut, s.container, s.name, url.Values{"comp": {"blocklist"}}, map[string]string{"Content-Type": "application/xml"}, doc).StatusCode
	}
	if got := list("Committed"); got != http.StatusCreated {
		s.Fatalf("commit of the committed block: status %d", got)
	}
	s.holds("old")
	s.stage(1, "new")
	s.commit(ids(1), nil)
	s.holds("new")
	s.stage(1, "newer")
	if got := list("Uncommitted"); got != http.StatusCreated {
		s.Fatalf("commit of the uncommitted block: status %d", got)
	}
	s.holds("newer")
	if got := list("Uncommitted"); got != http.StatusBadRequest {
		s.Errorf("commit of an uncommitted block that is not there: status %d, want 400", got)
	}
}

func unknownBlocks(s *subject) {
	_, err := s.CommitBlockList(s.Context(), ids(1), nil)
	s.refused("commit of an unknown block to no blob", err, "400 InvalidBlockList")
	s.stage(1, "one")
	etag := s.commit(ids(1), nil)
	s.stage(2, "two")
	_, err = s.CommitBlockList(s.Context(), ids(1, 2, 3), nil)
	s.refused("commit with one unknown block", err, "400 InvalidBlockList")
	if h := s.head(); *h.ETag != etag {
		s.Error("a refused commit changed the ETag")
	}
	s.lists(ids(1), ids(2)) // and nothing was discarded
	s.commit(ids(1, 2), &blockblob.CommitBlockListOptions{AccessConditions: ifMatch(etag)})
	s.holds("onetwo")
}

func blockIDs(s *subject) {
	long := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64))
	tooLong := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 65))
	_, err := s.StageBlock(s.Context(), tooLong, body("x"), nil)
	s.refused("a block ID of 65 bytes", err, "400 OutOfRangeInput", "400 InvalidQueryParameterValue")
	_, err = s.StageBlock(s.Context(), "not base64!", body("x"), nil)
	s.refused("a block ID that is not base64", err, "400 InvalidQueryParameterValue")
	_, err = s.StageBlock(s.Context(), long, body("x"), nil)
	s.refused("a block ID of 64 bytes", err, "success")
	_, err = s.StageBlock(s.Context(), id(1), body("y"), nil)
	s.refused("uncommitted block IDs of two lengths", err, "400 InvalidBlobOrBlock")

	// Another writer's leftovers are overcome by committing what is there.
	s.commit([]string{long}, nil)
	s.stage(1, "y")
	s.commit([]string{long, id(1)}, nil)
	s.holds("xy")
}

func blockLimit(s *subject) {
	s.stage(1, "x")
	list := make([]string, maxBlocks+1)
	for i := range list {
		list[i] = id(1)
	}
	s.commit(list[:maxBlocks], nil)
	if n := *s.head().ContentLength; n != maxBlocks {
		s.Errorf("a blob of %d blocks of one byte has %d bytes", maxBlocks, n)
	}
	_, err := s.CommitBlockList(s.Context(), list, nil)
	if s.b.Quirks.NoBlockLimit {
		s.refused("[quirk] 50,001 blocks", err, "success")
		return
	}
	s.refused("50,001 blocks", err, "400 BlockListTooLong")
}

func createOnlyIfAbsent(s *subject) {
	absent := ifNoneMatch("*")
	s.put("mine", &blockblob.UploadOptions{AccessConditions: absent})
	_, err := s.Upload(s.Context(), body("yours"), &blockblob.UploadOptions{AccessConditions: absent})
	s.refused("Put Blob with If-None-Match: * over a blob", err, "409 BlobAlreadyExists")
	s.stage(1, "yours")
	_, err = s.CommitBlockList(s.Context(), ids(1), &blockblob.CommitBlockListOptions{AccessConditions: absent})
	s.refused("Put Block List with If-None-Match: * over a blob", err, "409 BlobAlreadyExists")
	s.holds("mine")
}

func replaceOnlyIfUnchanged(s *subject) {
	_, err := s.Upload(s.Context(), body("x"), &blockblob.UploadOptions{AccessConditions: ifMatch(`"0x8D0000000000000"`)})
	s.refused("Put Blob with If-Match to no blob", err, "412 ConditionNotMet")

	old := s.put("one", nil)
	now := s.put("two", &blockblob.UploadOptions{AccessConditions: ifMatch(old)})
	_, err = s.Upload(s.Context(), body("x"), &blockblob.UploadOptions{AccessConditions: ifMatch(old)})
	s.refused("Put Blob with a stale If-Match", err, "412 ConditionNotMet")
	s.stage(1, "three")
	_, err = s.CommitBlockList(s.Context(), ids(1), &blockblob.CommitBlockListOptions{AccessConditions: ifMatch(old)})
	s.refused("Put Block List with a stale If-Match", err, "412 ConditionNotMet")
	_, err = s.SetMetadata(s.Context(), map[string]*string{"k": to.Ptr("v")}, &blob.SetMetadataOptions{AccessConditions: ifMatch(old)})
	s.refused("Set Metadata with a stale If-Match", err, "412 ConditionNotMet")
	s.holds("two")
	s.commit(ids(1), &blockblob.CommitBlockListOptions{AccessConditions: ifMatch(now)}) // the refused one discarded nothing
	s.holds("three")
	_, err = s.Delete(s.Context(), &blob.DeleteOptions{AccessConditions: ifMatch(now)})
	s.refused("Delete with a stale If-Match", err, "412 ConditionNotMet")
}

func commitClears(s *subject) {
	meta := map[string]*string{"cursor": to.Ptr("12%20"), "complete": to.Ptr("1")}
	headers := &blob.HTTPHeaders{
		BlobContentType:     to.Ptr("text/plain; charset=utf-8"),
		BlobContentEncoding: to.Ptr("gzip"),
		BlobCacheControl:    to.Ptr("no-store"),
	}
	tags := map[string]string{"app": "web"}
	check := func(what string, want bool) {
		s.Helper()
		h := s.head()
		_, g := s.get(nil)
		set := []string{deref(h.ContentType), deref(h.ContentEncoding), deref(h.CacheControl), lookUp(h.Metadata, "cursor"), lookUp(h.Metadata, "complete")}
		read := []string{deref(g.ContentType), deref(g.ContentEncoding), deref(g.CacheControl), lookUp(g.Metadata, "cursor"), lookUp(g.Metadata, "complete")}
		expect := []string{"application/octet-stream", "", "", "", ""}
		if want {
			expect = []string{"text/plain; charset=utf-8", "gzip", "no-store", "12%20", "1"}
		}
		if !reflect.DeepEqual(set, expect) || !reflect.DeepEqual(read, expect) {
			s.Errorf("after %s: HEAD has %q, GET has %q, want %q", what, set, read, expect)
		}
		if n := h.TagCount; (n != nil && *n > 0) != want {
			s.Errorf("after %s: tag count is %v, want tags: %v", what, n, want)
		}
	}
	commit := &blockblob.CommitBlockListOptions{Metadata: meta, HTTPHeaders: headers, Tags: tags}
	put := &blockblob.UploadOptions{Metadata: meta, HTTPHeaders: headers, Tags: tags}

	s.stage(1, "one")
	s.commit(ids(1), commit)
	check("a commit that sends all", true)
	s.commit(ids(1), nil)
	check("a commit that sends nothing", false)
	s.put("one", put)
	check("a Put Blob that sends all", true)
	s.put("one", nil)
	check("a Put Blob that sends nothing", false)
}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// lookUp finds metadata whatever the case of its name: the service keeps the
// writer's, HTTP does not.
func lookUp(m map[string]*string, name string) string {
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return deref(v)
		}
	}
	return ""
}

func tierOutlives(s *subject) {
	s.stage(1, "one")
	s.commit(ids(1), &blockblob.CommitBlockListOptions{Tier: to.Ptr(blob.AccessTierCool)})
	if got := deref(s.head().AccessTier); got != "Cool" {
		s.Fatalf("the tier that a commit set is %q, want Cool", got)
	}
	s.stage(2, "two")
	s.commit(ids(1, 2), nil)
	want := "Cool"
	if s.b.Quirks.ResetsTier {
		want = "Hot"
	}
	if got := deref(s.head().AccessTier); got != want {
		s.Errorf("the tier after the next commit is %q, want %q", got, want)
	}
}

func setMetadata(s *subject) {
	etag := s.put("one", &blockblob.UploadOptions{Metadata: map[string]*string{"a": to.Ptr("1"), "b": to.Ptr("2")}})
	r, err := s.SetMetadata(s.Context(), map[string]*string{"b": to.Ptr("3")}, nil)
	if err != nil {
		s.Fatal(code(err))
	}
	h := s.head()
	if *r.ETag == etag || *h.ETag != *r.ETag {
		s.Errorf("Set Metadata answers ETag %s, HEAD %s, before it was %s", *r.ETag, *h.ETag, etag)
	}
	if a, b := lookUp(h.Metadata, "a"), lookUp(h.Metadata, "b"); a != "" || b != "3" {
		s.Errorf("metadata is a=%q b=%q, want only b=3", a, b)
	}
	s.holds("one")
}

func metadataLimits(s *subject) {
	with := func(n int) error {
		_, err := s.Upload(s.Context(), body("x"), &blockblob.UploadOptions{Metadata: map[string]*string{
			"a": to.Ptr(strings.Repeat("x", n/2-1)), "b": to.Ptr(strings.Repeat("y", n-n/2-1))}})
		return err
	}
	s.refused("almost 8 KiB of metadata", with(maxMetadata-256), "success")
	if h := s.head(); len(lookUp(h.Metadata, "a")) != maxMetadata/2-129 {
		s.Errorf("metadata of %d bytes came back with %d", maxMetadata/2-129, len(lookUp(h.Metadata, "a")))
	}
	want := "400 MetadataTooLarge"
	if s.b.Quirks.AnyMetadataSize {
		want = "success"
	}
	s.refused("more than 8 KiB of metadata", with(maxMetadata+64), want)
}

func emptyBlobs(s *subject) {
	s.put("", nil)
	s.holds("")
	s.commit([]string{}, &blockblob.CommitBlockListOptions{Metadata: map[string]*string{"complete": to.Ptr("1")}})
	s.holds("")
	if lookUp(s.head().Metadata, "complete") != "1" {
		s.Error("an empty commit lost its metadata")
	}
	s.lists(nil, nil)
}

func readingOn(s *subject) {
	etag := s.put("0123456789", &blockblob.UploadOptions{Metadata: map[string]*string{"seq": to.Ptr("1")}})
	poll := func(from int64, since azcore.ETag) (string, blob.DownloadStreamResponse) {
		s.Helper()
		return s.get(&blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: from}, AccessConditions: ifNoneMatch(since)})
	}
	// The SDK gives a 304 without an error and without a body.
	r, err := s.DownloadStream(s.Context(), &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 9}, AccessConditions: ifNoneMatch(etag)})
	if err != nil || r.Body != nil {
		s.Errorf("GET with the ETag there is: %s, body %v; want no error and no body", code(err), r.Body)
	}
	// Nor is it an error of a HEAD.
	if _, err = s.GetProperties(s.Context(), &blob.GetPropertiesOptions{AccessConditions: ifNoneMatch(etag)}); err != nil && !strings.HasPrefix(code(err), "304 ") {
		s.Errorf("HEAD with the ETag there is: %s, want 304", code(err))
	}

	s.stage(1, "0123456789")
	s.stage(2, "abc")
	next := s.commit(ids(1, 2), &blockblob.CommitBlockListOptions{Metadata: map[string]*string{"seq": to.Ptr("2")}})
	got, part := poll(9, etag)
	if got != "9abc" || deref(part.ContentRange) != "bytes 9-12/13" || *part.ContentLength != 4 || *part.ETag != next || lookUp(part.Metadata, "seq") != "2" {
		s.Errorf("reading on gives %q, range %q, ETag %s, seq %q", got, deref(part.ContentRange), *part.ETag, lookUp(part.Metadata, "seq"))
	}
	for _, x := range []struct {
		from, n int64
		want    string
	}{{0, 1, "0"}, {8, 4, "89ab"}, {12, 1, "c"}, {12, 99, "c"}, {0, 13, "0123456789abc"}} {
		got, part := s.get(&blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: x.from, Count: x.n}})
		if got != x.want || deref(part.ContentRange) != fmt.Sprintf("bytes %d-%d/13", x.from, x.from+int64(len(x.want))-1) {
			s.Errorf("%d bytes from %d are %q, range %q", x.n, x.from, got, deref(part.ContentRange))
		}
	}
}

func endOfBlob(s *subject) {
	s.put("0123456789", nil)
	at := func(from int64) error {
		r, err := s.DownloadStream(s.Context(), &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: from}})
		if err == nil {
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if len(b) > 0 {
				return fmt.Errorf("%d bytes", len(b))
			}
		}
		return err
	}
	want := "416 InvalidRange"
	if s.b.Quirks.EmptyRangeAtEnd {
		want = "success"
	}
	s.refused("GET at the length", at(10), want)
	s.refused("GET beyond the length", at(11), "416 InvalidRange")
	s.put("", nil)
	r := s.b.do(s, http.MethodGet, s.container, s.name, url.Values{}, map[string]string{"x-ms-range": "bytes=0-"}, "")
	if s.b.Quirks.EmptyRangeAtEnd {
		if r.StatusCode != http.StatusPartialContent && r.StatusCode != http.StatusOK {
			s.Errorf("[quirk] GET at 0 of an empty blob: %s", r.Status)
		}
	} else if r.StatusCode != http.StatusRequestedRangeNotSatisfiable || r.Header.Get("x-ms-error-code") != "InvalidRange" {
		s.Errorf("GET at 0 of an empty blob: %s %s, want 416 InvalidRange", r.Status, r.Header.Get("x-ms-error-code"))
	}
}

func snapshot(s *subject) {
	const size = 1 << 20
	a, b := strings.Repeat("a", size), strings.Repeat("b", size/2)
	s.put(a, nil)
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 10 {
			content := a
			if i%2 == 0 {
				content = b
			}
			if _, err := s.Upload(s.Context(), body(content), nil); err != nil {
				s.Errorf("put blob: %s", code(err))
			}
		}
	})
	for range 10 {
		if got, r := s.get(nil); got != a && got != b || *r.ContentLength != int64(len(got)) {
			s.Errorf("a GET is torn: %d bytes, %d of them b", len(got), strings.Count(got, "b"))
		}
	}
	writer.Wait()
}

func missing(s *subject) {
	_, err := s.DownloadStream(s.Context(), nil)
	s.refused("GET of no blob", err, "404 BlobNotFound")
	_, err = s.GetProperties(s.Context(), nil)
	s.refused("HEAD of no blob", err, "404 BlobNotFound")
	_, err = s.GetBlockList(s.Context(), blockblob.BlockListTypeAll, nil)
	s.refused("Get Block List of no blob", err, "404 BlobNotFound")
	_, err = s.SetMetadata(s.Context(), nil, nil)
	s.refused("Set Metadata of no blob", err, "404 BlobNotFound")
	_, err = s.Delete(s.Context(), nil)
	s.refused("Delete of no blob", err, "404 BlobNotFound")

	no := s.b.Client("azuretest-no-such-container", "x")
	_, err = no.Upload(s.Context(), body("x"), nil)
	s.refused("Put Blob in no container", err, "404 ContainerNotFound")
	_, err = no.StageBlock(s.Context(), id(1), body("x"), nil)
	s.refused("Put Block in no container", err, "404 ContainerNotFound")
	_, err = no.CommitBlockList(s.Context(), ids(1), nil)
	s.refused("Put Block List in no container", err, "404 ContainerNotFound")
	_, err = no.DownloadStream(s.Context(), nil)
	s.refused("GET in no container", err, "404 ContainerNotFound")

	s.put("one", nil)
	if _, err = s.Delete(s.Context(), nil); err != nil {
		s.Fatal(code(err))
	}
	s.put("two", &blockblob.UploadOptions{AccessConditions: ifNoneMatch("*")})
	s.holds("two")
}

func checksums(s *subject) {
	bad := make([]byte, 16)
	_, err := s.StageBlock(s.Context(), id(1), body("one"), &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeMD5(bad)})
	s.refused("Put Block with another body's MD5", err, "400 Md5Mismatch")
	_, err = s.StageBlock(s.Context(), id(1), body("one"), &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeCRC64(7)})
	s.refused("Put Block with another body's CRC64", err, "400 Crc64Mismatch")
	_, err = s.StageBlock(s.Context(), id(1), body("one"), &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeComputeCRC64()})
	s.refused("Put Block with its CRC64", err, "success")
	s.commit(ids(1), nil)
	s.holds("one")
}

func oddNames(s *subject) {
	for _, name := range []string{"with space.log", "100%", "a%2Fb", "ünïcödé/日本.log", "q?a=b&c#d", "plus+plus", "deep/er/and/deeper.log", "semi;colon,comma='quote'\""} {
		x := s.another(name)
		x.stage(1, name)
		x.commit(ids(1), nil)
		x.holds(name)
	}
}

func wrongCredentials(s *subject) {
	s.put("secret", nil)
	if s.b.Key == "" {
		s.Skip("the account was opened with a SAS")
	}
	denied := []string{"403 AuthenticationFailed"}
	if s.b.Quirks.AuthorizationCode {
		denied = []string{"403 AuthorizationFailure"}
	}
	thief := s.b
	thief.Key = base64.StdEncoding.EncodeToString(make([]byte, 64))
	_, err := thief.Client(s.container, s.name).Upload(s.Context(), body("x"), nil)
	s.refused("Put Blob with a wrong key", err, denied...)
	_, err = thief.Client(s.container, s.name).GetProperties(s.Context(), nil)
	s.refused("HEAD with a wrong key", err, denied...)

	sas := func(perm string, expiry time.Time) *blockblob.Client {
		x := s.b
		x.Key, x.SAS = "", accountSAS(s.b.Account, s.b.Key, perm, expiry)
		if s.b.Server != nil {
			x.SAS = s.b.Server.SAS(perm, expiry)
		}
		return x.Client(s.container, s.name)
	}
	hour := time.Hour
	_, err = sas("r", time.Now().Add(hour)).GetProperties(s.Context(), nil)
	s.refused("HEAD with a SAS", err, "success")
	_, err = sas("r", time.Now().Add(-hour)).GetProperties(s.Context(), nil)
	s.refused("HEAD with an expired SAS", err, denied...)
	_, err = sas("r", time.Now().Add(hour)).Upload(s.Context(), body("x"), nil)
	s.refused("Put Blob with a SAS for reading", err, "403 AuthorizationPermissionMismatch")
	s.holds("secret")
}
