package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Reader reads the stream from one offset on. It belongs to one goroutine at a time.
// It keeps a file open, and no memory to speak of while it waits.
type Reader struct {
	s    *Spool
	at   int64    // the next byte's offset
	seg  *segment // that scan is in; nil: to be looked up
	file *os.File // of seg
	scan scanner
	ev   event // what scan has found last
	done bool
}

// Reader gives a reader that stands at offset. It must be closed.
func (s *Spool) Reader(offset int64) *Reader { return &Reader{s: s, at: offset} }

// Offset is that of the next byte. Where offsets were skipped and nothing is lost, it
// may pass more of them than bytes were read.
func (r *Reader) Offset() int64 { return r.at }

// MoveTo sets where the reader stands, to GapError.To say.
func (r *Reader) MoveTo(offset int64) {
	if offset < r.at && (r.ev.data == nil || offset < r.ev.from) {
		r.seg = nil
	}
	r.at = offset
}

// Batch gives the rest of the batch that the reader stands in and its offset, as
// Read does without the copy. It is valid until the next call.
func (r *Reader) Batch() (data []byte, offset int64, err error) {
	data, err = r.next()
	offset = r.at
	if err != nil && err != io.EOF {
		err = r.s.errorf("read", err)
	}
	r.at += int64(len(data))
	return data, offset, err
}

// Rest lets go of the memory that reading takes. What Batch gave is not valid any
// more.
func (r *Reader) Rest() {
	if r.ev.data != nil {
		if r.at < r.ev.to {
			r.scan.back(r.ev)
		}
		r.ev = event{}
	}
	r.scan.rest()
}

// Read gives what is there, as much as p takes, and never waits: at the end of the
// stream it returns io.EOF, and may be called again. A *GapError says that the bytes
// at Offset are not to be had; it comes again until MoveTo moves the reader.
func (r *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		data, err := r.next()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			if err == io.EOF {
				return 0, err
			}
			return 0, r.s.errorf("read", err)
		}
		k := copy(p[n:], data)
		n += k
		r.at += int64(k)
	}
	return n, nil
}

// Changed gives a channel that is closed when Read has something to say, which may
// be that the spool was closed. It is good for one change.
func (r *Reader) Changed() <-chan struct{} {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || r.done || r.at != s.end {
		return ready
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

var ready = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Close lets go of the file.
func (r *Reader) Close() error {
	r.done = true
	r.leave()
	return nil
}

// next gives the rest of the batch that the reader stands in.
func (r *Reader) next() ([]byte, error) {
	for {
		v, err := r.look()
		if err != nil {
			return nil, err
		}
		if v.next == nil && r.at == v.end {
			r.scan.rest()
			r.ev = event{}
			return nil, io.EOF
		}
		if v.seg != r.seg {
			if err := r.enter(v); errors.Is(err, os.ErrNotExist) {
				if r.removed(v.seg) {
					continue
				}
				return nil, &GapError{From: r.at, To: v.end, Cause: ErrLost} // not by us
			} else if err != nil {
				return nil, err
			}
		}
		r.scan.limit = v.size
		for r.ev.to <= r.at {
			if r.ev, err = r.scan.next(); err != nil {
				break
			}
		}
		switch {
		case err != nil && err != io.EOF && err != errTorn && err != errDamaged:
			return nil, err
		case r.ev.to > r.at && r.ev.from > r.at:
			return nil, &GapError{From: r.at, To: min(r.ev.from, v.end), Cause: ErrLost}
		case r.ev.to > r.at && r.ev.data == nil:
			return nil, &GapError{From: r.at, To: min(r.ev.to, v.end), Cause: ErrLost}
		case r.ev.to > r.at:
			data := r.ev.data[r.at-r.ev.from:]
			return data[:min(int64(len(data)), v.end-r.at)], nil
		case v.next == nil:
			return nil, &GapError{From: r.at, To: v.end, Cause: ErrLost}
		case r.at < v.next.prev || v.next.prev < v.next.base && !v.next.clean:
			return nil, &GapError{From: r.at, To: v.next.base, Unsized: v.next.prev < v.next.base, Cause: ErrLost}
		}
		r.at = v.next.base
	}
}

// view is what a reader needs to know of the segment that it stands in.
type view struct {
	seg, next *segment // next: nil if seg is the last
	size      int64    // of seg's file
	end       int64    // the offset at which seg gives way to next, or the stream's end
}

func (r *Reader) look() (view, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.segments[0]
	switch {
	case s.closed || r.done:
		return view{}, ErrClosed
	case r.at > s.end || r.at < 0:
		return view{}, fmt.Errorf("offset %d is not in the stream, which ends at %d: it belongs to another spool", r.at, s.end)
	case r.at < first.base:
		cause := ErrEvicted
		if first.base > s.committed {
			cause = ErrLost
		}
		return view{}, &GapError{From: r.at, To: first.base, Cause: cause}
	}
	i, found := slices.BinarySearchFunc(s.segments, r.at, func(seg *segment, at int64) int { return cmp.Compare(seg.base, at) })
	if !found {
		i--
	}
	v := view{seg: s.segments[i], size: s.segments[i].size, end: s.end}
	if i+1 < len(s.segments) {
		v.next = s.segments[i+1]
		v.end = v.next.base
	}
	return v, nil
}

// enter turns to another segment. It has a file, or r.at would be the end.
func (r *Reader) enter(v view) error {
	r.leave()
	f, err := os.Open(r.s.path(v.seg))
	if err != nil {
		return err
	}
	r.seg, r.file = v.seg, f
	buf := r.scan.buf[:0]
	r.scan = newScanner(f, v.seg.header, v.size)
	r.scan.buf = buf
	return nil
}

func (r *Reader) leave() {
	if r.file != nil {
		r.file.Close() // only read from
	}
	r.seg, r.file, r.ev = nil, nil, event{}
}

// removed reports that a segment is held no more.
func (r *Reader) removed(seg *segment) bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.segments[0].base > seg.base
}
