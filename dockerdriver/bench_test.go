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
