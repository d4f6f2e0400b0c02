package main_test

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// 180 MB of real log lines, in chunks as the tail input fills them, as fast as the
// workers flush them. The service forgets what it gets. CPU is that of the host's
// process, with the host's own share.
func BenchmarkHost(b *testing.B) {
	const (
		bytesOfLogs = 180e6
		chunkSize   = 2 << 20 // where Fluent Bit begins another one
	)
	in, lines := realLines(b, bytesOfLogs)
	bulk := flbtest.NewBulkFile(b)
	file, err := os.Open(in)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var chunk []byte
	at := time.Unix(1_790_000_000, 0)
	for s := bufio.NewScanner(file); s.Scan(); {
		if len(s.Bytes()) == 0 {
			continue
		}
		at = at.Add(10 * time.Microsecond)
		if chunk = append(chunk, flbtest.LogChunk(at, s.Text())...); len(chunk) >= chunkSize {
			bulk.Add("app", chunk)
			chunk = chunk[:0]
		}
	}
	bulk.Add("app", chunk)
	bulk.Close()

	for _, c := range []struct {
		name string
		more flbtest.Props
	}{
		{"json", nil},
		{"raw", flbtest.Props{"log_key": "log"}},
		{"zstd", flbtest.Props{"compress": "zstd"}},
	} {
		for _, workers := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/workers=%d", c.name, workers), func(b *testing.B) {
				var total flbtest.Bulk
				var peak int64
				for b.Loop() {
					address := azuretest.StartDiscard(b)
					props := flbtest.Props{
						"account_name": "account", "shared_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
						"endpoint": "http://" + address + "/account", "container_name": "logs",
					}
					for k, v := range c.more {
						props[k] = v
					}
					h := flbtest.Start(b, flbtest.HostConfig{Workers: workers}, props)
					idle := h.Usage().RSS
					got := h.Bulk(0, bulk.Path, 1)
					if got.Failed > 0 {
						b.Fatalf("%d of %d flushes failed:\n%s", got.Failed, got.OK+got.Failed, h.Stderr())
					}
					if n := discarded(b, address); n != lines && c.name != "zstd" {
						b.Fatalf("%d lines are there, want %d", n, lines)
					}
					total.Bytes += got.Bytes
					total.Wall += got.Wall
					total.CPU += got.CPU
					// The host maps the file of chunks, all of which is resident.
					peak = max(peak, h.Usage().PeakRSS-idle-got.Bytes)
					h.Stop(0)
				}
				mb := float64(total.Bytes) / 1e6
				b.ReportMetric(mb/total.Wall.Seconds(), "MB/s")
				b.ReportMetric(total.CPU.Seconds()/float64(b.N), "CPU-s")
				b.ReportMetric(total.CPU.Seconds()*1e3/mb, "CPU-ms/MB")
				b.ReportMetric(float64(peak)/1e6, "peak-MB")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
