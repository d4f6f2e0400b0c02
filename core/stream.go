package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
)

// StreamConfig says where a Stream's bytes go and how often they are committed.
type StreamConfig struct {
	Blob liveblob.Config

	// FlushInterval is the least time between the beginnings of two commits; 0: as
	// fast as commits return. It holds back small flushes only: a quarter of
	// HighWater, a Sync or a Close commits at once.
	FlushInterval time.Duration

	// HighWater is the number of pending bytes at which Write blocks; 0: 4 MiB.
	// As much again may be in the commit that is under way.
	HighWater int

	// Compress makes each commit one member that stands alone; nil: none.
	Compress record.Compressor
}

const (
	defaultHighWater = 4 << 20
	busy             = 256 << 10 // pending bytes at which a stream gets its largest buffer
)

// Stream is one log on its way to its blob: an io.Writer whose bytes become
// readable soon after they were written.
//
// Write appends to the pending buffer. The first write after a quiet time starts
// a goroutine, the only one that touches the liveblob.Writer; it takes all that
// is pending and commits it as one block, and what is written meanwhile waits to
// be the next (group commit). When nothing is pending it ends and drops the
// buffers, so an idle stream is only its struct: no goroutine, timer or buffer.
//
// A storage error that may pass is retried for as long as Blob.Retry says, while
// Write blocks at the high-water mark. One that cannot pass is kept, and returned
// by every later call.
//
// All methods may be called from several goroutines at once.
type Stream struct {
	cfg    StreamConfig
	ctx    context.Context // of the commits; ended when a Close runs out of time
	cancel context.CancelFunc
	w      *liveblob.Writer // owned by whoever set running

	mu        sync.Mutex
	pending   []byte
	spare     []byte // the buffer that pending swaps with while busy
	cursor    string // after the last pending byte
	placed    bool   // cursor is the host's, not what the blob has
	moved     bool   // cursor is not committed yet
	written   int64  // bytes ever written
	committed int64  // bytes that are readable
	appends   int64  // calls that gave something to commit
	settled   int64  // of them those that are committed
	commits   int64
	resuming  bool
	running   bool
	hurry     int  // callers of Sync and Close that wait
	ending    bool // no more writes
	complete  bool // the last commit is to mark the blob as complete
	ended     bool // that commit was made, or nothing is left to do
	begun     time.Time
	err       error
	state     liveblob.State
	changed   chan struct{} // closed at the next change that a waiter may look for; nil: nobody waits
}

// ErrClosed is returned by writes to a stream that was closed.
var ErrClosed = errors.New("the log is closed")

// NewStream does no I/O. A Stream that was written to must be closed, or what is
// pending is lost with the process.
func NewStream(cfg StreamConfig) (*Stream, error) {
	cfg.HighWater = cmp.Or(cfg.HighWater, defaultHighWater)
	if cfg.Compress != nil {
		cfg.Blob.ContentEncoding = cfg.Compress.Encoding()
	}
	w, err := liveblob.NewWriter(cfg.Blob)
	if err != nil {
		return nil, err
	}
	s := &Stream{cfg: cfg, w: w, state: w.State()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Resume finds what earlier runs of the stream have committed; State.Cursor is
// where the host goes on. It must come before the first Write.
func (s *Stream) Resume(ctx context.Context) (liveblob.State, error) {
	s.mu.Lock()
	if s.running || s.appends > 0 {
		s.mu.Unlock()
		return liveblob.State{}, errors.New("resume: the log is already being written")
	}
	s.running, s.resuming = true, true // writes wait
	s.mu.Unlock()

	err := s.w.Resume(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = s.w.State()
	s.cursor = s.state.Cursor
	s.running, s.resuming = false, false
	s.broadcast()
	s.start()
	return s.state, err
}

// Write takes p, blocking while too much is pending. A nil error means that the
// bytes will be committed, not that they are; Sync waits for that.
func (s *Stream) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		part := p[n:min(n+s.cfg.HighWater, len(p))]
		if err := s.append(context.Background(), part, nil); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// Append is a Write of all of p together with the host's cursor behind it (see
// liveblob.CheckCursor). Both are in one commit; p may be empty. It gives up
// waiting for room when ctx ends, with nothing taken.
func (s *Stream) Append(ctx context.Context, p []byte, cursor string) error {
	if err := liveblob.CheckCursor(cursor); err != nil {
		return fmt.Errorf("write %s: %w", s.path(), err)
	}
	return s.append(ctx, p, &cursor)
}

func (s *Stream) append(ctx context.Context, p []byte, cursor *string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.resuming || len(s.pending) > 0 && len(s.pending)+len(p) > s.cfg.HighWater && s.err == nil && !s.ending {
		if err := s.wait(ctx); err != nil {
			return fmt.Errorf("write %s: no room while storage is slow: %w", s.path(), err)
		}
	}
	switch {
	case s.err != nil:
		return s.err
	case s.ending:
		return fmt.Errorf("write %s: %w", s.path(), ErrClosed)
	}
	was := s.eager()
	if n := len(s.pending) + len(p); n > cap(s.pending) && n >= busy {
		// Much is coming: growing by and by would copy all of it again.
		s.pending = append(make([]byte, 0, max(n, s.cfg.HighWater)), s.pending...)
	}
	s.pending = append(s.pending, p...)
	s.written += int64(len(p))
	if cursor != nil {
		s.moved = s.moved || *cursor != s.cursor
		s.cursor, s.placed = *cursor, true
	}
	if len(p) > 0 || s.moved {
		s.appends++
	}
	s.start()
	if !was && s.eager() {
		s.broadcast()
	}
	return nil
}

// Sync returns when all that was written before it is readable.
func (s *Stream) Sync(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	goal, bytes := s.appends, s.written
	s.hurried(1)
	defer s.hurried(-1)
	for s.settled < goal && s.err == nil {
		if err := s.wait(ctx); err != nil {
			return fmt.Errorf("sync %s: %d bytes are not committed yet: %w", s.path(), bytes-s.committed, err)
		}
	}
	if s.settled >= goal {
		return nil
	}
	return s.err
}

// Close commits what is pending, marks the blob as complete in the same request,
// and ends the stream. A stream that was never written to leaves an empty,
// complete blob. When ctx ends first, the commit under way is given up and the
// error says how much is not known to be committed.
func (s *Stream) Close(ctx context.Context) error { return s.end(ctx, true) }

// Detach commits what is pending and ends the stream, but not the log: the source
// goes on, and a later stream resumes the blob.
func (s *Stream) Detach(ctx context.Context) error { return s.end(ctx, false) }

func (s *Stream) end(ctx context.Context, complete bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.ending, s.complete = true, complete
	}
	s.hurried(1)
	defer s.hurried(-1)
	s.start()
	s.broadcast()
	for !s.ended && s.err == nil {
		if err := s.wait(ctx); err != nil {
			s.cancel()
			return fmt.Errorf("close %s: %d bytes are not known to be committed: %w", s.path(), s.written-s.committed, err)
		}
	}
	s.cancel()
	return s.err
}

// Stats is a snapshot of a stream's progress.
type Stats struct {
	Written   int64 // bytes taken by Write
	Committed int64 // of them readable
	Commits   int64
	Blob      liveblob.State // as of the last commit
}

// Stats may be called at any time.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Written: s.written, Committed: s.committed, Commits: s.commits, Blob: s.state}
}

func (s *Stream) path() string { return s.cfg.Blob.Container.Name + "/" + s.cfg.Blob.Name }

// The rest is called with mu held, but for run.

// eager reports that pacing no longer holds back the next commit.
func (s *Stream) eager() bool {
	return s.hurry > 0 || s.ending || len(s.pending) >= s.cfg.HighWater/4
}

func (s *Stream) hurried(by int) {
	s.hurry += by
	if s.hurry == 1 && by > 0 {
		s.broadcast()
	}
}

// wait gives up mu until something changes. Its error is the context's.
func (s *Stream) wait(ctx context.Context) error {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Stream) broadcast() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// due reports that there is something to do.
func (s *Stream) due() bool {
	return s.err == nil && (len(s.pending) > 0 || s.moved || s.ending && !s.ended)
}

// start makes sure that what there is to do gets done.
func (s *Stream) start() {
	if !s.running && s.due() {
		s.running = true
		go func() {
			growStack()
			s.run()
		}()
	}
}

// growStack makes room for what a commit needs on its way down to the socket. A new
// goroutine's stack of 2 KiB would be doubled and copied three times on that way, a
// tenth of the time that a small commit takes.
//
//go:noinline
func growStack() {
	var room [9 << 10]byte
	runtime.KeepAlive(&room)
}

// run commits until nothing is pending.
func (s *Stream) run() {
	var packed []byte // compressed; its buffer is used again
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.due() {
		s.pace()
		b := batch{
			data: s.pending, cursor: s.cursor, placed: s.placed, moved: s.moved,
			complete: s.ending && s.complete,
		}
		written, appends, last := s.written, s.appends, s.ending
		s.pending, s.spare, s.moved = s.spare[:0], nil, false
		s.begun = time.Now()
		s.broadcast() // there is room again
		s.mu.Unlock()

		raw := b.data
		if s.cfg.Compress != nil && len(raw) > 0 {
			packed = s.cfg.Compress.Append(packed[:0], raw)
			b.data = packed
		}
		committed, err := s.commit(b)

		s.mu.Lock()
		if err != nil {
			s.err = err
		} else {
			s.committed, s.settled, s.ended = written, appends, last
		}
		if committed {
			s.commits++
		}
		s.state = s.w.State()
		s.spare = raw[:0]
		s.broadcast()
	}
	s.running = false
	s.spare = nil
	if len(s.pending) == 0 {
		s.pending = nil
	}
}

// batch is what one commit takes.
type batch struct {
	data                    []byte
	cursor                  string
	placed, moved, complete bool
}

// commit makes b readable. It reports whether that took a commit.
func (s *Stream) commit(b batch) (bool, error) {
	if !b.complete && !b.moved && len(b.data) == 0 {
		return false, nil
	}
	if !b.placed { // what an earlier run has stored stays
		if err := s.w.Resume(s.ctx); err != nil {
			return false, err
		}
		b.cursor = s.w.State().Cursor
	}
	commit := s.w.Commit
	if b.complete {
		commit = s.w.Complete
	}
	err := commit(s.ctx, b.data, b.cursor)
	return err == nil, err
}

// pace waits until the next commit is due.
func (s *Stream) pace() {
	due := s.begun.Add(s.cfg.FlushInterval)
	if s.cfg.FlushInterval <= 0 || s.eager() || !time.Now().Before(due) {
		return
	}
	ctx, cancel := context.WithDeadline(s.ctx, due)
	defer cancel()
	for !s.eager() && s.wait(ctx) == nil {
	}
}
