package main_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// TestBadFrames sends through a FIFO what is none.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	junk := make([]byte, 100<<10)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range junk {
		junk[i] = byte(rnd.Uint32())
	}
	neighbour := &dockertest.Numbered{Name: "neighbour"}
	neighbourC := b.start(dockertest.Spec{Name: "neighbour"})
	for name, bad := range map[string][]byte{
		"too long":     append([]byte("\x01\x00\x00\x01\x0a\x06stdout"), junk...),
		"empty":        {0, 0, 0, 0},
		"all ones":     bytes.Repeat([]byte{0xff}, 1000),
		"noise":        junk,
		"bad protobuf": append([]byte("\x00\x00\x00\x20\x0a\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 24)...),
		"bad field":    append([]byte("\x00\x00\x00\x10\x0a\x06stdout\x1a\x7f"), make([]byte, 6)...),
	} {
		n := &dockertest.Numbered{Name: strings.ReplaceAll(name, " ", "-")}
		c := b.start(dockertest.Spec{Name: n.Name})
		b.burst(c, n, 100)
		if err := c.WriteBytes(bad); err != nil {
			t.Fatal(err)
		}
		b.burst(c, n, 100)
		b.burst(neighbourC, neighbour, 10)
		b.stop(c)
		b.exact(c, n)
		if !strings.Contains(string(b.complete(c).Content), "azureblob: ") {
			t.Errorf("%s: the log does not say that something is missing", name)
		}
		b.said(n.Name)
	}

	// dockerd makes no frames like this one, but it is one.
	c := b.start(dockertest.Spec{Name: "big", Opts: map[string]string{"azureblob-format": "raw"}})
	line := strings.Repeat("0123456789", 1<<20)
	if err := c.Write("stdout", line); err != nil {
		t.Fatal(err)
	}
	b.stop(c)
	if at := differ(b.complete(c).Content, []byte(line+"\n")); at >= 0 {
		t.Errorf("a line of 10 MiB in one frame differs at %d", at)
	}
	b.stop(neighbourC)
	b.exact(neighbourC, neighbour)
}

// TestDamage finds its files damaged when it starts: one container's each.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	spec := func(name string) (*dockertest.Container, *dockertest.Numbered) {
		c, n := b.start(dockertest.Spec{Name: name}), &dockertest.Numbered{Name: name, Size: 200}
		b.burst(c, n, 10)
		b.readable(c, n)
		return c, n
	}
	fifoC, fifo := spec("vanished-fifo")
	emptyC, empty := spec("empty-state")
	halfC, half := spec("half-state")
	bitsC, bits := spec("flipped-bits")
	wellC, well := spec("well")
	dir := func(c *dockertest.Container) string {
		return filepath.Join(b.plugin.StateDir, "containers", c.Info.ContainerID)
	}
	back := b.outage()
	for range 20 { // some batches
		b.burst(bitsC, bits, 100)
		within(t, 5*time.Second, func() error {
			l, _ := b.logs(bitsC)
			return bits.Check(l.Lines())
		})
	}
	b.plugin.Kill()

	if err := os.Remove(fifoC.FIFO()); err != nil {
		t.Fatal(err)
	}
	for c, left := range map[*dockertest.Container]int{emptyC: 0, halfC: 2} {
		names := []string{"state.json"}
		if c == halfC {
			names = append(names, "state.json.old") // which is used in place of the first
		}
		for _, name := range names {
			path := filepath.Join(dir(c), name)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()*int64(left)/4); err != nil {
				t.Fatal(err)
			}
		}
	}
	segments, err := filepath.Glob(filepath.Join(dir(bitsC), "spool", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %q, %v", segments, err)
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		data[len(data)/2+i] ^= 0x10
	}
	if err := os.WriteFile(segments[0], data, 0); err != nil {
		t.Fatal(err)
	}
	b.plugin.Start()
	b.plugin.Recovered()
	for _, c := range []*dockertest.Container{emptyC, halfC} {
		if kept, _ := filepath.Glob(dir(c) + "*/spool/*.seg"); len(kept) == 0 {
			t.Errorf("with the state of %s, its spool is gone", c.Info.ContainerName)
		}
	}
	back()

	// All but the damaged go on.
	b.burst(wellC, well, 10)
	b.burst(bitsC, bits, 10)
	for _, c := range []*dockertest.Container{wellC, fifoC, bitsC} {
		b.stop(c)
	}
	b.exact(wellC, well)
	b.exact(fifoC, fifo)
	b.said(fifo.Name, emptyC.Info.ContainerID[:12], halfC.Info.ContainerID[:12], bits.Name)

	// A state that is lost, with the one before it, takes the upload with it, but
	// nothing that is committed, and the container can be started again.
	for c, n := range map[*dockertest.Container]*dockertest.Numbered{emptyC: empty, halfC: half} {
		if err := c.Restart(); err != nil {
			t.Errorf("%s: restart: %v", n.Name, err)
			continue
		}
		b.burst(c, n, 10)
		b.stop(c)
		b.readable(c, n)
		b.complete(c)
	}

	// Of a damaged spool only the damaged batch is missing, and the log says so.
	b.complete(bitsC)
	lines, err := b.lines(bitsC)
	if err != nil {
		t.Fatal(err)
	}
	kept := others(lines)
	written := bits.Written("stdout")
	if last := increasing(t, bits.Name, kept); last != written || len(kept) < written*3/4 || len(kept) == written || len(kept) == len(lines) {
		t.Errorf("%d of %d lines are there, up to %d, and %d others", len(kept), written, last, len(lines)-len(kept))
	}
}
