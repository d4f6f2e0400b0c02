package liveblob

import (
	"cmp"
	"container/list"
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory that writers spend on the bytes of their tails. It is
// a cache: what it drops is read back when a merge needs it. The least recently used
// tail goes first; but the last bytes of a tail are wanted soonest, at the next carry,
// and its first ones after thousands of flushes, so it loses its first half, and the
// rest only when its turn comes again. Writers of one process share one.
type Budget struct {
	// Limit is in bytes. 0: 8 MiB, besides the tail that was used last: a log that is
	// alone has all of its tail at hand, up to 16 MiB, and many share what is little
	// for each.
	Limit int64

	mu   sync.Mutex
	used int64     // room of all kept bytes, and their places; guarded by mu
	kept list.List // of *cached, the next to go first; guarded by mu

	once   sync.Once
	merges *semaphore.Weighted // bytes of large merges; made by once
}

// shared is the budget of writers that bring none.
var shared Budget

const (
	defaultBudget = 8 << 20
	placeSize     = 160     // bytes that a place takes besides
	small         = 4 << 10 // bytes of a tail that goes as a whole
	largeMerge    = 256 << 10
)

// cached is one writer's place in a Budget. It is not a part of the Writer, so
// that a budget keeps no writer alive that its host has dropped.
type cached struct {
	bytes rope          // empty when dropped or borrowed; guarded by Budget.mu
	room  int64         // that bytes take; guarded by Budget.mu
	place *list.Element // nil unless kept; guarded by Budget.mu
}

// borrow hands the bytes to the writer, which owns them until it keeps them again:
// the end of its tail, as far as it was not dropped.
func (b *Budget) borrow(c *cached) rope {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(c)
}

// keep takes bytes into the cache, which may drop them, or others, at once.
func (b *Budget) keep(c *cached, bytes rope) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(c)
	if bytes.size == 0 {
		return
	}
	b.place(c, bytes)
	limit := b.Limit
	if limit == 0 {
		limit = defaultBudget + c.room
	}
	for b.used > limit {
		next := b.kept.Front().Value.(*cached)
		if next == c && b.kept.Len() > 1 {
			b.kept.MoveToBack(c.place)
			continue
		}
		if bytes := b.remove(next); bytes.size > small {
			bytes.drop(bytes.size / 2)
			b.place(next, bytes)
		}
	}
}

func (b *Budget) place(c *cached, bytes rope) {
	c.bytes, c.room, c.place = bytes, bytes.room()+placeSize, b.kept.PushBack(c)
	b.used += c.room
}

func (b *Budget) remove(c *cached) rope {
	bytes := c.bytes
	if c.place != nil {
		b.kept.Remove(c.place)
		b.used -= c.room
	}
	c.bytes, c.room, c.place = rope{}, 0, nil
	return bytes
}

// begin waits until a merge of n bytes of a tail may have them in memory, which end
// gives back: streams that were begun together make their large merges together.
func (b *Budget) begin(ctx context.Context, n int64) (end func(), err error) {
	if n <= largeMerge {
		return func() {}, nil
	}
	n = min(n, cmp.Or(b.Limit, defaultBudget))
	if err := b.semaphore().Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { b.semaphore().Release(n) }, nil
}

// crowded reports that begin would wait.
func (b *Budget) crowded(n int64) bool {
	n = min(n, cmp.Or(b.Limit, defaultBudget))
	if n <= largeMerge {
		return false
	}
	if !b.semaphore().TryAcquire(n) {
		return true
	}
	b.semaphore().Release(n)
	return false
}

func (b *Budget) semaphore() *semaphore.Weighted {
	b.once.Do(func() { b.merges = semaphore.NewWeighted(cmp.Or(b.Limit, defaultBudget)) })
	return b.merges
}
