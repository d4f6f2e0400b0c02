package liveblob_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/appendblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// BenchmarkGrowth is what a flush costs in a log of N flushes, on average over all of
// them: requests, bytes on the wire in both directions, headers included, and the
// processor's time of this process. late is the average over the second half. Beside
// it are a library that stages one block a flush and commits the whole list each time,
// and an append blob, both by the same SDK and to the same service, which is another
// process and keeps no data. Those two end at 50,000 blocks, and what they cost is
// plain from a sample: with half of the list, which is its mean length, and at the end.
//
// 500,000 flushes take minutes, so they are made once, whatever -count is, and reported
// in each run: their requests and bytes never vary, and the time is a mean of so many.
func BenchmarkGrowth(b *testing.B) {
	for _, size := range []int{200, 4 << 10} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			data := append(bytes.Repeat([]byte("x"), size-1), '\n')
			wire := newWire(b)
			for b.Loop() {
				marks := []int{1_000, 10_000, 50_000}
				growUs(b, wire, data, marks)
				if most[size] == nil {
					all := growUs(b, wire, data, []int{500_000})
					most[size] = &all
				}
				for _, r := range *most[size] {
					r.report(b)
				}
				for _, n := range marks {
					growList(b, wire, data, n)
					growAppend(b, wire, data, n)
				}
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// most is what 500,000 flushes of a size took, once they were made.
var most = map[int]*[]reading{}

func growUs(b *testing.B, wire *wire, data []byte, marks []int) (all []reading) {
	w, err := liveblob.NewWriter(liveblob.Config{
		Container: liveblob.Container{Name: "logs", Client: func(name string) (*blockblob.Client, error) { return wire.block(b, name), nil }},
		Name:      fmt.Sprint(time.Now().UnixNano(), ".log"), Stream: "bench", Budget: new(liveblob.Budget),
	})
	if err != nil {
		b.Fatal(err)
	}
	begin, done := wire.now(), 0
	flush := func(to int) {
		for ; done < to; done++ {
			if err := w.Commit(b.Context(), data, ""); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, n := range marks {
		flush(n / 2)
		half := wire.now()
		flush(n)
		now := wire.now()
		all = append(all,
			reading{"azureblob", n, now.since(begin), n, len(data)},
			reading{"azureblob-late", n, now.since(half), n - n/2, len(data)})
	}
	for _, r := range all {
		r.report(b)
	}
	if s := w.State(); s.Size != int64(done*len(data)) {
		b.Fatalf("%d bytes are committed", s.Size)
	}
	return all
}

// growList is the scheme of 2014.
func growList(b *testing.B, wire *wire, data []byte, n int) {
	client := wire.block(b, fmt.Sprint(time.Now().UnixNano(), "-list.log"))
	var ids []string
	id := func() string {
		var raw [12]byte
		binary.BigEndian.PutUint64(raw[4:], uint64(len(ids)))
		return base64.StdEncoding.EncodeToString(raw[:])
	}
	stage := func() {
		ids = append(ids, id())
		if _, err := client.StageBlock(b.Context(), ids[len(ids)-1], streaming.NopCloser(bytes.NewReader(data)), nil); err != nil {
			b.Fatal(err)
		}
	}
	for range n/2 - 10 {
		stage()
	}
	commit := func() {
		if _, err := client.CommitBlockList(b.Context(), ids, nil); err != nil {
			b.Fatal(err)
		}
	}
	commit()
	const flushes = 20
	before := wire.now()
	for range flushes {
		stage()
		commit()
	}
	reading{"one-block-a-flush", n, wire.now().since(before), flushes, len(data)}.report(b)
}

func growAppend(b *testing.B, wire *wire, data []byte, n int) {
	client := wire.append(b, fmt.Sprint(time.Now().UnixNano(), "-append.log"))
	if _, err := client.Create(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	flush := func() {
		if _, err := client.AppendBlock(b.Context(), streaming.NopCloser(bytes.NewReader(data)), nil); err != nil {
			b.Fatal(err)
		}
	}
	const flushes = 500
	before := wire.now()
	for range flushes {
		flush()
	}
	reading{"append-blob", n, wire.now().since(before), flushes, len(data)}.report(b)
}

// wire counts what passes between this process and a service that forgets.
type wire struct {
	address         string
	client          *http.Client
	bytes, requests atomic.Int64
}

type tally struct {
	bytes, requests int64
	cpu             time.Duration
}

func newWire(b *testing.B) *wire {
	w := &wire{address: azuretest.StartDiscard(b)}
	w.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &countedConn{conn, w}, err
		},
		DisableCompression: true, WriteBufferSize: 64 << 10,
	}}
	b.Cleanup(w.client.CloseIdleConnections)
	return w
}

type countedConn struct {
	net.Conn
	wire *wire
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.bytes.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wire.bytes.Add(int64(n))
	return n, err
}

// ReadFrom keeps net.TCPConn's from being found: it would write uncounted.
func (c *countedConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (w *wire) Do(req *http.Request) (*http.Response, error) {
	w.requests.Add(1)
	return w.client.Do(req)
}

func (w *wire) options() policy.ClientOptions {
	return policy.ClientOptions{Transport: w, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true}}
}

func (w *wire) key(b *testing.B) *blob.SharedKeyCredential {
	key, err := blob.NewSharedKeyCredential("account", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func (w *wire) url(name string) string { return "http://" + w.address + "/account/logs/" + name }

func (w *wire) block(b *testing.B, name string) *blockblob.Client {
	c, err := blockblob.NewClientWithSharedKeyCredential(w.url(name), w.key(b), &blockblob.ClientOptions{ClientOptions: w.options()})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (w *wire) append(b *testing.B, name string) *appendblob.Client {
	c, err := appendblob.NewClientWithSharedKeyCredential(w.url(name), w.key(b), &appendblob.ClientOptions{ClientOptions: w.options()})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (w *wire) now() tally {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return tally{bytes: w.bytes.Load(), requests: w.requests.Load(), cpu: time.Duration(used.Utime.Nano() + used.Stime.Nano())}
}

func (t tally) since(before tally) tally {
	return tally{bytes: t.bytes - before.bytes, requests: t.requests - before.requests, cpu: t.cpu - before.cpu}
}

// reading is what flushes of size bytes took, in a log of at of them.
type reading struct {
	who     string
	at      int
	took    tally
	flushes int
	size    int
}

func (r reading) report(b *testing.B) {
	metric := func(measure string, all, of float64) {
		b.ReportMetric(all/of, fmt.Sprintf("%s@%s:%d", measure, r.who, r.at))
	}
	flushes := float64(r.flushes)
	metric("requests", float64(r.took.requests), flushes)
	metric("kB", float64(r.took.bytes)/1e3, flushes)
	metric("cpu-µs", float64(r.took.cpu.Nanoseconds())/1e3, flushes)
	metric("sent/payload", float64(r.took.bytes), flushes*float64(r.size))
}
