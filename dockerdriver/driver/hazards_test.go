package driver

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// A container that starts while the process ends does not keep it from ending.
func TestCloseBesideStart(t *testing.T) {
	m := newMachine(t)
	p := m.mkpipe()
	d := m.driver
	c := d.acquire(info("web").ContainerID)
	c.life.Lock() // holds Start up in its middle
	started, closed := make(chan error), make(chan struct{})
	go func() { started <- d.Start(p.path, info("web")) }()
	until(t, "the start is under way", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return c.users == 2
	})
	m.driver = nil
	go func() { d.Close(context.Background()); close(closed) }()
	until(t, "the process ends", d.isClosing)
	if err := d.Start(m.mkpipe().path, info("late")); err != errClosing {
		t.Errorf("a start while the process ends: %v", err)
	}
	c.life.Unlock()
	if err := <-started; err != nil {
		t.Error(err)
	}
	d.release(c)
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("Close has not returned")
	}
	m.boot()
	p.write(entry(1, "one"))
	p.stop()
	m.complete("web.log")
}

// A container that stops while the process ends, which takes seconds in an outage,
// has its last lines kept.
func TestStopWhileClosing(t *testing.T) {
	m := newMachine(t)
	var asked atomic.Bool
	m.SetFault(func(azuretest.Request) azuretest.Fault {
		asked.Store(true)
		return azuretest.Fault{Kind: azuretest.BlackHole}
	})
	p := m.run(info("web"))
	p.write(entry(1, "one"))
	until(t, "a request is made", asked.Load)
	d := m.driver
	ctx, cancel := context.WithCancel(context.Background())
	closed := make(chan struct{})
	go func() { d.Close(ctx); close(closed) }()
	until(t, "the process ends", d.isClosing)
	p.write(entry(2, "last words"))
	p.stop()
	cancel()
	<-closed
	m.SetFault(nil)
	m.boot()
	if b := m.complete("web.log"); bytes.Count(b.Content, []byte("\n")) != 2 {
		t.Errorf("the log is %q", b.Content)
	}
}

// Of two pipes of a container, the second is the one that the last process had
// appended from and not yet taken.
func TestTwoPipesAfterACrash(t *testing.T) {
	for range 5 {
		m := newMachine(t)
		in := info("web")
		first, second := m.run(in), m.run(in)
		m.halt(0)
		l := entry(2, "in the spool already")
		batch := frame.Append(nil, &l)
		s, err := spool.Open(filepath.Join(m.dir, "state", "containers", in.ContainerID, "spool"), spool.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(batch); err != nil {
			t.Fatal(err)
		}
		s.Close()
		first.write(entry(1, "of the first"))
		second.write(l)
		m.boot()
		second.write(entry(3, "end"))
		first.stop()
		second.stop()
		if b := m.complete("web.log"); bytes.Count(b.Content, []byte("\n")) != 3 {
			t.Errorf("the log is %s", b.Content)
		}
	}
}

// drop-oldest makes room; it is no answer to a disk that fails.
func TestDropOldestOnlyForRoom(t *testing.T) {
	m := newMachine(t)
	var away atomic.Bool
	away.Store(true)
	m.SetFault(func(azuretest.Request) azuretest.Fault {
		if away.Load() {
			return azuretest.Fault{Kind: azuretest.CutBefore}
		}
		return azuretest.Fault{}
	})
	in := info("web", "azureblob-spool-size", "8M", "azureblob-on-full", "drop-oldest", "azureblob-format", "raw")
	p := m.run(in)
	dir := filepath.Join(m.dir, "state", "containers", in.ContainerID, "spool")
	text := strings.Repeat("x", 15<<10)
	n := 0
	for range 100 { // 1.5 MiB: most of a segment
		n++
		p.write(entry(n, text))
	}
	c := m.container("web")
	until(t, "it is in the spool", func() bool { return c.spool.Stats().Backlog > 100*15<<10 })
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		n++
		p.write(entry(n, text))
	}
	until(t, "it cannot go on", func() bool { return strings.Contains(m.logged.String(), "cannot be written to the disk") })
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	p.stop()
	b := m.complete("web.log")
	if got := bytes.Count(b.Content, []byte("x\n")); got != n {
		t.Errorf("%d lines of %d are there: %.200q", got, n, b.Content)
	}
}

// A start that fails leaves nothing behind.
func TestStartThatFails(t *testing.T) {
	m := newMachine(t)
	for range 3 {
		if err := m.driver.Start(filepath.Join(m.dir, "nowhere"), info("web")); err == nil {
			t.Fatal("a container was started without a pipe")
		}
	}
	m.settled()
	if f := m.folders(); len(f) != 0 {
		t.Errorf("folders %q are left", f)
	}
}

// What a killed process has left counts as waiting from the start.
func TestBehindAfterAKill(t *testing.T) {
	m := newMachine(t)
	m.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.CutBefore} })
	p := m.run(info("web"))
	p.write(entry(1, "one"))
	p.stop()
	m.halt(0)
	m.boot()
	if c := m.container("web"); c.behind.Load() == 0 {
		t.Error("nothing is said to wait")
	}
}

// docker logs of a stopped container, which starts and stops its log, leaves a
// complete blob alone after a reboot too.
func TestNothingWrittenAfterAReboot(t *testing.T) {
	m := newMachine(t)
	p := m.run(info("web"))
	p.write(entry(1, "one"))
	p.stop()
	was := m.complete("web.log")
	m.settled()
	m.halt(time.Second)
	m.reboot(info("web").ContainerID)
	m.boot()
	m.run(info("web")).stop()
	m.settled()
	if is, _ := m.Blob("logs", "web.log"); is.ETag != was.ETag {
		t.Errorf("the blob was changed: %v and not %v", is.Metadata, was.Metadata)
	}
}

// While others' logs are still taken over, one that has been can be stopped.
func TestStopBeforeAllIsRecovered(t *testing.T) {
	m := newMachine(t)
	in := info("web")
	p := m.run(in)
	m.halt(0)
	p.write(entry(1, "one"))
	m.create()
	if err := m.driver.recover(in.ContainerID); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if m.driver.source(p.path) != nil {
		t.Error("the pipe was given up before it was read to its end")
	}
	m.driver.Recover()
	if b := m.complete("web.log"); !bytes.Contains(b.Content, []byte("one")) {
		t.Errorf("the log is %q", b.Content)
	}
}

// A pipe that cannot be opened for a while is not one that is gone.
func TestPipeThatOpensLater(t *testing.T) {
	m := newMachine(t)
	p := m.run(info("web"))
	m.halt(0)
	p.write(entry(1, "one"))
	aside := p.path + ".aside"
	if err := os.Rename(p.path, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(p.path, p.path); err != nil {
		t.Fatal(err)
	}
	m.boot()
	until(t, "it is tried", func() bool { return strings.Count(m.logged.String(), "cannot be opened") == 2 })
	os.Remove(p.path)
	if err := os.Rename(aside, p.path); err != nil {
		t.Fatal(err)
	}
	until(t, "the line is there", func() bool {
		b, _ := m.Blob("logs", "web.log")
		return bytes.Contains(b.Content, []byte("one"))
	})
}

// Long lines count as held until they are in a blob: when requests stall, however
// many containers write some, the process holds so much and no more.
func TestLongLinesCount(t *testing.T) {
	u := &uploader{c: &container{d: &Driver{}}, format: record.Raw, joiner: newJoiner()}
	before := holding.Load()
	part := frame.Entry{Source: "stdout", Time: 1, Line: make([]byte, 16<<10), Partial: true, ID: "a"}
	for range 64 {
		u.joiner.add(&part, 0, u.emit)
	}
	part.Last = true
	u.joiner.add(&part, 0, u.emit)
	if n := holding.Load() - before; n < 1<<20 {
		t.Errorf("%d bytes count as held while the line is uploaded", n)
	}
	u.free()
	if n := holding.Load() - before; n != 0 {
		t.Errorf("%d bytes count as held after the upload", n)
	}
}

// What is settled is not even opened when a process begins.
func TestRecoverLeavesTheShelfAlone(t *testing.T) {
	m := newMachine(t)
	p := m.run(info("web"))
	p.write(entry(1, "one"))
	p.stop()
	m.complete("web.log")
	m.settled()
	size := m.driver.shelf.total
	m.halt(0)
	s, err := spool.Open(filepath.Join(m.dir, "state", "containers", info("web").ContainerID, "spool"), spool.Config{Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m.boot()
	s.Close()
	if m.driver.shelf.total != size || len(m.driver.shelf.books) != 1 || strings.Contains(m.logged.String(), "level=ERROR") {
		t.Errorf("there are %d bytes on the shelf, %v, and not %d", m.driver.shelf.total, m.driver.shelf.books, size)
	}
	p = m.run(info("web"))
	p.write(entry(2, "two"))
	p.stop()
	m.settled()
	if b := m.complete("web.log"); bytes.Count(b.Content, []byte("\n")) != 2 {
		t.Errorf("the log is %q", b.Content)
	}
}

// A key that is refused is replaced in the profile: running containers take it up.
func TestProfileIsMended(t *testing.T) {
	m := newMachine(t)
	profile := filepath.Join(m.driver.cfg.Host.ProfileDir, "prod")
	write := func(connection string) {
		if err := os.WriteFile(profile, []byte("AZURE_STORAGE_CONNECTION_STRING='"+connection+"'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	right := m.env["AZURE_STORAGE_CONNECTION_STRING"]
	write(strings.Replace(right, m.Key(), "d3Jvbmc=", 1))
	p := m.run(info("web", "azureblob-profile", "prod"))
	p.write(entry(1, "one"))
	until(t, "the key is refused", func() bool { return strings.Contains(m.logged.String(), "AuthenticationFailed") })
	m.container("web").reconsider() // nothing has changed
	write(right)
	p.write(entry(2, "two"))
	m.container("web").reconsider() // as safeguard does
	p.stop()
	if b := m.complete("web.log"); bytes.Count(b.Content, []byte("\n")) != 2 {
		t.Errorf("the log is %q", b.Content)
	}
}

// One container's life: it stops and starts again, dockerd dies and comes back, the
// process dies, the store is away.
func TestManyRestarts(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			r := rand.New(rand.NewPCG(seed, 9))
			var away atomic.Bool
			kinds := []azuretest.FaultKind{azuretest.CutBefore, azuretest.CutBefore, azuretest.LostAnswer, azuretest.Busy, azuretest.Effect500}
			m.SetFault(func(r azuretest.Request) azuretest.Fault {
				if away.Load() {
					return azuretest.Fault{Kind: kinds[r.N%len(kinds)]}
				}
				return azuretest.Fault{}
			})
			m.env["AZUREBLOB_FORMAT"] = "raw"
			m.env["AZUREBLOB_MAX_SIZE"] = []string{"0", "5K"}[seed%2]
			m.env["AZUREBLOB_COMPRESS"] = []string{"none", "none", "gzip"}[seed%3]
			in := info("web")
			p := m.run(in)
			var want strings.Builder
			for i := range 1500 {
				text := fmt.Sprint("line ", i)
				fmt.Fprintln(&want, text)
				p.write(entry(i+1, text))
				switch r.IntN(60) {
				case 0: // docker restart
					p.stop()
					p = m.run(in)
				case 1: // dockerd dies, with live-restore
					p.file.Close()
					old := p
					p = m.run(in)
					until(t, "the old pipe has ended", func() bool { return m.driver.source(old.path) == nil })
				case 2: // the other order
					old := p
					p = m.run(in)
					old.file.Close()
					until(t, "the old pipe has ended", func() bool { return m.driver.source(old.path) == nil })
				case 3:
					m.halt(time.Duration(r.IntN(2)) * 20 * time.Millisecond)
					m.boot()
				case 4: // it stops while the process is away for good
					m.halt(0)
					m.boot()
					p.stop()
					p = m.run(in)
				case 5, 6:
					away.Store(!away.Load())
				case 7:
					m.run(in).stop() // docker logs
				case 8:
					go m.driver.Start(p.path, in)
					m.driver.Start(p.path, in)
				}
			}
			away.Store(false)
			p.stop()
			m.settled()
			var got strings.Builder
			for name := "web.log"; name != ""; {
				b, _ := m.Blob("logs", name)
				if b.Metadata["next"] == "" && b.Metadata["complete"] != "1" {
					t.Errorf("%s is not complete: %v", name, b.Metadata)
				}
				name = b.Metadata["next"]
				content := b.Content
				if seed%3 == 2 {
					z, err := gzip.NewReader(bytes.NewReader(content))
					if err != nil {
						t.Fatal(err)
					}
					if content, err = io.ReadAll(z); err != nil {
						t.Fatal(err)
					}
				}
				got.Write(content)
			}
			if g, w := got.String(), want.String(); g != w {
				at := 0
				for at < min(len(g), len(w)) && g[at] == w[at] {
					at++
				}
				t.Errorf("from byte %d on: %.200q and not %.200q", at, g[max(0, at-30):], w[max(0, at-30):])
			}
		})
	}
}

// On a host with many busy logs each commits less often, and never less than half so.
func TestStretch(t *testing.T) {
	for busy, want := range map[int64]time.Duration{0: time.Second, 100: time.Second, 150: 1500 * time.Millisecond, 200: 2 * time.Second, 5000: 2 * time.Second} {
		if got := stretch(time.Second, busy); got != want {
			t.Errorf("with %d busy logs the interval is %v, not %v", busy, got, want)
		}
	}
	if got := stretch(0, 5000); got != 0 {
		t.Errorf("an interval of 0 is %v", got)
	}
}
