package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// uploader is what a log needs while it is uploaded.
type uploader struct {
	c        *container
	ctx      context.Context
	writer   *liveblob.Writer
	format   record.Format
	compress record.Compressor
	attrs    []byte
	metadata map[string]string
	interval time.Duration

	reader *spool.Reader
	start  cursor // as it was found
	cursor cursor // behind out
	done   string // the cursor that is committed
	joiner *joiner
	at     int64  // offset of the next frame
	rest   []byte // what is there of that frame, where it lies in two batches

	out    []byte    // the batch of records; nil between commits
	big    bool      // it has a token
	long   int64     // bytes of it that are long lines, and count as held
	filled time.Time // when it was begun to be filled
	begun  time.Time // when the last commit was begun
}

func (u *uploader) close() {
	u.joiner.drop()
	u.reader.Close()
	u.free()
}

// pace waits until the next commit is due: at once after a quiet time, else an interval
// after the last began, or when too much has come.
func (u *uploader) pace() error {
	for {
		left := time.Until(u.begun.Add(stretch(u.interval, u.c.d.busy.Load())))
		if left <= 0 || u.c.spool.End()-u.cursor.offset >= u.c.eager() || !u.c.isLive() || u.c.d.isClosing() {
			return nil
		}
		// Not the spool's changes: each would wake up an uploader that has to wait.
		if err := u.c.wait(nil, left); err != nil {
			return err
		}
	}
}

// stretch makes the interval between the commits of a log longer, up to twice as long,
// where more than a hundred logs are busy: each would else cost the host its processor
// and the account its requests, for a line or two.
func stretch(interval time.Duration, busy int64) time.Duration {
	const few, many = 100, 200
	return interval * time.Duration(min(max(busy, few), many)) / few
}

// fill reads frames and encodes them until the batch is full, and reports whether
// that is all there is.
func (u *uploader) fill() (atEnd bool, err error) {
	u.filled = time.Now()
	if u.out == nil {
		u.out = buffers.get()
	}
	defer u.reader.Rest()
	for {
		batch, at, err := u.reader.Batch()
		var gap *spool.GapError
		switch {
		case err == io.EOF:
			if len(u.rest) == 0 { // offsets may have been skipped, with nothing lost
				u.at, u.cursor.offset = at, max(u.cursor.offset, at)
			}
			u.joiner.flushOld(time.Now(), u.emit)
			u.mark()
			return true, nil
		case errors.As(err, &gap):
			u.gap(gap)
			continue
		case err != nil:
			return false, err
		}
		full := u.encode(batch, at)
		u.reader.MoveTo(u.at + int64(len(u.rest)))
		if full {
			u.mark()
			return false, nil
		}
	}
}

// mark puts into the cursor what is held. While what was held at the start is read
// again, it goes on being held from where that stands.
func (u *uploader) mark() {
	for i, from := range u.joiner.held() {
		if h := u.start.held[i]; from < 0 && h >= 0 && u.at < u.start.offset {
			from = max(u.at, h)
		}
		u.cursor.held[i] = from
	}
}

// encode takes frames of a batch, which is at offset at, until out is full.
func (u *uploader) encode(batch []byte, at int64) (full bool) {
	if len(u.rest) > 0 && u.at+int64(len(u.rest)) == at {
		batch = append(u.rest, batch...) // dockerd makes no frames as large
	} else {
		u.at = at
	}
	u.rest = nil
	var e frame.Entry
	for len(batch) > 0 {
		size, err := frame.Size(batch)
		switch {
		case err != nil:
			size = frame.Resync(batch)
			u.garbled(size)
		case size == 0 || size > len(batch):
			u.rest = slices.Clone(batch)
			return false
		case e.Decode(batch[:size]) != nil:
			u.garbled(size)
		case !u.start.has(e.Source, u.at):
			u.joiner.add(&e, u.at, u.emit)
		}
		batch = batch[size:]
		u.at += int64(size)
		u.cursor.offset = max(u.cursor.offset, u.at)
		if u.isFull() {
			return true
		}
	}
	return false
}

// isFull reports that the batch is to be committed before more is added.
func (u *uploader) isFull() bool {
	switch {
	case len(u.out) < smallBatch:
		return false
	case u.big:
		return len(u.out) >= bigBatch
	}
	select {
	case u.c.d.big <- struct{}{}:
		u.big = true
		return len(u.out) >= bigBatch
	default:
		return true
	}
}

func (u *uploader) emit(r *record.Record) {
	r.Attrs = u.attrs
	n := len(u.out)
	u.out = u.format.Append(u.out, r)
	if n = len(u.out) - n; n > maxShort {
		u.long += int64(n)
		holding.Add(int64(n))
	}
}

// gap takes note that a range of the spool is not to be had.
func (u *uploader) gap(gap *spool.GapError) {
	n := gap.To - u.at
	if gap.Unsized {
		n = 0
	}
	u.missing(n, gap.Cause)
	u.reader.MoveTo(gap.To)
	u.at, u.rest = gap.To, nil
	u.cursor.offset = max(u.cursor.offset, u.at)
}

// garbled takes note that the next n bytes are no frame, if that was not done before.
func (u *uploader) garbled(n int) {
	if u.at+int64(n) > u.start.offset {
		u.missing(int64(n), errors.New("they were damaged"))
	}
}

// missing writes a line in place of n bytes; 0: it is not known how many.
func (u *uploader) missing(n int64, cause error) {
	u.joiner.flush(u.emit)
	u.c.d.lost.Add(n)
	u.c.log.Error("a part of the log is missing", "bytes", n, "err", cause)
	u.emit(&record.Record{Time: time.Now(), Stream: "stderr", Line: gapLine(n, cause.Error())})
}

// gapLine is what a log says where some of it is missing.
func gapLine(n int64, why string) []byte {
	if n <= 0 {
		return fmt.Appendf(nil, "azureblob: lines may be missing here: %s", why)
	}
	return fmt.Appendf(nil, "azureblob: %d bytes are missing here: %s", n, why)
}

// commit uploads the batch. complete: it is the last.
func (u *uploader) commit(complete bool) error {
	cursor := u.cursor.String()
	if len(u.out) == 0 && cursor == u.done && !complete {
		u.free()
		return nil
	}
	u.begun = time.Now()
	data := u.out
	if u.compress != nil && len(data) > 0 {
		data = u.compress.Append(buffers.get(), data)
		defer buffers.put(data)
	}
	commit := u.writer.Commit
	if complete {
		commit = u.writer.Complete
	}
	if err := commit(u.ctx, data, cursor); err != nil {
		return err
	}
	u.free()
	if u.done == "" {
		u.c.note(func(s *state) { s.Begun = true })
	}
	u.done = cursor
	return u.committed()
}

// committed tells the spool, and counts.
func (u *uploader) committed() error {
	c := u.c
	c.d.commits.Add(1)
	c.committed.Store(u.begun.UnixNano())
	c.uploaded.Store(u.cursor.offset)
	if c.spool.End() == u.cursor.offset {
		c.behind.Store(0)
	} else {
		c.behind.Store(u.filled.UnixNano())
	}
	return c.spool.Commit(u.cursor.low())
}

// finish marks the blob as complete. It reports whether that was the end: the container
// may have been started again meanwhile.
func (u *uploader) finish() (bool, error) {
	c := u.c
	if n := len(u.rest); n > 0 {
		u.garbled(n)
		u.at, u.rest = u.at+int64(n), nil
		u.cursor.offset = max(u.cursor.offset, u.at)
	}
	u.joiner.flush(u.emit)
	u.mark()
	c.life.Lock()
	stopped, marked := c.state.Stopped, c.state.Marked
	c.life.Unlock()
	if len(u.out) > 0 || u.cursor.offset != marked {
		metadata := maps.Clone(u.metadata)
		metadata["stopped"] = stopped.Format(time.RFC3339Nano)
		if err := u.writer.SetMetadata(metadata); err != nil {
			return false, err
		}
		if err := u.commit(true); err != nil {
			return false, err
		}
		if err := u.writer.SetMetadata(u.metadata); err != nil { // for what may come
			return false, err
		}
	}
	return c.settle(u.cursor.offset), nil
}

// free gives back the batch's memory.
func (u *uploader) free() {
	if u.out != nil {
		buffers.put(u.out)
		u.out = nil
	}
	holding.Add(-u.long)
	u.long = 0
	if u.big {
		<-u.c.d.big
		u.big = false
	}
}

// buffers are for batches, small and large.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() []byte {
	if b, _ := p.pool.Get().(*[]byte); b != nil {
		return (*b)[:0]
	}
	return make([]byte, 0, 4<<10)
}

func (p *bufferPool) put(b []byte) {
	if cap(b) <= 2*bigBatch { // a line of 32 MiB is not worth keeping
		p.pool.Put(&b)
	}
}
