package driver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/fifo"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// source is one pipe of a container, from StartLogging to its end. A container has
// one as a rule; two for a moment when dockerd has come back by live-restore.
type source struct {
	c    *container
	path string

	mu   sync.Mutex // guards pipe against interrupt; run alone changes it
	pipe *fifo.Pipe // nil: it was not there any more after a restart

	refused    error         // of take; owned by run
	asked      atomic.Bool   // it is to end
	ending     chan struct{} // closed when asked
	superseded chan struct{} // closed when there is a newer source
	done       chan struct{} // closed when all of it is in the spool
	before     []*source     // the sources that were there before it
}

func newSource(c *container, path string, pipe *fifo.Pipe) *source {
	return &source{
		c: c, path: path, pipe: pipe,
		ending: make(chan struct{}), superseded: make(chan struct{}), done: make(chan struct{}),
	}
}

// end asks the source to take what is in the pipe and end. It may be called again.
func (s *source) end() {
	if s.asked.CompareAndSwap(false, true) {
		close(s.ending)
		s.interrupt()
	}
}

func (s *source) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipe != nil {
		s.pipe.Interrupt()
	}
}

// run moves the pipe's frames to the spool until it ends.
func (s *source) run() {
	s.await()
	ended := s.copy()
	if ended {
		s.c.ended(s)
	}
	if s.pipe != nil {
		s.pipe.Close()
	}
	if ended {
		close(s.done)
	}
	s.c.d.release(s.c)
	s.c.d.reading.Done()
}

// await lets the sources before this one end: theirs is the older output, and dockerd
// has closed them. It does not insist.
func (s *source) await() {
	patience := time.After(time.Second)
	for _, b := range s.before {
		select {
		case <-b.done:
		case <-s.ending:
			return
		case <-s.c.d.leaving:
			return
		case <-patience:
			return
		}
	}
	s.before = nil
}

// copy reports whether the source has ended; it has not when the process ends.
func (s *source) copy() bool {
	if s.pipe == nil && (!exists(s.path) || !s.reopen()) {
		return s.orphaned()
	}
	var trouble full
	for {
		asked := s.asked.Load()
		move := s.pipe.Next
		if asked {
			move = s.pipe.Drain
		}
		s.refused = nil
		err := move(s.take)
		switch {
		case isClosed(s.c.d.leaving):
			return false
		case err == io.EOF:
			return s.orphaned()
		case err == nil:
			trouble.over(s.c)
			if asked {
				return true
			}
		case errors.Is(err, os.ErrDeadlineExceeded): // asked meanwhile
		case s.refused != nil:
			trouble.wait(s.c, s.refused)
		case errors.Is(err, io.ErrUnexpectedEOF): // the last frame was never written to its end
			s.dropped(0, err)
			return true
		default:
			s.c.log.Error("the container's pipe cannot be read", "err", err)
			if !s.reopen() {
				return s.orphaned()
			}
		}
	}
}

// reopen begins anew with a pipe that failed, as a new process would. It reports
// whether there is one; as long as it only cannot be opened, its container waits.
func (s *source) reopen() bool {
	var pipe *fifo.Pipe
	for reported := false; pipe == nil; {
		select {
		case <-time.After(time.Second):
		case <-s.c.d.leaving:
			return false
		}
		var err error
		if pipe, err = fifo.Open(s.path); err == nil {
			break
		}
		if !reported {
			reported = true
			s.c.log.Error("the container's pipe cannot be opened again", "err", err)
		}
		if errors.Is(err, fs.ErrNotExist) || s.asked.Load() {
			return false
		}
	}
	pipe.Dropped = s.dropped
	if err := s.c.skip(pipe); err != nil {
		s.c.log.Error("the container's pipe cannot be compared with the spool; a few lines may be doubled", "err", err)
	}
	s.mu.Lock()
	if s.pipe != nil {
		s.pipe.Close()
	}
	s.pipe = pipe
	s.mu.Unlock()
	if s.asked.Load() || isClosed(s.c.d.leaving) {
		s.interrupt()
	}
	return true
}

// orphaned waits for what the end of the other side means.
func (s *source) orphaned() bool {
	select {
	case <-s.ending:
		return true
	case <-s.superseded:
	case <-time.After(s.c.d.cfg.Orphan):
		s.c.log.Info("dockerd has closed the container's pipe and not come back: the container is taken for stopped")
	case <-s.c.d.leaving:
		return false
	}
	os.Remove(s.path) // dockerd does that where it lives to see the end
	return true
}

// take appends frames to the spool.
func (s *source) take(frames []byte) error {
	end, err := s.c.spool.Append(frames)
	if s.refused = err; err == nil {
		s.c.appended(end)
	}
	return err
}

// dropped reports bytes of the pipe that are no frames, in the log itself too.
func (s *source) dropped(n int, why error) {
	s.c.log.Error("the container's pipe brought bytes that are no log entries; they are dropped", "bytes", n, "err", why)
	s.c.d.lost.Add(int64(n))
	line := gapLine(int64(n), why.Error())
	if err := s.take(frame.Append(nil, &frame.Entry{Source: "stderr", Time: time.Now().UnixNano(), Line: line})); err != nil {
		s.c.log.Error("the gap cannot be marked in the log", "err", err)
	}
}
