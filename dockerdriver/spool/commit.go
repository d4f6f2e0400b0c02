package spool

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Commit says that everything before offset is safe elsewhere, and removes what the
// cache has no room for. It never goes back. It is kept across restarts.
func (s *Spool) Commit(offset int64) error {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.mu.Lock()
	committed, end, closed := s.committed, s.end, s.closed
	if committed < offset && offset <= end && !closed {
		s.commit(offset)
	}
	s.mu.Unlock()
	switch {
	case closed:
		return s.errorf("commit", ErrClosed)
	case offset > end:
		return s.errorf("commit", fmt.Errorf("offset %d is behind the end, %d: it belongs to another spool", offset, end))
	case offset <= committed:
		return nil
	}
	if err := s.save(); err != nil {
		return s.errorf("commit", err)
	}
	if err := s.evict(); err != nil {
		return s.errorf("commit", err)
	}
	return nil
}

// DropOldest gives up the oldest uncommitted bytes, n at least if there are as many,
// and removes all segments that hold them: it drops whole segments. It gives the
// range, which is empty if nothing was uncommitted. A Reader in it gets a GapError.
func (s *Spool) DropOldest(n int64) (from, to int64, err error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, 0, s.errorf("drop from", ErrClosed)
	}
	from = max(s.committed, s.segments[0].base)
	to = from
	upTo := 0 // segments that go
	for i, dropped := 0, int64(0); i < len(s.segments) && dropped < n; i++ {
		if held := s.heldBehind(i, from); held > 0 {
			dropped += held
			_, to = s.bounds(i)
			upTo = i + 1
		}
	}
	last := upTo == len(s.segments)
	s.mu.Unlock()
	if upTo == 0 {
		return from, from, nil
	}
	if last {
		s.roll()
	}

	s.mu.Lock()
	s.commit(to)
	gone := slices.Clone(s.segments[:upTo])
	s.segments = slices.Delete(s.segments, 0, upTo)
	s.mu.Unlock()
	if err = s.save(); err == nil {
		err = s.remove(gone)
	}
	if err != nil {
		err = s.errorf("drop from", err)
	}
	return from, to, err
}

// commit moves the committed offset. The caller holds mu.
func (s *Spool) commit(offset int64) {
	s.committed = offset
	s.backlog = 0
	for i := range s.segments {
		s.backlog += s.heldBehind(i, offset)
	}
}

// bounds are the offsets of the first byte in a segment and of that behind the last.
// The caller holds mu.
func (s *Spool) bounds(i int) (from, to int64) {
	from, to = s.segments[i].base, s.end
	if i+1 < len(s.segments) {
		next := s.segments[i+1]
		to = min(next.prev, from+s.segments[i].size) // the one before next may be missing
		to = max(from, to)
	}
	return from, to
}

// heldBehind is how many bytes of a segment lie behind an offset. The caller holds mu.
func (s *Spool) heldBehind(i int, offset int64) int64 {
	from, to := s.bounds(i)
	return max(0, to-max(from, offset))
}

// Trim gives up the cache, for a disk that is full. It comes back with what is
// committed after.
func (s *Spool) Trim() error {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	err := ErrClosed
	if !closed {
		err = s.evictTo(0)
	}
	if err != nil {
		return s.errorf("trim", err)
	}
	return nil
}

func (s *Spool) evict() error { return s.evictTo(s.cfg.Cache) }

// evictTo removes the oldest segments that are committed as a whole, down to so many
// bytes of them. What LastBytes may ask for stays. The caller holds tidying.
func (s *Spool) evictTo(cache int64) error {
	s.mu.Lock()
	n := len(s.segments) - 1
	tail, cached := s.heldBehind(n, 0), int64(0)
	for ; n > 0; n-- {
		if _, to := s.bounds(n - 1); to <= s.committed {
			cached += s.segments[n-1].size
			if cached > cache && tail >= MaxAppend {
				break // all before n go
			}
		}
		tail += s.heldBehind(n-1, 0)
	}
	gone := slices.Clone(s.segments[:n])
	s.segments = slices.Delete(s.segments, 0, n)
	s.mu.Unlock()
	return s.remove(gone)
}

// remove deletes the files of segments that are on the list no more, oldest first,
// so that a crash in between leaves no hole.
func (s *Spool) remove(gone []*segment) error {
	var err error
	for _, seg := range gone {
		if seg.size > 0 {
			if e := os.Remove(s.path(seg)); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = e
			}
		}
	}
	return err
}

// saveInUse takes back what an earlier Close has said.
func (s *Spool) saveInUse() error {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.mu.Lock()
	clean := s.clean
	s.clean = -1
	s.mu.Unlock()
	err := s.save()
	if err != nil {
		s.mu.Lock()
		s.clean = clean
		s.mu.Unlock()
	}
	return err
}

// cleanEnd is where the stream ends on the disk, or -1 if some of it may be lost
// there. The caller holds mu.
func (s *Spool) cleanEnd() int64 {
	seg := s.segments[len(s.segments)-1]
	switch {
	case seg.size > 0:
		return s.end
	case seg.prev == seg.base || seg.clean:
		return seg.prev
	}
	return -1
}

// save writes the next slot of the state. The caller holds tidying.
func (s *Spool) save() error {
	s.mu.Lock()
	st := slot{id: s.id, boot: s.boot, committed: s.committed, clean: s.clean, count: s.count + 1}
	s.mu.Unlock()
	if _, err := s.state.WriteAt(st.append(nil), int64(st.count%2)*slotStride); err != nil {
		return err
	}
	s.count++
	return nil
}
