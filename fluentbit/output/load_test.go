package output

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
	"github.com/liveblob/azureblob/fluentbit/keys"
)

// emptyStore is a service that has nothing, takes all, and keeps none of it: what is
// measured on it is the Output alone.
type emptyStore struct{}

func (emptyStore) Do(r *http.Request) (*http.Response, error) {
	status := http.StatusNotFound
	if r.Method == http.MethodPut {
		io.Copy(io.Discard, r.Body)
		status = http.StatusCreated
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Etag": {`"0x1"`}}, Body: http.NoBody, Request: r,
	}, nil
}

func newEmpty(t testing.TB) *Output {
	o := newOn(t, azuretest.New(), emptyStore{})
	t.Cleanup(o.Close)
	return o
}

// newOn is an Output that sends its requests there.
func newOn(t testing.TB, server *azuretest.Server, transport policy.Transporter) *Output {
	conf := map[string]string{
		"connection_string": server.ConnectionString(azuretest.TransportEndpoint), "hostname": "node1", "path": "$TAG.log", "startup_probe": "off",
	}
	set, err := keys.Load(func(name string) string { return conf[name] }, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	o, err := New(set, Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func heap() int64 {
	for range 3 { // pools are emptied by two
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A stream that nothing comes for costs little, and no goroutine.
func TestMemoryOfStreams(t *testing.T) {
	for _, n := range []int{1000, 10_000} {
		o := newEmpty(t)
		chunk := flbtest.LogChunk(time.Now(), strings.Repeat("x", 100))
		before, goroutines := heap(), runtime.NumGoroutine()
		var workers sync.WaitGroup
		for w := range 50 {
			workers.Go(func() {
				for i := w; i < n; i += 50 {
					if r := o.Flush(fmt.Sprintf("kube.var.log.containers.pod-%06d", i), chunk); r != OK {
						t.Error(r)
					}
				}
			})
		}
		workers.Wait()
		o.writing.Wait()
		each := (heap() - before) / int64(n)
		t.Logf("%d streams: %d bytes each, %d goroutines more", n, each, runtime.NumGoroutine()-goroutines)
		if each > 8<<10 {
			t.Errorf("%d bytes a stream", each)
		}
		if more := runtime.NumGoroutine() - goroutines; more > 2 {
			t.Errorf("%d goroutines more", more)
		}
		runtime.KeepAlive(o)
		o.Close()
	}
}

// Tails that the budget has no room for are read back: how many requests that makes.
func BenchmarkManyTags(b *testing.B) {
	for _, limit := range []int64{4, 8, 16, 32, 64} {
		for _, tags := range []int{100, 300, 1000} {
			b.Run(fmt.Sprintf("%dMiB/%d", limit, tags), func(b *testing.B) {
				old := tails.Limit
				tails = liveblob.Budget{Limit: limit << 20}
				defer func() { tails = liveblob.Budget{Limit: old} }()
				const flushes = 30
				for b.Loop() {
					server := azuretest.New()
					server.MakeContainer("logs")
					server.NoLog = true
					var all, gets atomic.Int64
					server.SetFault(func(r azuretest.Request) azuretest.Fault {
						all.Add(1)
						if r.Op == azuretest.GetBlob {
							gets.Add(1)
						}
						return azuretest.Fault{}
					})
					o := newOn(b, server, &http.Client{Transport: server.Transport()})
					for i := range flushes {
						for tag := range tags {
							o.Flush(fmt.Sprint("t", tag), flbtest.LogChunk(time.Unix(int64(i), 0), strings.Repeat("x", 980)))
						}
					}
					total := float64(flushes * tags)
					b.ReportMetric(float64(all.Load())/total, "requests/flush")
					b.ReportMetric(float64(gets.Load())/total, "gets/flush")
					o.Close()
				}
			})
		}
	}
}

// What a flush costs the processor besides the transport.
func BenchmarkSmallFlush(b *testing.B) {
	o := newEmpty(b)
	chunk := flbtest.LogChunk(time.Now(), strings.Repeat("x", 200))
	b.ReportAllocs()
	for b.Loop() {
		if r := o.Flush("a", chunk); r != OK {
			b.Fatal(r)
		}
	}
}
