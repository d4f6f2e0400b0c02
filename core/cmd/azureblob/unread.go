//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errUnread: whoever read stdout has gone.
var errUnread = errors.New("stdout is closed")

// untilUnread is a context that ends when the reader of stdout goes, so that
// tail -f of a silent log does not outlive the head or grep behind it: a write
// would be the first to notice. stop ends the watch.
func untilUnread(ctx context.Context, stdout io.Writer) (_ context.Context, stop func()) {
	f, ok := stdout.(*os.File)
	if !ok {
		return ctx, func() {}
	}
	wake, end, err := os.Pipe()
	if err != nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Without any event asked for, poll(2) still tells of errors: of a pipe,
		// that its other end is closed.
		polled := []unix.PollFd{{Fd: int32(f.Fd())}, {Fd: int32(wake.Fd()), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
				return
			}
			if polled[1].Revents != 0 {
				return
			}
			if polled[0].Revents&unix.POLLERR != 0 {
				cancel(errUnread)
				return
			}
			if polled[0].Revents != 0 {
				return // not something that can be watched
			}
		}
	}()
	return ctx, func() {
		end.Close()
		<-done
		wake.Close()
		cancel(nil)
	}
}
