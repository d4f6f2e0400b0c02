package liveblob

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// roomOf is what n bytes in one piece take.
func roomOf(n int64) int64 { return n + pieceSize + placeSize }

func TestBudgetDropsTheLeastRecentlyUsed(t *testing.T) {
	b := &Budget{Limit: 3*roomOf(40) - 1}
	bytes := func(n int) rope { return ropeOf(strings.Repeat("x", n)) }
	var one, two, three cached
	b.keep(&one, bytes(40))
	b.keep(&two, bytes(40))
	b.keep(&one, b.borrow(&one)) // used again
	b.keep(&three, bytes(40))
	if b.borrow(&two).size != 0 {
		t.Error("the least recently used bytes were kept over the limit")
	}
	if b.borrow(&one).size != 40 || b.borrow(&three).size != 40 {
		t.Error("bytes within the limit were dropped")
	}
	b.keep(&one, bytes(int(b.Limit)))
	if b.borrow(&one).size != 0 {
		t.Error("bytes over the limit were kept")
	}
	if b.used != 0 || b.kept.Len() != 0 {
		t.Errorf("an empty budget has %d bytes in %d places", b.used, b.kept.Len())
	}
}

// Unless a limit is set, a log that is alone has all of its tail at hand.
func TestBudgetOfOne(t *testing.T) {
	b := new(Budget)
	var one, two cached
	b.keep(&one, rope{pieces: [][]byte{make([]byte, maxWindow)}, size: maxWindow})
	if b.borrow(&one).size != maxWindow {
		t.Error("the tail was cut")
	}
	b.keep(&one, rope{pieces: [][]byte{make([]byte, maxWindow)}, size: maxWindow})
	b.keep(&two, ropeOf("a line"))
	if got := b.borrow(&one).size; got < defaultBudget/4 || got > defaultBudget {
		t.Errorf("beside another log, %d bytes of it are kept", got)
	}
	if b.borrow(&two).size == 0 {
		t.Error("the tail that was used last was dropped")
	}
}

// Where room is short, large tails in use keep their ends, and what nobody has used
// for long goes whatever its size.
func TestBudgetKeepsTheEndsOfLargeTails(t *testing.T) {
	b := &Budget{Limit: 1 << 20}
	tail := func(n int) (r rope) {
		for range n / 100 {
			r.append(make([]byte, 100))
		}
		return r
	}
	var stale [500]cached
	for i := range stale {
		b.keep(&stale[i], tail(1_000))
	}
	var used [10]cached
	for round := range 20 {
		for i := range used {
			r := b.borrow(&used[i])
			if round > 0 && r.size < small {
				t.Fatalf("round %d: of tail %d, %d bytes are left", round, i, r.size)
			}
			r.append(make([]byte, 150_000))
			b.keep(&used[i], r)
			if b.used > b.Limit {
				t.Fatalf("%d bytes are kept, the limit is %d", b.used, b.Limit)
			}
		}
	}
	if b.borrow(&used[len(used)-1]).size < 150_000 {
		t.Error("the tail that was used last was cut")
	}
	for i := range stale {
		if b.borrow(&stale[i]).size > 0 {
			t.Fatalf("tail %d is still there, and others were cut", i)
		}
	}
}

func TestBudgetAlwaysKeepsTheEnd(t *testing.T) {
	b := &Budget{Limit: 200_000}
	var places [8]cached
	var whole [8]string
	for i := range 20_000 {
		k := rand.IntN(len(places))
		r := b.borrow(&places[k])
		if !strings.HasSuffix(whole[k], r.String()) {
			t.Fatalf("step %d: the bytes are not the end of the tail", i)
		}
		if rand.IntN(50) == 0 {
			whole[k], r = "", rope{}
		}
		p := strings.Repeat(string(rune('a'+i%26)), rand.IntN(2_000))
		whole[k] += p
		r.append([]byte(p))
		b.keep(&places[k], r)
		if b.used > b.Limit {
			t.Fatalf("step %d: %d bytes are kept", i, b.used)
		}
	}
}

// Streams that were begun together do not make their large merges all at once.
func TestBudgetLimitsMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{Limit: 1 << 20}
		const n = 400 << 10
		var now, most, done atomic.Int64
		for range 50 {
			go func() {
				end, err := b.begin(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), now.Add(n)))
				time.Sleep(time.Second)
				now.Add(-n)
				done.Add(1)
				end()
			}()
		}
		synctest.Wait()
		if !b.crowded(n) || b.crowded(1_000) {
			t.Error("large merges wait for room, and small ones never do")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := b.begin(ctx, n); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("begin without room: %v", err)
		}
		time.Sleep(time.Minute)
		if most.Load() > b.Limit || done.Load() != 50 || b.crowded(n) {
			t.Errorf("%d merges were made, with up to %d bytes at once", done.Load(), most.Load())
		}
		end, err := b.begin(t.Context(), 5*b.Limit) // one that is larger than all of it
		if err != nil {
			t.Fatal(err)
		}
		end()
	})
}
