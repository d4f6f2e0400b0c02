package core_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/liveblob/azureblob/core/azuretest"
)

// BenchmarkStreams is what many streams take in a process of their own, beside
// streams of a goroutine and a buffer of 64 KiB each over the same writer: memory
// where they are silent; memory and processor time where each has a line of 100
// bytes a second, committed every second over HTTP to this process. A log up to
// 64 KiB is one Put Blob a commit, a longer one a Put Block and a Put Block List.
func BenchmarkStreams(b *testing.B) {
	const short, long = 60, 100_000 // bytes
	for _, c := range []struct {
		name             string
		n, head, seconds int
	}{
		{"idle/100", 100, short, 0},
		{"idle/1000", 1000, short, 0},
		{"idle/10000", 10_000, short, 0},
		{"idle/1000-long", 1000, long, 0},
		{"active/1000", 1000, short, 6},
		{"active/1000-long", 1000, long, 6},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkStreams(b, c.n, c.head, c.seconds) })
	}
}

func benchmarkStreams(b *testing.B, n, head, seconds int) {
	program := filepath.Join(b.TempDir(), "streams")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "./testdata/streams")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build the streams' program: %v\n%s", err, text)
	}
	kinds := []struct{ kind, name string }{{"azureblob", "azureblob"}, {"naive", "goroutine-and-64-KiB"}}
	for i := 0; b.Loop(); i++ {
		for k := range kinds {
			kind := kinds[(i+k)%len(kinds)]
			store := azuretest.New()
			store.NoLog = true
			store.MakeContainer("logs")
			cmd := exec.Command(program, kind.kind, fmt.Sprint(n), fmt.Sprint(head), fmt.Sprint(seconds))
			cmd.Env = append(os.Environ(), "AZURE_STORAGE_CONNECTION_STRING="+store.ConnectionString(store.Start(b)))
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				b.Fatal(err)
			}
			var without, with int64
			var cores, rate float64
			if _, err := fmt.Sscan(string(out), &without, &with, &cores, &rate); err != nil {
				b.Fatalf("read %q: %v", out, err)
			}
			if seconds == 0 {
				b.ReportMetric(float64(with-without)/float64(n)/1024, "KiB-per-stream@"+kind.name)
				continue
			}
			if kind.kind == "azureblob" && rate < 0.9*float64(n) {
				b.Fatalf("%.0f commits a second of %d streams: the machine is too slow, or too busy, to measure", rate, n)
			}
			b.ReportMetric(float64(with)/1e6, "RSS-MB@"+kind.name)
			b.ReportMetric(cores, "cores@"+kind.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}
