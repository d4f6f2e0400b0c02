package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// reader is a Read in a goroutine.
type reader struct {
	t    testing.TB
	stop context.CancelCauseFunc
	done chan error

	mu      sync.Mutex
	lines   []string
	entries []frame.Entry
}

func follow(t testing.TB, cfg Config) *reader {
	ctx, stop := context.WithCancelCause(t.Context())
	r := &reader{t: t, stop: stop, done: make(chan error, 1)}
	cfg.Follow = true
	go func() {
		r.done <- Read(ctx, cfg, func(e *frame.Entry) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, string(e.Line))
			r.entries = append(r.entries, *e)
			r.entries[len(r.entries)-1].Line = []byte(string(e.Line))
			return nil
		})
	}()
	return r
}

func (r *reader) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func (r *reader) sees(want ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.seen(); !slices.Equal(got, want) {
		r.t.Fatalf("got %q, want %q", got, want)
	}
	select {
	case err := <-r.done:
		r.t.Fatalf("it ended: %v", err)
	default:
	}
}

func (r *reader) ends(want error) {
	r.t.Helper()
	synctest.Wait()
	select {
	case err := <-r.done:
		if err != want {
			r.t.Fatalf("it ended with %v, want %v", err, want)
		}
	default:
		r.t.Fatal("it goes on")
	}
}

func (l *log) lines(source string, lines ...string) {
	for _, line := range lines {
		l.say(source, line)
	}
	l.append()
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		l.lines("stdout", "a", "b")
		cfg := l.config()
		ended := make(chan struct{})
		cfg.Ended = ended
		all, gone := follow(t, cfg), follow(t, cfg)
		cfg.Tail = 1
		last := follow(t, cfg)
		cfg.Tail = 0
		fresh := follow(t, cfg)
		cfg.Tail, cfg.Since = -1, time.Unix(0, l.now+10_000)
		later := follow(t, cfg)

		fresh.sees()
		later.sees()
		l.lines("stderr", "c")
		all.sees("a", "b", "c")
		last.sees("b", "c")
		fresh.sees("c")
		later.sees()
		l.now += 10_000
		l.lines("stdout", "d")
		later.sees("d")

		reason := errors.New("the other side has closed")
		gone.stop(reason)
		gone.ends(reason)

		// What was appended before the end is handed over.
		l.lines("stdout", "e")
		close(ended)
		for _, r := range []*reader{all, last, fresh, later} {
			r.ends(nil)
		}
		if got := fresh.seen(); !slices.Equal(got, []string{"c", "d", "e"}) {
			t.Errorf("got %q", got)
		}
	})
}

// The end is told while the last lines are still to be read.
func TestEndAndLinesAtOnce(t *testing.T) {
	for range 20 { // whichever of the two is seen first
		l := newLog(t, 1)
		ended := make(chan struct{})
		cfg := l.config()
		cfg.Follow, cfg.Ended = true, ended
		cfg.Waiting = func() error {
			if len(l.entries) == 0 {
				l.lines("stdout", "a", "b")
				close(ended)
			}
			return nil
		}
		got, err := read(t.Context(), cfg)
		must(t, err)
		l.check("at the end", got, l.entries)
	}
}

func TestFollowUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		l.now = time.Now().UnixNano()
		l.lines("stdout", "a")
		cfg := l.config()
		cfg.Until = time.Now().Add(time.Minute)
		quiet, busy := follow(t, cfg), follow(t, cfg)
		cfg.Until = time.Now().Add(-time.Minute)
		past := follow(t, cfg)
		past.ends(nil)
		if len(past.seen()) > 0 {
			t.Errorf("got %q", past.seen())
		}

		time.Sleep(time.Minute - time.Millisecond)
		l.now = time.Now().UnixNano()
		l.lines("stdout", "b")
		quiet.sees("a", "b")
		time.Sleep(time.Second) // it may have been on its way
		l.lines("stdout", "c")
		quiet.sees("a", "b", "c")
		busy.sees("a", "b", "c")
		time.Sleep(time.Millisecond)
		quiet.ends(nil)
		busy.ends(nil)

		cfg.Until = time.Now().Add(time.Minute)
		busy = follow(t, cfg)
		l.now = cfg.Until.UnixNano()
		l.lines("stdout", "d")
		busy.ends(nil)
		if got := busy.seen(); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("got %q", got)
		}
	})
}

// A log that is written, uploaded and evicted while several read it.
func TestFollowWhileItGrows(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			l := newLog(t, seed)
			ended := make(chan struct{})
			cfg := l.config()
			cfg.Ended = ended
			var readers []*reader
			for range 8 {
				l.write(100)
				l.upload(l.rnd.IntN(len(l.entries) - l.uploaded + 1))
				readers = append(readers, follow(t, cfg))
				if l.rnd.IntN(2) == 0 { // this one has nothing to lose
					l.reach(readers[len(readers)-1])
				}
				for _, r := range readers {
					l.reach(r)
				}
				l.evict(0.8)
			}
			l.write(100)
			close(ended)
			for _, r := range readers {
				must(t, <-r.done)
				l.check("followed", r.entries, l.entries)
			}
		})
	}
}

// reach waits until a reader has all there is.
func (l *log) reach(r *reader) {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(r.seen()) < len(l.entries); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%d of %d entries after 20 s", len(r.seen()), len(l.entries))
		}
	}
}

// The spool drops its beginning while the blob is read: the blob has that.
func TestSeamMoves(t *testing.T) {
	for _, tail := range []int{-1, 1900} {
		l := newLog(t, 1)
		l.write(2000)
		l.upload(len(l.entries))
		l.evict(0.3)
		cfg := l.config()
		cfg.Tail = tail
		opened := 0
		open := cfg.Blob.Open
		cfg.Blob.Open = func() (liveblob.Container, string, error) {
			opened++
			l.evict(0.5)
			return open()
		}
		got, err := read(t.Context(), cfg)
		must(t, err)
		l.check(fmt.Sprint("tail ", tail), got, l.want(cfg))
		if opened == 0 {
			t.Error("the blob was not read")
		}
	}
}

// A container that is started again after its folder was given to newer logs: the new
// spool has nothing yet, and gets what the blob gets while that is read.
func TestEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newLog(t, 1)
		old.lines("stdout", "a", "b")
		old.upload(2)
		l := newLog(t, 2)
		l.server, l.writer, l.now = old.server, old.writer, old.now
		cfg := l.config()

		got, err := read(t.Context(), cfg)
		must(t, err)
		if len(got) > 0 {
			t.Errorf("not asked for: %d entries", len(got))
		}
		cfg.Earlier = true
		got, err = read(t.Context(), cfg)
		must(t, err)
		old.check("before it has begun", got, old.entries)

		r := follow(t, cfg)
		r.sees("a", "b")
		open := cfg.Blob.Open
		cfg.Blob.Open = func() (liveblob.Container, string, error) {
			l.lines("stdout", "c", "d")
			l.upload(2)
			return open()
		}
		both := follow(t, cfg)
		both.sees("a", "b", "c", "d")
		r.sees("a", "b", "c", "d")
		cfg.Blob.Open = open
		cfg.Tail = 3
		got, err = read(t.Context(), cfg)
		must(t, err)
		if len(got) != 3 || string(got[0].Line) != "b" {
			t.Errorf("tail 3 begins with %q", got[0].Line)
		}
		both.stop(nil)
		r.stop(nil)
		synctest.Wait()

		// There is no blob: nothing is missing, as far as is known.
		l = newLog(t, 3)
		l.lines("stdout", "x")
		cfg = l.config()
		cfg.Earlier = true
		got, err = read(t.Context(), cfg)
		must(t, err)
		l.check("without a blob", got, l.entries)
	})
}

// One that reads too slowly is told what it has missed.
func TestTooSlow(t *testing.T) {
	l := newLog(t, 1)
	for range 4 {
		l.write(1000)
	}
	l.upload(len(l.entries))
	for _, cfg := range []Config{{Spool: l.spool, Tail: -1}, l.config()} {
		l.write(1000)
		l.upload(len(l.entries) - l.uploaded)
		when, _ := slices.BinarySearch(l.offsets, l.spool.Stats().First)
		if cfg.Blob == nil {
			when = 0
		}
		when += 10 // the tenth one from the spool
		var got []frame.Entry
		must(t, Read(t.Context(), cfg, func(e *frame.Entry) error {
			if len(got) == when {
				l.evict(0.7)
			}
			got = append(got, *e)
			got[len(got)-1].Line = []byte(string(e.Line))
			return nil
		}))
		i := slices.IndexFunc(got, func(e frame.Entry) bool { return strings.HasPrefix(string(e.Line), "azureblob: ") })
		if i < when || len(said(got)) != 1 {
			t.Fatalf("it says %q", said(got))
		}
		if text := string(got[i].Line); cfg.Blob != nil != strings.Contains(text, "logs/web/1.log") {
			t.Errorf("it says %q", text)
		}
		if at := got[i].Time; got[i-1].Time > at || at > got[i+1].Time {
			t.Error("that has not the time of its neighbours")
		}
		l.check("behind the gap", got[i+1:], l.entries[len(l.entries)-len(got)+i+1:])
	}
}
