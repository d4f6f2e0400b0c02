package fifo

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bell rings when something comes into a pipe, but only for who waits.
//
// Go's own poller asks to be told of every write, for as long as a file is open. A
// container that writes 300,000 lines a second would wake up a thread for each of
// them, while the reader naps and wants to hear of none: that took more of the
// processor than all the rest. So the pipe is in an epoll instance of its own, which
// is told to watch it for the time of a wait, and that one is in Go's poller.
type bell struct {
	file *os.File // the epoll instance
	conn syscall.RawConn
	pipe int // a descriptor of it; open as long as the bell
}

func newBell(pipe int) (*bell, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	unix.SetNonblock(fd, true) // which puts it into the poller; cannot fail
	b := &bell{file: os.NewFile(uintptr(fd), "epoll"), pipe: pipe}
	if b.conn, err = b.file.SyscallConn(); err == nil {
		err = b.control(unix.EPOLL_CTL_ADD, 0)
	}
	if err != nil {
		b.file.Close()
		return nil, err
	}
	return b, nil
}

// wait returns when ready does so with true or an error. It is asked now, and
// whenever something has come into the pipe.
func (b *bell) wait(ready func() (bool, error)) error {
	watching := false
	var failed error
	err := b.conn.Read(func(uintptr) bool {
		var done bool
		if done, failed = ready(); done || failed != nil || watching {
			return done || failed != nil
		}
		watching = true
		if failed = b.control(unix.EPOLL_CTL_MOD, unix.EPOLLIN); failed != nil {
			return true
		}
		done, failed = ready() // what came before need not ring
		return done || failed != nil
	})
	if watching {
		b.control(unix.EPOLL_CTL_MOD, 0) // it fails only if closed
	}
	return cmp.Or(err, failed)
}

// control sets which events of the pipe ring.
func (b *bell) control(op int, events uint32) (err error) {
	closed := b.conn.Control(func(fd uintptr) {
		err = unix.EpollCtl(int(fd), op, b.pipe, &unix.EpollEvent{Events: events})
	})
	return cmp.Or(closed, err)
}

// interrupt ends wait, now and for ever.
func (b *bell) interrupt() { b.file.SetReadDeadline(time.Unix(1, 0)) } // it fails only if closed

func (b *bell) close() error { return b.file.Close() }

// openUnpolled opens a FIFO for reading, without waiting for a writer, and keeps it
// out of Go's poller: whatever is not blocking when it becomes an os.File gets there.
func openUnpolled(path string) (*os.File, error) {
	fd, err := again(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	unix.SetNonblock(fd, false) // cannot fail
	f := os.NewFile(uintptr(fd), path)
	unix.SetNonblock(fd, true)
	return f, nil
}
