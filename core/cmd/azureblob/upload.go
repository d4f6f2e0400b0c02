package main

// This file is a pipe at work, once it is set up: the loop from stdin to the
// stream, and the ways in which it ends.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/docker/go-units"

	"github.com/liveblob/azureblob/core/liveblob"
)

// onSignal ends the input at the first signal and the process at the second. The
// returned function ends the watch.
func (p *pipe) onSignal() (stop func()) {
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // nohup, or a shell's background job
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	go func() {
		var slow <-chan time.Time
		for n := 0; ; {
			select {
			case <-done:
				return
			case <-slow:
				if s := p.stream.Stats(); !p.quiet {
					p.a.console.say("stopping: %d bytes are still to be committed; a second signal gives up", s.Written-s.Committed)
				}
				continue
			case <-signals:
			}
			if n++; n == 1 {
				p.in.stop()
				slow = time.After(time.Second)
				continue
			}
			// Whatever the loop waits for, a write to stdout say, is not waited
			// for any more.
			p.a.console.say("%s", message(p.account(errors.New("stopped by a second signal"))))
			os.Exit(exitFailed)
		}
	}()
	return func() { signal.Stop(signals); close(done) }
}

const (
	firstRead = 32 << 10 // a log that trickles needs no more
	readSize  = 1 << 20  // what the pipe holds
)

// copy is the loop.
func (p *pipe) copy(ctx context.Context) error {
	buf := make([]byte, firstRead)
	for {
		n, err := p.in.read(buf, p.patience())
		if n > 0 {
			p.pass(buf[:n])
			p.feed(ctx, buf[:n])
		} else {
			p.feed(ctx, nil) // has the upload failed meanwhile?
		}
		if n == len(buf) && n < readSize {
			buf = make([]byte, readSize)
		}
		switch {
		case err == nil, errors.Is(err, errIdle):
		case ctx.Err() != nil: // and not the input's own end
			return p.abandon(ctx, context.Cause(ctx))
		case errors.Is(err, io.EOF):
			return p.finish(ctx)
		default:
			return p.abandon(ctx, err)
		}
		if p.failed != nil && !p.tee {
			return p.account(p.failed)
		}
	}
}

// patience is how long to wait for input before looking after the upload; for
// ever where all of it is committed.
func (p *pipe) patience() time.Duration {
	if s := p.stream.Stats(); p.failed == nil && s.Committed < s.Written {
		return time.Second
	}
	return -1
}

// pass writes to stdout until that is closed or fails, which ends neither the
// upload nor the producer.
func (p *pipe) pass(b []byte) {
	if !p.tee {
		return
	}
	if _, err := (output{p.a.stdout}).Write(b); err != nil {
		p.tee = false
		if !errors.Is(err, errSilent) {
			p.broken = err
			p.a.console.say("%s: the upload goes on", message(err))
		}
	}
}

const stampSize = 16 << 10

// feed gives b to the stream.
func (p *pipe) feed(ctx context.Context, b []byte) {
	if p.failed != nil {
		return
	}
	if p.stamp == nil || len(b) == 0 {
		p.append(ctx, b)
		return
	}
	// Bit by bit: a record can be eighty times its line, and memory is to stay flat.
	now := time.Now()
	for len(b) > 0 && p.failed == nil {
		n := min(len(b), stampSize)
		p.append(ctx, p.stamp.lines(b[:n], now))
		b = b[n:]
	}
}

func (p *pipe) append(ctx context.Context, b []byte) {
	if err := p.stream.Append(ctx, b, p.cursor); err != nil {
		p.failed = p.explain(err)
		if p.tee {
			p.a.console.say("%s: stdin is still passed on", message(p.failed))
		}
	}
}

// explain adds what helps a pipe.
func (p *pipe) explain(err error) error {
	var e *liveblob.Error
	if errors.Is(err, liveblob.ErrTaken) && errors.As(err, &e) && !p.resume {
		taken := *e
		taken.Hint = "choose another name, or go on with that log by --append"
		return &taken
	}
	return err
}

// finish commits what is left and marks the blob complete.
func (p *pipe) finish(ctx context.Context) error {
	if p.stamp != nil && p.failed == nil {
		p.append(ctx, p.stamp.end(time.Now()))
	}
	if p.failed != nil {
		return p.account(p.failed)
	}
	if err := p.stream.Close(ctx); err != nil {
		return p.account(p.explain(err))
	}
	if s := p.stream.Stats(); !p.quiet {
		packed := ""
		if s.Blob.Size != s.Written && !p.resume {
			packed = fmt.Sprintf(" (%d stored)", s.Blob.Size)
		}
		p.a.console.say("%s: complete, %d bytes%s in %s", p.url, s.Written, packed, plural(s.Commits, "commit"))
	}
	if p.broken != nil {
		return errSilent
	}
	return nil
}

// abandon commits what came before stdin failed. The log's end is not known, so
// the blob is not marked complete.
func (p *pipe) abandon(ctx context.Context, why error) error {
	if p.stamp != nil && p.failed == nil {
		p.append(ctx, p.stamp.end(time.Now()))
	}
	if p.failed == nil {
		p.failed = p.stream.Detach(ctx)
	}
	if p.failed != nil {
		return p.account(fmt.Errorf("%w; and %w", why, p.failed))
	}
	return p.account(why)
}

// account says how much is committed where not all is.
func (p *pipe) account(err error) error {
	s := p.stream.Stats()
	if s.Committed == 0 && errors.Is(err, liveblob.ErrTaken) {
		return fmt.Errorf("%w: nothing was written", err)
	}
	return fmt.Errorf("%w: %d of %d bytes are committed, the blob is not marked complete", err, s.Committed, s.Written)
}

// progress is the line on the terminal.
func (p *pipe) progress() string {
	s := p.stream.Stats()
	return fmt.Sprintf("%s committed in %s, %s pending",
		units.BytesSize(float64(s.Committed)), plural(s.Commits, "commit"), units.BytesSize(float64(s.Written-s.Committed)))
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
