package main_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// The tests that begin with newBed run the driver as a process, between a stand-in for
// dockerd and one for Azure.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prompt is what dockerd may be kept waiting for, whatever the store and the disk do.
const prompt = 2 * time.Second

// bed is a plugin between its two sides.
type bed struct {
	t      *testing.T
	server *azuretest.Server
	plugin *dockertest.Plugin
	daemon *dockertest.Daemon
}

func newBed(t *testing.T, cfg dockertest.PluginConfig) *bed {
	t.Helper()
	s := azuretest.New()
	s.NoLog = true
	cfg.ConnectionString = s.ConnectionString(s.Start(t))
	p := dockertest.StartPlugin(t, cfg)
	d := dockertest.NewDaemon(t, dockertest.DaemonConfig{Socket: p.Socket, Backoff: 20 * time.Millisecond})
	return &bed{t, s, p, d}
}

// start is docker run, which is to be prompt.
func (b *bed) start(spec dockertest.Spec) *dockertest.Container {
	b.t.Helper()
	begun := time.Now()
	c := b.daemon.Start(b.t, spec)
	if took := time.Since(begun); took > prompt {
		b.t.Errorf("StartLogging took %v", took)
	}
	return c
}

func (b *bed) stop(c *dockertest.Container) {
	b.t.Helper()
	took, err := c.Stop()
	if err != nil {
		b.t.Errorf("stop: %v", err)
	}
	if took > prompt {
		b.t.Errorf("StopLogging took %v", took)
	}
}

func (b *bed) blob(c *dockertest.Container) (azuretest.Blob, error) {
	name := strings.TrimPrefix(c.Info.ContainerName, "/") + "/" + c.Info.ContainerID + ".log"
	blob, ok := b.server.Blob("logs", name)
	if !ok {
		return blob, fmt.Errorf("there is no blob %s, only %q", name, b.server.Blobs("logs"))
	}
	return blob, nil
}

// complete waits for c's blob to be so.
func (b *bed) complete(c *dockertest.Container) (blob azuretest.Blob) {
	b.t.Helper()
	within(b.t, 30*time.Second, func() (err error) {
		blob, err = b.blob(c)
		if err == nil && blob.Metadata["complete"] != "1" {
			err = fmt.Errorf("the blob of %s, of %d bytes, is not complete", c.Info.ContainerName, len(blob.Content))
		}
		return err
	})
	return blob
}

// logs is docker logs, and how long it took.
func (b *bed) logs(c *dockertest.Container) (*dockertest.Logs, time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	begun := time.Now()
	l, err := c.Logs(ctx, dockertest.All)
	if err != nil {
		b.t.Errorf("docker logs: %v", err)
	}
	if l.Filtered != 0 {
		b.t.Errorf("docker logs gave %d entries that were not asked for", l.Filtered)
	}
	return l, time.Since(begun)
}

// exact checks that n's lines are in the complete blob and in docker logs, each once.
func (b *bed) exact(c *dockertest.Container, n *dockertest.Numbered) {
	b.t.Helper()
	b.complete(c)
	if err := b.uploaded(c, n); err != nil {
		b.t.Errorf("in the blob: %v", err)
	}
	l, _ := b.logs(c)
	if err := n.Check(others(l.Lines())); err != nil {
		b.t.Errorf("in docker logs: %v", err)
	}
}

// uploaded checks that n's lines are in the blob, each once.
func (b *bed) uploaded(c *dockertest.Container, n *dockertest.Numbered) error {
	lines, err := b.lines(c)
	if err != nil {
		return err
	}
	return n.Check(others(lines))
}

// lines is those of c's blob.
func (b *bed) lines(c *dockertest.Container) ([]dockertest.Line, error) {
	blob, err := b.blob(c)
	if err != nil {
		return nil, err
	}
	return dockertest.BlobLines(blob, cmp.Or(c.Info.Config["azureblob-format"], "json"))
}

// others is lines without those that the driver itself has put in, which it does
// where bytes are missing.
func others(lines []dockertest.Line) []dockertest.Line {
	return slices.DeleteFunc(slices.Clone(lines), func(l dockertest.Line) bool { return strings.HasPrefix(l.Text, "azureblob: ") })
}

// readable waits until all that n has written is in the blob.
func (b *bed) readable(c *dockertest.Container, n *dockertest.Numbered) {
	b.t.Helper()
	within(b.t, 20*time.Second, func() error { return b.uploaded(c, n) })
}

// write writes numbered lines to both of c's sources until the function it returns
// is called. A line that fails, as dockerd has died, is written again.
func (b *bed) write(c *dockertest.Container, n *dockertest.Numbered, pause time.Duration) (stop func()) {
	done := make(chan struct{})
	var g sync.WaitGroup
	for _, source := range []string{"stdout", "stderr"} {
		g.Go(func() {
			well := time.Now()
			for {
				select {
				case <-done:
					return
				case <-b.t.Context().Done(): // the test has failed
					return
				default:
					time.Sleep(pause)
				}
				switch err := n.Write(c, source); {
				case err == nil:
					well = time.Now()
				case b.t.Context().Err() != nil:
					return
				case time.Since(well) > 10*time.Second:
					b.t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	return func() {
		close(done)
		defer unblock(c).Stop()
		g.Wait()
	}
}

// unblock ends writes that wait for a reader, if it has come to that: they fail.
func unblock(c *dockertest.Container) *time.Timer { return time.AfterFunc(time.Minute, c.Crash) }

// burst writes so many lines to stdout.
func (b *bed) burst(c *dockertest.Container, n *dockertest.Numbered, lines int) {
	b.t.Helper()
	defer unblock(c).Stop()
	for range lines {
		if err := n.Write(c, "stdout"); err != nil {
			b.t.Fatalf("write: %v", err)
		}
	}
}

// appended waits until the plugin has written to c's spool, by this moment.
func (b *bed) appended(c *dockertest.Container) {
	b.t.Helper()
	size := func() (n int64) {
		segments, _ := filepath.Glob(filepath.Join(b.plugin.StateDir, "containers", c.Info.ContainerID, "spool", "*.seg"))
		if len(segments) > 0 {
			if info, err := os.Stat(slices.Max(segments)); err == nil {
				n = info.Size()
			}
		}
		return n
	}
	before := size()
	for end := time.Now().Add(5 * time.Second); size() == before; {
		if time.Now().After(end) {
			b.t.Fatal("nothing comes into the spool")
		}
	}
}

// outage black-holes the store: nothing is answered until the function it returns is
// called, which also breaks what has been waiting.
func (b *bed) outage() (end func()) {
	back := make(chan struct{})
	b.server.SetFault(func(azuretest.Request) azuretest.Fault {
		return azuretest.Fault{Kind: azuretest.CutBefore, Hold: back}
	})
	return func() {
		b.server.SetFault(nil)
		close(back)
	}
}

// said waits until the plugin's output has all of parts.
func (b *bed) said(parts ...string) {
	b.t.Helper()
	for _, part := range parts {
		if err := poll(10*time.Second, func() error {
			if !strings.Contains(b.plugin.Output(), part) {
				return fmt.Errorf("the plugin did not say %q", part)
			}
			return nil
		}); err != nil {
			b.t.Error(err)
		}
	}
}

// within polls until cond is nil.
func within(t *testing.T, limit time.Duration, cond func() error) {
	t.Helper()
	if err := poll(limit, cond); err != nil {
		t.Fatalf("after %v: %v", limit, err)
	}
}

func poll(limit time.Duration, cond func() error) error {
	for end := time.Now().Add(limit); ; {
		begun := time.Now()
		if err := cond(); err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(max(10*time.Millisecond, 3*time.Since(begun)))
	}
}
