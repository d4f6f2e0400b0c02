package main_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// TestEvicted has most of a log in the blob alone.
func TestEvicted(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	n := &dockertest.Numbered{Name: "evicted", Size: 1000}
	c := b.start(dockertest.Spec{Name: n.Name, Opts: map[string]string{"azureblob-cache-size": "1M", "azureblob-spool-size": "8M"}})
	b.burst(c, n, 6_000)
	b.readable(c, n)
	within(t, 5*time.Second, func() error {
		if held := b.plugin.Metric("azureblob_spool_bytes"); held > 5<<20 {
			return fmt.Errorf("the spool has %v bytes", held)
		}
		return nil
	})
	l, _ := b.logs(c)
	if err := n.Check(l.Lines()); err != nil {
		t.Errorf("docker logs: %v", err)
	}

	// In an outage docker logs shows what is here, and says where the rest is.
	back := b.outage()
	l, took := b.logs(c)
	kept := others(l.Lines())
	if took > 2*prompt || len(kept) == 0 || len(kept) == 6_000 || len(kept) == len(l.Lines()) || !strings.HasPrefix(kept[len(kept)-1].Text, "evicted stdout 6000 ") {
		t.Errorf("docker logs in an outage: %d of %d lines are the log's, after %v", len(kept), len(l.Lines()), took)
	}
	b.stop(c)
	back()
	b.exact(c, n)
}

// TestFullSpool has more to keep than it may.
func TestFullSpool(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	limit := map[string]string{"azureblob-spool-size": "8M"}
	waits := &dockertest.Numbered{Name: "waits", Size: 1000}
	waitsC := b.start(dockertest.Spec{Name: waits.Name, Opts: limit})
	limit = maps.Clone(limit)
	limit["azureblob-on-full"] = "drop-oldest"
	drops := &dockertest.Numbered{Name: "drops", Size: 1000}
	dropsC := b.start(dockertest.Spec{Name: drops.Name, Opts: limit})
	b.burst(dropsC, drops, 10)
	b.readable(dropsC, drops)
	back := b.outage()
	born := &dockertest.Numbered{Name: "born", Size: 1000} // its blob does not know where it begins
	bornC := b.start(dockertest.Spec{Name: born.Name, Opts: limit})
	dropping := map[*dockertest.Container]*dockertest.Numbered{dropsC: drops, bornC: born}
	for c, n := range dropping {
		b.burst(c, n, 20_000)
		b.stop(c)
	}

	pipe, err := os.OpenFile(waitsC.FIFO(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	within(t, 20*time.Second, func() error {
		for waits.Written("stdout") < 20_000 {
			queued, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
			if err != nil {
				return err
			}
			if queued > 32<<10 { // a write that waits would keep the container from stopping
				break
			}
			b.burst(waitsC, waits, 1)
		}
		if !strings.Contains(b.plugin.Output(), "container=waits") {
			return errors.New("the spool is not full yet")
		}
		return nil
	})
	b.stop(waitsC) // with a rest in the pipe
	back()
	b.exact(waitsC, waits)

	for c, n := range dropping {
		b.complete(c)
		lines, err := b.lines(c)
		if err != nil {
			t.Fatal(err)
		}
		kept, written := others(lines), n.Written("stdout")
		if last := increasing(t, n.Name, kept); last != written || len(kept) < 5_000 || len(kept) > 13_000 {
			t.Errorf("%s: %d lines are kept of %d, up to %d", n.Name, len(kept), written, last)
		}
		if len(kept) == len(lines) {
			t.Errorf("%s: the log does not say that lines are missing", n.Name)
		}
	}
	if lost := b.plugin.Metric("azureblob_lost_bytes_total"); lost < 10<<20 {
		t.Errorf("%v bytes are counted as lost", lost)
	}
}

// increasing checks that lines, some of which may be missing, are in order, and gives
// the number of the last.
func increasing(t *testing.T, name string, lines []dockertest.Line) (last int) {
	t.Helper()
	for _, l := range lines {
		var i int
		if _, err := fmt.Sscanf(l.Text, name+" stdout %d ", &i); err != nil || i <= last {
			t.Fatalf("after line %d: %.80q, %v", last, l.Text, err)
		}
		last = i
	}
	return last
}

// TestFullDisk has the state on a disk that is smaller than what is written; where it
// may not mount one, no file may grow until the plugin is started again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk, full := t.TempDir(), "no space left on device"
	err := syscall.Mount("azureblob-test", disk, "tmpfs", 0, "size=6m")
	mounted := err == nil
	if mounted {
		t.Cleanup(func() {
			if err := syscall.Unmount(disk, 0); err != nil {
				t.Error(err)
			}
		})
	} else {
		t.Logf("mount a small disk: %v: limits on the size of files stand in", err)
		full = "file too large"
	}
	b := newBed(t, dockertest.PluginConfig{StateDir: filepath.Join(disk, "state")})
	idleC := b.start(dockertest.Spec{Name: "idle"})
	n := &dockertest.Numbered{Name: "busy", Size: 1000}
	c := b.start(dockertest.Spec{Name: "busy", Opts: map[string]string{"azureblob-spool-size": "8M"}}) // files of 2 MiB
	b.burst(c, n, 10)
	b.readable(c, n)
	if !mounted {
		b.plugin.Limit(unix.RLIMIT_FSIZE, 1<<20)
	}
	back := b.outage()
	wrote := make(chan error, 1)
	go func() {
		for range 10_000 {
			if err := n.Write(c, "stdout"); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	b.said("level=ERROR", "busy", full)
	if l, took := b.logs(c); took > prompt || len(l.Entries) < 500 {
		t.Errorf("docker logs with a full disk: %d lines in %v", len(l.Entries), took)
	}
	b.stop(idleC)
	begun := time.Now()
	if _, err := b.daemon.Run(dockertest.Spec{Name: "late"}); err != nil && !strings.Contains(err.Error(), full) || time.Since(begun) > prompt {
		t.Errorf("docker run with a full disk: %v after %v", err, time.Since(begun))
	}
	select {
	case err := <-wrote:
		t.Fatalf("10 MB went onto a disk of 6 MiB: %v", err)
	default:
	}
	b.plugin.Restart()
	back()
	select {
	case err := <-wrote:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the container still waits, with %d lines written", n.Written("stdout"))
	}
	b.stop(c)
	b.exact(c, n)
	if times := strings.Count(b.plugin.Output(), full); times > 20 {
		t.Errorf("it said %d times that the disk is full", times)
	}
}
