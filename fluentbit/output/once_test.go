package output

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// to is an event whose blob is to.log under the path $to.log.
func to(name, line string) flbtest.Event {
	return flbtest.V2(time.Unix(1, 0), nil, flbtest.Map{{Key: "log", Value: line}, {Key: "to", Value: name}})
}

// refuse makes every request for a blob fail while on is set.
func (b *bed) refuse(blob string, fault azuretest.Fault, on *atomic.Bool) {
	on.Store(true)
	b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
		if on.Load() && r.Blob == blob {
			return fault
		}
		return azuretest.Fault{}
	})
}

// await returns when the stream of that blob is at work.
func (b *bed) await(blob string) {
	b.o.mu.Lock()
	s := b.o.streams[blob]
	b.o.mu.Unlock()
	for running := false; !running; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		running = s.running
		s.mu.Unlock()
	}
}

// expect checks how many records a blob has.
func (b *bed) expect(name string, want int) {
	b.Helper()
	if got := len(b.content("json", name)); got != want {
		b.Errorf("%s has %d records, want %d", name, got, want)
	}
}

// A stream may be idle, and so forgotten, while a flush that it has a part in still waits
// for another blob.
func TestForgottenWhileItsFlushWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "path=$to.log", "idle_timeout=1s")
		var failing atomic.Bool
		b.refuse("slow.log", azuretest.Fault{Kind: azuretest.BlackHole}, &failing)
		chunk := flbtest.Chunk(to("quick", "1"), to("slow", "2"))
		if r := b.o.Flush("any", chunk); r != Retry {
			t.Fatal(r)
		}
		failing.Store(false)
		time.Sleep(time.Minute)
		b.deliver("any", chunk)
		b.expect("quick.log", 1)
		b.expect("slow.log", 1)
	})
}

// Two chunks that are alike are in one blob both, and in another neither.
func TestAlikeChunksOfWhichAPartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "path=$to.log")
		var failing atomic.Bool
		b.refuse("bad.log", azuretest.Fault{Kind: azuretest.BlackHole}, &failing)
		chunk := flbtest.Chunk(to("good", "1"), to("bad", "2"))
		for range 2 { // each comes again, and fails again
			var flushes sync.WaitGroup
			for range 3 {
				flushes.Go(func() {
					if r := b.o.Flush("any", chunk); r != Retry {
						t.Error(r)
					}
				})
			}
			flushes.Wait()
		}
		failing.Store(false)
		for range 3 {
			b.deliver("any", chunk)
		}
		b.expect("good.log", 3)
		b.expect("bad.log", 3)
	})
}

// The marks of alike chunks are further apart than a cursor is long when a group of them
// comes behind a full cursor.
func TestReplayOfManyAlikeChunks(t *testing.T) {
	b := newBed(t, "flush_timeout=60s")
	chunk := flbtest.LogChunk(time.Unix(1, 0), "tick")
	for range maxMarks {
		b.deliver("a", chunk)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.server.SetFault(func(azuretest.Request) (f azuretest.Fault) {
		once.Do(func() {
			f.Hold = hold
			close(held)
		})
		return f
	})
	var flushes sync.WaitGroup
	flushes.Go(func() { b.deliver("a", chunk) })
	<-held
	for range maxGroup {
		flushes.Go(func() { b.deliver("a", chunk) })
	}
	b.o.mu.Lock()
	s := b.o.streams["a.log"]
	b.o.mu.Unlock()
	for waiting := 0; waiting < maxGroup; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = len(s.queue)
		s.mu.Unlock()
	}
	close(hold)
	flushes.Wait()
	b.start()
	for range maxMarks {
		b.deliver("a", chunk)
	}
	b.expect("a.log", maxMarks+1+maxGroup)
}

// A chunk that Fluent Bit will give again is known to the next process too, however much
// the blob has got meanwhile.
func TestAwaitedChunkAfterARestart(t *testing.T) {
	for _, how := range []string{"lost answer", "another blob failed"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, "path=$to.log")
				var failing atomic.Bool
				awaited := flbtest.Chunk(to("a", "awaited"), to("b", "awaited"))
				b.deliver("any", flbtest.Chunk(to("a", "first"), to("b", "first")))
				if how == "lost answer" {
					failing.Store(true)
					b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
						switch {
						case !failing.Load():
							return azuretest.Fault{}
						case r.Op == azuretest.PutBlob:
							return azuretest.Fault{Kind: azuretest.LostAnswer}
						}
						return azuretest.Fault{Kind: azuretest.BlackHole}
					})
				} else {
					b.refuse("b.log", azuretest.Fault{Kind: azuretest.Denied}, &failing)
				}
				if r := b.o.Flush("any", awaited); r != Retry {
					t.Fatal(r)
				}
				failing.Store(false)
				const more = 60
				for i := range more {
					time.Sleep(2 * time.Second)
					b.deliver("any", flbtest.Chunk(to("a", fmt.Sprint(i)), to("b", fmt.Sprint(i))))
				}
				b.start()
				const lives, each = 3, 25
				others := func(what ...any) {
					for i := range each {
						time.Sleep(time.Second)
						line := fmt.Sprint(append(what, i)...)
						b.deliver("any", flbtest.Chunk(to("a", line), to("b", line)))
					}
				}
				for life := range lives {
					others(life, "before")
					b.deliver("any", awaited)
					others(life, "after")
					b.start() // it died before it had noted the answer
				}
				b.deliver("any", awaited)
				b.expect("a.log", 2+more+lives*2*each)
				b.expect("b.log", 2+more+lives*2*each)
			})
		})
	}
}

// panicking is a transport that panics once a request was served.
type panicking struct {
	*http.Client
	on *atomic.Bool
	op string // method
}

func (p panicking) Do(r *http.Request) (*http.Response, error) {
	resp, err := p.Client.Do(r)
	if r.Method == p.op && p.on.CompareAndSwap(true, false) {
		panic("test")
	}
	return resp, err
}

// A panic costs a flush its answer, and no record.
func TestPanic(t *testing.T) {
	for _, op := range []string{"HEAD", "PUT"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, "path=all.log")
			var on atomic.Bool
			o, err := New(b.settings(), Options{
				Transport: panicking{&http.Client{Transport: b.server.Transport()}, &on, op},
				Log:       slog.New(slog.NewTextHandler(b.log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			b.o.Close()
			b.o = o
			on.Store(true)
			for i := range 3 {
				chunk := b.lines.Chunk("a", 3)
				r := b.o.Flush("a", chunk)
				if r != Retry && (op == "PUT" || i == 0) {
					t.Errorf("%s %d: %v", op, i, r)
				}
				time.Sleep(time.Second)
				if r := b.o.Flush("other", b.lines.Chunk("other", 1)); r != OK {
					t.Errorf("%s %d: what comes next: %v", op, i, r)
				}
				if r != OK {
					b.deliver("a", chunk)
				}
				on.Store(true)
			}
			b.check()
		})
	}
}

// While one stream is fed without a pause, others become complete.
func TestIdleBesideABusyStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=10s")
		b.lines.AnyOrder = true
		b.send("busy", 1)
		b.send("idle", 1)
		// The busy stream is idle for once, and is being marked as complete when more
		// comes, which then never ends.
		b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
			if r.Blob == "busy.log" {
				return azuretest.Fault{Delay: time.Second}
			}
			return azuretest.Fault{}
		})
		b.await("busy.log")
		stop := make(chan struct{})
		var feeding sync.WaitGroup
		for i := range 2 {
			feeding.Go(func() {
				time.Sleep(time.Duration(i) * 1500 * time.Millisecond) // one is queued while the other is written
				for {
					select {
					case <-stop:
						return
					default:
						b.send("busy", 1)
					}
				}
			})
		}
		time.Sleep(2 * time.Second)
		b.send("idle", 1) // goes on, and ends
		time.Sleep(2 * time.Minute)
		if b.meta("idle.log")["complete"] != "1" {
			t.Error("a busy stream keeps another from being complete")
		}
		close(stop)
		feeding.Wait()
		b.check()
	})
}

// The goroutine of a stream may not have ended yet when its last flush has its answer.
func TestCompleteOnExitRightAfterAFlush(t *testing.T) {
	b := newBed(t, "complete_on_exit=on")
	b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Op == azuretest.PutBlob {
			b.server.SetFault(nil)
			b.o.accounts[0].outage.mu.Lock() // the goroutine waits for it when the flush has its answer
		}
		return azuretest.Fault{}
	})
	b.send("a", 1)
	time.AfterFunc(20*time.Millisecond, b.o.accounts[0].outage.mu.Unlock)
	b.o.Close()
	if b.meta("a.log")["complete"] != "1" {
		t.Error("the blob is not complete")
	}
}

// An exit in the midst of marking blobs as complete is no trouble to tell of.
func TestExitWhileBlobsAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=1m")
		b.send("a", 1)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 5 * time.Second} })
		b.await("a.log")
		b.o.Close()
		if b.log.String() != "" {
			t.Errorf("logged %s", b.log)
		}
	})
}

// A chunk may have records for very many blobs. That is no reason to have as many
// requests at once: each takes a connection, and Fluent Bit has inputs that need files.
func TestManyBlobsInAChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "path=$to.log")
		var now, most atomic.Int64
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 20 * time.Millisecond} })
		counting := transportFunc(func(r *http.Request) (*http.Response, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			return (&http.Client{Transport: b.server.Transport()}).Do(r)
		})
		o, err := New(b.settings(), Options{Transport: counting})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		const blobs = 2000
		var chunk []byte
		for i := range blobs {
			chunk = append(chunk, to(fmt.Sprint("t", i), "1")...)
		}
		start := time.Now()
		if r := o.Flush("any", bytes.Clone(chunk)); r != OK {
			t.Fatal(r)
		}
		if n := len(b.server.Blobs("logs")); n != blobs {
			t.Errorf("%d blobs", n)
		}
		t.Logf("%d requests at once, %v", most.Load(), time.Since(start))
		if most.Load() > 128 {
			t.Errorf("%d requests at once", most.Load())
		}
	})
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }
