package liveblob_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// shelf is the container "logs" of a stand-in, as a reader sees it.
type shelf struct {
	*azuretest.Server
	endpoint string
	through  http.RoundTripper
}

func newShelf() *shelf {
	s := &shelf{Server: azuretest.New(), endpoint: "http://standin.test/standin"}
	s.through = s.Transport()
	s.MakeContainer("logs")
	return s
}

func (s *shelf) client(container, name string) *blockblob.Client {
	return azuretest.StandIn(s.Server, s.endpoint, s.through).Client(container, name)
}

func (s *shelf) container() liveblob.Container { return s.named("logs") }

func (s *shelf) named(container string) liveblob.Container {
	return liveblob.Container{Name: container, Client: func(name string) (*blockblob.Client, error) { return s.client(container, name), nil }}
}

func (s *shelf) follow(name string) *liveblob.Reader {
	return liveblob.NewReader(liveblob.ReaderConfig{Container: s.container(), Name: name, Follow: true})
}

func (s *shelf) cat(name string) *liveblob.Reader {
	return liveblob.NewReader(liveblob.ReaderConfig{Container: s.container(), Name: name, Retry: liveblob.Retry{GiveUp: 5 * time.Second}})
}

// faultAt makes the n-th read request, from 1, meet f. It returns the count of
// read requests so far.
func (s *shelf) faultAt(n int, f azuretest.Fault) *int {
	reads := new(int)
	s.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Op == azuretest.GetBlob || r.Op == azuretest.HeadBlob {
			if *reads++; *reads == n {
				return f
			}
		}
		return azuretest.Fault{}
	})
	return reads
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// scribe commits blocks as a writer would. It is not one: it stops at the first
// error, which is what the tests with other writers want.
type scribe struct {
	shelf  *shelf
	name   string
	stream string
	blob   []byte // of the blob
	log    []byte // of all blobs
	ids    []string
	n      int
	err    error
}

func (w *scribe) stage(data []byte) string {
	w.n++
	id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%012d", w.n))
	_, err := w.shelf.client("logs", w.name).StageBlock(context.Background(), id, streaming.NopCloser(bytes.NewReader(data)), nil)
	w.err = errors.Join(w.err, err)
	return id
}

// commit appends text; meta is names and values beside the stream.
func (w *scribe) commit(text string, meta ...string) {
	if text != "" && w.err == nil {
		w.ids = append(w.ids, w.stage([]byte(text)))
	}
	if w.err != nil {
		return
	}
	m := map[string]*string{"stream": &w.stream}
	for i := 0; i < len(meta); i += 2 {
		m[meta[i]] = &meta[i+1]
	}
	_, w.err = w.shelf.client("logs", w.name).CommitBlockList(context.Background(), w.ids, &blockblob.CommitBlockListOptions{
		Metadata: m, HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("text/plain")},
	})
	if w.err == nil {
		w.blob, w.log = append(w.blob, text...), append(w.log, text...)
	}
}

// merge commits the same bytes as one block: another ETag.
func (w *scribe) merge() {
	if w.err == nil {
		w.ids = []string{w.stage(w.blob)}
		w.commit("")
	}
}

func (w *scribe) roll(name string) { w.name, w.blob, w.ids = name, nil, nil }

// read calls Next until it gives an error; io.EOF is none. A log that takes longer
// than an hour (of the fake clock, mostly) hangs.
func read(ctx context.Context, r *liveblob.Reader) (got []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for {
		data, err := r.Next(ctx)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if len(data) == 0 {
			return got, errors.New("Next returned no bytes and no error")
		}
		got = append(got, data...)
	}
}

func want(t *testing.T, got []byte, err error, text string) {
	t.Helper()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if string(got) != text {
		t.Fatalf("read %d bytes, want %d: %.200q, want %.200q", len(got), len(text), got, text)
	}
}

// life is a log from before its first byte to its end: an empty blob, appends,
// a merge, a completion taken back, a roll-over to a name that turns out to be
// taken and then to another one. It returns the whole log.
func life(s *shelf) *scribe {
	w := &scribe{shelf: s, name: "app.log", stream: "c0ffee"}
	// Never at the instant of a poll: what is completed and taken up again at one
	// instant is then not seen as complete.
	beat := func() { time.Sleep(401 * time.Millisecond) }
	beat()
	w.commit("")
	beat()
	w.commit("one\n")
	w.commit("two\n")
	beat()
	w.merge()
	beat()
	w.commit("three without its end")
	beat()
	w.commit(", here it is\n", "complete", "1")
	w.commit("four, after a restart\n")
	beat()
	w.commit("five\n", "next", "app-0001.log")
	beat()
	s.Put("logs", "app-0001.log", []byte("somebody else's\n"), map[string]string{"stream": "decaf"})
	beat()
	w.commit("", "next", "app-0002.log")
	beat()
	w.roll("app-0002.log")
	w.commit("six\n")
	beat()
	w.commit("seven\n")
	beat()
	w.commit("", "complete", "1")
	return w
}

func TestFollowTheLifeOfALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		lived := make(chan *scribe)
		go func() { lived <- life(s) }()
		r := s.follow("app.log")
		got, err := read(t.Context(), r)
		w := <-lived
		if w.err != nil {
			t.Fatal(w.err)
		}
		want(t, got, err, string(w.log))
		st := r.Status()
		if st.Blob != "app-0002.log" || st.Offset != 10 || st.Size != 10 || !st.Complete || st.Stream != "c0ffee" || st.ContentType != "text/plain" {
			t.Errorf("status %+v", st)
		}
		counts := s.Counts()
		if n := counts[azuretest.GetBlob] + counts[azuretest.HeadBlob]; int64(n) != st.Requests {
			t.Errorf("status counts %d requests, the server %d", st.Requests, n)
		}
		var fetched int64
		for _, e := range s.Log() {
			if e.Op == azuretest.GetBlob && e.Status/100 == 2 {
				fetched += e.BytesOut
			}
		}
		// The first blob of another stream is opened, never read.
		if extra := st.Fetched - int64(len(w.log)); extra < 0 || extra > st.Requests || st.Fetched > fetched {
			t.Errorf("fetched %d bytes of a log of %d in %d requests; the server sent %d", st.Fetched, len(w.log), st.Requests, fetched)
		}
	})
}

// Every kind of fault at every read of that life, one at a time.
func TestFollowUnderEveryFault(t *testing.T) {
	var reads int
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		n := s.faultAt(0, azuretest.Fault{})
		go life(s)
		if _, err := read(t.Context(), s.follow("app.log")); err != nil {
			t.Fatal(err)
		}
		reads = *n
	})
	if reads < 15 {
		t.Fatalf("the script makes only %d reads", reads)
	}
	faults := map[string]azuretest.Fault{
		"lost answer":      {Kind: azuretest.LostAnswer},
		"cut before":       {Kind: azuretest.CutBefore},
		"cut body":         {Kind: azuretest.CutBody},
		"busy":             {Kind: azuretest.Busy, RetryAfter: 3 * time.Second},
		"internal":         {Kind: azuretest.Internal},
		"throttled":        {Kind: azuretest.Throttled},
		"timeout":          {Kind: azuretest.Timeout},
		"effect 500":       {Kind: azuretest.Effect500},
		"black hole":       {Kind: azuretest.BlackHole},
		"late":             {Kind: azuretest.Late, Delay: time.Second},
		"drop uncommitted": {Kind: azuretest.DropUncommitted},
		"delay":            {Delay: 700 * time.Millisecond},
		"denied":           {Kind: azuretest.Denied},
		"container gone":   {Kind: azuretest.ContainerGone},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= reads; n++ {
				synctest.Test(t, func(t *testing.T) {
					s := newShelf()
					s.faultAt(n, f)
					lived := make(chan *scribe)
					go func() { lived <- life(s) }()
					r := s.follow("app.log")
					got, err := read(t.Context(), r)
					if err != nil { // these two are for the caller to judge; going on must work
						if f.Kind != azuretest.Denied && (f.Kind != azuretest.ContainerGone || !errors.Is(err, liveblob.ErrNotFound)) {
							t.Errorf("read %d: %v", n, err)
						}
						var more []byte
						more, err = read(t.Context(), r)
						got = append(got, more...)
					}
					want(t, got, err, string((<-lived).log))
				})
			}
		})
	}
}

// Another writer puts its own blob in place before any of the reads: what was
// handed over is a beginning of one of the two, never a mixture.
func TestFollowNeverMixesBlobs(t *testing.T) {
	const foreign = "another writer was here\n"
	for n := 1; n <= 24; n++ {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			s.faultAt(n, azuretest.Fault{Kind: azuretest.OtherWriter})
			lived := make(chan *scribe)
			go func() { lived <- life(s) }()
			got, err := read(t.Context(), s.follow("app.log"))
			w := <-lived
			switch {
			case err == nil && bytes.Equal(got, w.log):
			case err == nil:
				t.Errorf("read %d: %q passes for all of %q", n, got, w.log)
			case errors.Is(err, context.DeadlineExceeded) && w.err != nil && strings.HasPrefix(w.name, "app-0002"):
				// The scribe gave up in the last blob; the reader waits for it.
			case !errors.Is(err, liveblob.ErrReplaced):
				t.Errorf("read %d: %v", n, err)
			}
			if !bytes.HasPrefix(w.log, got) && !strings.HasPrefix(foreign, string(got)) {
				t.Errorf("read %d: %q is neither's beginning", n, got)
			}
		})
	}
}

func TestCatchUpInRanges(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 9<<20/16)
	for i := range text {
		text[i] += byte(i >> 16 & 7)
	}
	run := func(t *testing.T, n int, f azuretest.Fault) liveblob.Status {
		s := newShelf()
		s.Put("logs", "app.log", text, map[string]string{"stream": "s", "complete": "1"})
		s.faultAt(n, f)
		r := s.follow("app.log")
		rest := text
		for {
			data, err := r.Next(t.Context())
			if err == io.EOF && len(rest) == 0 {
				return r.Status()
			}
			if err != nil {
				t.Fatalf("fault %v at %d: %v with %d bytes to come", f.Kind, n, err, len(rest))
			}
			if !bytes.HasPrefix(rest, data) {
				t.Fatalf("fault %v at %d: other bytes at %d", f.Kind, n, len(text)-len(rest))
			}
			rest = rest[len(data):]
		}
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		st := run(t, 0, azuretest.Fault{})
		// Three ranges; the last answer says that the log is complete.
		if st.Requests != 3 || st.Fetched != int64(len(text))+2 {
			t.Errorf("%d requests, %d bytes fetched of %d", st.Requests, st.Fetched, len(text))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("paused for %v while there was more", d)
		}
	})
	for _, kind := range []azuretest.FaultKind{azuretest.CutBody, azuretest.LostAnswer, azuretest.BlackHole, azuretest.Busy} {
		for n := 1; n <= 3; n++ {
			synctest.Test(t, func(t *testing.T) { run(t, n, azuretest.Fault{Kind: kind}) })
		}
	}
}

func TestCutBodyKeepsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.Put("logs", "app.log", bytes.Repeat([]byte("x"), 1000), map[string]string{"complete": "1"})
		s.faultAt(1, azuretest.Fault{Kind: azuretest.CutBody})
		r := s.follow("app.log")
		got, err := read(t.Context(), r)
		want(t, got, err, strings.Repeat("x", 1000))
		if st := r.Status(); st.Fetched != 1001 || st.Requests != 2 {
			t.Errorf("%d bytes fetched in %d requests, want 1001 in 2", st.Fetched, st.Requests)
		}
	})
}

// Answers that bring nothing, one after the other, are asked for at the pace of
// Retry, not as fast as they come.
func TestNoProgressIsNotAHotLoop(t *testing.T) {
	for name, spoil := range map[string]func(*http.Response){
		"only the overlap comes": func(r *http.Response) {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 1), iotest.ErrReader(io.ErrUnexpectedEOF)))
		},
		"the range is refused": func(r *http.Response) {
			r.StatusCode, r.Header, r.Body = http.StatusRequestedRangeNotSatisfiable, http.Header{"X-Ms-Error-Code": {"InvalidRange"}}, http.NoBody
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf()
				s.Put("logs", "app.log", []byte("abcdef"), map[string]string{"complete": "1"})
				start, under, gets := time.Now(), s.through, 0
				s.through = tripper(func(r *http.Request) (*http.Response, error) {
					resp, err := under.RoundTrip(r)
					if r.Method == http.MethodGet && err == nil && time.Since(start) < time.Minute {
						if gets++; gets > 100 {
							return nil, errors.New("a hot loop")
						}
						spoil(resp)
					}
					return resp, err
				})
				r := liveblob.NewReader(liveblob.ReaderConfig{Container: s.container(), Name: "app.log", Offset: 3, Follow: true})
				got, err := read(t.Context(), r)
				want(t, got, err, "def")
				if gets > 20 {
					t.Errorf("%d requests in a minute", gets)
				}
			})
		})
	}
}

// Without Follow, reading ends at what is there, whatever comes after it.
func TestCat(t *testing.T) {
	mine := map[string]string{"stream": "s"}
	for _, c := range []struct {
		name string
		put  func(*shelf)
		want string
	}{
		{"live", func(s *shelf) { s.Put("logs", "app.log", []byte("abc"), mine) }, "abc"},
		{"complete", func(s *shelf) { s.Put("logs", "app.log", []byte("abc"), map[string]string{"complete": "1"}) }, "abc"},
		{"empty", func(s *shelf) { s.Put("logs", "app.log", nil, mine) }, ""},
		{"empty, complete", func(s *shelf) { s.Put("logs", "app.log", nil, map[string]string{"complete": "1"}) }, ""},
		{"rolled over", func(s *shelf) {
			s.Put("logs", "app.log", []byte("abc"), map[string]string{"stream": "s", "next": "b"})
			s.Put("logs", "b", nil, map[string]string{"stream": "s", "next": "c"})
			s.Put("logs", "c", []byte("def"), mine)
		}, "abcdef"},
		{"rolled over to nothing", func(s *shelf) {
			s.Put("logs", "app.log", []byte("abc"), map[string]string{"stream": "s", "next": "b"})
		}, "abc"},
		{"rolled over to another's", func(s *shelf) {
			s.Put("logs", "app.log", []byte("abc"), map[string]string{"stream": "s", "next": "b"})
			s.Put("logs", "b", []byte("def"), map[string]string{"stream": "other"})
		}, "abc"},
		{"rolled over to nobody's", func(s *shelf) {
			s.Put("logs", "app.log", []byte("abc"), map[string]string{"stream": "s", "next": "b"})
			s.Put("logs", "b", []byte("def"), nil)
		}, "abc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShelf()
			c.put(s)
			got, err := read(t.Context(), s.cat("app.log"))
			want(t, got, err, c.want)
		})
	}
}

// An answer is acted on without asking again: one request for each blob, and one
// more for the empty one, whose range is refused.
func TestChainCostsOneRequestABlob(t *testing.T) {
	s := newShelf()
	s.Put("logs", "app.log", []byte("abc"), map[string]string{"next": "b"})
	s.Put("logs", "b", nil, map[string]string{"next": "c"})
	s.Put("logs", "c", []byte("def"), map[string]string{"complete": "1"})
	r := s.follow("app.log")
	got, err := read(t.Context(), r)
	want(t, got, err, "abcdef")
	if st := r.Status(); st.Requests != 4 || st.Fetched != 6 {
		t.Errorf("%d requests, %d bytes, want 4 and 6", st.Requests, st.Fetched)
	}
}

func TestNoSuchBlob(t *testing.T) {
	s := newShelf()
	for container, hint := range map[string]string{"logs": "check the name", "nowhere": "container does not exist"} {
		r := liveblob.NewReader(liveblob.ReaderConfig{Container: s.named(container), Name: "app.log"})
		_, err := r.Next(t.Context())
		if !errors.Is(err, liveblob.ErrNotFound) || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), container+"/app.log") {
			t.Errorf("%s: %v", container, err)
		}
	}
	if n := s.Counts()[azuretest.GetBlob]; n != 2 {
		t.Errorf("asked %d times, want once each", n)
	}
}

func TestFollowGoesCircles(t *testing.T) {
	for _, next := range []string{"app.log", "b"} {
		s := newShelf()
		s.Put("logs", "app.log", []byte("abc"), map[string]string{"next": next})
		s.Put("logs", "b", []byte("def"), map[string]string{"next": "app.log"})
		got, err := read(t.Context(), s.follow("app.log"))
		if err == nil || !strings.Contains(err.Error(), "circle") || len(got) > 6 {
			t.Errorf("next=%s: read %q, %v", next, got, err)
		}
	}
}

// What can happen to a blob of which 6 bytes were read.
func TestReplaced(t *testing.T) {
	mine := map[string]string{"stream": "s"}
	for _, c := range []struct {
		name string
		to   func(*shelf)
		want error
	}{
		{"other stream", func(s *shelf) { s.Put("logs", "app.log", []byte("abcdefgh"), map[string]string{"stream": "o"}) }, liveblob.ErrReplaced},
		{"no stream", func(s *shelf) { s.Put("logs", "app.log", []byte("abcdefgh"), nil) }, liveblob.ErrReplaced},
		{"shorter", func(s *shelf) { s.Put("logs", "app.log", []byte("abcde"), mine) }, liveblob.ErrReplaced},
		{"empty", func(s *shelf) { s.Put("logs", "app.log", nil, mine) }, liveblob.ErrReplaced},
		{"other byte, same size", func(s *shelf) { s.Put("logs", "app.log", []byte("xxxxxx"), mine) }, liveblob.ErrReplaced},
		{"other byte, longer", func(s *shelf) { s.Put("logs", "app.log", []byte("xxxxxxxxx"), mine) }, liveblob.ErrReplaced},
		{"made anew by the same stream, longer, with the same byte", func(s *shelf) {
			s.Put("logs", "app.log", []byte("ABCDEf and more"), map[string]string{"stream": "s", "origin": "another"})
		}, liveblob.ErrReplaced},
		{"deleted", func(s *shelf) { s.client("logs", "app.log").Delete(context.Background(), nil) }, liveblob.ErrNotFound},
	} {
		for _, whole := range []bool{false, true} { // the range is ignored
			t.Run(fmt.Sprintf("%s/%v", c.name, whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newShelf()
					if whole {
						s.ignoreRanges()
					}
					s.Put("logs", "app.log", []byte("abcdef"), mine)
					r := s.follow("app.log")
					if data, err := r.Next(t.Context()); err != nil || string(data) != "abcdef" {
						t.Fatal(data, err)
					}
					c.to(s)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					for range 2 { // it stays so
						data, err := r.Next(ctx)
						if len(data) > 0 || !errors.Is(err, c.want) {
							t.Fatalf("read %q, %v", data, err)
						}
						if strings.ContainsRune(err.Error(), '\n') || !strings.Contains(err.Error(), "logs/app.log") {
							t.Errorf("unclear: %v", err)
						}
					}
					if st := r.Status(); st.Offset != 6 || st.Stream != "s" {
						t.Errorf("status took over the new blob: %+v", st)
					}
				})
			})
		}
	}
}

func (s *shelf) ignoreRanges() {
	s.Public = true
	under := s.through
	s.through = tripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			// The signature covers the range: it goes too.
			for k := range r.Header { // the SDK's keys are not canonical
				if strings.EqualFold(k, "X-Ms-Range") || strings.EqualFold(k, "Authorization") {
					delete(r.Header, k)
				}
			}
		}
		return under.RoundTrip(r)
	})
}

func TestFollowWhereRangesAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.ignoreRanges()
		lived := make(chan *scribe)
		go func() { lived <- life(s) }()
		got, err := read(t.Context(), s.follow("app.log"))
		want(t, got, err, string((<-lived).log))
		for _, e := range s.Log() {
			if e.Op == azuretest.GetBlob && e.Status == http.StatusPartialContent {
				t.Fatal("a range was answered: the test tests nothing")
			}
		}
	})
}

func TestTakenUpAgainAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		w := &scribe{shelf: s, name: "app.log", stream: "s"}
		w.commit("one\n", "complete", "1")
		r := s.follow("app.log")
		got, err := read(t.Context(), r)
		want(t, got, err, "one\n")
		w.commit("two\n")
		w.commit("three\n", "complete", "1")
		got, err = read(t.Context(), r)
		want(t, got, err, "two\nthree\n")
	})
}

// The source ends right after a roll-over, so that the next blob is never made.
func TestRolledThenComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		w := &scribe{shelf: s, name: "app.log", stream: "s"}
		w.commit("one\n", "next", "app-0001.log")
		go func() {
			time.Sleep(time.Minute)
			w.commit("", "next", "app-0001.log", "complete", "1")
		}()
		start := time.Now()
		got, err := read(t.Context(), s.follow("app.log"))
		want(t, got, err, "one\n")
		if d := time.Since(start); d < time.Minute || d > 66*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

// Polls come at the pace that is set, slow down while nothing comes, and are
// quick again at once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		w := &scribe{shelf: s, name: "app.log", stream: "s"}
		w.commit("0")
		var lags []time.Duration
		var last time.Time
		done := make(chan error)
		r := s.follow("app.log")
		go func() {
			for {
				_, err := r.Next(context.Background())
				if err != nil {
					done <- err
					return
				}
				lags = append(lags, time.Since(last))
			}
		}()
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		commit := func() {
			last = time.Now()
			w.commit("x")
		}
		for range 60 { // a line every 1.03 s
			wait(1030 * time.Millisecond)
			commit()
		}
		wait(time.Second)
		if len(lags) != 61 {
			t.Fatalf("%d commits were seen, want 61", len(lags))
		}
		for i, lag := range lags[1:] {
			if lag > 250*time.Millisecond {
				t.Errorf("line %d was seen after %v", i, lag)
			}
		}

		s.ResetLog()
		wait(time.Hour)
		if n := s.Counts()[azuretest.GetBlob]; n < 700 || n > 800 {
			t.Errorf("%d polls in a quiet hour, want some 720", n)
		}
		for _, e := range s.Log() {
			if e.BytesOut != 0 {
				t.Fatalf("%d bytes fetched of a blob that does not change", e.BytesOut)
			}
		}

		lags = nil
		commit()
		wait(5100 * time.Millisecond)
		commit()
		wait(time.Second)
		if len(lags) != 2 || lags[0] > 5*time.Second || lags[1] > 700*time.Millisecond {
			t.Errorf("after the quiet hour, seen after %v", lags)
		}
		w.commit("", "complete", "1")
		if err := <-done; err != io.EOF {
			t.Error(err)
		}
	})
}

func TestWaitsForTheBlob(t *testing.T) {
	for _, container := range []string{"logs", "later"} {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			waiting := 0
			r := liveblob.NewReader(liveblob.ReaderConfig{Container: s.named(container), Name: "app.log", Follow: true, Waiting: func() { waiting++ }})
			go func() {
				time.Sleep(time.Minute)
				s.MakeContainer(container)
				s.Put(container, "app.log", []byte("abc"), map[string]string{"complete": "1"})
			}()
			got, err := read(t.Context(), r)
			want(t, got, err, "abc")
			if waiting != 1 {
				t.Errorf("Waiting was called %d times", waiting)
			}
			if n := r.Status().Requests; n > 40 {
				t.Errorf("%d requests in a minute", n)
			}
		})
	}
}

// A context that ends, ends Next at once, wherever it waits; and nothing is lost.
func TestContextEnds(t *testing.T) {
	for name, f := range map[string]azuretest.Fault{
		"poll":       {},
		"black hole": {Kind: azuretest.BlackHole},
		"retry":      {Kind: azuretest.Busy, RetryAfter: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf()
				w := &scribe{shelf: s, name: "app.log", stream: "s"}
				w.commit("one\n")
				r := s.follow("app.log")
				if _, err := r.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.faultAt(1, f)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("the user has gone"))
				defer cancel()
				start := time.Now()
				_, err := r.Next(ctx)
				if err == nil || !strings.Contains(err.Error(), "the user has gone") || time.Since(start) != time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				w.commit("two\n", "complete", "1")
				got, err := read(t.Context(), r)
				want(t, got, err, "two\n")
			})
		})
	}
}

func TestOffset(t *testing.T) {
	for offset, rest := range map[int64]string{-1: "abcdef", 0: "abcdef", 1: "bcdef", 5: "f", 6: ""} {
		s := newShelf()
		s.Put("logs", "app.log", []byte("abcdef"), nil)
		r := liveblob.NewReader(liveblob.ReaderConfig{Container: s.container(), Name: "app.log", Offset: offset})
		got, err := read(t.Context(), r)
		want(t, got, err, rest)
		if n := r.Status().Requests; n != 1 {
			t.Errorf("offset %d: %d requests", offset, n)
		}
	}
	s := newShelf()
	s.Put("logs", "app.log", []byte("abcdef"), nil)
	r := liveblob.NewReader(liveblob.ReaderConfig{Container: s.container(), Name: "app.log", Offset: 7})
	if _, err := r.Next(t.Context()); !errors.Is(err, liveblob.ErrReplaced) {
		t.Errorf("offset behind the end: %v", err)
	}
}

// A connection that ends is not the end of the log, and its error carries no URL.
func TestCutIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF })}
		c := liveblob.Container{Name: "logs", Client: func(name string) (*blockblob.Client, error) {
			return blockblob.NewClientWithNoCredential("http://standin.test/logs/"+name+"?sig=s3cr3t", &blockblob.ClientOptions{ClientOptions: azcore.ClientOptions{
				Transport: fail, Retry: policy.RetryOptions{MaxRetries: -1}, InsecureAllowCredentialWithHTTP: true,
			}})
		}}
		r := liveblob.NewReader(liveblob.ReaderConfig{Container: c, Name: "app.log", Retry: liveblob.Retry{GiveUp: time.Minute}})
		_, err := r.Next(t.Context())
		if err == nil || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "http://") {
			t.Errorf("got %v", err)
		}
	})
}

// net/http decompresses answers that it thinks it asked for: offsets would count
// other bytes than the blob's. Only a real transport does that.
func TestStoredEncodingIsKept(t *testing.T) {
	s := newShelf()
	s.endpoint = s.Start(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s.through = transport

	var z bytes.Buffer
	for _, line := range []string{"one\n", "two\n"} {
		m := gzip.NewWriter(&z)
		io.WriteString(m, line)
		m.Close()
	}
	_, err := s.client("logs", "app.log").Upload(t.Context(), streaming.NopCloser(bytes.NewReader(z.Bytes())), &blockblob.UploadOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentEncoding: to.Ptr("gzip")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := s.cat("app.log")
	got, err := read(t.Context(), r)
	want(t, got, err, z.String())
	if st := r.Status(); st.ContentEncoding != "gzip" || st.Size != int64(z.Len()) {
		t.Errorf("status %+v", st)
	}
	d, err := gzip.NewReader(s.cat("app.log").Reader(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(d)
	want(t, got, err, "one\ntwo\n")
}

func TestAsReader(t *testing.T) {
	s := newShelf()
	text := strings.Repeat("a line of a log\n", 100)
	s.Put("logs", "app.log", []byte(text), nil)
	if err := iotest.TestReader(s.cat("app.log").Reader(t.Context()), []byte(text)); err != nil {
		t.Error(err)
	}
}

// Followers that wait hold no buffers.
func TestIdleFollowersAreSmall(t *testing.T) {
	const followers, each = 200, 16 << 10
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.NoLog = true
		s.Put("logs", "app.log", bytes.Repeat([]byte("x"), 64<<10), nil)
		client := s.client("logs", "app.log")
		c := liveblob.Container{Name: "logs", Client: func(string) (*blockblob.Client, error) { return client, nil }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC() // the second one empties what sync.Pools kept
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		readers := make([]*liveblob.Reader, followers)
		for i := range readers {
			readers[i] = liveblob.NewReader(liveblob.ReaderConfig{Container: c, Name: "app.log", Follow: true})
			go func(r *liveblob.Reader) {
				for {
					if _, err := r.Next(ctx); err != nil {
						return
					}
				}
			}(readers[i])
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		after := heap()
		if got := (int64(after) - int64(before)) / followers; got > each {
			t.Errorf("an idle follower holds %d bytes", got)
		}
		runtime.KeepAlive(readers)
	})
}
