package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
)

// streams makes streams on a stand-in of their own.
type streams struct {
	*azuretest.Server
	t testing.TB
}

func newStreams(t testing.TB) *streams {
	s := &streams{Server: azuretest.New(), t: t}
	s.MakeContainer("logs")
	return s
}

func (s *streams) config(name string) core.StreamConfig {
	b := azuretest.StandIn(s.Server, azuretest.TransportEndpoint, s.Transport())
	return core.StreamConfig{FlushInterval: time.Second, Blob: liveblob.Config{Name: name, Stream: name, Container: liveblob.Container{
		Name:   "logs",
		Client: func(name string) (*blockblob.Client, error) { return b.Client("logs", name), nil },
	}}}
}

func (s *streams) open(cfg core.StreamConfig) *core.Stream {
	s.t.Helper()
	st, err := core.NewStream(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

func (s *streams) content(name string) string {
	b, _ := s.Blob("logs", name)
	return string(b.Content)
}

func (s *streams) requests() (n int) {
	for _, c := range s.Counts() {
		n += c
	}
	return n
}

func write(t testing.TB, s *core.Stream, text string) {
	t.Helper()
	if n, err := s.Write([]byte(text)); err != nil || n != len(text) {
		t.Fatalf("Write of %d bytes: %d, %v", len(text), n, err)
	}
}

func closed(t testing.TB, s *core.Stream) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The first write after a quiet time is readable at once; then there is at most
// one commit in an interval, and nothing waits longer than that.
func TestStreamPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		write(t, st, "first\n")
		synctest.Wait()
		if got := s.content("a.log"); got != "first\n" {
			t.Fatalf("at once, the blob holds %q", got)
		}
		for i := range 100 { // ten seconds of a line every 100 ms
			time.Sleep(100 * time.Millisecond)
			write(t, st, fmt.Sprintf("line %d\n", i))
			synctest.Wait()
			if old := i - 10; old >= 0 && !strings.Contains(s.content("a.log"), fmt.Sprintf("line %d\n", old)) {
				t.Fatalf("line %d is not readable a second after it was written", old)
			}
		}
		synctest.Wait()
		if c := s.blobCommits("a.log"); c > 11 {
			t.Errorf("in 10 s there were %d commits", c)
		}
		time.Sleep(time.Minute)
		before := time.Now()
		write(t, st, "after a quiet time\n")
		synctest.Wait()
		if !strings.HasSuffix(s.content("a.log"), "after a quiet time\n") || time.Since(before) != 0 {
			t.Error("the first write after a quiet time is not readable at once")
		}
		closed(t, st)
	})
}

func (s *streams) blobCommits(name string) int {
	b, _ := s.Blob("logs", name)
	return b.Commits
}

// What is written while a commit is under way is one commit.
func TestStreamGroupsCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		cfg := s.config("a.log")
		cfg.FlushInterval = 0
		st := s.open(cfg)
		hold := make(chan struct{})
		s.SetFault(func(r azuretest.Request) azuretest.Fault {
			if r.Op == azuretest.PutBlob {
				return azuretest.Fault{Hold: hold}
			}
			return azuretest.Fault{}
		})
		write(t, st, "first\n")
		synctest.Wait()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				write(t, st, "line\n")
				if err := st.Sync(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(hold)
		all.Wait()
		if got, want := s.content("a.log"), "first\n"+strings.Repeat("line\n", 50); got != want {
			t.Errorf("the blob holds %q", got)
		}
		if c := s.blobCommits("a.log"); c != 2 {
			t.Errorf("there were %d commits, want 2", c)
		}
		closed(t, st)
	})
}

// While storage is away, Write blocks at the high-water mark, and memory with it;
// nothing is lost.
func TestStreamHoldsTheWriterBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		cfg := s.config("a.log")
		cfg.HighWater = 10_000
		st := s.open(cfg)
		s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
		line := strings.Repeat("x", 99) + "\n"
		written := make(chan int, 1)
		go func() {
			for range 1000 {
				write(t, st, line)
			}
			written <- 1000
		}()
		time.Sleep(10 * time.Minute)
		if p := st.Stats(); p.Written > 20_000+100 || p.Written < 10_000 || p.Committed != 0 {
			t.Errorf("in an outage %d bytes were taken with a mark of 10,000, %d of them committed", p.Written, p.Committed)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := st.Append(ctx, []byte(line), "c"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Append with no room answers %v", err)
		}
		s.SetFault(nil)
		<-written
		closed(t, st)
		if got := s.content("a.log"); got != strings.Repeat(line, 1000) {
			t.Errorf("after the outage the blob holds %d bytes", len(got))
		}
	})
}

// A large backlog is not paced.
func TestStreamIsFastWhenThereIsMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		data := bytes.Repeat([]byte("0123456789abcde\n"), 64<<10) // 1 MiB
		start := time.Now()
		for range 64 {
			if _, err := st.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		closed(t, st)
		if d := time.Since(start); d > time.Second {
			t.Errorf("64 MiB took %v on a store that answers at once", d)
		}
		if got := s.content("a.log"); got != strings.Repeat(string(data), 64) {
			t.Error("the content differs")
		}
	})
}

func TestStreamSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		if err := st.Sync(t.Context()); err != nil || s.requests() != 0 {
			t.Errorf("Sync of nothing: %v, %d requests", err, s.requests())
		}
		write(t, st, "one\n")
		synctest.Wait()
		write(t, st, "two\n")
		start := time.Now()
		if err := st.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.content("a.log"); got != "one\ntwo\n" || time.Since(start) != 0 {
			t.Errorf("Sync returned after %v with %q readable", time.Since(start), got)
		}
		s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Busy} })
		write(t, st, "three\n")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := st.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "6 bytes") {
			t.Errorf("Sync in an outage answers %v", err)
		}
		s.SetFault(nil)
		closed(t, st)
		if got := s.content("a.log"); got != "one\ntwo\nthree\n" {
			t.Errorf("the blob holds %q", got)
		}
	})
}

func TestStreamClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("empty.log"))
		closed(t, st)
		closed(t, st)
		if b, ok := s.Blob("logs", "empty.log"); !ok || b.Metadata["complete"] != "1" {
			t.Errorf("an empty log: %v, metadata %v", ok, b.Metadata)
		}
		if _, err := st.Write([]byte("late")); !errors.Is(err, core.ErrClosed) {
			t.Errorf("Write after Close answers %v", err)
		}

		cfg := s.config("short.log")
		cfg.Blob.Fresh = true
		st = s.open(cfg)
		s.ResetLog()
		hold := make(chan struct{})
		s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Hold: hold} })
		write(t, st, "one\n")
		synctest.Wait()
		write(t, st, "two\n")
		time.AfterFunc(time.Second, func() { close(hold) })
		closed(t, st)
		if b, _ := s.Blob("logs", "short.log"); string(b.Content) != "one\ntwo\n" || b.Metadata["complete"] != "1" {
			t.Errorf("the blob holds %q, metadata %v", b.Content, b.Metadata)
		}
		if n := s.requests(); n != 2 {
			t.Errorf("a commit and a last one took %d requests", n)
		}
		s.SetFault(nil)

		st = s.open(s.config("detached.log"))
		write(t, st, "one\n")
		if err := st.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b, _ := s.Blob("logs", "detached.log"); string(b.Content) != "one\n" || b.Metadata["complete"] != "" {
			t.Errorf("the blob holds %q, metadata %v", b.Content, b.Metadata)
		}
	})
}

// A Close that runs out of time gives up, says how much is in doubt, and leaves
// no goroutine (the bubble would not end).
func TestStreamCloseRunsOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
		write(t, st, "one\n")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := st.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "logs/a.log") || !strings.Contains(err.Error(), "4 bytes") {
			t.Errorf("Close in a black hole answers %v", err)
		}
	})
}

// An error that cannot pass reaches whoever writes, syncs and closes, and nobody
// blocks for ever.
func TestStreamFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		s.Put("logs", "a.log", []byte("theirs"), map[string]string{"stream": "another"})
		cfg := s.config("a.log")
		cfg.HighWater = 100
		st := s.open(cfg)
		var err error
		for range 100 {
			if _, err = st.Write(bytes.Repeat([]byte("x"), 90)); err != nil {
				break
			}
		}
		for what, err := range map[string]error{"Write": err, "Sync": st.Sync(t.Context()), "Close": st.Close(t.Context())} {
			if !errors.Is(err, liveblob.ErrTaken) {
				t.Errorf("%s answers %v", what, err)
			}
		}
		if got := s.content("a.log"); got != "theirs" {
			t.Errorf("the other's blob holds %q", got)
		}
	})
}

func TestStreamResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		for i, want := range []string{"", "after 0", "after 1"} {
			st := s.open(s.config("a.log"))
			state, err := st.Resume(t.Context())
			if err != nil || state.Cursor != want {
				t.Fatalf("run %d resumes at %q, %v", i, state.Cursor, err)
			}
			if err := st.Append(t.Context(), []byte("line\n"), fmt.Sprint("after ", i)); err != nil {
				t.Fatal(err)
			}
			write(t, st, "no cursor of its own\n")
			if err := st.Detach(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := s.content("a.log"), strings.Repeat("line\nno cursor of its own\n", 3); got != want {
			t.Errorf("the blob holds %q", got)
		}
	})
}

func TestStreamOfManyWriters(t *testing.T) {
	s := newStreams(t)
	cfg := s.config("a.log")
	cfg.FlushInterval, cfg.HighWater = time.Millisecond, 4096
	st := s.open(cfg)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 500 {
				write(t, st, fmt.Sprintf("writer %d line %d\n", w, i))
				if i%100 == 0 {
					if err := st.Sync(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	closed(t, st)
	next := map[string]int{}
	for line := range strings.Lines(s.content("a.log")) {
		var w, i int
		if _, err := fmt.Sscanf(line, "writer %d line %d\n", &w, &i); err != nil || next[fmt.Sprint(w)] != i {
			t.Fatalf("line %q is out of place: %v", line, err)
		}
		next[fmt.Sprint(w)]++
	}
	for w := range 8 {
		if next[fmt.Sprint(w)] != 500 {
			t.Errorf("writer %d has %d lines", w, next[fmt.Sprint(w)])
		}
	}
}

// Each flush is a member of its own, so the blob decodes at every commit.
func TestStreamCompresses(t *testing.T) {
	for _, name := range []string{"gzip", "zstd"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStreams(t)
			cfg := s.config("a.log")
			var err error
			if cfg.Compress, err = record.NewCompressor(name); err != nil {
				t.Fatal(err)
			}
			st := s.open(cfg)
			want := ""
			for i := range 50 {
				line := fmt.Sprintf("line %d of a log that says much the same each time\n", i)
				write(t, st, line)
				want += line
				if err := st.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				b, _ := s.Blob("logs", "a.log")
				r, err := record.NewDecoder(b.ContentEncoding, bytes.NewReader(b.Content))
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if _, err := got.ReadFrom(r); err != nil || got.String() != want || b.ContentEncoding != name {
					t.Fatalf("%s: after %d flushes the blob decodes to %d bytes, %v", name, i+1, got.Len(), err)
				}
			}
			closed(t, st)
		})
	}
}

// An idle stream is its struct and what its blob's merging needs: no goroutine,
// timer or buffer.
func TestIdleStreamsCostLittle(t *testing.T) {
	s := newStreams(t)
	s.NoLog = true
	const n = 1000
	all := make([]*core.Stream, n)
	goroutines := runtime.NumGoroutine()
	budget := new(liveblob.Budget)
	before := heap()
	for i := range all {
		cfg := s.config(fmt.Sprintf("host/stream-%d.log", i))
		cfg.Blob.Budget = budget
		all[i] = s.open(cfg)
		for line := range 5 {
			write(t, all[i], fmt.Sprintf("line %d: a log of a stream that then falls silent for a long time\n", line))
			if err := all[i].Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := heap()
	if g := runtime.NumGoroutine(); g > goroutines {
		t.Errorf("%d idle streams have %d goroutines", n, g-goroutines)
	}
	// The stand-in's own share: the same blobs without their streams.
	clear(all)
	budget = nil
	blobs := heap() - before
	if used := after - before - blobs; used > 8<<20 {
		t.Errorf("%d idle streams take %d bytes", n, used)
	} else {
		t.Logf("%d idle streams take %d bytes each", n, used/n)
	}
}

// A host whose batch encodes to nothing still moves on.
func TestStreamCursorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		for i, data := range []string{"x", "", ""} {
			if err := st.Append(t.Context(), []byte(data), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			if err := st.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b, _ := s.Blob("logs", "a.log"); b.Metadata["cursor"] != fmt.Sprint(i) {
				t.Errorf("after Sync the cursor is %q, want %d", b.Metadata["cursor"], i)
			}
		}
		if err := st.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := st.Stats().Commits; n != 3 || s.blobCommits("a.log") != 3 {
			t.Errorf("Stats tells of %d commits, the blob had %d, want 3", n, s.blobCommits("a.log"))
		}
		if err := st.Append(t.Context(), nil, strings.Repeat("é", 400)); err == nil || !strings.Contains(err.Error(), "cursor takes") {
			t.Errorf("a cursor that cannot be stored: %v", err)
		}
	})
}

// The stored cursor outlives a stream that gives none.
func TestStreamKeepsTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		if err := st.Append(t.Context(), []byte("x"), "7"); err != nil {
			t.Fatal(err)
		}
		if err := st.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		st = s.open(s.config("a.log"))
		write(t, st, "y")
		closed(t, st)
		if b, _ := s.Blob("logs", "a.log"); b.Metadata["cursor"] != "7" || string(b.Content) != "xy" {
			t.Errorf("the blob holds %q with cursor %q", b.Content, b.Metadata["cursor"])
		}
	})
}

// An Append that comes while the stream resumes waits for it.
func TestStreamAppendDuringResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(t)
		st := s.open(s.config("a.log"))
		if err := st.Append(t.Context(), []byte("x"), "1"); err != nil {
			t.Fatal(err)
		}
		if err := st.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Hold: hold} })
		st = s.open(s.config("a.log"))
		go st.Resume(t.Context())
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(hold) })
		if err := st.Append(t.Context(), []byte("y"), "2"); err != nil {
			t.Fatal(err)
		}
		if err := st.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b, _ := s.Blob("logs", "a.log"); b.Metadata["cursor"] != "2" || string(b.Content) != "xy" {
			t.Errorf("%q is stored with cursor %q", b.Content, b.Metadata["cursor"])
		}
	})
}

// heap is what is alive, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
