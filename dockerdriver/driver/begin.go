package driver

import (
	"cmp"
	"context"
	"errors"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

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
		Container: store.Container(st.Blob), Name: st.Blob, Stream: c.id, Fork: true,
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
	blob, err := liveblob.Look(ctx, store.Container(st.Blob), st.Blob, c.d.retry())
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
