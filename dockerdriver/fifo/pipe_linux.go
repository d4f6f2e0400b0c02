package fifo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pipe is the reading end of a container's FIFO.
type Pipe struct {
	// Dropped, if it is set before the first Next, is told how many bytes were no
	// frame: frame.ErrGarbled, or io.ErrUnexpectedEOF for a frame that was cut off
	// and whose writers have gone. It runs within Next and Drain.
	Dropped func(n int, why error)

	path string
	file *os.File // the pipe; not in Go's poller
	conn syscall.RawConn
	bell *bell

	size atomic.Int64 // of the pipe
	busy atomic.Int64 // when a look found much, in Unix nanoseconds

	mu      sync.Mutex // held by Skip, Next and Drain; guards the rest
	refused bool       // a larger size
	pace    pace
	begun   bool   // a look has found a writer; until then poll(2) says nothing of there being none
	lost    bool   // what comes may be more of what was no frame
	big     []byte // as much as there is of a frame that the pipe cannot hold; its capacity is the frame's size
}

// Open opens the FIFO at path. It does not wait for a writer: if there is none, the
// pipe is at its end.
func Open(path string) (*Pipe, error) {
	f, err := openUnpolled(path)
	if err != nil {
		return nil, fmt.Errorf("open pipe: %w", err) // err has the path
	}
	p := &Pipe{path: path, file: f, pace: pace{gap: maxGap}}
	if err := p.open(); err != nil {
		f.Close()
		return nil, p.errorf("open", err)
	}
	return p, nil
}

func (p *Pipe) open() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeNamedPipe {
		return errors.New("it is not a FIFO")
	}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		return err
	}
	return p.control(func(fd int) error {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
		if err == nil {
			p.bell, err = newBell(fd)
		}
		if err == nil {
			p.size.Store(int64(n))
			p.adopt()
		}
		return err
	})
}

// Skip takes batch out of the pipe if the pipe begins with it, and reports whether.
// It is for a process that comes after one that died: batch is the last one that
// was appended, which may not have been taken out any more.
func (p *Pipe) Skip(batch []byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := borrow()
	if err != nil {
		return false, p.errorf("read", err)
	}
	defer s.giveBack()
	found := false
	err = p.control(func(fd int) error {
		seen, err := s.see(fd)
		if err != nil {
			return err
		}
		n := min(len(seen), len(batch))
		if n == 0 || !bytes.Equal(seen[:n], batch[:n]) {
			return nil
		}
		if n < len(batch) {
			// This process may be refused pipes as large as the one before had. It
			// sees less then, but the first frame's time all the same.
			const telling = 64
			inPipe, err := unix.IoctlGetUint32(fd, unix.TIOCINQ)
			if err != nil || int(inPipe) < len(batch) || n < telling {
				return err
			}
		}
		found = true
		return s.takeOut(fd, len(batch))
	})
	if err != nil && err != io.EOF {
		return false, p.errorf("read", err)
	}
	return found, nil
}

// Next waits for whole frames, hands them to take as one batch of at most 1 MiB,
// and takes them out of the pipe when take returns nil. take must not keep them.
// An error of take is returned as it is; the frames stay in the pipe, and the next
// call hands them over again, with more perhaps. A frame that is larger than the
// pipe comes in several batches, in one call or more.
//
// io.EOF says that no writer is left and that all is taken; os.ErrDeadlineExceeded
// that of Interrupt, and os.ErrClosed that of Close. After another error of its own,
// the bytes that were handed over last may still be in the pipe: as after a crash,
// close it, and let Skip tell when it is open again.
func (p *Pipe) Next(take func(frames []byte) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		ended, err := p.wait()
		if err != nil {
			return p.errorf("read", err)
		}
		p.pace.nap()
		if found, err := p.look(ended, take); err != nil || found == frames {
			return err
		}
	}
}

// Drain is Next until the pipe is empty. It does not wait, except a moment for the
// rest of a frame, and it works after Interrupt. io.ErrUnexpectedEOF says that a
// part of a frame is left in the pipe. As long as somebody goes on writing, only an
// error of take ends it.
func (p *Pipe) Drain(take func(frames []byte) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	const moment = 100 * time.Millisecond
	for patience := time.Now().Add(moment); ; {
		_, ended, err := p.poll()
		if err != nil {
			return p.errorf("drain", err)
		}
		switch found, err := p.look(ended, take); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case found == frames || found == junk:
			patience = time.Now().Add(moment)
		case found == nothing:
			return nil
		case time.Now().After(patience):
			return p.errorf("drain", fmt.Errorf("a part of a frame is left: %w", io.ErrUnexpectedEOF))
		default:
			p.pace.nap()
		}
	}
}

// Interrupt makes a Next that waits, and every later one, return
// os.ErrDeadlineExceeded. A take that is running comes to its end first. There is no
// way back: it is for the end, when somebody wants to Drain.
func (p *Pipe) Interrupt() { p.bell.interrupt() }

// Close lets go of the pipe and of what is in it. A Next or Drain under way ends
// with os.ErrClosed; if take is running, its frames stay in the pipe.
func (p *Pipe) Close() error {
	p.leave()
	return errors.Join(p.bell.close(), p.file.Close())
}

// wait returns when there is something in the pipe, or no writer.
func (p *Pipe) wait() (ended bool, err error) {
	err = p.bell.wait(func() (ready bool, err error) {
		ready, ended, err = p.poll()
		return ready || !p.begun || p.big != nil && len(p.big) == cap(p.big), err
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = os.ErrClosed // there is no other reason
	}
	return ended, err
}

// poll is wait without waiting.
func (p *Pipe) poll() (ready, ended bool, err error) {
	err = p.control(func(fd int) error { ready, ended = poll(fd); return nil })
	return ready, ended, err
}

func poll(fd int) (ready, ended bool) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := again(func() (int, error) { return unix.Poll(fds, 0) })
	return err != nil || n > 0, fds[0].Revents&unix.POLLHUP != 0
}

// control calls f with the file descriptor, which stays open meanwhile.
func (p *Pipe) control(f func(fd int) error) error {
	var err error
	if closed := p.conn.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return os.ErrClosed
	}
	return err
}

func (p *Pipe) errorf(verb string, err error) error {
	return fmt.Errorf("%s pipe %q: %w", verb, p.path, err)
}
