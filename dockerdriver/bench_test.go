package main_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/dockerdriver/dockertest"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// 200 containers are live at once and write a line a second each: what the plugin
// takes of memory and processor, and when the lines are readable.
func BenchmarkLive(b *testing.B) {
	const containers, seconds, warmUp = 200, 30, 10 * time.Second
	for b.Loop() {
		s := azuretest.New()
		s.NoLog = true
		p := dockertest.StartPlugin(b, dockertest.PluginConfig{ConnectionString: s.ConnectionString(s.Start(b))})
		d := dockertest.NewDaemon(b, dockertest.DaemonConfig{Socket: p.Socket})
		all := make([]*dockertest.Container, containers)
		for i := range all {
			all[i] = d.Start(b, dockertest.Spec{Name: fmt.Sprint("live", i), Opts: map[string]string{"azureblob-path": "{{.Name}}.log"}})
		}
		var before dockertest.Usage
		var begun time.Time
		var mu sync.Mutex
		var delays []time.Duration
		var g errgroup.Group
		g.Go(func() error { // once all are under way, and known to be many
			time.Sleep(warmUp)
			before, begun = p.Usage(), time.Now()
			return nil
		})
		for i, c := range all {
			written := make(chan time.Time, seconds)
			g.Go(func() error { // the container
				defer close(written)
				time.Sleep(time.Duration(i) * time.Second / containers)
				for n := range seconds {
					at := time.Now()
					line := fmt.Sprintf("line %d of a container that says something every second %s", n, strings.Repeat("=", 40))
					if err := c.Write("stdout", line); err != nil {
						return err
					}
					written <- at
					time.Sleep(time.Until(at.Add(time.Second)))
				}
				return nil
			})
			g.Go(func() error { // the reader
				n := 0
				for at := range written {
					for n++; ; time.Sleep(20 * time.Millisecond) {
						if blob, ok := s.Blob("logs", fmt.Sprint("live", i, ".log")); ok && strings.Count(string(blob.Content), "\n") >= n {
							break
						}
						if time.Since(at) > 30*time.Second {
							return fmt.Errorf("line %d of container %d is not readable after 30 s", n, i)
						}
					}
					mu.Lock()
					delays = append(delays, time.Since(at))
					mu.Unlock()
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		after := p.Usage()
		took := time.Since(begun)
		slices.Sort(delays)
		at := func(q float64) float64 { return delays[int(q*float64(len(delays)-1))].Seconds() }
		b.ReportMetric(at(0.5), "p50-s")
		b.ReportMetric(at(0.99), "p99-s")
		b.ReportMetric(float64(after.RSS)/1e6, "RSS-MB")
		b.ReportMetric(float64(after.PeakRSS)/1e6, "peak-MB")
		b.ReportMetric(100*(after.CPU-before.CPU).Seconds()/took.Seconds(), "%core")
		b.ReportMetric(0, "ns/op")
		p.Kill()
	}
}

// One container writes a million lines of 100 bytes as fast as they are taken: what
// the plugin takes, and how long until all is in the blob. BenchmarkEngine has the
// same behind a real dockerd.
func BenchmarkMillion(b *testing.B) {
	const lines = 1_000_000
	for b.Loop() {
		s := azuretest.New()
		s.NoLog = true
		p := dockertest.StartPlugin(b, dockertest.PluginConfig{ConnectionString: s.ConnectionString(s.Start(b))})
		d := dockertest.NewDaemon(b, dockertest.DaemonConfig{Socket: p.Socket})
		c := d.Start(b, dockertest.Spec{Name: "many", Opts: map[string]string{"azureblob-path": "{{.Name}}.log"}})
		before, begun := p.Usage(), time.Now()
		e := frame.Entry{Source: "stdout", Line: []byte(strings.Repeat("0123456789", 10))}
		var buf []byte
		for range lines {
			e.Time = time.Now().UnixNano()
			buf = frame.Append(buf[:0], &e)
			if err := c.WriteBytes(buf); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Stop(); err != nil {
			b.Fatal(err)
		}
		written := time.Since(begun)
		for {
			if blob, _ := s.Blob("logs", "many.log"); blob.Metadata["complete"] == "1" {
				if n := strings.Count(string(blob.Content), "\n"); n != lines {
					b.Fatalf("the blob has %d lines", n)
				}
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		after := p.Usage()
		b.ReportMetric(written.Seconds(), "written-s")
		b.ReportMetric(time.Since(begun).Seconds(), "complete-s")
		b.ReportMetric((after.CPU - before.CPU).Seconds(), "CPU-s")
		b.ReportMetric(float64(after.PeakRSS)/1e6, "peak-MB")
		b.ReportMetric(0, "ns/op")
		p.Kill()
	}
}
