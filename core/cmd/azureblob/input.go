//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	setPipeSize = 0x407 // F_SETPIPE_SZ, which only Linux has
	pipeSize    = 1 << 20
)

// errIdle: nothing came for a while.
var errIdle = errors.New("no input yet")

// input reads stdin without ever being stuck in read(2): it waits in poll(2),
// which stop wakes. So a signal can end the input at once, and what the producer
// had written by then is still taken. It belongs to one goroutine, but for stop.
type input struct {
	fd      int
	wake    *os.File // readable (at its end) once stop was called
	stop    func()   // asks for an end of input; may be called at any time
	stopped bool     // left is set
	left    int      // bytes to take before the end
	polled  [2]unix.PollFd
}

// newInput takes over f for reading.
func newInput(f *os.File) (*input, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	in := &input{fd: int(f.Fd()), wake: r, stop: sync.OnceFunc(func() { w.Close() })}
	// A producer that writes in bursts is held back less. Where stdin is no pipe,
	// or the user's limit is reached, it stays as it is.
	unix.FcntlInt(uintptr(in.fd), setPipeSize, pipeSize)
	return in, nil
}

func (in *input) close() {
	in.stop()
	in.wake.Close()
}

// read is io.Reader's, but that it answers errIdle when nothing came within
// patience; below 0: never.
func (in *input) read(p []byte, patience time.Duration) (int, error) {
	wait := -1
	if patience >= 0 {
		wait = int(patience.Milliseconds())
	}
	for {
		in.polled = [2]unix.PollFd{{Fd: int32(in.fd), Events: unix.POLLIN}, {Fd: int32(in.wake.Fd()), Events: unix.POLLIN}}
		polled := in.polled[:]
		if in.stopped {
			if in.left == 0 {
				return 0, io.EOF
			}
			p = p[:min(len(p), in.left)]
			polled, wait = polled[:1], 0
		}
		_, err := unix.Poll(polled, wait)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("wait for stdin: %w", err)
		case !in.stopped && polled[1].Revents != 0:
			in.stopped, in.left = true, waiting(in.fd)
			continue
		case polled[0].Revents == 0 && in.stopped:
			return 0, io.EOF
		case polled[0].Revents == 0:
			return 0, errIdle
		}
		n, err := unix.Read(in.fd, p)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN: // somebody else took it
			continue
		case err != nil:
			return 0, fmt.Errorf("read stdin: %w", err)
		case n == 0:
			return 0, io.EOF
		}
		if in.stopped {
			in.left -= n
		}
		return n, nil
	}
}

// waiting is how many bytes the producer has written that nobody has read yet. A
// file has no producer: none.
func waiting(fd int) int {
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil || s.Mode&unix.S_IFMT == unix.S_IFREG {
		return 0
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
