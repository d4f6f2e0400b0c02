package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// TestShortContainers runs many, and looks for what they leave behind. make soak has
// it run a hundred thousand.
func TestShortContainers(t *testing.T) {
	t.Parallel()
	total := 1000
	if v := os.Getenv("AZUREBLOB_TEST_SOAK"); v != "" {
		var err error
		if total, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	b := newBed(t, dockertest.PluginConfig{Env: map[string]string{"GOGC": "25"}}) // less to and fro of memory
	run := func(from, to int) (dockertest.Usage, int) {
		var g errgroup.Group
		g.SetLimit(8)
		for i := from; i < to; i++ {
			g.Go(func() error {
				n := &dockertest.Numbered{Name: fmt.Sprint("short", i)}
				c, err := b.daemon.Run(dockertest.Spec{Name: n.Name})
				for range 3 {
					err = errors.Join(err, n.Write(c, "stdout"))
				}
				if err != nil {
					return err
				}
				took, err := c.Stop()
				if took > prompt {
					t.Errorf("StopLogging took %v", took)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		within(t, 30*time.Second, func() error {
			if left := b.plugin.Metric("azureblob_containers"); left != 0 {
				return fmt.Errorf("%v containers are still in memory", left)
			}
			return nil
		})
		files := 0
		filepath.WalkDir(b.plugin.StateDir, func(string, os.DirEntry, error) error {
			files++
			return nil
		})
		return b.plugin.Usage(), files
	}
	warm, warmFiles := run(0, 200)
	end, endFiles := run(200, total)
	t.Logf("after 200: %v, %d files; after %d: %v, %d files", warm, warmFiles, total, end, endFiles)
	// Connections come and go; what a container left behind would be there 800 times.
	if end.RSS > warm.RSS+6<<20 && !dockertest.RaceDetector || end.FDs > warm.FDs+100 || end.Threads > warm.Threads+50 || end.Goroutines > warm.Goroutines+100 || endFiles > warmFiles+4 {
		t.Error("it has grown")
	}
	if left := b.daemon.FIFOs(); len(left) != 0 {
		t.Errorf("%d FIFOs are left", len(left))
	}
	names := b.server.Blobs("logs")
	for _, name := range names {
		blob, _ := b.server.Blob("logs", name)
		if blob.Metadata["complete"] != "1" || bytes.Count(blob.Content, []byte("\n")) != 3 {
			t.Errorf("%s: metadata %v\n%s", name, blob.Metadata, blob.Content)
		}
	}
	if len(names) != total {
		t.Errorf("%d blobs", len(names))
	}
}
