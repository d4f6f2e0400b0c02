package liveblob

import (
	"encoding/base64"
	"encoding/binary"
	"io"
)

const (
	base      = 16        // blocks of one level that merge into one of the next
	minWindow = 256 << 10 // bytes
	maxWindow = 4 << 20
	wholeMax  = 64 << 10 // bytes of a blob that one Put Blob sends whole
	splitMin  = 8 << 20  // bytes above which a body is staged in parts
	partSize  = 4 << 20
)

// window is the size at which the tail of a blob of size bytes is sealed.
func window(size int64) int64 {
	return min(max(size/256, minWindow), maxWindow)
}

// block is one block of the tail.
type block struct {
	id    string // base64
	level uint8  // how many carries made it
	size  int64  // bytes
}

// tail is the end of a blob that later flushes may still merge. Its total is
// always below the window.
type tail struct {
	blocks []block // levels never rise from one to the next, but after a resume
	size   int64   // bytes of all blocks
}

// join says how n more bytes join the tail: the first keep blocks stay, those
// behind them and the new bytes become one block of the given level; sealed means
// that nothing will merge with it any more. from is where, in the tail's bytes,
// the merged ones begin.
func (t *tail) join(n, window int64) (keep int, from int64, level uint8, sealed bool) {
	if t.size+n >= window {
		return 0, 0, 0, true
	}
	keep, from = len(t.blocks), t.size
	for {
		run, bytes := 0, int64(0)
		for run < base-1 && run < keep && t.blocks[keep-1-run].level == level {
			bytes += t.blocks[keep-1-run].size
			run++
		}
		if run < base-1 {
			return keep, from, level, false
		}
		keep -= run
		from -= bytes
		level++
	}
}

// blockID is drawn in the package comment.
func blockID(nonce [6]byte, counter uint64) string {
	var raw [14]byte
	binary.BigEndian.PutUint64(raw[6:], counter)
	copy(raw[2:], nonce[:]) // the counter's upper two bytes are always zero
	return base64.StdEncoding.EncodeToString(raw[2:])
}

// body is a request's body in two pieces, the tail's bytes and the new ones, so
// that a merge copies nothing. Each try gets a new one: net/http may still read
// from the last try's.
type body struct {
	a, b []byte
	pos  int
}

func (r *body) Read(p []byte) (int, error) {
	n := 0
	if r.pos < len(r.a) {
		n = copy(p, r.a[r.pos:])
	}
	if r.pos+n >= len(r.a) {
		n += copy(p[n:], r.b[r.pos+n-len(r.a):])
	}
	r.pos += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += int64(r.pos)
	case io.SeekEnd:
		offset += int64(len(r.a) + len(r.b))
	}
	r.pos = int(offset)
	return offset, nil
}

func (r *body) Close() error { return nil }

// slice is the body of bytes lo to hi of a and b together.
func slice(a, b []byte, lo, hi int) *body {
	cut := func(s []byte, lo, hi int) []byte { return s[min(max(lo, 0), len(s)):min(max(hi, 0), len(s))] }
	return &body{a: cut(a, lo, hi), b: cut(b, lo-len(a), hi-len(a))}
}
