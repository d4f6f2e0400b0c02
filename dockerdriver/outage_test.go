package main_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// TestKill kills the plugin at random moments.
func TestKill(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{Env: map[string]string{"AZUREBLOB_FLUSH_INTERVAL": "30ms"}})
	type writer struct {
		*dockertest.Numbered
		c    *dockertest.Container
		stop func()
	}
	var all []writer
	for i, o := range []struct {
		size             int
		pause            time.Duration
		format, compress string
	}{
		{0, 50 * time.Microsecond, "json", "none"},
		{120, 200 * time.Microsecond, "raw", "none"},
		{500, time.Millisecond, "text", "gzip"},
		{3000, time.Millisecond, "json", "zstd"},
		{50_000, 2 * time.Millisecond, "json", "none"}, // in parts
	} {
		w := writer{Numbered: &dockertest.Numbered{Name: fmt.Sprint("c", i), Size: o.size}}
		w.c = b.start(dockertest.Spec{Name: w.Name, Opts: map[string]string{"azureblob-format": o.format, "azureblob-compress": o.compress}})
		w.stop = b.write(w.c, w.Numbered, o.pause)
		all = append(all, w)
	}
	for i := range 40 {
		time.Sleep(time.Duration(rand.IntN(120_000)) * time.Microsecond)
		if i%2 == 0 { // some lines are in the spool, and still in the pipe
			b.appended(all[len(all)-1].c)
		}
		b.plugin.Kill()
		if i%5 == 0 { // the pipes fill up, and writes break off within frames
			time.Sleep(100 * time.Millisecond)
		}
		if took := b.plugin.Start(); took > 5*time.Second {
			t.Errorf("it took %v to listen", took)
		}
	}
	for _, w := range all {
		w.stop()
		b.stop(w.c)
	}
	total := 0
	for _, w := range all {
		total += w.Written("stdout") + w.Written("stderr")
		if w.c.Info.Config["azureblob-format"] != "raw" {
			b.exact(w.c, w.Numbered)
			continue
		}
		b.complete(w.c)
		if err := b.uploaded(w.c, w.Numbered); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d lines", total)
}

// TestOutage takes the store away and gives it back.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(*bed, ...*dockertest.Container){
		"nothing else": func(*bed, ...*dockertest.Container) {},
		"plugin killed": func(b *bed, _ ...*dockertest.Container) {
			b.plugin.Restart()
			b.plugin.Restart()
			if took := b.plugin.Terminate(); took > 8*time.Second {
				b.t.Errorf("it took %v to end", took)
			}
			b.plugin.Start()
		},
		"dockerd restarted": func(b *bed, live ...*dockertest.Container) {
			b.plugin.Restart()
			b.plugin.Recovered() // where both die at once, so does what is in the FIFOs
			b.daemon.Crash()
			for _, c := range live {
				c.Crash()
				if err := c.Restart(); err != nil {
					b.t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, dockertest.PluginConfig{})
			busy := &dockertest.Numbered{Name: "busy", Size: 1000}
			busyC := b.start(dockertest.Spec{Name: "busy"})
			slow := &dockertest.Numbered{Name: "slow"}
			slowC := b.start(dockertest.Spec{Name: "slow"})
			stopped := &dockertest.Numbered{Name: "stopped"}
			stoppedC := b.start(dockertest.Spec{Name: "stopped"})
			b.burst(busyC, busy, 100)
			b.burst(stoppedC, stopped, 100)
			b.readable(busyC, busy)
			back := b.outage()

			stopSlow := b.write(slowC, slow, 5*time.Millisecond)
			b.burst(busyC, busy, 12_000) // more than it uploads at once
			before := b.plugin.Usage()
			more := 24_000
			if dockertest.RaceDetector {
				more = 6_000
			}
			b.burst(busyC, busy, more)
			after := b.plugin.Usage()
			t.Logf("before: %v; after %d lines of 1,000 bytes more: %v", before, more, after)
			if grown := after.RSS - before.RSS; grown > 14<<20 && !dockertest.RaceDetector {
				t.Errorf("its memory has grown by %d bytes", grown)
			}
			b.burst(stoppedC, stopped, 100)
			b.stop(stoppedC)
			born := &dockertest.Numbered{Name: "born"}
			bornC := b.start(dockertest.Spec{Name: "born"})
			b.burst(bornC, born, 100)
			meanwhile(b, busyC, slowC, bornC)
			b.burst(bornC, born, 100)
			for c, n := range map[*dockertest.Container]*dockertest.Numbered{stoppedC: stopped, bornC: born} {
				within(t, 10*time.Second, func() error {
					l, took := b.logs(c)
					if took > prompt {
						t.Errorf("docker logs of %s took %v", n.Name, took)
					}
					return n.Check(l.Lines())
				})
			}
			b.burst(busyC, busy, 100)
			b.stop(busyC)
			stopSlow()
			back()
			b.burst(bornC, born, 100)
			b.stop(bornC)
			b.stop(slowC)
			b.exact(busyC, busy)
			b.exact(slowC, slow)
			b.exact(stoppedC, stopped)
			b.exact(bornC, born)
		})
	}
}

// TestCatchesUp: the interval is for a log that is up to date, or the end of a long
// backlog would wait for an interval more.
func TestCatchesUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	n := &dockertest.Numbered{Name: "late", Size: 1000}
	c := b.start(dockertest.Spec{Name: n.Name, Opts: map[string]string{"azureblob-flush-interval": "1h", "azureblob-spool-size": "8M"}})
	b.burst(c, n, 1)
	b.readable(c, n)
	back := b.outage()
	before := b.server.Counts()
	b.burst(c, n, 2_400) // more than a quarter of the spool is committed at once
	within(t, 10*time.Second, func() error {
		if maps.Equal(b.server.Counts(), before) {
			return errors.New("nothing is uploaded")
		}
		return nil
	})
	b.burst(c, n, 4_400) // a batch of 4 MiB, and less than a quarter of the spool
	back()
	b.readable(c, n)
}
