package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// receive reads an entry as dockerd does.
func receive(r io.Reader) (frame.Entry, error) {
	var e frame.Entry
	b := make([]byte, 4)
	if _, err := io.ReadFull(r, b); err != nil {
		return e, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b))...)
	if _, err := io.ReadFull(r, b[4:]); err != nil {
		return e, fmt.Errorf("a frame is cut short: %w", err)
	}
	return e, e.Decode(b)
}

// What dockerd prints is what the container has written.
func TestStream(t *testing.T) {
	l := newLog(t, 1)
	l.write(3000)
	l.upload(2500)
	l.evict(0.5)
	var out bytes.Buffer
	must(t, Stream(t.Context(), l.config(), &out))
	got := map[string][]byte{}
	for i := 0; ; i++ {
		e, err := receive(&out)
		if err == io.EOF && i == len(l.entries) {
			break
		}
		must(t, err)
		if e.Time != l.entries[i].Time {
			t.Fatalf("entry %d has the time %d, want %d", i, e.Time, l.entries[i].Time)
		}
		got[e.Source] = append(got[e.Source], e.Line...)
	}
	for _, source := range []string{"stdout", "stderr"} {
		if want := text(l.entries, source); replaced(got[source]) != replaced(want) {
			t.Errorf("%s: %d bytes, want %d", source, len(got[source]), len(want))
		}
	}
}

// answer is an HTTP answer that counts.
type answer struct {
	bytes.Buffer
	writes, flushes int
	pending         bool
	err             error
}

func (a *answer) Header() http.Header { return nil }
func (a *answer) WriteHeader(int)     {}
func (a *answer) Flush()              { a.flushes++; a.pending = false }

func (a *answer) Write(p []byte) (int, error) {
	a.writes++
	a.pending = true
	if a.err != nil {
		return 0, a.err
	}
	return a.Buffer.Write(p)
}

// Much goes out in large pieces; what there is goes out before Stream waits, the
// answer's head too.
func TestStreamFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		cfg := l.config()
		cfg.Follow = true
		ended := make(chan struct{})
		cfg.Ended = ended
		var a answer
		done := make(chan error)
		go func() { done <- Stream(t.Context(), cfg, &a) }()
		for i := range 3 {
			synctest.Wait()
			if a.pending || a.flushes < i+1 || a.writes != i {
				t.Fatalf("step %d: %d writes, %d flushes, pending: %v", i, a.writes, a.flushes, a.pending)
			}
			l.lines("stdout", "a line")
		}
		close(ended)
		must(t, <-done)

		for range 10_000 {
			l.say("stdout", strings.Repeat("x", 100))
		}
		l.append()
		a = answer{}
		must(t, Stream(t.Context(), cfg, &a))
		if n := a.Len(); a.pending || n < 1_000_000 || a.writes > n/batch+2 {
			t.Errorf("%d writes for %d bytes, pending: %v", a.writes, n, a.pending)
		}

		a = answer{err: errors.New("gone")}
		if err := Stream(t.Context(), cfg, &a); err != a.err || a.writes != 1 {
			t.Errorf("after %d writes: %v, want %v", a.writes, err, a.err)
		}
	})
}

// The stream over HTTP: live, and over when the other side goes.
func TestStreamOverHTTP(t *testing.T) {
	l := newLog(t, 1)
	l.lines("stdout", "a")
	cfg := l.config()
	cfg.Follow = true
	done := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done <- Stream(r.Context(), cfg, w)
	}))
	defer srv.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, nil)
	must(t, err)
	resp, err := srv.Client().Do(req)
	must(t, err)
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for _, want := range []string{"a\n", "b\n", "c\n"} {
		e, err := receive(in)
		must(t, err)
		if string(e.Line) != want {
			t.Fatalf("got %q, want %q", e.Line, want)
		}
		l.lines("stdout", string(want[0]+1))
	}
	leave()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on though nobody reads")
	}
}

// million is a log of 1,000,000 lines of 100 bytes.
func million(b *testing.B) *log {
	l := newLogIn(b, 1, 8<<20)
	l.batch = 2000
	line := strings.Repeat("0123456789", 10)
	for range 1_000_000 {
		l.say("stdout", line)
	}
	l.append()
	return l
}

func BenchmarkStream(b *testing.B) {
	l := million(b)
	cfg := Config{Spool: l.spool, Tail: -1}
	per := func(b *testing.B, n int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/line")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("spool", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := Stream(b.Context(), cfg, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
		per(b, len(l.entries))
	})
	b.Run("spool, tail 100", func(b *testing.B) {
		cfg := cfg
		cfg.Tail = 100
		b.ReportAllocs()
		for b.Loop() {
			if err := Stream(b.Context(), cfg, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("blob", func(b *testing.B) {
		l.batch, l.patient = 2000, true
		l.upload(len(l.entries) / 10)
		cfg := l.config()
		cfg.Spool = nil
		b.ReportAllocs()
		for b.Loop() {
			if err := Stream(b.Context(), cfg, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
		per(b, len(l.entries)/10)
	})
}
