package replay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// frames reads the entries of a spool. It must be closed.
type frames struct {
	ctx context.Context
	r   *spool.Reader
	end int64 // where to stop

	data  []byte // that were read and not decoded yet
	rest  []byte // room for the beginning of a frame that goes on in the next batch
	entry frame.Entry
	ready bool // entry was decoded and not handed over: a hole came first
	hole  hole // in front of entry
}

// hole says what is missing in front of the next entry.
type hole struct {
	bytes int64 // 0: not known
	cause error // nil: there is no hole
}

func (h *hole) Error() string {
	if h.bytes == 0 {
		return fmt.Sprintf("some lines are missing here: %v", h.cause)
	}
	return fmt.Sprintf("%d bytes of the log are missing here: %v", h.bytes, h.cause)
}

func (h *hole) Unwrap() error { return h.cause }

// frames reads from an offset up to another one.
func (l *reading) frames(ctx context.Context, from, end int64) *frames {
	return &frames{ctx: ctx, r: l.Spool.Reader(from), end: end}
}

func (f *frames) close() { f.r.Close() }

// next gives the next entry, valid until the next call. io.EOF says that there is none
// for now. A *hole says that something is missing, once; the next call goes on behind.
func (f *frames) next() (*frame.Entry, error) {
	for !f.ready {
		size, err := frame.Size(f.data)
		if err == nil && 0 < size && size <= len(f.data) {
			if err = f.entry.Decode(f.data[:size]); err == nil {
				f.data = f.data[size:]
				f.ready = true
				break
			}
		}
		if err != nil {
			n := 1 + frame.Resync(f.data[1:])
			f.data = f.data[n:]
			f.missing(int64(n), frame.ErrGarbled)
			continue
		}
		if err := f.read(); err == io.EOF && f.hole.cause != nil {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if f.hole.cause != nil {
		h := f.hole
		f.hole = hole{}
		return nil, &h
	}
	f.ready = false
	return &f.entry, nil
}

// read gets another batch.
func (f *frames) read() error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	if len(f.data) > 0 {
		f.rest = append(f.rest[:0], f.data...)
		f.data = f.rest
	}
	if f.r.Offset() >= f.end {
		return io.EOF
	}
	batch, _, err := f.r.Batch()
	var gap *spool.GapError
	if errors.As(err, &gap) {
		f.r.MoveTo(gap.To)
		f.data = nil
		if gap.Unsized {
			f.missing(0, gap.Cause)
		} else {
			f.missing(gap.To-gap.From, gap.Cause)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if len(f.data) == 0 {
		f.data = batch
		return nil
	}
	f.rest = append(f.rest, batch...)
	f.data = f.rest
	return nil
}

func (f *frames) missing(n int64, cause error) {
	if f.hole.cause == nil {
		f.hole = hole{n, cause}
	} else if f.hole.bytes > 0 && n > 0 {
		f.hole.bytes += n
	} else {
		f.hole.bytes = 0
	}
}

// changed gives a channel that is closed when there may be more. It lets go of memory
// that is not needed until then.
func (f *frames) changed() <-chan struct{} {
	if len(f.data) == 0 {
		f.data, f.rest = nil, nil
	}
	f.r.Rest()
	return f.r.Changed()
}
