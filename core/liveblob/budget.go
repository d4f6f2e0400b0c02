package liveblob

import (
	"container/list"
	"sync"
)

// Budget bounds the memory that writers spend on the bytes of their tails. It is
// a cache: what it drops, least recently used first, is read back when a merge
// needs it. Writers of one process share one.
type Budget struct {
	// Limit is in bytes; 0: 16 MiB.
	Limit int64

	mu   sync.Mutex
	used int64     // capacity of all kept bytes, and their places; guarded by mu
	kept list.List // of *cached, least recently used first; guarded by mu
}

// shared is the budget of writers that bring none.
var shared Budget

const (
	defaultBudget = 16 << 20
	placeSize     = 160 // bytes that a place takes besides
)

// cached is one writer's place in a Budget. It is not a part of the Writer, so
// that a budget keeps no writer alive that its host has dropped.
type cached struct {
	bytes []byte        // nil when dropped or borrowed; guarded by Budget.mu
	place *list.Element // nil unless kept; guarded by Budget.mu
}

// borrow hands the bytes to the writer, which owns them until it keeps them again.
// nil: they were dropped.
func (b *Budget) borrow(c *cached) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(c)
}

// keep takes bytes into the cache, which may drop them, or others, at once.
func (b *Budget) keep(c *cached, bytes []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(c)
	if cap(bytes) == 0 {
		return
	}
	c.bytes = bytes
	c.place = b.kept.PushBack(c)
	b.used += int64(cap(bytes)) + placeSize
	limit := b.Limit
	if limit == 0 {
		limit = defaultBudget
	}
	for b.used > limit && b.kept.Len() > 0 {
		b.remove(b.kept.Front().Value.(*cached))
	}
}

func (b *Budget) remove(c *cached) []byte {
	bytes := c.bytes
	if c.place != nil {
		b.kept.Remove(c.place)
		b.used -= int64(cap(bytes)) + placeSize
	}
	c.bytes, c.place = nil, nil
	return bytes
}
