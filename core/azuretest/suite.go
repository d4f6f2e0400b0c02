package azuretest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Conform checks each rule of the service that the project rests on, through the
// real SDK. Every rule gets a blob of its own.
func Conform(t *testing.T, b Backend) {
	container := b.NewContainer(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			name := strings.ReplaceAll(rule.name, " ", "-")
			rule.check(&subject{T: t, b: b, container: container, name: name, Client: b.Client(container, name)})
		})
	}
}

var rules = []struct {
	name  string
	check func(*subject)
}{
	{"staged blocks cannot be read", stagedIsInvisible},
	{"staging changes neither etag nor date", stagingChangesNothing},
	{"a commit makes the listed blocks the blob", commitIsTheList},
	{"a merge changes the etag and not the bytes", mergeKeepsBytes},
	{"a commit discards what it does not list", commitDiscards},
	{"put blob discards uncommitted blocks", putBlobDiscards},
	{"put blob leaves no block list", putBlobHasNoList},
	{"latest means uncommitted first", latestIsUncommittedFirst},
	{"unknown blocks are refused", unknownBlocks},
	{"block ids have one length", blockIDs},
	{"50000 blocks and no more", blockLimit},
	{"create only if absent", createOnlyIfAbsent},
	{"replace only if unchanged", replaceOnlyIfUnchanged},
	{"a commit clears what is not sent again", commitClears},
	{"the tier outlives a commit", tierOutlives},
	{"set metadata", setMetadata},
	{"metadata limits", metadataLimits},
	{"empty blobs", emptyBlobs},
	{"reading on", readingOn},
	{"the end of a blob", endOfBlob},
	{"one answer is a snapshot", snapshot},
	{"what is missing", missing},
	{"checksums", checksums},
	{"odd names", oddNames},
	{"wrong credentials", wrongCredentials},
}

// subject is one rule's blob, and its client.
type subject struct {
	*testing.T
	*blockblob.Client
	b         Backend
	container string
	name      string
}

// another is a second blob of the same container.
func (s *subject) another(name string) *subject {
	n := s.name + "/" + name
	return &subject{T: s.T, b: s.b, container: s.container, name: n, Client: s.b.Client(s.container, n)}
}

func body(content string) io.ReadSeekCloser {
	return streaming.NopCloser(bytes.NewReader([]byte(content)))
}

func id(n int) string { return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "block-%06d", n)) }

func ids(n ...int) []string {
	list := make([]string, len(n))
	for i := range n {
		list[i] = id(n[i])
	}
	return list
}

func (s *subject) stage(n int, content string) {
	s.Helper()
	if _, err := s.StageBlock(s.Context(), id(n), body(content), nil); err != nil {
		s.Fatalf("stage block %d: %s", n, code(err))
	}
}

func (s *subject) commit(list []string, o *blockblob.CommitBlockListOptions) azcore.ETag {
	s.Helper()
	r, err := s.CommitBlockList(s.Context(), list, o)
	if err != nil {
		s.Fatalf("commit %d blocks: %s", len(list), code(err))
	}
	if r.ETag == nil || r.LastModified == nil {
		s.Fatal("a commit answers without ETag or Last-Modified")
	}
	return *r.ETag
}

func (s *subject) put(content string, o *blockblob.UploadOptions) azcore.ETag {
	s.Helper()
	r, err := s.Upload(s.Context(), body(content), o)
	if err != nil {
		s.Fatalf("put blob: %s", code(err))
	}
	return *r.ETag
}

func (s *subject) get(o *blob.DownloadStreamOptions) (string, blob.DownloadStreamResponse) {
	s.Helper()
	r, err := s.DownloadStream(s.Context(), o)
	if err != nil {
		s.Fatalf("get blob: %s", code(err))
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.Fatalf("get blob: %v", err)
	}
	return string(b), r
}

func (s *subject) head() blob.GetPropertiesResponse {
	s.Helper()
	r, err := s.GetProperties(s.Context(), nil)
	if err != nil {
		s.Fatalf("head blob: %s", code(err))
	}
	return r
}

func (s *subject) holds(want string) {
	s.Helper()
	if got, _ := s.get(nil); got != want {
		s.Errorf("content is %.60q (%d bytes), want %.60q (%d bytes)", got, len(got), want, len(want))
	}
}

// blocks is the IDs of the blob's committed and uncommitted blocks.
func (s *subject) blocks() (committed, uncommitted []string) {
	s.Helper()
	r, err := s.GetBlockList(s.Context(), blockblob.BlockListTypeAll, nil)
	if err != nil {
		s.Fatalf("get block list: %s", code(err))
	}
	for _, x := range r.CommittedBlocks {
		committed = append(committed, *x.Name)
	}
	for _, x := range r.UncommittedBlocks {
		uncommitted = append(uncommitted, *x.Name)
	}
	return committed, uncommitted
}

func (s *subject) lists(committed, uncommitted []string) {
	s.Helper()
	c, u := s.blocks()
	if !reflect.DeepEqual(c, committed) || !reflect.DeepEqual(u, uncommitted) {
		s.Errorf("blocks are %q and uncommitted %q, want %q and %q", c, u, committed, uncommitted)
	}
}

// code is an answer in short: "412 ConditionNotMet".
func code(err error) string {
	var re *azcore.ResponseError
	switch {
	case err == nil:
		return "success"
	case errors.As(err, &re):
		return fmt.Sprintf("%d %s", re.StatusCode, re.ErrorCode)
	}
	return err.Error()
}

func (s *subject) refused(what string, err error, want ...string) {
	s.Helper()
	got := code(err)
	for _, w := range want {
		if got == w {
			return
		}
	}
	s.Errorf("%s: answer is %s, want %s", what, got, strings.Join(want, " or "))
}

func ifMatch(e azcore.ETag) *blob.AccessConditions {
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &e}}
}

func ifNoneMatch(e azcore.ETag) *blob.AccessConditions {
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &e}}
}
