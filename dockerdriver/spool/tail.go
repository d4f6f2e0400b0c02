package spool

import (
	"errors"
	"io"
)

// Tail gives the offset at which to begin in order to read the last n bytes: where
// the batch begins that the first of them is in, or the first offset that is held.
func (s *Spool) Tail(n int64) int64 {
	r := s.Reader(s.back(n))
	defer r.Close()
	var gap *GapError
	switch _, err := r.next(); {
	case err == nil:
		return r.ev.from
	case errors.As(err, &gap):
		return gap.To
	}
	return r.at
}

// LastBytes gives the last n bytes of the stream, or as many as there are behind the
// last gap. The last 1 MiB is always held, and so is the newest batch, but for what
// DropOldest has removed.
func (s *Spool) LastBytes(n int) ([]byte, error) {
	end := s.End()
	r := s.Reader(s.back(int64(n)))
	defer r.Close()
	var b []byte
	for r.at < end {
		data, err := r.next()
		var gap *GapError
		switch {
		case errors.As(err, &gap):
			b = b[:0]
			r.MoveTo(gap.To)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, s.errorf("read", err)
		}
		b = append(b, data...)
		r.at += int64(len(data))
	}
	return b[max(0, len(b)-n):], nil
}

// back is the offset n bytes before the end of the stream, or the first one held.
func (s *Spool) back(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.end
	for i := len(s.segments) - 1; i >= 0 && n > 0; i-- {
		from, to := s.bounds(i)
		at = max(from, to-n)
		n -= to - at
	}
	return at
}
