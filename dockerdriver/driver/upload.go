package driver

import (
	"context"
	"errors"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	// smallBatch is what a log may always upload at once, in bytes; a bigBatch needs a
	// token. So an outage holds that much memory for each log that writes, and no more.
	smallBatch = 64 << 10
	bigBatch   = 4 << 20
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
	for atEnd := true; ; {
		live, closing := c.isLive(), c.d.isClosing()
		if live && !closing && atEnd {
			if err := u.pace(); err != nil {
				return err
			}
			live = c.isLive()
		}
		if atEnd, err = u.fill(); err != nil {
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

// eager is the backlog, in bytes, that is not held back for the flush interval: the
// spool would fill up. Less than that waits, also where it would make a large commit:
// a container that has much to say is quicker done if the upload does not compete with
// it for the processor, and the account is charged for fewer requests.
func (c *container) eager() int64 { return c.settings.Load().SpoolSize / 4 }

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
