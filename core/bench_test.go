package core_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// BenchmarkWriteToReadable is the time from a Write to the moment a follower of
// the blob has the line, with flush_interval 0 and a follower that polls without
// pause, beside the least that any writer and reader of a block blob need: two
// PUTs and a GET, one after another on a kept connection, of the same server in
// the same run.
func BenchmarkWriteToReadable(b *testing.B) {
	for _, scheme := range []string{"http", "https"} {
		b.Run(scheme, func(b *testing.B) { writeToReadable(b, scheme) })
	}
}

func writeToReadable(b *testing.B, scheme string) {
	s := azuretest.New()
	s.NoLog, s.Token = true, "bare"
	s.MakeContainer("logs")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}}
	endpoint := ""
	if scheme == "http" {
		endpoint = s.Start(b)
	} else {
		e, roots := s.StartTLS(b)
		endpoint = e
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	b.Cleanup(client.CloseIdleConnections)
	cfg, err := core.Load(core.Map{"connection_string": s.ConnectionString(endpoint)}.Source())
	if err != nil {
		b.Fatal(err)
	}
	store, err := core.Open(cfg, core.StoreOptions{Transport: client})
	if err != nil {
		b.Fatal(err)
	}
	// Beyond 64 KiB, so that each commit is a Put Block and a Put Block List.
	st, err := core.NewStream(core.StreamConfig{Blob: liveblob.Config{Container: store.Container(), Name: "live.log", Stream: "bench"}})
	if err != nil {
		b.Fatal(err)
	}
	head := bytes.Repeat([]byte("x"), 100_000)
	if _, err := st.Write(head); err != nil {
		b.Fatal(err)
	}
	if err := st.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	line := append(bytes.Repeat([]byte("y"), 99), '\n')
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		r := liveblob.NewReader(liveblob.ReaderConfig{Container: store.Container(), Name: "live.log", Offset: int64(len(head)), Follow: true, Poll: 1, MaxPoll: 1})
		for got := 0; ; {
			data, err := r.Next(b.Context())
			if err != nil {
				return
			}
			for got += len(data); got >= len(line); got -= len(line) {
				arrived <- struct{}{}
			}
		}
	}()
	do := func(method, url string, body []byte) {
		req, _ := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
		req.Header = http.Header{"Authorization": {"Bearer bare"}, "X-Ms-Version": {"2024-11-04"}}
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode >= 300 {
			b.Fatal(resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	var ours, bare []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := st.Write(line); err != nil {
			b.Fatal(err)
		}
		<-arrived
		ours = append(ours, time.Since(start))

		start = time.Now()
		do(http.MethodPut, endpoint+"/logs/bare.log?comp=block&blockid=YQ==", line)
		do(http.MethodPut, endpoint+"/logs/bare.log?comp=blocklist", []byte("<BlockList><Latest>YQ==</Latest></BlockList>"))
		do(http.MethodGet, endpoint+"/logs/bare.log", nil)
		bare = append(bare, time.Since(start))
	}
	if err := st.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	<-arrived
	report := func(name string, d []time.Duration) (p50, p99 float64) {
		slices.Sort(d)
		p50, p99 = float64(d[len(d)/2].Microseconds()), float64(d[len(d)*99/100].Microseconds())
		b.ReportMetric(p50, name+"-p50-µs")
		b.ReportMetric(p99, name+"-p99-µs")
		return p50, p99
	}
	p50, p99 := report("ours", ours)
	bare50, bare99 := report("bare", bare)
	b.ReportMetric(p50/bare50, "p50-ratio")
	b.ReportMetric((p99-bare99)/1000, "p99-over-ms")
}

// BenchmarkIdleStreams is the heap that streams take which have written a little
// and fallen silent.
func BenchmarkIdleStreams(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				s := newStreams(b)
				s.NoLog = true
				all := make([]*core.Stream, n)
				budget := new(liveblob.Budget)
				before, goroutines := heap(), runtime.NumGoroutine()
				for i := range all {
					cfg := s.config(fmt.Sprintf("host/stream-%d.log", i))
					cfg.Blob.Budget = budget
					all[i] = s.open(cfg)
					write(b, all[i], "a line of a stream that then falls silent for a long time\n")
					if err := all[i].Sync(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				after, more := heap(), runtime.NumGoroutine()-goroutines
				clear(all)
				budget = nil
				store := heap() - before // the stand-in's own share
				b.ReportMetric(float64(after-before-store)/(1<<20), "MiB")
				b.ReportMetric(float64(after-before-store)/float64(n), "B/stream")
				b.ReportMetric(float64(more), "goroutines")
			}
		})
	}
}

// heap is what is alive, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
