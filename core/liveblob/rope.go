package liveblob

import "io"

// rope is bytes in pieces: a tail's, which grow at the end by flushes and are dropped
// from the front. Nothing is copied as it grows, and a piece's bytes never change, so
// that a request which is still under way may read them.
type rope struct {
	pieces [][]byte
	size   int64 // bytes in all pieces
}

const maxPiece = 64 << 10

// append copies p to the end.
func (r *rope) append(p []byte) {
	r.size += int64(len(p))
	for len(p) > 0 {
		last := len(r.pieces) - 1
		if last < 0 || len(r.pieces[last]) == cap(r.pieces[last]) {
			// A quarter of what there is, so that little is empty, and a large tail
			// has few pieces.
			n := max(int64(len(p)), min(r.size/4, maxPiece))
			r.pieces = append(r.pieces, make([]byte, 0, n))
			last++
		}
		piece := r.pieces[last]
		n := copy(piece[len(piece):cap(piece)], p)
		r.pieces[last] = piece[:len(piece)+n]
		p = p[n:]
	}
}

// prepend puts p, which now belongs to the rope, before its bytes.
func (r *rope) prepend(p []byte) {
	r.pieces = append([][]byte{p}, r.pieces...)
	r.size += int64(len(p))
}

// drop forgets all but the last n bytes, in pieces of their own.
func (r *rope) drop(n int64) {
	var left rope
	for _, p := range newBody(*r, min(n, r.size), nil).pieces {
		left.append(p)
	}
	*r = left
}

// room is what the rope takes in memory, in bytes.
func (r *rope) room() int64 {
	n := int64(0)
	for _, p := range r.pieces {
		n += int64(cap(p)) + pieceSize
	}
	return n
}

const pieceSize = 24 // bytes that the place of a piece takes

// body is a request's body: the end of a tail, and the new bytes after it. Each try
// gets a new one: net/http may still read from the last try's.
type body struct {
	pieces [][]byte
	size   int64
	pos    int64 // in all

	piece, at int // where pos is: the next byte to read
}

// newBody is the last n bytes of old, and data.
func newBody(old rope, n int64, data []byte) *body {
	b := &body{pieces: make([][]byte, 0, len(old.pieces)+1), size: n + int64(len(data))}
	skip := old.size - n
	for _, p := range old.pieces {
		if skip >= int64(len(p)) {
			skip -= int64(len(p))
			continue
		}
		b.pieces = append(b.pieces, p[skip:])
		skip = 0
	}
	b.pieces = append(b.pieces, data)
	return b
}

// cut is bytes lo to hi of b, hi at most its end.
func (b *body) cut(lo, hi int64) *body {
	part := &body{size: hi - lo}
	for _, p := range b.pieces {
		n := int64(len(p))
		if from, to := max(lo, 0), min(hi, n); from < to {
			part.pieces = append(part.pieces, p[from:to])
		}
		lo, hi = lo-n, hi-n
	}
	return part
}

func (b *body) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && b.piece < len(b.pieces) {
		m := copy(p[n:], b.pieces[b.piece][b.at:])
		n, b.at = n+m, b.at+m
		if b.at == len(b.pieces[b.piece]) {
			b.piece, b.at = b.piece+1, 0
		}
	}
	b.pos += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.size
	}
	b.pos, b.piece = offset, 0
	for b.piece < len(b.pieces) && offset >= int64(len(b.pieces[b.piece])) {
		offset -= int64(len(b.pieces[b.piece]))
		b.piece++
	}
	b.at = int(offset)
	return b.pos, nil
}

func (b *body) Close() error { return nil }
