package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

const (
	// smallBatch is what a log may always upload at once, in bytes; a bigBatch needs a
	// token. So an outage holds that much memory for each log that writes, and no more.
	smallBatch = 64 << 10
	bigBatch   = 4 << 20
	// eager is the backlog that is not held back for the flush interval.
	eager = 1 << 20
	// pause follows an error that only a person can mend.
	pause = time.Minute
)

// upload brings the container's log into its blob until the container has stopped and
// all is there, or the process ends.
func (c *container) upload() {
	defer c.d.working.Done()
	defer c.d.release(c)
	for again := false; ; {
		err := c.ship()
		if err == nil || c.d.ctx.Err() != nil || errors.Is(err, errClosing) {
			return
		}
		var fenced *liveblob.FencedError
		if errors.As(err, &fenced) && fenced.First && !again {
			again = true // a commit of the last process has landed late: look once more
			continue
		}
		again = false
		if errors.Is(err, errRenewed) {
			continue
		}
		c.log.Error("the log cannot be uploaded for now; it is kept, and tried again in a minute", "err", err)
		select {
		case <-time.After(pause):
		case <-c.d.closing:
			return
		}
	}
}

// errClosing ends an uploader with the process, and errRenewed a request that waits.
var (
	errClosing = errors.New("the log driver is being stopped")
	errRenewed = errors.New("the account's settings have changed")
)

// reconsider makes the uploader begin anew if its account or credentials have changed,
// in a profile: a request with the old ones may be tried again for ever.
func (c *container) reconsider() {
	c.life.Lock()
	info, account, renew := c.state.Info, c.account, c.renew
	c.life.Unlock()
	if renew == nil {
		return
	}
	if settings, err := c.d.cfg.Host.Settings(&info); err == nil && settings.Account != account {
		renew(errRenewed)
	}
}

// ship is one Writer's life. nil: the log has ended and is in the blob.
func (c *container) ship() error {
	for { // the first request is made when there is something to say
		end := c.spool.Reader(c.spool.End())
		if c.something() {
			break
		}
		if c.settle(-1) {
			return nil
		}
		if err := c.wait(end.Changed(), 0); err != nil {
			return err
		}
	}
	ctx, renew := context.WithCancelCause(c.d.ctx)
	defer renew(nil)
	u, err := c.newUploader(ctx, renew)
	if err != nil {
		return err
	}
	defer u.close()
	for {
		live, closing := c.isLive(), c.d.isClosing()
		if live && !closing {
			if err := u.pace(); err != nil {
				return err
			}
			live = c.isLive()
		}
		atEnd, err := u.fill()
		if err != nil {
			return err
		}
		if atEnd && !live {
			if done, err := u.finish(); done || err != nil {
				return err
			}
			continue
		}
		if err := u.commit(false); err != nil {
			return err
		}
		if !atEnd {
			continue
		}
		if closing {
			return errClosing
		}
		if err := c.wait(u.reader.Changed(), u.joiner.due(time.Now())); err != nil {
			return err
		}
	}
}

// something reports that the blob needs a request: there are bytes that it does not
// have, or the mark that it is complete.
func (c *container) something() bool {
	st := c.spool.Stats()
	c.life.Lock()
	defer c.life.Unlock()
	return st.Backlog > 0 || st.End != c.state.Marked && !c.isLive()
}

// settle ends the uploader if the container has stopped and nothing came after what
// the blob has. marked is the offset at which the blob was marked as complete; -1: as
// it was.
func (c *container) settle(marked int64) bool {
	c.life.Lock()
	defer c.life.Unlock()
	if marked >= 0 {
		c.state.Marked = marked
	}
	if c.isLive() || c.spool.End() != c.state.Marked {
		return false
	}
	c.state.Settled = true
	if err := c.save(); err != nil { // then the next process asks the blob again
		c.log.Error("that the log is complete cannot be saved", "err", err)
	}
	c.uploading = false
	return true
}

// wait returns when the spool has changed, sources have come or gone, or limit is over
// (0: none), and with an error when the process ends.
func (c *container) wait(changed <-chan struct{}, limit time.Duration) error {
	var timer <-chan time.Time
	if limit > 0 {
		timer = time.After(limit)
	}
	select {
	case <-changed:
	case <-c.changed:
	case <-timer:
	case <-c.d.closing:
		if c.spool.Stats().Backlog == 0 {
			return errClosing
		}
	}
	return nil
}

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

// newUploader makes one whose requests ctx ends. renew does so when the account's
// settings have changed.
func (c *container) newUploader(ctx context.Context, renew context.CancelCauseFunc) (*uploader, error) {
	c.life.Lock()
	st := c.state
	c.life.Unlock()
	settings, err := c.d.cfg.Host.Settings(&st.Info) // anew: the plugin's settings may have been mended
	if err != nil {
		return nil, err
	}
	store, err := c.d.stores.get(settings)
	if err != nil {
		return nil, err
	}
	c.life.Lock()
	c.account, c.renew = settings.Account, renew
	c.life.Unlock()
	if st.Earlier && !st.Begun {
		if err := c.asBegun(ctx, store, settings, &st); err != nil {
			return nil, err
		}
	}
	format, err := record.ParseFormat(st.Format)
	if err != nil {
		return nil, err
	}
	compress, err := record.NewCompressor(st.Compress)
	if err != nil {
		return nil, err
	}
	cfg := liveblob.Config{
		Container: store.Container(), Name: st.Blob, Stream: c.id, Fork: true,
		ContentType: cmp.Or(settings.Config.ContentType, format.ContentType()), Metadata: settings.Metadata, Tags: settings.Config.Tags,
		CompleteTier: settings.Config.TierOnComplete, MaxSize: int64(settings.Config.MaxSize),
		Retry: c.d.retry(), Log: c.log,
	}
	if compress != nil {
		cfg.ContentEncoding = compress.Encoding()
	}
	w, err := liveblob.NewWriter(cfg)
	if err != nil {
		return nil, err
	}
	if err := w.Resume(ctx); err != nil {
		return nil, err
	}
	u := &uploader{
		c: c, ctx: ctx, writer: w, format: format, compress: compress,
		attrs: settings.Attrs, metadata: settings.Metadata, interval: settings.Config.FlushInterval,
		joiner: newJoiner(), done: w.State().Cursor,
	}
	u.start = u.where()
	c.note(func(s *state) {
		if !w.State().Exists {
			s.Earlier = false
		} else if u.start.String() != u.done {
			s.Earlier = true
		}
	})
	u.cursor, u.at = u.start, u.start.low()
	u.reader = c.spool.Reader(u.at)
	return u, nil
}

// asBegun lets a log go on as its blob was begun, when the container's folder was given
// up since and the settings have changed: no reader takes a mixture.
func (c *container) asBegun(ctx context.Context, store *core.Store, settings *logopt.Settings, st *state) error {
	blob, err := liveblob.Look(ctx, store.Container(), st.Blob, c.d.retry())
	switch {
	case errors.Is(err, liveblob.ErrNotFound), err == nil && blob.Stream != c.id:
		return nil
	case err != nil:
		return err
	}
	st.Compress = blob.ContentEncoding
	ours := settings.Config.ContentType == "" // or the type says nothing of the format
	isJSON := blob.ContentType == record.JSON.ContentType()
	switch wantJSON := st.Format == record.JSON.String(); {
	case ours && isJSON && !wantJSON:
		st.Format = record.JSON.String()
	case ours && !isJSON && wantJSON:
		st.Format = record.Text.String()
	}
	c.note(func(s *state) { s.Format, s.Compress = st.Format, st.Compress })
	return nil
}

// retry is how a log's requests are tried: for ever, for the log is safe on the disk.
func (d *Driver) retry() liveblob.Retry {
	return liveblob.Retry{Denied: true, Log: d.storageLog, Tally: &d.retries}
}

// note changes the state, and saves it if that is news.
func (c *container) note(change func(*state)) {
	c.life.Lock()
	defer c.life.Unlock()
	before := c.state
	if change(&c.state); c.state.Begun == before.Begun && c.state.Earlier == before.Earlier && c.state.Format == before.Format && c.state.Compress == before.Compress {
		return
	}
	if err := c.save(); err != nil {
		c.log.Error("what is known of the blob cannot be saved", "err", err)
	}
}

// where is the position to go on from: the blob's own, if it is one in this spool.
func (u *uploader) where() cursor {
	st := u.c.spool.Stats()
	cur, err := parseCursor(u.done)
	switch {
	case u.done == "":
	case err == nil && cur.spool == u.c.spool.ID() && cur.offset <= st.End:
		return cur
	case err == nil && cur.spool != u.c.spool.ID(): // the folder was lost, or given back to newer logs
	default:
		u.c.log.Warn("the blob's position is not one in the container's spool: all that the spool has not seen committed is uploaded", "cursor", u.done)
	}
	if u.c.begun() {
		return cursorAt(u.c.spool.ID(), max(st.First, st.Committed))
	}
	return cursorAt(u.c.spool.ID(), 0) // what was dropped since is a gap
}

func (c *container) begun() bool {
	c.life.Lock()
	defer c.life.Unlock()
	return c.state.Begun
}

func (u *uploader) close() {
	u.joiner.drop()
	u.reader.Close()
	u.free()
}

// pace waits until the next commit is due: at once after a quiet time, else an interval
// after the last began, or when much has come.
func (u *uploader) pace() error {
	for {
		left := time.Until(u.begun.Add(u.interval))
		if left <= 0 || u.c.spool.End()-u.cursor.offset >= eager || !u.c.isLive() || u.c.d.isClosing() {
			return nil
		}
		// Not the spool's changes: each would wake up an uploader that has to wait.
		if err := u.c.wait(nil, left); err != nil {
			return err
		}
	}
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
