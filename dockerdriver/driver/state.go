package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// state is what a container's folder says besides the spool. It is saved whenever
// something of it changes, which is not for every line.
//
//	            set by                              read by
//	Pipes       start; ended                        resume, after a restart of the process
//	Blob, …     the first start                     whoever opens the blob
//	Begun       the first commit                    begin: a spool of which nothing is in the blob
//	                                                is uploaded from its first byte on
//	Earlier     the first start guesses; begin      docker logs: does it need the blob?
//	            finds out
//	Stopped     ended, with the last pipe           the blob's metadata
//	Marked      settle                              is the mark complete=1 still to be made?
//	Settled     settle; start takes it back         resume, close: may the folder go?
type state struct {
	Info     logopt.Info `json:"info"`              // of the newest StartLogging
	Pipes    []string    `json:"pipes,omitempty"`   // that are open
	Blob     string      `json:"blob"`              // the log's first; the container keeps it when it is renamed
	Format   string      `json:"format"`            // of the log, and its compression: as it was begun, so it goes on
	Compress string      `json:"compress"`          //
	Begun    bool        `json:"begun,omitempty"`   // something of the spool is in the blob
	Earlier  bool        `json:"earlier,omitempty"` // the blob may have lines from before the spool was made
	Stopped  time.Time   `json:"stopped,omitzero"`  // when the last pipe ended
	Marked   int64       `json:"marked,omitempty"`  // where the spool ended when the blob was marked as complete
	Settled  bool        `json:"settled,omitempty"` // nothing is left to do
}

const (
	stateName  = "state.json"
	backupName = "state.json.old" // the one before, for the case that the newest is damaged
)

// errDamaged: a state file is there, and says nothing.
var errDamaged = errors.New("it is damaged")

// loadState reads a container's state. A damaged one is replaced by the one before,
// and reported. The error for a container that has none is fs.ErrNotExist; errDamaged
// if both are damaged.
func loadState(dir string, report func(error)) (state, error) {
	s, err := readState(filepath.Join(dir, stateName))
	if err == nil || errors.Is(err, fs.ErrNotExist) && !exists(filepath.Join(dir, backupName)) {
		return s, err
	}
	old, oldErr := readState(filepath.Join(dir, backupName))
	switch {
	case oldErr == nil:
	case errors.Is(err, errDamaged) && errors.Is(oldErr, fs.ErrNotExist):
		return state{}, err
	case errors.Is(err, fs.ErrNotExist):
		return state{}, oldErr
	default:
		return state{}, errors.Join(err, oldErr)
	}
	report(fmt.Errorf("%w; the state before that is used", err))
	return old, nil
}

func readState(path string) (state, error) {
	var s state
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read state %q: %w: %w", path, errDamaged, err)
	}
	if s.Info.ContainerID == "" {
		return s, fmt.Errorf("read state %q: %w: it names no container", path, errDamaged)
	}
	return s, nil
}

// save writes the state so that a crash leaves the old one or the new one.
func (s *state) save(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	path, old := filepath.Join(dir, stateName), filepath.Join(dir, backupName)
	next := path + ".new"
	write := func() error {
		err := os.WriteFile(next, b, 0o600)
		if err != nil {
			os.Remove(next)
		}
		return err
	}
	if err = write(); err == nil {
		err = os.Rename(path, old)
	}
	if errors.Is(err, fs.ErrNotExist) { // the first state is its own backup
		if err = os.Rename(next, old); err == nil {
			err = write()
		}
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// syncState returns when the state that was saved last is on the disk.
func syncState(dir string) error {
	for _, path := range []string{filepath.Join(dir, stateName), dir, filepath.Dir(dir)} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) { // a newer one is being saved
			continue
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("sync state: %w", err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
