package output

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// One blob that has no answer says nothing of the others: their flushes pass.
func TestOneSlowBlobAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.lines.AnyOrder = true
		b.send("good", 1)
		var failing atomic.Bool
		b.refuse("slow.log", azuretest.Fault{Kind: azuretest.BlackHole}, &failing)
		var slow sync.WaitGroup
		for range 4 {
			slow.Go(func() { b.send("slow", 1) })
		}
		for range 600 {
			chunk := b.lines.Chunk("good", 1)
			if r := b.o.Flush("good", chunk); r != OK {
				t.Errorf("a flush to another blob: %v", r)
				b.deliver("good", chunk)
			}
			time.Sleep(100 * time.Millisecond)
		}
		failing.Store(false)
		slow.Wait()
		b.check()
	})
}

// Blobs that can never be written do not fill the log, though their errors take turns,
// nor is each commit to another one the end of an outage.
func TestLogOfBadBlobs(t *testing.T) {
	for _, codes := range [][]string{{"LeaseIdMissing"}, {"LeaseIdMissing", "BlobArchived", "BlobImmutableDueToPolicy"}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
				var n int
				if _, err := fmt.Sscanf(r.Blob, "bad%d.log", &n); err != nil {
					return azuretest.Fault{}
				}
				return azuretest.Fault{Kind: azuretest.Denied, Code: codes[n]}
			})
			for range 300 {
				for i := range codes {
					b.o.Flush(fmt.Sprint("bad", i), b.lines.Chunk("bad", 1))
				}
				b.send("good", 1)
				time.Sleep(time.Second)
			}
			if n := strings.Count(b.log.String(), "\n"); n == 0 || n > 65 {
				t.Errorf("%d lines in five minutes:\n%.2000s", n, b.log)
			}
			for _, code := range codes {
				if !strings.Contains(b.log.String(), code) {
					t.Errorf("%s is not told", code)
				}
			}
		})
	}
}

// The end of an outage tells how long it was, and how much was not written.
func TestEndOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		for range 2 {
			b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
			chunk := b.lines.Chunk("a", 1)
			for range 7 {
				b.o.Flush("a", chunk)
				time.Sleep(20 * time.Second)
			}
			b.server.SetFault(nil)
			b.deliver("a", chunk)
			time.Sleep(2 * time.Minute)
		}
		b.check()
		if n := strings.Count(b.log.String(), "failed=7"); n != 2 {
			t.Errorf("told %d times that 7 failed:\n%s", n, b.log)
		}
	})
}

// An outage of every kind is told in a few lines.
func TestLogOfAnOutage(t *testing.T) {
	for _, kind := range []azuretest.FaultKind{azuretest.CutBefore, azuretest.BlackHole, azuretest.Busy, azuretest.Internal, azuretest.Throttled, azuretest.Denied} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.send("t0", 1)
				b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} })
				var workers sync.WaitGroup
				for w := range 4 {
					workers.Go(func() {
						for i := range 600 {
							b.o.Flush(fmt.Sprint("t", w), b.lines.Chunk("x", 1))
							time.Sleep(time.Second)
							_ = i
						}
					})
				}
				start := time.Now()
				workers.Wait()
				minutes := int(time.Since(start).Minutes())
				if n := strings.Count(b.log.String(), "\n"); n < 1 || n > minutes+10 {
					t.Errorf("%d lines in %d minutes:\n%.3000s", n, minutes, b.log)
				}
			})
		})
	}
}

// What is queued when storage is away, or answers that it is busy, is settled soon: a
// Fluent Bit that ends waits for it.
func TestQueueInAnOutage(t *testing.T) {
	for _, kind := range []azuretest.FaultKind{azuretest.CutBefore, azuretest.BlackHole, azuretest.Busy, azuretest.Internal, azuretest.Throttled} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} })
				b.o.Flush("first", b.lines.Chunk("x", 1))
				start := time.Now()
				var workers sync.WaitGroup
				for range 2 {
					workers.Go(func() {
						for i := range 30 {
							if r := b.o.Flush(fmt.Sprint("t", i), b.lines.Chunk("x", 1)); r != Retry {
								t.Error(r)
							}
						}
					})
				}
				workers.Wait()
				if d := time.Since(start); d > 30*time.Second {
					t.Errorf("%v for 60 flushes", d)
				}
			})
		})
	}
}

// However little time a flush has, it finds out that storage is back.
func TestOutageWithLittleTime(t *testing.T) {
	for _, timeout := range []string{"1s", "3s"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, "flush_timeout="+timeout)
			b.lines.AnyOrder = true
			b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
			go b.send("a", 1)
			time.Sleep(6 * time.Second)
			b.server.SetFault(nil)
			time.Sleep(5 * time.Second)
			b.send("b", 1)
			b.check()
		})
	}
}

// The text of an error may be another each time.
func TestLogOfErrorsThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		var port atomic.Int64
		o, err := New(b.settings(), Options{
			Log: slog.New(slog.NewTextHandler(b.log, nil)),
			Transport: transportFunc(func(*http.Request) (*http.Response, error) {
				return nil, fmt.Errorf("read tcp 10.0.0.1:%d->10.0.0.2:443: connection reset by peer", port.Add(1))
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		var flushes sync.WaitGroup
		for i := range 50 {
			flushes.Go(func() { o.Flush(fmt.Sprint("t", i), b.lines.Chunk("x", 1)) })
		}
		flushes.Wait()
		if n := strings.Count(b.log.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%.2000s", n, b.log)
		}
		for range 100 {
			o.accounts[0].outage.failedOn("a", fmt.Errorf("port %d", port.Add(1)))
			time.Sleep(5 * time.Second)
		}
		if n := len(o.accounts[0].outage.said); n > int(sayEvery/sayOther)+1 {
			t.Errorf("%d errors are remembered", n)
		}
	})
}
