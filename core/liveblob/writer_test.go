package liveblob_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// store is a stand-in with one container, and writers for it.
type store struct {
	*azuretest.Server
	t testing.TB
}

func newStore(t testing.TB) *store {
	s := &store{Server: azuretest.New(), t: t}
	s.MakeContainer("logs")
	return s
}

func (s *store) container() liveblob.Container {
	b := azuretest.StandIn(s.Server, azuretest.TransportEndpoint, s.Transport())
	return liveblob.Container{
		Name:   "logs",
		Client: func(name string) (*blockblob.Client, error) { return b.Client("logs", name), nil },
		List: func(_ context.Context, prefix string) ([]string, error) {
			return slices.DeleteFunc(s.Blobs("logs"), func(name string) bool { return !strings.HasPrefix(name, prefix) }), nil
		},
	}
}

func (s *store) config(name string) liveblob.Config {
	return liveblob.Config{Container: s.container(), Name: name, Stream: "stream of " + name}
}

func (s *store) writer(cfg liveblob.Config) *liveblob.Writer {
	s.t.Helper()
	w, err := liveblob.NewWriter(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// content is the log as a reader finds it, through its roll-overs.
func (s *store) content(name string) []byte {
	s.t.Helper()
	var all []byte
	for name != "" {
		b, ok := s.Blob("logs", name)
		if !ok {
			break
		}
		all = append(all, b.Content...)
		name = b.Metadata["next"]
	}
	return all
}

func (s *store) blob(name string) azuretest.Blob {
	s.t.Helper()
	b, ok := s.Blob("logs", name)
	if !ok {
		s.t.Fatalf("there is no blob %q; there are %q", name, s.Blobs("logs"))
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flushes is a made-up log in pieces: n of them, numbered, of size bytes on average.
func flushes(n, size int) [][]byte {
	r := rand.New(rand.NewPCG(1, uint64(size)))
	all := make([][]byte, n)
	for i := range all {
		line := fmt.Appendf(nil, "line %d ", i)
		for want := size/2 + r.IntN(size); len(line) < want; {
			line = append(line, 'a'+byte(r.IntN(26)))
		}
		all[i] = append(line, '\n')
	}
	return all
}

func join(pieces [][]byte) []byte { return bytes.Join(pieces, nil) }

func TestEveryCommitIsReadable(t *testing.T) {
	s := newStore(t)
	w := s.writer(s.config("a/b c.log"))
	log := flushes(600, 700) // beyond 64 KiB at about 90, beyond a window at about 370
	for i, data := range log {
		must(t, w.Commit(t.Context(), data, strconv.Itoa(i)))
		if i%37 != 0 && i != len(log)-1 {
			continue
		}
		b := s.blob("a/b c.log")
		if !bytes.Equal(b.Content, join(log[:i+1])) {
			t.Fatalf("after commit %d the blob differs from what was committed", i)
		}
		if b.Metadata["cursor"] != strconv.Itoa(i) || b.Metadata["seq"] != strconv.Itoa(i+1) || b.Metadata["stream"] != "stream of a/b c.log" {
			t.Fatalf("after commit %d the metadata is %v", i, b.Metadata)
		}
		if b.Metadata["complete"] != "" {
			t.Fatalf("after commit %d the blob says that it is complete", i)
		}
	}
	must(t, w.Complete(t.Context(), []byte("the end\n"), "end"))
	b := s.blob("a/b c.log")
	if want := append(join(log), "the end\n"...); !bytes.Equal(b.Content, want) {
		t.Error("the complete blob differs from what was committed")
	}
	if b.Metadata["complete"] != "1" || b.Metadata["cursor"] != "end" {
		t.Errorf("the complete blob has metadata %v", b.Metadata)
	}
}

// The first row of the table: 60,000 commits of 200 bytes to one blob.
func TestManySmallCommits(t *testing.T) {
	n := 60_000
	if raceDetector {
		n = 6_000 // the whole number is run without the race detector
	}
	s := newStore(t)
	s.NoLog = true
	cfg := s.config("long.log")
	cfg.Budget = new(liveblob.Budget) // other tests' tails would push this one's out
	w := s.writer(cfg)
	line := bytes.Repeat([]byte("x"), 199)
	line = append(line, '\n')
	longest := 0
	for i := range n {
		before := s.Counts()
		must(t, w.Commit(t.Context(), line, ""))
		requests := 0
		for op, c := range s.Counts() {
			requests += c - before[op]
		}
		most := 2
		if i == 0 {
			most = 3 // the HEAD that looks for an earlier blob
		}
		if requests > most {
			t.Fatalf("commit %d took %d requests", i, requests)
		}
		longest = max(longest, w.State().Blocks)
	}
	if got := s.blob("long.log").Content; !bytes.Equal(got, bytes.Repeat(line, n)) {
		t.Error("the content differs")
	}
	if longest > 80 {
		t.Errorf("the block list had %d blocks", longest)
	}
	t.Logf("%d commits: at most %d blocks in the list", n, longest)
}

func TestResume(t *testing.T) {
	log := flushes(300, 900)
	for _, life := range []int{1, 2, 7, 15, 16, 17, 100} { // commits per life
		s := newStore(t)
		for i := 0; i < len(log); {
			w := s.writer(s.config("run.log"))
			must(t, w.Resume(t.Context()))
			if got, _ := strconv.Atoi("0" + w.State().Cursor); got != i {
				t.Fatalf("lives of %d: the cursor is %q, want %d", life, w.State().Cursor, i)
			}
			for range min(life, len(log)-i) {
				must(t, w.Commit(t.Context(), log[i], strconv.Itoa(i+1)))
				i++
			}
		}
		b := s.blob("run.log")
		if !bytes.Equal(b.Content, join(log)) {
			t.Fatalf("lives of %d: the content differs", life)
		}
		if len(b.Blocks) > 64 {
			t.Errorf("lives of %d: the list has %d blocks: what an earlier writer left was never merged", life, len(b.Blocks))
		}
	}
}

func TestCompleteCanBeTakenBack(t *testing.T) {
	for _, size := range []int{10, 100_000} {
		s := newStore(t)
		w := s.writer(s.config("run.log"))
		must(t, w.Complete(t.Context(), bytes.Repeat([]byte("a"), size), "1"))
		w = s.writer(s.config("run.log"))
		must(t, w.Resume(t.Context()))
		if st := w.State(); !st.Complete || st.Cursor != "1" || !st.Exists {
			t.Errorf("a complete blob resumes as %+v", st)
		}
		must(t, w.Commit(t.Context(), []byte("b"), "2"))
		if b := s.blob("run.log"); b.Metadata["complete"] != "" || len(b.Content) != size+1 {
			t.Errorf("a log that goes on has %d bytes and metadata %v", len(b.Content), b.Metadata)
		}
	}
}

func TestEmptyLogs(t *testing.T) {
	s := newStore(t)
	w := s.writer(s.config("empty.log"))
	must(t, w.Complete(t.Context(), nil, ""))
	if b := s.blob("empty.log"); len(b.Content) != 0 || b.Metadata["complete"] != "1" {
		t.Errorf("an empty log has %d bytes and metadata %v", len(b.Content), b.Metadata)
	}
	w = s.writer(s.config("untouched.log"))
	must(t, w.Resume(t.Context()))
	if _, ok := s.Blob("logs", "untouched.log"); ok {
		t.Error("a writer that wrote nothing made a blob")
	}
}

// Content type, encoding, cache control, the user's metadata and tags are on
// every commit, whichever way it is made.
func TestPropertiesStay(t *testing.T) {
	s := newStore(t)
	cfg := s.config("run.log")
	cfg.ContentType, cfg.ContentEncoding = "application/x-ndjson", "gzip"
	cfg.Metadata = map[string]string{"team": "grüße\r\nx"}
	cfg.Tags = map[string]string{"env": "test"}
	cfg.CompleteTier = "Cool"
	w := s.writer(cfg)
	check := func(when, tier string) {
		b := s.blob("run.log")
		if b.ContentType != cfg.ContentType || b.ContentEncoding != "gzip" || b.CacheControl != "no-store" || b.Tags["env"] != "test" || b.Metadata["team"] != "gr%C3%BC%C3%9Fe%0D%0Ax" || b.Tier != tier {
			t.Errorf("%s: %q %q %q tags %v tier %q metadata %v", when, b.ContentType, b.ContentEncoding, b.CacheControl, b.Tags, b.Tier, b.Metadata)
		}
	}
	tier := ""
	for i, data := range flushes(100, 2000) {
		must(t, w.Commit(t.Context(), data, ""))
		if i == 0 {
			tier = s.blob("run.log").Tier
		}
		check(fmt.Sprint("commit ", i), tier)
	}
	must(t, w.Complete(t.Context(), nil, ""))
	check("complete", "Cool")
}

func TestLargeCommitIsStagedInParts(t *testing.T) {
	for _, before := range []int{0, 100, 70_000} {
		s := newStore(t)
		w := s.writer(s.config("run.log"))
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20+5) // a little over 16 MiB
		want := bytes.Repeat([]byte("-"), before)
		if before > 0 {
			must(t, w.Commit(t.Context(), want, ""))
		}
		must(t, w.Commit(t.Context(), data, ""))
		must(t, w.Commit(t.Context(), []byte("end"), ""))
		want = append(append(want, data...), "end"...)
		b := s.blob("run.log")
		if !bytes.Equal(b.Content, want) {
			t.Errorf("after %d bytes: the content differs", before)
		}
		for _, block := range b.Blocks {
			if block.Size > 8<<20 {
				t.Errorf("after %d bytes: a block has %d bytes", before, block.Size)
			}
		}
	}
}

// A budget of nothing keeps no tail at all; what a merge needs is read back.
func TestTailsAreReadBack(t *testing.T) {
	s := newStore(t)
	cfg := s.config("run.log")
	cfg.Budget = &liveblob.Budget{Limit: 1}
	w := s.writer(cfg)
	log := flushes(700, 900)
	for _, data := range log {
		must(t, w.Commit(t.Context(), data, ""))
	}
	b := s.blob("run.log")
	if !bytes.Equal(b.Content, join(log)) {
		t.Error("the content differs")
	}
	if len(b.Blocks) > 60 {
		t.Errorf("the list has %d blocks", len(b.Blocks))
	}
	if got := s.Counts()[azuretest.GetBlob]; got == 0 || got > len(log)/4 {
		t.Errorf("%d commits read back %d times", len(log), got)
	}
}

// net/http asks for gzip by itself, and inflates what it gets: the bytes that are
// read back must be the stored ones all the same.
func TestReadBackOfAnEncodedBlob(t *testing.T) {
	s := newStore(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	b := azuretest.StandIn(s.Server, s.Start(t), transport)
	cfg := s.config("a.log")
	cfg.Container.Client = func(name string) (*blockblob.Client, error) { return b.Client("logs", name), nil }
	cfg.ContentEncoding = "gzip"
	var want bytes.Buffer
	for _, text := range []string{strings.Repeat("a line that packs well\n", 100), "another\n"} {
		var member bytes.Buffer
		z := gzip.NewWriter(&member)
		io.WriteString(z, text)
		must(t, z.Close())
		want.Write(member.Bytes())
		must(t, s.writer(cfg).Commit(t.Context(), member.Bytes(), ""))
	}
	if got := s.blob("a.log").Content; !bytes.Equal(got, want.Bytes()) {
		t.Errorf("the blob holds %d bytes, want the %d that were committed", len(got), want.Len())
	}
}

// A tail that was sealed has nothing to keep, and drives nobody else's out.
func TestSealedTailsLeaveTheBudgetAlone(t *testing.T) {
	s := newStore(t)
	budget := &liveblob.Budget{Limit: 4 << 20}
	open := func(name string) *liveblob.Writer {
		cfg := s.config(name)
		cfg.Budget = budget
		return s.writer(cfg)
	}
	data := bytes.Repeat([]byte("x"), 8000)
	with := open("with a tail")
	for range 20 {
		must(t, with.Commit(t.Context(), data, ""))
	}
	for i := range 40 {
		w := open(fmt.Sprint("sealed ", i))
		for range 33 { // 264,000 bytes: just over the window
			must(t, w.Commit(t.Context(), data, ""))
		}
	}
	s.ResetLog()
	for range 12 {
		must(t, with.Commit(t.Context(), data, ""))
	}
	if n := s.Counts()[azuretest.GetBlob]; n > 0 {
		t.Errorf("the tail was read back %d times", n)
	}
}

func TestWhatNoHeaderCarriesIsRefusedAtOnce(t *testing.T) {
	s := newStore(t)
	for what, change := range map[string]func(*liveblob.Config){
		"content type":  func(c *liveblob.Config) { c.ContentType = "text/plain\n" },
		"encoding":      func(c *liveblob.Config) { c.ContentEncoding = "gzip\r\nX: y" },
		"cache control": func(c *liveblob.Config) { c.CacheControl = "nö" },
		"metadata":      func(c *liveblob.Config) { c.Metadata = map[string]string{"a b": "c"} },
		"no stream":     func(c *liveblob.Config) { c.Stream = "" },
		"long name":     func(c *liveblob.Config) { c.Name = strings.Repeat("x", 1025) },
	} {
		cfg := s.config("a.log")
		change(&cfg)
		if _, err := liveblob.NewWriter(cfg); err == nil {
			t.Errorf("%s: nothing is said", what)
		}
	}
	w := s.writer(s.config("a.log"))
	if err := w.Commit(t.Context(), nil, strings.Repeat("\xff", 700)); err == nil || !strings.Contains(err.Error(), "2100 bytes") {
		t.Errorf("a cursor of 700 odd bytes: %v", err)
	}
	must(t, w.Commit(t.Context(), nil, strings.Repeat("c", 2048)))
}

func TestMetadataIsThatOfTheCommit(t *testing.T) {
	s := newStore(t)
	cfg := s.config("a.log")
	cfg.Metadata = map[string]string{"image": "busybox"}
	w := s.writer(cfg)
	commit := func(write func(context.Context, []byte, string) error, want map[string]string) {
		t.Helper()
		must(t, write(t.Context(), []byte("line\n"), ""))
		b := s.blob("a.log")
		for k, v := range want {
			if b.Metadata[k] != v {
				t.Errorf("metadata %s is %q, not %q", k, b.Metadata[k], v)
			}
		}
	}
	commit(w.Commit, map[string]string{"image": "busybox", "stopped": ""})

	must(t, w.SetMetadata(map[string]string{"image": "busybox", "stopped": "2026-11-23T02:08:25Z"}))
	commit(w.Complete, map[string]string{"image": "busybox", "stopped": "2026-11-23T02:08:25Z", "complete": "1"})

	must(t, w.SetMetadata(cfg.Metadata))
	commit(w.Commit, map[string]string{"image": "busybox", "stopped": "", "complete": ""})
	if err := w.SetMetadata(map[string]string{"seq": "7"}); err == nil {
		t.Error("a name of the protocol's own was taken")
	}
}
