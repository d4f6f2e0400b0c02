package output

import (
	"testing"
)

func TestBuffers(t *testing.T) {
	var p bufferPool
	for i := range 100 {
		p.put(make([]byte, 1<<20))
		p.put(make([]byte, 1<<10))
		if n := 1 << (i % 20); cap(p.get(n)) < n {
			t.Fatalf("a buffer for %d bytes is too small", n)
		}
	}
	size := 0
	for _, b := range p.free {
		size += cap(b)
	}
	if size != p.size || size > mostBuffers {
		t.Errorf("%d bytes are kept, counted as %d", size, p.size)
	}
	for range 2 {
		p.trim()
	}
	if len(p.free) != 0 || p.size != 0 {
		t.Error("what nobody uses is kept")
	}
}

// Buffers of a size that is not asked for any more make room for those that are.
func TestBuffersOfAnotherSize(t *testing.T) {
	var p bufferPool
	for range mostBuffers >> 12 {
		p.put(make([]byte, 4<<10))
	}
	p.trim()
	const size = 1 << 20
	for range 3 {
		p.put(p.get(size))
		p.trim()
	}
	if b := p.get(size); len(p.free) > 10 {
		t.Errorf("%d buffers are kept that nobody asks for; got one of %d", len(p.free), cap(b))
	}
}
