package liveblob_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// Every kind of fault, at every request of a run of 200 commits, one at a time.
// What a host does after an error is what every host of this project does: the
// same commit again.
func TestEveryFaultAtEveryRequest(t *testing.T) {
	log := flushes(200, 900) // from Put Blob, over the change to blocks at about 70, through merges
	want := join(log)
	run := func(t *testing.T, fault azuretest.Fault, at int) (requests int) {
		s := newStore(t)
		s.NoLog = true
		s.SetFault(func(r azuretest.Request) azuretest.Fault {
			requests++
			if r.N == at {
				return fault
			}
			return azuretest.Fault{}
		})
		cfg := s.config("run.log")
		cfg.Retry.Denied = true
		cfg.Container.Create = func(context.Context) error { return nil }
		w := s.writer(cfg)
		for i, data := range log {
			finish := w.Commit
			if i == len(log)-1 {
				finish = w.Complete
			}
			if err := finish(t.Context(), data, strconv.Itoa(i)); err != nil {
				t.Fatalf("%v at request %d: commit %d: %v", fault.Kind, at, i, err)
			}
		}
		b := s.blob("run.log")
		if !bytes.Equal(b.Content, want) {
			t.Fatalf("%v at request %d: the blob differs from the input", fault.Kind, at)
		}
		if b.Metadata["complete"] != "1" {
			t.Fatalf("%v at request %d: the blob is not complete", fault.Kind, at)
		}
		return requests
	}
	var total int
	synctest.Test(t, func(t *testing.T) { total = run(t, azuretest.Fault{}, 0) })

	step := 1
	if raceDetector || testing.Short() {
		step = 13 // all of them are run without the race detector
	}
	for _, kind := range azuretest.Faults() {
		switch kind {
		case azuretest.OtherWriter: // ends in a fence: TestFencedAtEveryRequest
			continue
		case azuretest.CutBody: // for readers
			continue
		}
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= total; at += step {
				synctest.Test(t, func(t *testing.T) {
					fault := azuretest.Fault{Kind: kind}
					if kind == azuretest.Late {
						fault.Delay = []time.Duration{time.Millisecond, 150 * time.Millisecond, 3 * time.Second}[at%3]
					}
					run(t, fault, at)
					time.Sleep(time.Minute) // the bubble's: a late request has come by then
				})
			}
		})
	}
}

// Random faults, several at a time, some of them lasting, with a host that dies
// and resumes from the cursor at random.
func TestCrashesAmongFaults(t *testing.T) {
	rounds := 300
	if raceDetector || testing.Short() {
		rounds = 30
	}
	kinds := slices.DeleteFunc(azuretest.Faults(), func(k azuretest.FaultKind) bool {
		return k == azuretest.OtherWriter || k == azuretest.CutBody
	})
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			s := newStore(t)
			s.NoLog = true
			s.SetFault(func(azuretest.Request) azuretest.Fault {
				if r.IntN(6) > 0 {
					return azuretest.Fault{}
				}
				return azuretest.Fault{Kind: kinds[r.IntN(len(kinds))], Delay: time.Duration(r.IntN(400)) * time.Millisecond}
			})
			log := flushes(120, 1+r.IntN(4000))
			cfg := s.config("run.log")
			cfg.Retry.Denied = true
			cfg.Container.Create = func(context.Context) error { return nil }
			cfg.MaxSize = int64(r.IntN(3)) * 100_000
			fenced := 0
			for done := false; !done; {
				w := s.writer(cfg)
				if err := w.Resume(t.Context()); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				i := 0
				if c := w.State().Cursor; c != "" {
					i, _ = strconv.Atoi(c)
				}
				// This life of the host ends some time from now, in mid-request.
				ctx, die := context.WithTimeout(t.Context(), time.Duration(r.IntN(60_000))*time.Millisecond)
				for i < len(log) && ctx.Err() == nil {
					n := 1 + r.IntN(4)
					end := min(i+n, len(log))
					err := w.Commit(ctx, join(log[i:end]), strconv.Itoa(end))
					var f *liveblob.FencedError
					if errors.As(err, &f) && f.First {
						fenced++ // the last life's commit has landed late
						break
					}
					if err != nil && ctx.Err() == nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					if err == nil {
						i = end
					}
				}
				done = i == len(log)
				die()
			}
			time.Sleep(time.Minute)
			if got := s.content("run.log"); !bytes.Equal(got, join(log)) {
				t.Fatalf("seed %d: the log differs from the input (%d bytes, want %d)", seed, len(got), len(join(log)))
			}
		})
	}
}

func TestTwoWritersOneIsFenced(t *testing.T) {
	for _, size := range []int{50, 100_000} { // by Put Blob, by blocks
		s := newStore(t)
		one, two := s.writer(s.config("shared.log")), s.writer(s.config("shared.log"))
		must(t, one.Commit(t.Context(), bytes.Repeat([]byte("1"), size), "1"))
		must(t, two.Commit(t.Context(), bytes.Repeat([]byte("2"), size), "2")) // resumes after the first
		err := one.Commit(t.Context(), []byte("lost"), "3")
		if !errors.Is(err, liveblob.ErrFenced) {
			t.Fatalf("the first writer's next commit answers %v", err)
		}
		if s := err.Error(); !strings.Contains(s, "logs/shared.log") || !strings.Contains(s, "another writer") || strings.Contains(s, "\n") {
			t.Errorf("the error does not say what happened to which blob: %q", s)
		}
		if again := one.Commit(t.Context(), []byte("lost"), "3"); !errors.Is(again, liveblob.ErrFenced) {
			t.Errorf("a fenced writer goes on: %v", again)
		}
		must(t, two.Commit(t.Context(), []byte("2\n"), "4"))
		want := strings.Repeat("1", size) + strings.Repeat("2", size) + "2\n"
		if got := s.blob("shared.log").Content; string(got) != want {
			t.Errorf("the blob holds %d bytes, not the winner's %d", len(got), len(want))
		}
	}
}

// Two writers that start together: one makes the blob, the other is fenced.
func TestTwoWritersMakeOneBlob(t *testing.T) {
	s := newStore(t)
	one, two := s.writer(s.config("new.log")), s.writer(s.config("new.log"))
	must(t, one.Resume(t.Context()))
	must(t, two.Resume(t.Context()))
	must(t, one.Commit(t.Context(), []byte("one\n"), ""))
	var f *liveblob.FencedError
	if err := two.Commit(t.Context(), []byte("two\n"), ""); !errors.As(err, &f) || !f.First {
		t.Fatalf("the second writer's first commit answers %v", err)
	}
	if got := s.blob("new.log").Content; string(got) != "one\n" {
		t.Errorf("the blob holds %q", got)
	}
}

func TestFencedAtEveryRequest(t *testing.T) {
	log := flushes(120, 1500)
	for at := 2; at < 200; at += 3 {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t)
			s.SetFault(func(r azuretest.Request) azuretest.Fault {
				if r.N == at {
					return azuretest.Fault{Kind: azuretest.OtherWriter}
				}
				return azuretest.Fault{}
			})
			w := s.writer(s.config("run.log"))
			var err error
			for _, data := range log {
				if err = w.Commit(t.Context(), data, ""); err != nil {
					break
				}
			}
			if !errors.Is(err, liveblob.ErrFenced) && !errors.Is(err, liveblob.ErrTaken) {
				t.Fatalf("another writer at request %d: %v", at, err)
			}
			others := s.blob("run.log")
			if w.Commit(t.Context(), log[0], "") == nil || s.blob("run.log").ETag != others.ETag {
				t.Fatalf("another writer at request %d: its blob was written to", at)
			}
		})
	}
}

func TestOwedCommitIsImmutable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		w := s.writer(s.config("run.log"))
		must(t, w.Commit(t.Context(), []byte("one\n"), "1"))
		s.SetFault(func(r azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.LostAnswer} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Commit(ctx, []byte("two\n"), "2"); err == nil {
			t.Fatal("a commit with no answer succeeded")
		}
		s.SetFault(nil)
		if err := w.Commit(t.Context(), []byte("other\n"), "2"); err == nil {
			t.Fatal("a commit was replaced by another one while its outcome was not known")
		}
		must(t, w.Commit(t.Context(), []byte("two\n"), "2"))
		must(t, w.Commit(t.Context(), []byte("three\n"), "3"))
		if got := s.blob("run.log").Content; string(got) != "one\ntwo\nthree\n" {
			t.Errorf("the blob holds %q", got)
		}
	})
}

func TestDeletedBlobIsMadeAnew(t *testing.T) {
	for _, size := range []int{10, 100_000} {
		s := newStore(t)
		w := s.writer(s.config("run.log"))
		must(t, w.Commit(t.Context(), bytes.Repeat([]byte("a"), size), "1"))
		c, _ := s.container().Client("run.log")
		_, err := c.Delete(t.Context(), nil)
		must(t, err)
		must(t, w.Commit(t.Context(), []byte("after\n"), "2"))
		must(t, w.Commit(t.Context(), []byte("more\n"), "3"))
		if got := s.blob("run.log").Content; string(got) != "after\nmore\n" {
			t.Errorf("the new blob holds %q", got)
		}
	}
}

func TestForeignStagedBlocksAreSweptAway(t *testing.T) {
	for _, before := range []int{0, 10, 100_000} {
		s := newStore(t)
		w := s.writer(s.config("run.log"))
		want := strings.Repeat("a", before)
		if before > 0 {
			must(t, w.Commit(t.Context(), []byte(want), "1"))
		}
		c, _ := s.container().Client("run.log")
		_, err := c.StageBlock(t.Context(), "YQ==", nopCloser{strings.NewReader("foreign")}, nil)
		must(t, err)
		must(t, w.Commit(t.Context(), bytes.Repeat([]byte("b"), 70_000), "2"))
		must(t, w.Commit(t.Context(), []byte("c"), "3"))
		if got := s.blob("run.log"); string(got.Content) != want+strings.Repeat("b", 70_000)+"c" || len(got.Uncommitted) > 0 {
			t.Errorf("after %d bytes: the blob has %d bytes and %d uncommitted blocks", before, len(got.Content), len(got.Uncommitted))
		}
	}
}

// When the caller's time is over, the error still says what was in the way.
func TestTheReasonIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
		cfg := s.config("a.log")
		cfg.Retry.Denied = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.writer(cfg).Commit(ctx, []byte("x"), "")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "AuthenticationFailed") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	})
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }
