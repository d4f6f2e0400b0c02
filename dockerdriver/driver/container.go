package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/fifo"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// badSuffix names a folder that was set aside, for a person to look at.
const badSuffix = ".bad"

// container is one container's log.
type container struct {
	d     *Driver
	id    string
	dir   string
	log   *slog.Logger
	users int // guarded by Driver.mu

	// life serialises what changes the state. The fields below are guarded by it;
	// those of the second group may be read by users without it, as they are set
	// before there is one.
	life      sync.Mutex
	state     state
	unsynced  bool // the state may not be on the disk yet
	uploading bool
	account   string                  // that the uploader uses
	renew     context.CancelCauseFunc // makes it begin anew; nil: it has not begun

	opened   bool
	spool    *spool.Spool
	settings atomic.Pointer[logopt.Settings] // of the newest start

	mu      sync.Mutex
	sources []*source     // in the order of their arrival
	live    chan struct{} // closed when there are none

	changed   chan struct{} // wakes the uploader when sources came or went
	behind    atomic.Int64  // Unix nanoseconds since when something is not committed; 0: all is
	uploaded  atomic.Int64  // offset that is committed
	committed atomic.Int64  // when that was, in Unix nanoseconds
}

func newContainer(d *Driver, id string) *container {
	live := make(chan struct{})
	close(live)
	return &container{
		d: d, id: id, dir: filepath.Join(d.shelf.dir, id), live: live,
		log:     d.log.With("container", id[:min(12, len(id))]),
		changed: make(chan struct{}, 1),
	}
}

// open reads the folder, or makes it for a container that starts. The error for a
// folder that is not there is fs.ErrNotExist. life is held.
func (c *container) open(info *logopt.Info, settings *logopt.Settings) error {
	if c.opened {
		return nil
	}
	c.d.shelf.take(c.id)
	st, err := loadState(c.dir, func(err error) { c.log.Error("a state file is damaged", "err", err) })
	switch {
	case errors.Is(err, fs.ErrNotExist) && info == nil:
		return err
	case errors.Is(err, fs.ErrNotExist):
		st = state{Settled: true} // until it has started
	case errors.Is(err, errDamaged):
		if err := c.setAside(err); err != nil {
			return err
		}
		if info == nil {
			return fs.ErrNotExist
		}
		st = state{Settled: true}
	case err != nil:
		return err
	}
	if info == nil {
		info = &st.Info
	}
	if settings == nil {
		if settings, err = c.d.cfg.Host.Settings(info); err != nil {
			// The profile is gone, say. The pipes are read all the same, and the
			// uploader tries again.
			c.log.Error("the log's options cannot be used for now", "err", err)
			settings = logopt.Fallback()
		}
	}
	sp, err := spool.Open(filepath.Join(c.dir, "spool"), spool.Config{
		Cache: settings.CacheSize, Limit: settings.SpoolSize,
		Report: func(err error) { c.log.Error("the spool is damaged", "err", err) },
	})
	if err != nil {
		return err
	}
	if st.Settled && sp.Stats().Backlog == 0 {
		st.Marked = sp.End() // offsets were skipped if the machine has been started anew
	}
	c.state, c.spool, c.opened, c.unsynced = st, sp, true, true
	c.settings.Store(settings)
	c.log = c.d.log.With("container", info.Name())
	return nil
}

// setAside keeps a folder whose state cannot be read, for a person to look at.
func (c *container) setAside(why error) error {
	aside := c.dir + badSuffix
	err := os.RemoveAll(aside)
	if err == nil {
		err = os.Rename(c.dir, aside)
	}
	if err != nil {
		return errors.Join(why, err)
	}
	c.log.Error("the state of a container's log cannot be read: what was not uploaded is kept aside", "folder", aside, "err", why)
	return nil
}

// start takes a pipe. It is called again for the same one where dockerd did not get
// the answer.
func (c *container) start(path string, info *logopt.Info, settings *logopt.Settings) error {
	c.life.Lock()
	defer c.life.Unlock()
	if err := c.open(info, settings); err != nil {
		return fmt.Errorf("keep the log of container %q: %w", info.Name(), err)
	}
	if slices.Contains(c.state.Pipes, path) {
		return nil
	}
	pipe, err := fifo.Open(path)
	if err != nil {
		return fmt.Errorf("keep the log of container %q: %w", info.Name(), err)
	}
	before := c.state
	c.state.Info = *info
	c.state.Pipes = append(slices.Clone(c.state.Pipes), path)
	c.state.Settled = false
	if c.state.Blob == "" {
		c.state.Blob, c.state.Format, c.state.Compress = settings.Blob, settings.Config.Format, settings.Config.Compress
		// It may have run before, and its folder be gone.
		created := info.ContainerCreated
		c.state.Earlier = time.Since(created) > time.Minute || created.Before(c.d.begun) || c.d.shelf.had(c.id)
	}
	if err := c.save(); err != nil {
		c.state = before
		pipe.Close()
		return fmt.Errorf("keep the log of container %q: %w", info.Name(), err)
	}
	c.settings.Store(settings)
	c.attach(path, pipe)
	return nil
}

// resume takes up what the last process has left: the pipes that the state names, and
// the upload.
func (c *container) resume() error {
	c.life.Lock()
	defer c.life.Unlock()
	if err := c.open(nil, nil); err != nil || c.state.Settled {
		return err
	}
	// All are compared with the spool before anything is appended to it.
	pipes := make([]*fifo.Pipe, len(c.state.Pipes))
	for i, path := range c.state.Pipes {
		pipe, err := fifo.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.log.Info("the container's pipe is gone: it has stopped meanwhile, or is about to come back with another", "pipe", path)
		case err != nil:
			c.log.Error("the container's pipe cannot be opened again", "err", err)
		}
		if err == nil {
			pipes[i] = pipe
			if err := c.skip(pipe); err != nil {
				c.log.Error("what the container's pipe holds cannot be compared with the spool; a few lines may be doubled", "err", err)
			}
		}
	}
	for i, path := range c.state.Pipes {
		c.attach(path, pipes[i])
	}
	c.startUploader()
	return nil
}

// skip takes out of the pipe what the last process had appended and not yet taken.
func (c *container) skip(pipe *fifo.Pipe) error {
	last, end := c.spool.LastAppend(), c.spool.End()
	if last == end {
		return nil
	}
	batch, err := c.spool.LastBytes(int(end - last))
	if err != nil {
		return err
	}
	_, err = pipe.Skip(batch)
	return err
}

// attach begins to read a pipe; nil: one that could not be opened. life is held.
func (c *container) attach(path string, pipe *fifo.Pipe) {
	s := newSource(c, path, pipe)
	if pipe != nil {
		pipe.Dropped = s.dropped
	}
	c.mu.Lock()
	if len(c.sources) == 0 {
		c.live = make(chan struct{})
	}
	s.before = slices.Clone(c.sources)
	c.sources = append(c.sources, s)
	c.mu.Unlock()
	for _, b := range s.before {
		if b.asked.Load() {
			continue
		}
		select {
		case <-b.superseded:
		default:
			close(b.superseded)
		}
	}
	d := c.d
	d.mu.Lock()
	d.sources[path] = s
	c.users++
	d.mu.Unlock()
	d.reading.Add(1)
	c.startUploader()
	go s.run()
}

// startUploader makes sure that there is one. life is held.
func (c *container) startUploader() {
	if c.uploading {
		c.wake()
		return
	}
	c.uploading = true
	if c.spool.Stats().Backlog > 0 { // the last process's
		c.behind.CompareAndSwap(0, time.Now().UnixNano())
	}
	c.d.mu.Lock()
	c.users++
	c.d.mu.Unlock()
	c.d.working.Add(1)
	go c.upload()
}

// ended takes note that a source has ended and all of it is in the spool.
func (c *container) ended(s *source) {
	c.life.Lock()
	defer c.life.Unlock()
	c.d.mu.Lock()
	delete(c.d.sources, s.path)
	c.d.mu.Unlock()
	c.state.Pipes = slices.DeleteFunc(slices.Clone(c.state.Pipes), func(p string) bool { return p == s.path })
	if len(c.state.Pipes) == 0 {
		c.state.Stopped = time.Now().UTC()
	}
	if err := c.save(); err != nil { // the next process then finds the pipe gone
		c.log.Error("that the container has stopped cannot be saved", "err", err)
	}
	c.mu.Lock()
	c.sources = slices.DeleteFunc(c.sources, func(o *source) bool { return o == s })
	if len(c.sources) == 0 {
		close(c.live)
	}
	c.mu.Unlock()
	c.wake()
}

// isLive reports that the container may still write. Once it does not, all that it
// wrote is in the spool.
func (c *container) isLive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sources) > 0
}

// over is closed when the container has stopped and all it wrote is in the spool.
func (c *container) over() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}

// save writes the state. life is held.
func (c *container) save() error {
	c.unsynced = true
	return c.state.save(c.dir)
}

// sync brings the log to the disk, with what the next process must know to upload it.
func (c *container) sync() error {
	c.life.Lock()
	opened, sp, unsynced := c.opened, c.spool, c.unsynced
	c.unsynced = false
	c.life.Unlock()
	if !opened {
		return nil
	}
	if unsynced {
		if err := syncState(c.dir); err != nil {
			c.life.Lock()
			c.unsynced = true
			c.life.Unlock()
			return err
		}
	}
	return sp.Sync()
}

// trim gives up what the spool holds of the log that is in the blob.
func (c *container) trim() (freed int64, err error) {
	c.life.Lock()
	defer c.life.Unlock()
	if !c.opened {
		return 0, nil
	}
	before := c.spool.Stats().Disk
	err = c.spool.Trim()
	return before - c.spool.Stats().Disk, err
}

// figures are for the metrics; not ok: the log is closed.
func (c *container) figures() (name string, st spool.Stats, ok bool) {
	c.life.Lock()
	defer c.life.Unlock()
	if !c.opened {
		return "", st, false
	}
	return c.state.Info.Name(), c.spool.Stats(), true
}

// wake tells the uploader to look again.
func (c *container) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// appended takes note that the spool ends at end now.
func (c *container) appended(end int64) {
	c.behind.CompareAndSwap(0, time.Now().UnixNano())
	if end-c.uploaded.Load() >= c.eager() {
		c.wake()
	}
}

// close ends the container's time in memory. A folder that holds nothing is removed,
// any other goes on the shelf once it is settled. life is held.
func (c *container) close() {
	if !c.opened {
		return
	}
	c.opened = false
	st := c.spool.Stats()
	if c.state.Settled && st.End == 0 {
		if err := errors.Join(c.spool.Close(), remove(c.dir)); err != nil {
			c.log.Error("the folder of an empty log cannot be removed", "err", err)
		}
		return
	}
	if err := c.spool.Close(); err != nil {
		c.log.Error("the spool cannot be closed in order", "err", err)
	}
	if c.state.Settled {
		c.d.shelf.put(c.id, st.Disk, c.state.Stopped)
	}
}
