package driver

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// ReadConfig is what docker logs asks for.
type ReadConfig struct {
	Since, Until time.Time // zero: no bound
	Tail         int       // entries; below 0: all
	Follow       bool
}

// Read writes the log to w as frames.
func (d *Driver) Read(ctx context.Context, info *logopt.Info, cfg ReadConfig, w io.Writer) error {
	return errors.New("not yet") // replaced when package replay is there
}
