package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// Fluent Bit ends in the middle of an outage, nicely or not: what waits on its disk
// comes again after the restart, and what got through although nobody was told so
// is not written twice.
func TestFluentBitRestarts(t *testing.T) {
	t.Parallel()
	for _, kind := range []azuretest.FaultKind{azuretest.Busy, azuretest.LostAnswer, azuretest.Effect500, azuretest.BlackHole} {
		for _, end := range []string{"SIGTERM", "SIGKILL"} {
			t.Run(fmt.Sprint(kind, " ", end), func(t *testing.T) {
				t.Parallel()
				p := startPipeline(t, settings{service: []string{"Grace 3"}})
				p.write("a", 10)
				p.readable()

				over := p.during(always(kind))
				seen := p.written.Load()
				for i := range 20 {
					p.write(fmt.Sprint("tag", i), 10)
					p.write("a", 1)
				}
				p.taken(0)
				eventually(t, 10*time.Second, "there was a commit", func() error {
					counts := p.s.Counts()
					if counts[azuretest.PutBlob]+counts[azuretest.PutBlock] < 2 {
						return fmt.Errorf("there was none: %v", counts)
					}
					return nil
				})
				if end == "SIGTERM" {
					p.Stop()
				} else {
					p.Kill()
				}
				p.Start()
				p.write("a", 10)
				p.taken(seen + 20*11)
				over()
				p.readable()
				p.Stop()
				p.check("logs", "")
				if !strings.Contains(p.Output(), "flush backlog chunk") && !strings.Contains(p.Output(), "succeeded at retry") {
					t.Error("nothing came again after the restart: this has tested nothing")
				}
			})
		}
	}
}

// kill -9 at many moments of a commit.
func TestFluentBitKilled(t *testing.T) {
	t.Parallel()
	p := startPipeline(t, settings{})
	p.write("a", 10)
	p.readable()
	for round := range 8 {
		hold, held := make(chan struct{}), make(chan struct{}, 1)
		left := round / 2 // commits that are served before
		over := p.during(func(r azuretest.Request) azuretest.Fault {
			if !commits(r) {
				return azuretest.Fault{}
			}
			if left--; left >= 0 {
				return azuretest.Fault{}
			}
			select {
			case held <- struct{}{}:
			default:
			}
			if round%2 == 0 {
				return azuretest.Fault{Hold: hold} // it is gone with the client
			}
			return azuretest.Fault{Kind: azuretest.Late, Delay: 300 * time.Millisecond} // it comes, when Fluent Bit is gone or is back
		})
		seen := p.written.Load()
		for tag := range 4 {
			p.write(fmt.Sprint("tag", tag), 100)
		}
		if round > 0 {
			p.taken(seen)
		} else {
			p.taken(0)
		}
		<-held
		p.Kill()
		close(hold)
		over()
		p.Start()
	}
	p.readable()
	p.Stop()
	p.check("logs", "")
}

// At SIGTERM chunks are queued for a store that is slow. After the grace time Fluent Bit
// still flushes them, and forgets that it has: they come again.
func TestFluentBitQueuedAtExit(t *testing.T) {
	t.Parallel()
	p := startPipeline(t, settings{service: []string{"Grace 2"}, output: []string{"flush_timeout 10s"}})
	over := p.during(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 500 * time.Millisecond} })
	const tags, lines = 12, 10
	for tag := range tags {
		p.write(fmt.Sprint("tag", tag), lines)
	}
	p.taken(0)
	p.Stop()
	there := 0
	for _, name := range p.s.Blobs("logs") {
		blob, _ := p.s.Blob("logs", name)
		there += bytes.Count(blob.Content, []byte("\n"))
	}
	over()
	first := len(p.Output())
	p.Start()
	again := 0
	eventually(t, 20*time.Second, "all that was kept has come again", func() error {
		again = strings.Count(p.Output()[first:], "] register tail.0/")
		if n := p.Counts("azureblob.0").Written; n < again*lines {
			return fmt.Errorf("%d lines of %d have", n, again*lines)
		}
		return nil
	})
	p.readable()
	p.Stop()
	p.check("logs", "")
	t.Logf("%d of %d lines were written by the end, and %d came again", there, tags*lines, again*lines)
	if there+again*lines <= tags*lines {
		t.Error("no line that was written came again: this has tested nothing")
	}
}

// An outage leaves many chunks of one tag behind, which all go out after SIGTERM and all
// come again. A blob knows its last 185 chunks.
func TestFluentBitManyAtExit(t *testing.T) {
	t.Parallel()
	p := startPipeline(t, settings{
		service: []string{"Flush 0.1", "Grace 1", "scheduler.base 20", "scheduler.cap 60"},
		output:  []string{"flush_timeout 1s"},
	})
	p.write("a", 10)
	p.readable()
	p.during(always(azuretest.Busy))
	for range 160 {
		p.write("a", 10)
		time.Sleep(120 * time.Millisecond) // each of them makes a chunk
	}
	p.taken(0)
	over := p.during(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 100 * time.Millisecond} })
	p.Stop()
	over()
	first := len(p.Output())
	p.Start()
	again := 0
	eventually(t, 20*time.Second, "all that was kept has come again", func() error {
		again = strings.Count(p.Output()[first:], "] register tail.0/")
		if n := p.Counts("azureblob.0").Written; n < again*10 || n == 0 {
			return fmt.Errorf("%d lines of %d have", n, again*10)
		}
		return nil
	})
	p.readable()
	p.Stop()
	p.check("logs", "")
	if again < 40 {
		t.Errorf("%d chunks came again: this has tested nothing", again)
	}
}

// Reloads in the middle of work, and of an outage. With workers Fluent Bit itself may
// crash then, which loses no line either.
func TestFluentBitReloads(t *testing.T) {
	t.Parallel()
	for _, workers := range []string{"0", "2"} {
		t.Run("workers "+workers, func(t *testing.T) {
			t.Parallel()
			p := startPipeline(t, settings{
				service: []string{"Hot_Reload.Ensure_Thread_Safety off", "Grace 2"},
				output:  []string{"workers " + workers},
			})
			if workers != "0" {
				p.MayCrash()
			}
			write := func() {
				for tag := range 4 {
					p.write(fmt.Sprint("tag", tag), 100)
				}
			}
			for range 2 {
				write()
				p.Reload()
				write()
				p.readable()
			}
			over := p.during(always(azuretest.Busy))
			write()
			p.Reload()
			write()
			over()
			p.readable()
			p.Revive()
			p.Stop()
			p.check("logs", "")
		})
	}
}

// A chunk in which an event is no event any more: the others are written, and Fluent Bit
// keeps the chunk as it was.
func TestFluentBitDamagedChunk(t *testing.T) {
	t.Parallel()
	p := startPipeline(t, settings{service: []string{
		"storage.keep.rejected on", "storage.rejected.path rejected",
		"Health_Check on", "HC_Errors_Count 0", "HC_Period 60",
	}})
	over := p.during(always(azuretest.Busy))
	p.write("a", 10)
	p.taken(0)
	if !p.Healthy() {
		t.Error("an outage counts as ill")
	}
	p.Kill()

	files, err := filepath.Glob(filepath.Join(p.Dir, "storage", "tail.0", "*.flb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the chunk is in the files %q, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Index(content, []byte("a 5 ="))
	stamp := bytes.LastIndex(content[:max(0, line)], []byte{0xd7, 0}) // an extension of 8 bytes, of type 0
	if stamp < 0 {
		t.Fatalf("the chunk has no line 5: %q", content)
	}
	content[stamp+1] = 1
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}

	over()
	p.Start()
	eventually(t, 20*time.Second, "the chunk was rejected", func() error {
		if c := p.Counts("azureblob.0"); c.Errors != 1 {
			return fmt.Errorf("it was not: %+v", c)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the health check tells", func() error {
		if p.Healthy() {
			return errors.New("it does not")
		}
		return nil
	})
	p.write("b", 1)
	eventually(t, 20*time.Second, "what comes next is readable", func() error {
		if blob, _ := p.s.Blob("logs", "b.log"); len(blob.Content) == 0 {
			return errors.New("there is nothing")
		}
		return nil
	})
	p.Stop()
	blob, _ := p.s.Blob("logs", "a.log")
	got, err := flbtest.BlobLines(blob, "raw")
	if err != nil || len(got) != 9 {
		t.Errorf("%d lines are in the blob, %v, want 9: %q", len(got), err, got)
	}
	for i, line := range got {
		n := i + 1
		if n >= 5 {
			n++
		}
		if !strings.HasPrefix(line, fmt.Sprintf("a %d =", n)) {
			t.Errorf("line %d of the blob is %q, want number %d", i+1, line, n)
		}
	}
	kept, err := filepath.Glob(filepath.Join(p.Dir, "storage", "rejected", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("rejected are the files %q, %v, want one", kept, err)
	}
	if content, err = os.ReadFile(kept[0]); err != nil || bytes.Count(content, []byte("====")) == 0 || !bytes.Contains(content, []byte("a 5 =")) {
		t.Errorf("the rejected chunk has not all of it: %v, %q", err, content)
	}
	saidOnce(t, p.Output(), `^\[.*\] \[error\] \[output:azureblob\].*$`)
}
