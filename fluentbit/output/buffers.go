package output

import (
	"slices"
	"sync"
)

// buffers are for batches, and shared by all instances. A sync.Pool would be emptied by
// the garbage collector, which runs at nearly every flush where the heap is as small as
// it is here: a chunk would have fresh memory each time, and fault it in page by page.
var buffers bufferPool

const mostBuffers = 16 << 20 // bytes in the pool

type bufferPool struct {
	mu   sync.Mutex
	free [][]byte
	size int // capacity of all that are free
	low  int // the fewest that were free since the last trim
}

// get is an empty buffer with room for n bytes.
func (p *bufferPool) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if b := p.free[i]; cap(b) >= n {
			last := len(p.free) - 1
			p.free[i], p.free[last] = p.free[last], nil
			p.free = p.free[:last]
			p.size -= cap(b)
			p.low = min(p.low, last)
			return b
		}
	}
	if n == 0 {
		return nil
	}
	return make([]byte, 0, n)
}

// put gives a buffer back.
func (p *bufferPool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(b) > 0 && p.size+cap(b) <= mostBuffers {
		p.free = append(p.free, b[:0])
		p.size += cap(b)
	}
}

// trim drops the buffers that were not needed since it was called last.
func (p *bufferPool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.free[:p.low] { // those in use came back to the end
		p.size -= cap(b)
	}
	p.free = slices.Delete(p.free, 0, p.low)
	p.low = len(p.free)
}
