package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Config of a spool. The zero value keeps nothing that is committed, and has no limit.
type Config struct {
	// Segment is the size of a segment's file; 0: 8 MiB. With a Limit it is at most
	// a quarter of that, so that DropOldest need not drop all.
	Segment int64
	// Cache is how many bytes of committed segments to keep.
	Cache int64
	// Limit is how many uncommitted bytes to take; 0: no limit. The files take 16
	// bytes more for each batch.
	Limit int64
	// Report gets what went wrong without a call that could return it: a file that
	// Open mended or set aside. nil: nobody wants to know.
	Report func(error)

	boot uint64 // tests only; 0: this boot of the machine
}

// Errors that a caller acts on. ErrFull comes as it is, the others wrapped.
var (
	// ErrFull: nothing was taken, the uncommitted bytes would pass Config.Limit.
	ErrFull = errors.New("the spool is full: it takes more when some is committed or dropped")
	// ErrClosed: the spool, or the reader, was closed.
	ErrClosed = errors.New("the spool is closed")
	// ErrEvicted: the bytes were committed or dropped, and then removed.
	ErrEvicted = errors.New("committed or dropped, and removed since")
	// ErrLost: the bytes were damaged on the disk, or did not reach it.
	ErrLost = errors.New("damaged on the disk, or lost with the machine's power")
)

// GapError says which bytes of the stream are not to be had.
type GapError struct {
	From, To int64 // To is the first offset behind them that is held
	// Unsized: how many bytes there were in the range is not known, perhaps none.
	// Offsets were skipped, lest one be given out twice.
	Unsized bool
	Cause   error // ErrEvicted or ErrLost
}

func (e *GapError) Error() string {
	return fmt.Sprintf("no bytes from offset %d to %d: %v", e.From, e.To, e.Cause)
}

func (e *GapError) Unwrap() error { return e.Cause }

// Spool is one container's queue. All methods may be called from several goroutines
// at once; Append is meant for one.
//
// Locks are taken in the order appending, tidying, syncing, mu.
type Spool struct {
	dir  string
	cfg  Config
	id   uint64
	boot uint64

	appending sync.Mutex
	file      *os.File         // of the newest segment; nil until it has bytes; guarded by appending
	seed      uint32           // of the newest segment's records; guarded by appending
	torn      bool             // file has bytes behind its size; guarded by appending
	head      []byte           // room for headers; guarded by appending
	iov       [2]syscall.Iovec // guarded by appending

	tidying sync.Mutex // saving the state, removing segments
	state   *os.File   // has the lock on the folder
	count   uint64     // of the newest slot; guarded by tidying

	syncing sync.Mutex

	mu        sync.Mutex
	segments  []*segment // by base; never empty: the last one is appended to
	end       int64      // of the stream
	last      int64      // where the newest batch begins
	committed int64
	backlog   int64 // bytes that are held and not committed
	clean     int64 // as in the state: where the stream ended when closed in order; -1: in use
	newName   bool  // the folder has a file that no fsync of it covers
	closed    bool
	changed   chan struct{} // closed at the next Append or Close; nil: nobody waits
}

// segment is a file, or the place of one that is made by the next Append.
type segment struct {
	header
	name  string // of the file
	size  int64  // bytes of the file that count; 0: there is no file yet; guarded by Spool.mu
	dirty bool   // has bytes that no fsync covers; guarded by Spool.mu
}

// Append takes a batch of 1 byte to 1 MiB, as a whole or not at all, and gives the
// offset behind it. It does not keep p.
func (s *Spool) Append(p []byte) (int64, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	s.mu.Lock()
	seg, at, clean := s.segments[len(s.segments)-1], s.end, s.clean
	closed, backlog := s.closed, s.backlog
	s.mu.Unlock()
	switch {
	case closed:
		return 0, s.errorf("append", ErrClosed)
	case len(p) > MaxAppend:
		return 0, s.errorf("append", fmt.Errorf("a batch of %d bytes: %d are the most", len(p), MaxAppend))
	case len(p) == 0:
		return at, nil
	case s.cfg.Limit > 0 && backlog+int64(len(p)) > s.cfg.Limit:
		return 0, ErrFull
	}
	if clean >= 0 {
		if err := s.saveInUse(); err != nil {
			return 0, s.errorf("append", err)
		}
	}
	if seg.size > 0 && seg.size+recordHeader+int64(len(p)) > s.cfg.Segment {
		seg = s.roll()
	}
	size, err := s.write(seg, at, p)
	if err != nil {
		return 0, s.errorf("append", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	seg.size, seg.dirty = size, true
	s.last, s.end = at, at+int64(len(p))
	s.backlog += int64(len(p))
	s.wake()
	return s.end, nil
}

// roll makes the place of the next segment. The caller holds appending.
func (s *Spool) roll() *segment {
	if s.file != nil {
		s.file.Close() // an error of an earlier write(2) is fsync's to tell
		s.file = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(header{id: s.id, base: s.end, prev: s.end, boot: s.boot})
}

// add makes the place of a segment that has no file yet. The caller holds mu.
func (s *Spool) add(h header) *segment {
	seg := &segment{header: h, name: h.name()}
	s.segments = append(s.segments, seg)
	return seg
}

// write puts p behind what the segment has, and gives its new size. If that fails,
// the segment is what it was. The caller holds appending.
func (s *Spool) write(seg *segment, at int64, p []byte) (int64, error) {
	s.head = s.head[:0]
	if s.file == nil {
		f, err := os.OpenFile(s.path(seg), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, err
		}
		s.file, s.seed = f, seg.seed()
		s.head = seg.header.append(s.head)
	} else if s.torn {
		if err := s.file.Truncate(seg.size); err != nil {
			return 0, err
		}
		s.torn = false
	}
	s.head = appendRecord(s.head, s.seed, at-seg.base, p)
	setIovec(&s.iov[0], s.head)
	setIovec(&s.iov[1], p)
	err := pwritev(s.file.Fd(), s.iov[:], seg.size)
	s.iov[1] = syscall.Iovec{}
	if err == nil && seg.size == 0 {
		s.mu.Lock()
		s.newName = true
		s.mu.Unlock()
		if seg.prev != seg.base { // skipped offsets stay skipped, whatever comes
			err = errors.Join(s.file.Sync(), syncFolder(s.dir))
		}
	}
	switch {
	case err == nil:
		return seg.size + int64(len(s.head)+len(p)), nil
	case seg.size == 0:
		s.file.Close()
		s.file = nil
		err = errors.Join(err, os.Remove(s.path(seg)))
	case s.file.Truncate(seg.size) != nil:
		s.torn = true // the next Append tries again
	}
	return 0, err
}

// ID is made up when the folder is, and kept with it. A position that is stored
// elsewhere needs it: with another ID, it is one in a spool that is gone.
func (s *Spool) ID() string { return fmt.Sprintf("%016x", s.id) }

// End is the offset behind the newest byte.
func (s *Spool) End() int64 { return s.Stats().End }

// LastAppend is the offset at which the newest batch begins. A host that looks into
// a pipe, appends what it saw, and only then takes it out of the pipe, finds the
// bytes from here to End still at the head of the pipe if it died in between.
func (s *Spool) LastAppend() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Stats are a spool's figures.
type Stats struct {
	First     int64 // the first offset that is held
	Committed int64
	End       int64
	Backlog   int64 // bytes that are held and not committed
	Disk      int64 // bytes that the segments take
}

func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{First: s.segments[0].base, Committed: s.committed, End: s.end, Backlog: s.backlog}
	for _, seg := range s.segments {
		st.Disk += seg.size
	}
	return st
}

// Sync returns when all that was appended before is on the disk. It runs beside the
// appending.
func (s *Spool) Sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	err := ErrClosed
	if !closed {
		err = s.sync()
	}
	if err != nil {
		return s.errorf("sync", err)
	}
	return nil
}

// sync is Sync for a caller that holds syncing.
func (s *Spool) sync() error {
	s.mu.Lock()
	var dirty []*segment
	for _, seg := range s.segments {
		if seg.dirty {
			dirty = append(dirty, seg)
			seg.dirty = false
		}
	}
	newName := s.newName
	s.newName = false
	s.mu.Unlock()

	var err error
	for _, seg := range dirty {
		if e := syncFile(s.path(seg)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = e
		}
	}
	if newName {
		err = errors.Join(err, syncFolder(s.dir))
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, seg := range dirty {
			seg.dirty = true
		}
		s.newName = s.newName || newName
	}
	return err
}

// Close ends all use of the spool and leaves its folder. Readers get ErrClosed.
func (s *Spool) Close() error {
	s.appending.Lock()
	defer s.appending.Unlock()
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.clean = s.cleanEnd()
	backlog := s.backlog
	s.wake()
	s.mu.Unlock()

	var err error
	if backlog > 0 {
		err = s.sync()
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	err = errors.Join(err, s.save(), s.state.Close())
	if err != nil {
		return s.errorf("close", err)
	}
	return nil
}

// wake tells those that wait for a change. The caller holds mu.
func (s *Spool) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *Spool) path(seg *segment) string { return filepath.Join(s.dir, seg.name) }

func (s *Spool) report(err error) {
	if s.cfg.Report != nil {
		s.cfg.Report(err)
	}
}

// errorf names what could not be done, and says what helps where that is known.
func (s *Spool) errorf(verb string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s spool %q: %w: free some space on that disk", verb, s.dir, err)
	}
	return fmt.Errorf("%s spool %q: %w", verb, s.dir, err)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncFolder(dir string) error { return syncFile(dir) }
