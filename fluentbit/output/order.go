package output

import (
	"sync"
	"time"
)

// order lets flushes of one tag pass in the order of their first events. Fluent Bit
// hands chunks of a tag to several workers at the same moment, and they reach us in
// any order. So each waits for a moment in which an earlier one may come; a large chunk
// takes as long to be decoded.
type order struct {
	mu      sync.Mutex
	changed sync.Cond // L is mu
	waiting []*place
}

// moment is how far apart chunks may reach us that were sent together.
const moment = 2 * time.Millisecond

type place struct {
	tag     string
	first   time.Time
	entered time.Time
}

// enter takes a place for a flush whose first event has that time.
func (o *order) enter(tag string, first time.Time) *place {
	p := &place{tag: tag, first: first, entered: time.Now()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, p)
	return p
}

// wait returns when no flush of the tag with earlier events is before p.
func (o *order) wait(p *place) {
	time.Sleep(moment - time.Since(p.entered))
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.blocked(p) {
		o.changed.Wait()
	}
}

func (o *order) blocked(p *place) bool {
	before := true // of those with events at the same time, the first to come
	for _, other := range o.waiting {
		if other == p {
			before = false
		} else if other.tag == p.tag && (other.first.Before(p.first) || before && other.first.Equal(p.first)) {
			return true
		}
	}
	return false
}

// leave gives the place up.
func (o *order) leave(p *place) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, other := range o.waiting {
		if other == p {
			o.waiting = append(o.waiting[:i], o.waiting[i+1:]...)
			break
		}
	}
	o.changed.Broadcast()
}
