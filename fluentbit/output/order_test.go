package output

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// A tag's flushes that come at the same moment pass in the order of their events.
func TestOrderOfATag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		const n = 8
		var chunks [n][]byte
		for round := range 20 {
			at := time.Unix(int64(round), 0)
			for i := range chunks {
				chunks[i] = flbtest.LogChunk(at.Add(time.Duration(i)*time.Millisecond), b.lines.Lines("a", 50)...)
			}
			var flushes sync.WaitGroup
			for i := n - 1; i >= 0; i-- {
				flushes.Go(func() { b.deliver("a", chunks[i]) })
				synctest.Wait() // it is waiting for earlier ones
			}
			flushes.Wait()
		}
		b.check()
	})
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		o.changed.L = &o.mu
		var got []int
		var mu sync.Mutex
		places := make([]*place, 6)
		for i, at := range []int{5, 3, 4, 1, 2, 1} {
			places[i] = o.enter("a", time.Unix(int64(at), 0))
		}
		other := o.enter("b", time.Unix(0, 0))
		for i, p := range places {
			go func() {
				o.wait(p)
				mu.Lock()
				got = append(got, i)
				mu.Unlock()
				o.leave(p)
			}()
		}
		time.Sleep(moment)
		synctest.Wait()
		o.leave(other)
		if s := fmt.Sprint(got); s != "[3 5 4 1 2 0]" {
			t.Error(s)
		}
		if len(o.waiting) != 0 {
			t.Error("places are left")
		}
	})
}
