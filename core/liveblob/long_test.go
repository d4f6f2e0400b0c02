package liveblob_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// A log that has been written for long, whose window is the largest there is, takes
// flushes of any size, from writers that come and go, with room for its tail or
// without.
func TestLongLog(t *testing.T) {
	for _, limit := range []int64{1, 100 << 10, 0} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			s := newStore(t)
			s.NoLog = true
			cfg := s.config("long.log")
			cfg.Budget = &liveblob.Budget{Limit: limit}
			r := rand.New(rand.NewPCG(1, 2))
			w := s.writer(cfg)
			var log []byte
			most := 0
			commit := func(n int) {
				data := bytes.Repeat([]byte{byte('a' + r.IntN(26))}, n)
				log = append(log, data...)
				must(t, w.Commit(t.Context(), data, strconv.Itoa(len(log))))
				if w.State().Size != int64(len(log)) {
					t.Fatalf("after %d bytes the writer knows of %d", len(log), w.State().Size)
				}
				most = max(most, w.State().Blocks)
			}
			for range 4_200 {
				commit(1 + r.IntN(200))
			}
			if most > 80 {
				t.Errorf("the list had up to %d blocks", most)
			}
			for i := range 200 {
				if r.IntN(20) == 0 {
					w = s.writer(cfg)
				}
				switch {
				case i%100 == 99:
					commit(9 << 20) // in parts
				case r.IntN(10) == 0:
					commit(r.IntN(2 << 20))
				default:
					commit(1 + r.IntN(10_000))
				}
			}
			must(t, w.Complete(t.Context(), nil, "end"))
			if b := s.blob("long.log"); !bytes.Equal(b.Content, log) {
				t.Error("the blob is not what was written")
			}
			if most > 200 {
				t.Errorf("the list had up to %d blocks", most)
			}
		})
	}
}

// Restarts do not make a log's large blocks merge with its small flushes again.
func TestRestartsUploadLittle(t *testing.T) {
	s := newStore(t)
	cfg := s.config("restarts.log")
	w := s.writer(cfg)
	data := bytes.Repeat([]byte("x"), 1_000)
	commit := func() { must(t, w.Commit(t.Context(), data, "")) }
	for range 16 * 16 * 15 { // 15 blocks of 256 KB, one flush more
		commit()
	}
	commit()
	var sent int64
	s.SetFault(func(r azuretest.Request) azuretest.Fault {
		sent += max(r.BodyBytes, 0)
		return azuretest.Fault{}
	})
	const restarts = 100
	for range restarts {
		w = s.writer(cfg)
		commit()
	}
	if per := sent / restarts; per > 10_000 {
		t.Errorf("a restart and a flush of %d bytes send %d", len(data), per)
	}
}

// However long a log is written over a slow line, no flush waits long for a merge.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 512 << 10 // bytes a second
		s := newStore(t)
		s.NoLog = true
		s.SetFault(func(r azuretest.Request) azuretest.Fault {
			return azuretest.Fault{Delay: time.Duration(max(r.BodyBytes, 0)) * time.Second / rate}
		})
		cfg := s.config("slow.log")
		w := s.writer(cfg)
		var log []byte
		for i := range 5_000 {
			data := fmt.Appendf(nil, "%0999d\n", i)
			log = append(log, data...)
			begun := time.Now()
			must(t, w.Commit(t.Context(), data, ""))
			if took := time.Since(begun); took > 2500*time.Millisecond {
				t.Fatalf("flush %d took %v", i, took)
			}
			if i%1_000 == 999 { // its predecessor may have had a faster line
				w = s.writer(cfg)
				must(t, w.Resume(t.Context()))
			}
		}
		if !bytes.Equal(s.blob("slow.log").Content, log) {
			t.Error("the blob is not what was written")
		}
		if n := w.State().Blocks; n > 60 {
			t.Errorf("the list has %d blocks", n)
		}
	})
}

// Sixty streams begin together, flush together, and come to their large merges
// together: no more of their bytes are in memory than the budget has room for, and
// nobody waits for it but for a flush or two.
func TestMergesOfStreamsThatBeganTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.NoLog = true
		const streams, commits, limit = 60, 16*16 + 20, 4 << 20
		var mu sync.Mutex
		var now, most int64
		s.SetFault(func(r azuretest.Request) azuretest.Fault {
			if r.BodyBytes < 256<<10 {
				return azuretest.Fault{}
			}
			mu.Lock()
			now += r.BodyBytes
			most = max(most, now)
			mu.Unlock()
			time.AfterFunc(100*time.Millisecond, func() {
				mu.Lock()
				now -= r.BodyBytes
				mu.Unlock()
			})
			return azuretest.Fault{Delay: 100 * time.Millisecond}
		})
		budget := &liveblob.Budget{Limit: limit}
		data := bytes.Repeat([]byte("x"), 4_000)
		errs := make(chan error, streams)
		for i := range streams {
			go func() {
				cfg := s.config(fmt.Sprint("together", i, ".log"))
				cfg.Budget = budget
				w := s.writer(cfg)
				for range commits {
					begun := time.Now()
					if err := w.Commit(t.Context(), data, ""); err != nil {
						errs <- err
						return
					}
					if took := time.Since(begun); took > 500*time.Millisecond {
						errs <- fmt.Errorf("a flush took %v", took)
						return
					}
					time.Sleep(time.Until(begun.Add(time.Second)))
				}
				errs <- nil
			}()
		}
		var all error
		for range streams {
			all = errors.Join(all, <-errs)
		}
		must(t, all)
		if most > limit+1<<20 { // the flushes' own bytes come on top
			t.Errorf("up to %d bytes were merged at once, the limit is %d", most, limit)
		}
		for i := range streams {
			if b := s.blob(fmt.Sprint("together", i, ".log")); len(b.Content) != commits*len(data) {
				t.Errorf("blob %d has %d bytes", i, len(b.Content))
			}
		}
	})
}
