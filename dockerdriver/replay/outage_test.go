package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// evicted is a log of 1,000-byte lines of which the spool has lost the beginning.
func evicted(t testing.TB, lines int) *log { return evictedUpTo(t, lines, 0.9) }

func evictedUpTo(t testing.TB, lines int, share float64) *log {
	l := newLog(t, 1)
	for i := range lines {
		l.say("stdout", fmt.Sprintf("line %d %01000d", i, i))
	}
	l.batch = 500
	l.append()
	l.upload(len(l.entries))
	l.evict(share)
	return l
}

// held is the first entry of the spool.
func (l *log) first() int {
	i, _ := slices.BinarySearch(l.offsets, l.spool.Stats().First)
	return i
}

// fault answers read requests, from the n-th on, with f.
func (l *log) fault(n int, f azuretest.Fault) {
	reads := 0
	l.server.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Op == azuretest.GetBlob || r.Op == azuretest.HeadBlob {
			if reads++; reads >= n {
				return f
			}
		}
		return azuretest.Fault{}
	})
}

// docker logs shows what there is, says what is missing, and does not wait for long.
func TestUnreadableBlob(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(l *log, cfg *Config)
		says  []string
		most  time.Duration
		some  bool // of the blob can be read: it is more than one answer
	}{
		{name: "no answer", spoil: func(l *log, _ *Config) { l.fault(1, azuretest.Fault{Kind: azuretest.BlackHole}) },
			says: []string{"cannot be read now", "no answer within 1.5s"}, most: 1500 * time.Millisecond},
		{name: "no answer to the first read", spoil: func(l *log, _ *Config) { l.fault(2, azuretest.Fault{Kind: azuretest.BlackHole}) },
			says: []string{"no answer within 5s"}, most: 5 * time.Second},
		{name: "no answer later on", spoil: func(l *log, _ *Config) { l.fault(3, azuretest.Fault{Kind: azuretest.BlackHole}) },
			says: []string{"no answer within 5s"}, most: 5 * time.Second, some: true},
		{name: "cut connections", spoil: func(l *log, _ *Config) { l.fault(1, azuretest.Fault{Kind: azuretest.CutBefore}) },
			says: []string{"connection reset"}, most: 1500 * time.Millisecond},
		{name: "busy", spoil: func(l *log, _ *Config) {
			l.fault(1, azuretest.Fault{Kind: azuretest.Busy, RetryAfter: time.Minute})
		}, says: []string{"503 ServerBusy"}, most: 1500 * time.Millisecond},
		{name: "denied", spoil: func(l *log, _ *Config) { l.fault(1, azuretest.Fault{Kind: azuretest.Denied}) },
			says: []string{"AuthenticationFailed"}},
		{name: "deleted", spoil: func(l *log, _ *Config) { remove(l) }, says: []string{"no such blob"}},
		{name: "raw", spoil: func(_ *log, cfg *Config) { cfg.Blob.Format = record.Raw }, says: []string{"raw keeps neither times"}},
		{name: "no settings", spoil: func(_ *log, cfg *Config) {
			cfg.Blob.Open = func() (liveblob.Container, string, error) {
				return liveblob.Container{}, "", errors.New("the profile is gone")
			}
		}, says: []string{"the profile is gone"}},
		{name: "another container's", spoil: func(_ *log, cfg *Config) { cfg.Blob.Stream = "c2" }, says: []string{"no such blob"}},
		{name: "no gzip", spoil: func(l *log, _ *Config) {
			remove(l)
			l.writer, l.compress = nil, "gzip"
			l.upload(0)
			must(l.t, l.writer.Commit(l.t.Context(), []byte("no gzip"), ""))
		}, says: []string{"compressed part is cut off"}},
	}
	for _, tt := range tests {
		lines := 800
		if tt.some {
			lines = 6000
		}
		for _, tail := range []int{-1, lines - 10} {
			t.Run(fmt.Sprint(tt.name, tail), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := evicted(t, lines)
					cfg := l.config()
					cfg.Tail = tail
					tt.spoil(l, &cfg)
					began := time.Now()
					got, err := read(t.Context(), cfg)
					must(t, err)
					if took := time.Since(began); took > tt.most {
						t.Errorf("it took %v, want %v at most", took, tt.most)
					}
					text := said(got)
					if len(text) != 1 || !strings.HasPrefix(text[0], "azureblob: older lines are in logs/web/1.log, and cannot be read now: ") {
						t.Fatalf("it says %q", text)
					}
					for _, want := range tt.says {
						if !strings.Contains(text[0], want) {
							t.Errorf("it says %q, want %q in it", text[0], want)
						}
					}
					i := slices.IndexFunc(got, func(e frame.Entry) bool { return e.Source == "stderr" })
					l.check("from the spool", got[i+1:], l.entries[l.first():])
					if some := tt.some && tail < 0; some != (i > 0) {
						t.Errorf("%d entries of the blob", i)
					}
					l.check("from the blob", got[:i], l.entries[:i])
					if got[i].Time != l.entries[l.first()].Time {
						t.Error("that has not the time of its neighbour")
					}
				})
			})
		}
	}
}

// remove deletes the blob.
func remove(l *log) {
	client, err := l.container().Client(blobName)
	must(l.t, err)
	_, err = client.Delete(l.t.Context(), nil)
	must(l.t, err)
}

// What is not wanted costs no request, and no line says that it is missing.
func TestOlderIsNotWanted(t *testing.T) {
	l := evicted(t, 800)
	first := l.first()
	l.server.ResetLog()
	cfg := l.config()
	cfg.Since = time.Unix(0, l.entries[first].Time+1)
	got, err := read(t.Context(), cfg)
	must(t, err)
	l.check("since", got, l.entries[first+1:])
	cfg = l.config()
	cfg.Tail = len(l.entries) - first
	got, err = read(t.Context(), cfg)
	must(t, err)
	l.check("tail", got, l.entries[first:])
	cfg.Tail = 0
	got, err = read(t.Context(), cfg)
	must(t, err)
	l.check("nothing", got, nil)
	if n := len(l.server.Log()); n > 0 {
		t.Errorf("%d requests", n)
	}
	// dockerd takes nothing that is behind until.
	cfg = l.config()
	cfg.Until = time.Unix(0, l.entries[100].Time)
	l.fault(1, azuretest.Fault{Kind: azuretest.Denied})
	got, err = read(t.Context(), cfg)
	must(t, err)
	if len(got) != 1 || len(said(got)) != 1 || time.Unix(0, got[0].Time).After(cfg.Until) {
		t.Errorf("got %d entries, and %q", len(got), said(got))
	}
}

// The blob is not read to its end where the spool has most of it.
func TestBeyondTheSeam(t *testing.T) {
	l := evictedUpTo(t, 12_000, 0.1)
	l.server.ResetLog()
	got, err := read(t.Context(), l.config())
	must(t, err)
	l.check("all", got, l.entries)
	n := int64(0)
	for _, r := range l.server.Log() {
		n += r.BytesOut
	}
	if n > 2*beyond {
		t.Errorf("%d bytes of the blob were read", n)
	}
}

// The end of a log that is only in the blob costs a small part of it.
func TestTailOfBlob(t *testing.T) {
	l := evicted(t, 3000)
	cfg := l.config()
	cfg.Spool = nil
	for _, cfg.Tail = range []int{1, 10, 100} {
		l.server.ResetLog()
		got, err := read(t.Context(), cfg)
		must(t, err)
		l.check(fmt.Sprint("tail ", cfg.Tail), got, l.want(cfg))
		n := int64(0)
		for _, r := range l.server.Log() {
			n += r.BytesOut
		}
		if most := int64(20_000 + 8*1000*cfg.Tail); n > most {
			t.Errorf("tail %d: %d bytes, want %d at most", cfg.Tail, n, most)
		}
	}
}

// The one who reads may go at any time, and gets nothing more then.
func TestReaderGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := evicted(t, 6000)
		gone := errors.New("gone")
		for n := range 3 {
			l.fault(n+1, azuretest.Fault{Kind: azuretest.BlackHole})
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { stop(gone) })
			if got, err := read(ctx, l.config()); err != gone || len(said(got)) > 0 {
				t.Errorf("%d answers: %v, and it says %q", n, err, said(got))
			}
		}
		l.server.SetFault(nil)
		for _, after := range []int{0, 1, 100, 5_900} {
			n := 0
			if err := Read(t.Context(), l.config(), func(*frame.Entry) error {
				if n++; n > after {
					return gone
				}
				return nil
			}); err != gone || n != after+1 {
				t.Errorf("after %d entries: %v, and %d more", after, err, n-after)
			}
		}
		for after := range 4 {
			n := 0
			cfg := l.config()
			cfg.Follow = true
			cfg.Waiting = func() error {
				if n++; n > after {
					return gone
				}
				return nil
			}
			if got, err := read(t.Context(), cfg); err != gone || n != after+1 || len(said(got)) > 0 {
				t.Errorf("after waiting %d times: %v, and it says %q", n-1, err, said(got))
			}
		}
	})
}

// Storage goes between the pass that counts and the one that reads.
func TestOutageBetweenPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := evicted(t, 6000)
		l.server.ResetLog()
		cfg := l.config()
		_, err := read(t.Context(), cfg)
		must(t, err)
		requests := len(l.server.Log())
		cfg.Tail = len(l.entries) - 1
		for n := requests + 1; n < 2*requests; n++ {
			l.fault(n, azuretest.Fault{Kind: azuretest.BlackHole})
			got, err := read(t.Context(), cfg)
			must(t, err)
			i := slices.IndexFunc(got, func(e frame.Entry) bool { return e.Source == "stderr" })
			if i < 0 {
				t.Fatalf("%d answers of %d: it says nothing", n-1, 2*requests-1)
			}
			l.check("from the blob", got[:i], l.entries[1:i+1])
			l.check("from the spool", got[i+1:], l.entries[l.first():])
		}
	})
}

// Without Follow, what comes while the log is read is not a part of it.
func TestEndOfLog(t *testing.T) {
	l := newLog(t, 1)
	l.write(100)
	want := slices.Clone(l.entries)
	cfg := l.config()
	var got []frame.Entry
	must(t, Read(t.Context(), cfg, func(e *frame.Entry) error {
		got = append(got, *e)
		got[len(got)-1].Line = bytes.Clone(e.Line)
		l.lines("stdout", "more")
		return nil
	}))
	l.check("the log", got, want)
}

// Another container had the name first: its log is not shown, ours is.
func TestForkedBlob(t *testing.T) {
	other := newLog(t, 1)
	other.say("stdout", "secret")
	cfg := liveblob.Config{Container: other.container(), Name: blobName, Stream: "c0"}
	w, err := liveblob.NewWriter(cfg)
	must(t, err)
	must(t, w.Commit(t.Context(), record.JSON.Append(nil, &record.Record{Line: []byte("secret")}), ""))
	l := newLog(t, 2)
	l.server = other.server
	l.write(2000)
	l.upload(1900)
	l.evict(0.9)
	got, err := read(t.Context(), l.config())
	must(t, err)
	l.check("forked", got, l.entries)
}

// Lines that are not in the log's format are shown as they are.
func TestForeignLines(t *testing.T) {
	l := newLog(t, 1)
	l.say("stderr", "before")
	l.write(1000)
	l.upload(1)
	must(t, l.writer.Commit(t.Context(), []byte("{\"half\n\nnone\xff\n"), ""))
	l.upload(900)
	l.evict(0.9)
	for _, tail := range []int{-1, 1002} {
		cfg := l.config()
		cfg.Tail = tail
		got, err := read(t.Context(), cfg)
		must(t, err)
		i := len(got) - len(l.entries) + 1 // of the first entry behind them
		l.check("behind", got[i:], l.entries[1:])
		var lines []string
		for _, e := range got[:i] {
			if e.Time != l.entries[0].Time {
				t.Errorf("the time of %q is not that of the line before", e.Line)
			}
			lines = append(lines, string(e.Line))
		}
		want := []string{string(l.entries[0].Line), "{\"half", "", "none\xff"}
		if tail > 0 {
			want = want[len(want)-2:]
		}
		if !slices.Equal(lines, want) {
			t.Errorf("tail %d: got %q, want %q", tail, lines, want)
		}
	}
}

// A long log costs no more memory than a short one.
func TestMemoryIsFlat(t *testing.T) {
	l := evicted(t, 6000)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for _, tail := range []int{-1, 5_000} {
		cfg := l.config()
		cfg.Tail = tail
		n, most := 0, uint64(0)
		must(t, Read(t.Context(), cfg, func(*frame.Entry) error {
			if n++; n%1000 == 1 {
				most = max(most, heap())
			}
			return nil
		}))
		if limit := before + 6<<20; n < 5_000 || most > limit {
			t.Errorf("tail %d: %d entries, and %d KiB more than before", tail, n, (most-before)>>10)
		}
	}
}
