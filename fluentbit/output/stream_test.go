package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// stream is the one of that blob.
func (b *bed) stream(blob string) *stream {
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	return b.o.streams[blob]
}

func TestTake(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		sizes []int
		want  []int // batches in each group
	}{
		{nil, nil},
		{[]int{1}, []int{1}},
		{[]int{3 * mib, 3 * mib, 3 * mib}, []int{2, 1}},
		{[]int{20 * mib, 1, 1}, []int{1, 2}},
		{make([]int, 150), []int{64, 64, 22}},
	} {
		s := &stream{running: true}
		for _, n := range c.sizes {
			s.queue = append(s.queue, &batch{data: make([]byte, n)})
		}
		var got []int
		for group := s.take(); group != nil; group = s.take() {
			got = append(got, len(group))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%d batches: groups of %v, want %v", len(c.sizes), got, c.want)
		}
		if s.running || s.queue != nil {
			t.Error("it is not at rest")
		}
	}
}

// What is remembered of chunks has an end.
func TestMemoryIsBounded(t *testing.T) {
	var s stream
	for i := range mark(3 * maxMemory) {
		s.lose([]*batch{{as: 200 * i}})
		s.comesAgain(200 * i)
	}
	if len(s.doubt) != maxMemory || len(s.landed) != maxMemory {
		t.Errorf("%d in doubt, %d landed", len(s.doubt), len(s.landed))
	}
	if last := mark(3*maxMemory-1) * 200; s.doubt[maxMemory-1] != last || s.landed[maxMemory-1].mark != last {
		t.Error("the newest are not kept")
	}
}

func TestGoneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.send("a", 1)
		s := b.stream("a.log")
		time.Sleep(12 * time.Minute)
		if s.add(&batch{}) || s.comesAgain(1) {
			t.Error("a stream that is gone takes more")
		}
	})
}

// Chunks that come again after longer than idle_timeout are still known, and what is
// remembered for them is forgotten in the end.
func TestRetryAfterIdle(t *testing.T) {
	for _, idle := range []string{"1m", "0"} {
		for _, how := range []string{"in doubt", "another blob failed"} {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, "path=$to.log", "idle_timeout="+idle)
				var failing atomic.Bool
				if how == "in doubt" {
					failing.Store(true)
					b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
						switch {
						case !failing.Load() || r.Op == azuretest.HeadBlob && r.N <= 4:
							return azuretest.Fault{}
						case r.Op == azuretest.PutBlob:
							return azuretest.Fault{Kind: azuretest.LostAnswer}
						}
						return azuretest.Fault{Kind: azuretest.BlackHole}
					})
				} else {
					b.refuse("b.log", azuretest.Fault{Kind: azuretest.Denied}, &failing)
				}
				chunk := flbtest.Chunk(to("a", "1"), to("b", "2"))
				if r := b.o.Flush("any", chunk); r != Retry {
					t.Fatal(r)
				}
				failing.Store(false)
				time.Sleep(2000 * time.Second)
				b.server.ResetLog()
				b.deliver("any", chunk)
				b.expect("a.log", 1)
				b.expect("b.log", 1)
				time.Sleep(remember + time.Hour)
				if n := b.streams(); n != 0 {
					t.Errorf("idle_timeout %s, %s: %d streams are kept", idle, how, n)
				}
			})
		}
	}
}

// A stream that is kept for a chunk that may come again is marked once, and costs no more
// requests, until that has not come for long.
func TestKeptStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		chunk := b.lines.Chunk("a", 1)
		b.deliver("a", chunk)
		b.start() // the chunk may come again
		b.send("a", 1)
		b.server.ResetLog()
		time.Sleep(90 * time.Minute)
		if n := len(b.server.Log()); n != 1 || b.meta("a.log")["complete"] != "1" {
			t.Errorf("%d requests: %s", n, b.requests())
		}
		if n := b.streams(); n != 1 {
			t.Errorf("%d streams are kept", n)
		}
		b.start() // what is marked as complete has its cursor still
		b.deliver("a", chunk)
		b.check()
		time.Sleep(remember + time.Hour)
		if n := b.streams(); n != 0 {
			t.Errorf("%d streams are kept", n)
		}
	})
}

// A blob that nothing could be written to does not come to be by being marked.
func TestNothingWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		var failing atomic.Bool
		b.refuse("a.log", azuretest.Fault{Kind: azuretest.Denied}, &failing)
		if r := b.o.Flush("a", flbtest.LogChunk(time.Now(), "x")); r != Retry {
			t.Fatal(r)
		}
		failing.Store(false)
		time.Sleep(time.Hour)
		if names := b.server.Blobs("logs"); len(names) != 0 {
			t.Errorf("blobs %q", names)
		}
	})
}

// The mark of a blob is not answered: that is no harm to what comes next, nor to others.
func TestMarkIsNotAnswered(t *testing.T) {
	for _, kind := range []azuretest.FaultKind{azuretest.BlackHole, azuretest.LostAnswer, azuretest.Late} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, "idle_timeout=1m")
			var failing atomic.Bool
			b.send("a", 1)
			time.Sleep(50 * time.Second)
			b.send("b", 1)
			b.refuse("a.log", azuretest.Fault{Kind: kind, Delay: 12 * time.Second}, &failing)
			time.Sleep(70 * time.Second)
			if b.meta("b.log")["complete"] != "1" {
				t.Errorf("%v: another blob is not marked", kind)
			}
			failing.Store(false)
			if r := b.o.Flush("a", b.lines.Chunk("a", 1)); r != OK {
				t.Errorf("%v: what comes next: %v", kind, r)
			}
			if b.meta("a.log")["complete"] != "" {
				t.Errorf("%v: it is complete, and goes on", kind)
			}
			time.Sleep(5 * time.Minute)
			if b.meta("a.log")["complete"] != "1" {
				t.Errorf("%v: it is not complete", kind)
			}
			b.check()
		})
	}
}

// While storage is away, marking many blobs takes no thread for long and few requests.
func TestMarksInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=1m")
		for i := range 200 {
			b.send(fmt.Sprint("t", i), 1)
		}
		var requests atomic.Int64
		b.server.SetFault(func(azuretest.Request) azuretest.Fault {
			requests.Add(1)
			return azuretest.Fault{Kind: azuretest.BlackHole}
		})
		time.Sleep(30 * time.Minute)
		if n := requests.Load(); n > 200 {
			t.Errorf("%d requests", n)
		}
		b.server.SetFault(nil)
		time.Sleep(3 * time.Minute)
		for i := range 200 {
			if b.meta(fmt.Sprintf("t%d.log", i))["complete"] != "1" {
				t.Fatalf("t%d is not complete", i)
			}
		}
		if n := b.streams(); n != 0 {
			t.Errorf("%d streams are kept", n)
		}
		b.check()
	})
}

// A doubt ends with the next commit: what comes later and is alike is new.
func TestDoubtEnds(t *testing.T) {
	for _, ends := range []string{"commit", "mark"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, "idle_timeout=1m")
			var failing atomic.Bool
			chunk := flbtest.LogChunk(time.Unix(1, 0), "tick")
			other := func() { b.deliver("a", flbtest.LogChunk(time.Now(), "other")) }
			other()
			fail := func(c []byte) {
				b.refuse("a.log", azuretest.Fault{Kind: azuretest.CutBefore}, &failing)
				if r := b.o.Flush("a", c); r != Retry {
					t.Fatal(r)
				}
				failing.Store(false)
				time.Sleep(5 * time.Second)
			}
			fail(chunk)
			if ends == "mark" {
				time.Sleep(comesBack + 3*time.Minute)
				if n := b.streams(); n != 0 {
					t.Errorf("%d streams are kept", n)
				}
			}
			b.deliver("a", chunk)
			fail(flbtest.LogChunk(time.Unix(2, 0), "given up by Fluent Bit"))
			other()
			b.deliver("a", chunk)
			b.expect("a.log", 4)
		})
	}
}

// The predecessor's last commit, or our own, that lands late is no other Fluent Bit.
func TestLateCommitIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.send("a", 1)
		late := true
		b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
			switch {
			case !late:
				return azuretest.Fault{}
			case r.Op == azuretest.PutBlob:
				return azuretest.Fault{Kind: azuretest.Late, Delay: 13050 * time.Millisecond}
			}
			return azuretest.Fault{Kind: azuretest.BlackHole}
		})
		chunk := b.lines.Chunk("a", 1)
		if r := b.o.Flush("a", chunk); r != Retry {
			t.Fatal(r)
		}
		late = false
		time.Sleep(3 * time.Second)
		// It lands between the look and the commit of the next.
		b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
			if r.Op == azuretest.PutBlob {
				return azuretest.Fault{Delay: 100 * time.Millisecond}
			}
			return azuretest.Fault{}
		})
		b.deliver("a", chunk)
		b.send("a", 1)
		b.check()
		if strings.Contains(b.log.String(), "another Fluent Bit") {
			t.Errorf("told:\n%s", b.log)
		}
	})
}

// Many batches are queued, and the answer for those that were written is lost.
func TestLongQueueInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.lines.AnyOrder = true
		b.send("a", 1)
		var failing atomic.Bool
		failing.Store(true)
		n := 0
		b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
			switch {
			case !failing.Load():
				return azuretest.Fault{}
			case r.Op == azuretest.PutBlob:
				if n++; n == 1 {
					return azuretest.Fault{Delay: 3 * time.Second} // the others are queued
				}
				return azuretest.Fault{Kind: azuretest.LostAnswer}
			case n == 1:
				return azuretest.Fault{}
			}
			return azuretest.Fault{Kind: azuretest.BlackHole}
		})
		const many = 200
		var chunks [many][]byte
		var again [many]bool
		var flushes sync.WaitGroup
		for i := range many {
			chunks[i] = b.lines.Chunk("a", 1)
			flushes.Go(func() { again[i] = b.o.Flush("a", chunks[i]) == Retry })
		}
		flushes.Wait()
		failing.Store(false)
		for i, c := range chunks {
			if again[i] {
				b.deliver("a", c)
			}
		}
		b.check()
	})
}

// What others bring is given time, though the first has little left.
func TestTimeOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "flush_timeout=20s")
		b.lines.AnyOrder = true
		b.send("a", 1)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 8 * time.Second} })
		var flushes sync.WaitGroup
		flush := func(size int) {
			b.lines.Size = size
			chunk := b.lines.Chunk("a", 1)
			flushes.Go(func() {
				if r := b.o.Flush("a", chunk); r != OK {
					t.Errorf("%d bytes: %v", size, r)
				}
			})
			time.Sleep(time.Second)
		}
		flush(0)
		flush(0)
		for range 3 {
			flush(1 << 20)
		}
		flushes.Wait()
	})
}

// lingering is a transport that goes on reading the body of a request that it has given
// up, as net/http may.
type lingering struct {
	*http.Client
	give bool
	body io.Reader
}

func (l *lingering) Do(r *http.Request) (*http.Response, error) {
	if l.give && r.Method == http.MethodPut {
		l.give, l.body = false, r.Body
		return nil, errors.New("connection reset by peer")
	}
	return l.Client.Do(r)
}

// Bytes of a request that may still be under way are not used again, whether the commit
// has passed in the end or not.
func TestBuffersOfRequestsUnderWay(t *testing.T) {
	for _, compress := range []string{"none", "gzip"} {
		for _, passes := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, "compress="+compress)
				b.lines.AnyOrder = true
				l := &lingering{Client: &http.Client{Transport: b.server.Transport()}}
				o, err := New(b.settings(), Options{Transport: l})
				if err != nil {
					t.Fatal(err)
				}
				b.o.Close()
				b.o = o
				b.lines.Size = 200
				for i := range 20 {
					tag := fmt.Sprint("t", i)
					l.give = true
					if !passes {
						b.server.SetFault(func(r azuretest.Request) (f azuretest.Fault) {
							if r.Op == azuretest.PutBlob {
								f.Kind = azuretest.Denied
							}
							return f
						})
					}
					chunk := b.lines.Chunk(tag, 5)
					b.o.Flush(tag, chunk)
					b.server.SetFault(nil)
					first, _ := b.server.Blob("logs", tag+".log")
					for j := range 5 { // buffers are used again
						b.send(fmt.Sprint(tag, "-", j), 5)
					}
					late, err := io.ReadAll(l.body)
					if err != nil {
						t.Fatal(err)
					}
					if passes && !bytes.Equal(late, first.Content) || !passes && bytes.Contains(late, []byte(tag+"-")) {
						t.Fatalf("flush %d: the request's bytes have changed to %.100q", i, late)
					}
					if !passes {
						b.deliver(tag, chunk)
					}
				}
				b.check()
			})
		}
	}
}
