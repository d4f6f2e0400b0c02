package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
	"github.com/liveblob/azureblob/dockerdriver/replay"
)

// ReadConfig is what docker logs asks for.
type ReadConfig struct {
	Since, Until time.Time // zero: no bound
	Tail         int       // entries; below 0: all
	Follow       bool
}

// Read writes a container's log to w as dockerd wants it for docker logs; see package
// replay.
func (d *Driver) Read(ctx context.Context, info *logopt.Info, cfg ReadConfig, w io.Writer) error {
	if !validID(info.ContainerID) {
		return fmt.Errorf("read logs: %q is no container ID", info.ContainerID)
	}
	select {
	case <-d.recovered:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c := d.acquire(info.ContainerID)
	defer d.release(c)
	rc, err := c.replay(info)
	if err != nil {
		return err
	}
	rc.Since, rc.Until, rc.Tail, rc.Follow = cfg.Since, cfg.Until, cfg.Tail, cfg.Follow
	return replay.Stream(ctx, rc, w)
}

// replay says where the log is: in the spool, in the blob, or in both.
func (c *container) replay(info *logopt.Info) (replay.Config, error) {
	c.life.Lock()
	defer c.life.Unlock()
	rc := replay.Config{Ended: c.over()}
	var name, kind string // as the log was begun
	switch err := c.open(nil, nil); {
	case err == nil:
		rc.Spool, rc.Earlier, name, kind = c.spool, c.state.Earlier, c.state.Blob, c.state.Format
	case !errors.Is(err, fs.ErrNotExist):
		return rc, fmt.Errorf("read the log of container %q: %w", info.Name(), err)
	}
	settings, err := c.d.cfg.Host.Settings(info)
	if err != nil { // told if the blob is needed
		rc.Blob = &replay.Blob{Stream: c.id, Where: "the blob", Open: func() (liveblob.Container, string, error) {
			return liveblob.Container{}, "", err
		}}
		return rc, nil
	}
	if name == "" {
		name, kind = settings.Blob, settings.Config.Format
	}
	format, err := record.ParseFormat(kind)
	if err != nil {
		return rc, err
	}
	rc.Blob = &replay.Blob{
		Where: settings.Config.ContainerName + "/" + name, Stream: c.id, Format: format,
		Open: func() (liveblob.Container, string, error) {
			store, err := c.d.stores.get(settings)
			if err != nil {
				return liveblob.Container{}, "", err
			}
			return store.Container(name), name, nil
		},
	}
	return rc, nil
}
