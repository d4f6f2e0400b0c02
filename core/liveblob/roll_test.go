package liveblob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

func TestRollOverBySize(t *testing.T) {
	s := newStore(t)
	cfg := s.config("run.log")
	cfg.MaxSize = 10_000
	w := s.writer(cfg)
	log := flushes(100, 900)
	for _, data := range log {
		must(t, w.Commit(t.Context(), data, ""))
	}
	must(t, w.Complete(t.Context(), nil, ""))
	if !bytes.Equal(s.content("run.log"), join(log)) {
		t.Error("the content differs")
	}
	names := s.Blobs("logs")
	for i, name := range names {
		b := s.blob(name)
		if len(b.Content) > 10_000 {
			t.Errorf("%s has %d bytes", name, len(b.Content))
		}
		want := "run.log"
		if i > 0 {
			want = "run.log-000" + strconv.Itoa(i)
		}
		last := i == len(names)-1
		if name != want && i < 10 {
			t.Errorf("blob %d is called %q, want %q", i, name, want)
		}
		if (b.Metadata["complete"] == "1") != last || (b.Metadata["next"] == "") != last {
			t.Errorf("%s: complete=%q next=%q", name, b.Metadata["complete"], b.Metadata["next"])
		}
	}
	if len(names) < 9 {
		t.Errorf("there are %d blobs: %q", len(names), names)
	}
}

func TestRollOverByBlocks(t *testing.T) {
	s := newStore(t)
	cfg := s.config("run.log")
	cfg.MaxBlocks = 20
	w := s.writer(cfg)
	log := flushes(120, 70_000)
	for _, data := range log {
		must(t, w.Commit(t.Context(), data, ""))
	}
	if !bytes.Equal(s.content("run.log"), join(log)) {
		t.Error("the content differs")
	}
	for _, name := range s.Blobs("logs") {
		if n := len(s.blob(name).Blocks); n > 20 {
			t.Errorf("%s has %d blocks", name, n)
		}
	}
	if n := len(s.Blobs("logs")); n < 2 {
		t.Errorf("there are %d blobs", n)
	}
}

// A writer that dies at any request of a roll-over, with the request served or
// not, loses and doubles nothing.
func TestRollOverSurvivesCrashes(t *testing.T) {
	log := flushes(40, 2000)
	for _, kind := range []azuretest.FaultKind{azuretest.LostAnswer, azuretest.CutBefore} {
		for at := 1; at < 70; at++ {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(t)
				cfg := s.config("run.log")
				cfg.MaxSize = 12_000
				ctx, die := context.WithCancel(t.Context())
				s.SetFault(func(r azuretest.Request) azuretest.Fault {
					if r.N == at {
						die()
						return azuretest.Fault{Kind: kind}
					}
					return azuretest.Fault{}
				})
				for i := 0; i < len(log); ctx = t.Context() {
					w := s.writer(cfg)
					if w.Resume(ctx) != nil {
						continue
					}
					i, _ = strconv.Atoi("0" + w.State().Cursor)
					for ; i < len(log); i++ {
						if err := w.Commit(ctx, log[i], strconv.Itoa(i+1)); err != nil {
							if ctx.Err() == nil {
								t.Fatalf("%v at %d: %v", kind, at, err)
							}
							break
						}
					}
				}
				if !bytes.Equal(s.content("run.log"), join(log)) {
					t.Fatalf("%v at %d: the content differs", kind, at)
				}
			})
		}
	}
}

// A name in the way of a roll-over is passed by.
func TestRollOverFindsAFreeName(t *testing.T) {
	s := newStore(t)
	s.Put("logs", "run.log-0001", []byte("mine"), nil)
	cfg := s.config("run.log")
	cfg.MaxSize = 10
	w := s.writer(cfg)
	must(t, w.Commit(t.Context(), []byte("12345678"), ""))
	must(t, w.Commit(t.Context(), []byte("abcdefgh"), ""))
	if got := s.blob("run.log").Metadata["next"]; got != "run.log-0002" {
		t.Errorf("the log goes on in %q", got)
	}
	if got := string(s.blob("run.log-0001").Content); got != "mine" {
		t.Errorf("the blob in the way holds %q", got)
	}
	w = s.writer(cfg)
	must(t, w.Commit(t.Context(), []byte("ABCDEFGH"), ""))
	if got := string(s.content("run.log")); got != "12345678abcdefghABCDEFGH" {
		t.Errorf("the log holds %q", got)
	}
}

func TestTakenName(t *testing.T) {
	for name, meta := range map[string]map[string]string{
		"another stream's": {"stream": "another", "writer": "aaaaaaaaaaaa", "seq": "1"},
		"no log at all":    nil,
	} {
		for _, fresh := range []bool{false, true} {
			t.Run(name+" fresh="+strconv.FormatBool(fresh), func(t *testing.T) {
				s := newStore(t)
				s.Put("logs", "dir.d/run.log", []byte("theirs"), meta)
				cfg := s.config("dir.d/run.log")
				cfg.Fresh = fresh
				err := s.writer(cfg).Commit(t.Context(), []byte("ours"), "1")
				if !errors.Is(err, liveblob.ErrTaken) || !strings.Contains(err.Error(), "logs/dir.d/run.log") || !strings.Contains(err.Error(), "choose another name") {
					t.Errorf("a taken name answers %v", err)
				}

				cfg.Fork = true
				for _, cursor := range []string{"1", "2"} { // the second writer finds the first one's blob
					must(t, s.writer(cfg).Commit(t.Context(), []byte("ours\n"), cursor))
					cfg.Fresh = false
				}
				if got := string(s.blob("dir.d/run.log").Content); got != "theirs" {
					t.Errorf("the other's blob holds %q", got)
				}
				names := s.Blobs("logs")
				if len(names) != 2 {
					t.Fatalf("there are blobs %q", names)
				}
				fork := names[0]
				if fork == "dir.d/run.log" {
					fork = names[1]
				}
				if !strings.HasPrefix(fork, "dir.d/run-") || !strings.HasSuffix(fork, ".log") || len(fork) != len("dir.d/run-01234567.log") {
					t.Errorf("the fork is called %q", fork)
				}
				if got := string(s.blob(fork).Content); got != "ours\nours\n" {
					t.Errorf("the fork holds %q", got)
				}
			})
		}
	}
}

func TestMissingContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{Server: azuretest.New(), t: t}
		w := s.writer(s.config("run.log"))
		err := w.Commit(t.Context(), []byte("x"), "")
		if err == nil || !strings.Contains(err.Error(), "ContainerNotFound") || !strings.Contains(err.Error(), "or create it") {
			t.Errorf("a missing container answers %v", err)
		}
		made := 0
		cfg := s.config("run.log")
		cfg.Container.Create = func(context.Context) error { made++; s.MakeContainer("logs"); return nil }
		w = s.writer(cfg)
		must(t, w.Commit(t.Context(), bytes.Repeat([]byte("x"), 100_000), ""))
		must(t, w.Commit(t.Context(), []byte("y"), ""))
		if made != 1 {
			t.Errorf("the container was made %d times", made)
		}
		time.Sleep(time.Second)
	})
}

// What only a person can change ends the commit with an error that says so, and
// with nothing lost: the same commit passes once it is changed.
func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code, hint := range map[string]string{
			"AuthenticationFailed":            "key or SAS token",
			"AuthorizationPermissionMismatch": "Storage Blob Data Contributor",
			"LeaseIdMissing":                  "lease",
			"BlobImmutableDueToPolicy":        "immutability",
		} {
			s := newStore(t)
			w := s.writer(s.config("run.log"))
			must(t, w.Commit(t.Context(), []byte("before\n"), "1"))
			s.SetFault(func(azuretest.Request) azuretest.Fault {
				return azuretest.Fault{Kind: azuretest.Denied, Code: code}
			})
			start := time.Now()
			err := w.Commit(t.Context(), []byte("after\n"), "2")
			if err == nil || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "logs/run.log") {
				t.Errorf("%s: %v", code, err)
			}
			if d := time.Since(start); d > 0 {
				t.Errorf("%s was retried for %v", code, d)
			}
			s.SetFault(nil)
			must(t, w.Commit(t.Context(), []byte("after\n"), "2"))
			if got := string(s.blob("run.log").Content); got != "before\nafter\n" {
				t.Errorf("%s: the blob holds %q", code, got)
			}
		}
	})
}

// A black hole is given up in the time that was given, with an error that says
// where to look.
func TestGiveUpIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []azuretest.FaultKind{azuretest.BlackHole, azuretest.Busy, azuretest.CutBefore} {
			s := newStore(t)
			s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} })
			cfg := s.config("run.log")
			cfg.Retry.GiveUp = 5 * time.Second
			start := time.Now()
			err := s.writer(cfg).Commit(t.Context(), []byte("x"), "")
			if d := time.Since(start); err == nil || d < 4*time.Second || d > 7*time.Second {
				t.Errorf("%v: gave up after %v: %v", kind, d, err)
			}
			if kind == azuretest.BlackHole && !strings.Contains(err.Error(), "firewall") {
				t.Errorf("a black hole answers %v", err)
			}
		}
	})
}

func (s *store) delete(name string) {
	s.t.Helper()
	c, err := s.container().Client(name)
	must(s.t, err)
	_, err = c.Delete(s.t.Context(), nil)
	must(s.t, err)
}

// Lifecycle rules delete the oldest blobs of a log; it goes on where it was.
func TestRolledLogOutlivesItsOldestBlobs(t *testing.T) {
	for _, gone := range [][]string{{"run.log"}, {"run.log-0001"}, {"run.log", "run.log-0001"}} {
		s := newStore(t)
		cfg := s.config("run.log")
		cfg.MaxSize = 10
		w := s.writer(cfg)
		for _, cursor := range []string{"1", "2", "3"} {
			must(t, w.Commit(t.Context(), []byte("12345678"), cursor))
		}
		s.Put("logs", "run.log-0007", []byte("theirs"), map[string]string{"stream": "another"})
		s.Put("logs", "run.log-x", []byte("theirs"), nil)
		for _, name := range gone {
			s.delete(name)
		}
		w = s.writer(cfg)
		must(t, w.Resume(t.Context()))
		if st := w.State(); st.Cursor != "3" || st.Blob != "run.log-0002" {
			t.Errorf("without %q the log goes on in %s at %q", gone, st.Blob, st.Cursor)
		}
		must(t, w.Commit(t.Context(), []byte("4"), "4"))
		if got := string(s.blob("run.log-0002").Content); got != "123456784" {
			t.Errorf("without %q the last blob holds %q", gone, got)
		}
	}
}

// Credentials that may not list are no reason not to write.
func TestWithoutTheRightToList(t *testing.T) {
	s := newStore(t)
	cfg := s.config("run.log")
	cfg.MaxSize = 10
	cfg.Container.List = func(context.Context, string) ([]string, error) {
		return nil, fmt.Errorf("list: %w", &azcore.ResponseError{StatusCode: 403, ErrorCode: "AuthorizationPermissionMismatch"})
	}
	must(t, s.writer(cfg).Commit(t.Context(), []byte("x"), ""))
}

// The name that a log was to go on in is taken in the last moment: by a live
// writer, or before one that comes later, another one is found.
func TestNextNameIsTaken(t *testing.T) {
	for _, live := range []bool{true, false} {
		s := newStore(t)
		cfg := s.config("run.log")
		cfg.MaxSize = 10
		w := s.writer(cfg)
		must(t, w.Commit(t.Context(), []byte("12345678"), "1"))
		ctx, die := context.WithCancel(t.Context())
		s.SetFault(func(r azuretest.Request) azuretest.Fault {
			if r.Op == azuretest.PutBlob && r.Blob == "run.log-0001" {
				s.Put("logs", "run.log-0001", []byte("theirs"), map[string]string{"stream": "another"})
				if !live {
					die()
				}
			}
			return azuretest.Fault{}
		})
		err := w.Commit(ctx, []byte("abcdefgh"), "2")
		s.SetFault(nil)
		if !live {
			w = s.writer(cfg)
			must(t, w.Resume(t.Context()))
			if c := w.State().Cursor; c != "1" {
				t.Errorf("a later writer goes on at %q", c)
			}
			err = w.Commit(t.Context(), []byte("abcdefgh"), "2")
		}
		must(t, err)
		die()
		if got := string(s.content("run.log")); got != "12345678abcdefgh" {
			t.Errorf("live=%v: the log holds %q", live, got)
		}
		if got := string(s.blob("run.log-0001").Content); got != "theirs" {
			t.Errorf("live=%v: the other's blob holds %q", live, got)
		}
	}
}

func TestForkIsFoundWhenTheNameIsFreeAgain(t *testing.T) {
	s := newStore(t)
	s.Put("logs", "run.log", []byte("theirs"), map[string]string{"stream": "another"})
	cfg := s.config("run.log")
	cfg.Fork = true
	must(t, s.writer(cfg).Commit(t.Context(), []byte("ours"), "7"))
	s.delete("run.log")
	w := s.writer(cfg)
	must(t, w.Resume(t.Context()))
	if st := w.State(); st.Cursor != "7" || !st.Exists {
		t.Errorf("the log goes on in %s at %q", st.Blob, st.Cursor)
	}
	// And a stream that never forked takes the name itself.
	cfg.Stream = "third"
	w = s.writer(cfg)
	must(t, w.Commit(t.Context(), []byte("third"), ""))
	if got := string(s.blob("run.log").Content); got != "third" {
		t.Errorf("the free name holds %q", got)
	}
}

// A log needs its fork's name only where the wanted one is taken.
func TestForkTakenAndNameFree(t *testing.T) {
	s := newStore(t)
	cfg := s.config("shared.log")
	cfg.Fork = true
	s.Put("logs", liveblob.ForkName("shared.log", cfg.Stream), []byte("somebody's"), nil)
	must(t, s.writer(cfg).Commit(t.Context(), []byte("mine\n"), "1"))
	if got := s.blob("shared.log").Content; string(got) != "mine\n" {
		t.Errorf("the blob holds %q", got)
	}
}

func TestForkNameFits(t *testing.T) {
	for _, name := range []string{"a." + strings.Repeat("x", 1022), strings.Repeat("é", 512), strings.Repeat("x", 1020) + ".log"} {
		s := newStore(t)
		s.Put("logs", name, []byte("theirs"), map[string]string{"stream": "another"})
		cfg := s.config(name)
		cfg.Stream, cfg.Fork = "me", true
		must(t, s.writer(cfg).Commit(t.Context(), []byte("ours"), ""))
	}
}

// What carries no data never rolls over.
func TestEmptyCompleteDoesNotRollOver(t *testing.T) {
	s := newStore(t)
	cfg := s.config("run.log")
	cfg.MaxSize = 10
	w := s.writer(cfg)
	must(t, w.Commit(t.Context(), []byte("a line that is longer than that"), "1"))
	must(t, w.Complete(t.Context(), nil, "1"))
	if names := s.Blobs("logs"); len(names) != 1 || s.blob("run.log").Metadata["complete"] != "1" {
		t.Errorf("there are blobs %q", names)
	}
}
