package driver

import (
	"errors"
	"syscall"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// full is a spool that takes no more, be it by its own limit or the disk's.
type full struct{ reported bool }

// wait makes room if that is wished, or waits a moment for the uploader to do it.
func (f *full) wait(c *container, err error) {
	limit := errors.Is(err, spool.ErrFull)
	disk := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if disk && c.d.makeRoom() {
		return
	}
	if (limit || disk) && c.settings.Load().DropOldest {
		from, to, dropErr := c.spool.DropOldest(c.settings.Load().SpoolSize / 8)
		if n := to - from; dropErr == nil && n > 0 {
			if !f.reported {
				f.reported = true
				c.log.Warn("the spool is full; its oldest lines are dropped", "first", n, "err", err)
			}
			return
		}
	}
	if !f.reported {
		f.reported = true
		if limit {
			c.log.Warn("the spool is full: the container's output waits until some of it is uploaded (azureblob-spool-size, azureblob-on-full)",
				"bytes", c.settings.Load().SpoolSize)
		} else {
			c.log.Error("the container's output waits: it cannot be written to the disk", "err", err)
		}
	}
	select {
	case <-time.After(50 * time.Millisecond):
	case <-c.d.leaving:
	}
}

func (f *full) over(c *container) {
	if f.reported && c.spool.Stats().Backlog < c.settings.Load().SpoolSize/2 {
		f.reported = false
		c.log.Info("the spool has room again")
	}
}

// makeRoom gives up what is on the disk for docker logs alone. It reports whether that
// was anything.
func (d *Driver) makeRoom() bool {
	d.mu.Lock()
	if time.Since(d.roomMade) < time.Second { // all sources that wait come here
		d.mu.Unlock()
		return false
	}
	d.roomMade = time.Now()
	var all []*container
	for _, c := range d.containers {
		c.users++
		all = append(all, c)
	}
	d.mu.Unlock()
	freed := d.shelf.clear()
	for _, c := range all {
		n, err := c.trim()
		if err != nil {
			c.log.Error("what is uploaded cannot be removed from the disk", "err", err)
		}
		freed += n
		d.release(c)
	}
	if freed > 0 {
		d.storageLog.Warn("the disk is full: what was kept on it for docker logs is given up, and read from the blobs", "bytes", freed)
	}
	return freed > 0
}
