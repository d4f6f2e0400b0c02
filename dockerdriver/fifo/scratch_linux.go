package fifo

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// batchSize is the size of the largest batch, and what one look sees at most.
const batchSize = 1 << 20

// scratch is what one look needs: a pipe to duplicate another one into, and room
// for its bytes.
type scratch struct {
	r, w int // the pipe, empty between looks
	size int // of the pipe
	left int // bytes in the pipe
	null int // /dev/null
	buf  []byte
}

// scratches are those that nobody uses: as many as there may be looks at a time.
// One that is nil is made when it is needed.
var scratches = func() chan *scratch {
	free := make(chan *scratch, 4)
	for range cap(free) {
		free <- nil
	}
	return free
}()

// borrow waits for a scratch, which must be given back.
func borrow() (s *scratch, err error) {
	s = <-scratches
	if s == nil {
		if s, err = newScratch(); err != nil {
			scratches <- nil
			return nil, err
		}
	}
	if s.size < batchSize { // it is new, or was refused the size
		s.size = resize(s.w, batchSize)
	}
	return s, nil
}

// giveBack ends the use of a scratch and of its buffer.
func (s *scratch) giveBack() {
	if s.left > 0 { // a look has failed; the next one must not see its bytes
		unix.Close(s.r)
		unix.Close(s.w)
		unix.Close(s.null)
		s = nil
	}
	scratches <- s
}

func newScratch() (*scratch, error) {
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		unix.Close(null)
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return &scratch{r: fds[0], w: fds[1], null: null, buf: make([]byte, batchSize)}, nil
}

// resize asks for a pipe's size, and gives the one that it has then. Without
// privileges, and while all pipes of the user are too large together, it stays.
func resize(fd, size int) int {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size)
	if err != nil {
		n, _ = unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0) // cannot fail on a pipe
	}
	return n
}

// see gives what is in the pipe fd, up to batchSize, and leaves it there. The bytes
// are good until the scratch is given back. None say that the pipe is empty, and
// io.EOF that it has no writer besides.
func (s *scratch) see(fd int) ([]byte, error) {
	n, err := again(func() (int64, error) { return unix.Tee(fd, s.w, len(s.buf), unix.SPLICE_F_NONBLOCK) })
	switch {
	case err == unix.EAGAIN:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("tee: %w", err)
	case n == 0:
		return nil, io.EOF
	}
	for s.left = int(n); s.left > 0; {
		k, err := again(func() (int, error) { return unix.Read(s.r, s.buf[int(n)-s.left:n]) })
		if err != nil {
			return nil, fmt.Errorf("read the copy: %w", err)
		}
		s.left -= k
	}
	return s.buf[:n], nil
}

// takeOut removes n bytes that were seen from the pipe fd.
func (s *scratch) takeOut(fd, n int) error {
	for n > 0 {
		k, err := again(func() (int64, error) { return unix.Splice(fd, nil, s.null, nil, n, unix.SPLICE_F_NONBLOCK) })
		if err == unix.EAGAIN || err == nil && k == 0 {
			return fmt.Errorf("%d bytes that were in it are gone: another process reads it, stop that one", n)
		}
		if err != nil {
			return fmt.Errorf("splice: %w", err)
		}
		n -= int(k)
	}
	return nil
}

// again calls a system call until no signal interrupts it, such as the runtime's own.
func again[N int | int64](call func() (N, error)) (n N, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}
