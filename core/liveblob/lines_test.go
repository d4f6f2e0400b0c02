package liveblob_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// lastLines says the same by reading forwards.
func lastLines(text []byte, n int) int64 {
	if n < 0 {
		return 0
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	at := len(text)
	for i := range min(n, len(lines)) {
		at -= len(lines[len(lines)-1-i])
	}
	return int64(at)
}

func TestLastLines(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	texts := [][]byte{{}, []byte("\n"), []byte("\n\n\n"), []byte("a"), []byte("a\n"), []byte("a\nb"), []byte("\na\n\nb\n")}
	// Newlines on both sides of where the ranges meet: 4 KiB, 20 KiB, 84 KiB from the end.
	for _, edge := range []int{4 << 10, 20 << 10, 84 << 10} {
		for d := -2; d <= 2; d++ {
			text := bytes.Repeat([]byte("x"), 100<<10)
			text[len(text)-edge+d] = '\n'
			texts = append(texts, text, append(bytes.Clone(text), '\n'))
		}
	}
	for range 40 {
		text := make([]byte, rng.IntN(30<<10))
		for i := range text {
			text[i] = 'x'
			if rng.IntN(1+rng.IntN(2000)) == 0 {
				text[i] = '\n'
			}
		}
		texts = append(texts, text)
	}
	s := newShelf()
	for i, text := range texts {
		name := fmt.Sprint("t", i)
		s.Put("logs", name, text, nil)
		for _, n := range []int{-1, 0, 1, 2, 3, 10, 1000, 1 << 30} {
			got, err := liveblob.LastLines(t.Context(), s.container(), name, n, liveblob.Retry{})
			if want := lastLines(text, n); err != nil || got != want {
				t.Errorf("text %d of %d bytes, last %d lines begin at %d, want %d, %v", i, len(text), n, got, want, err)
			}
		}
	}
}

func TestLastLinesReadsLittle(t *testing.T) {
	s := newShelf()
	text := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 30_000))
	s.Put("logs", "app.log", text, nil)
	for n, most := range map[int]int64{0: 0, 10: 4 << 10, 100: 20 << 10, 1 << 30: int64(len(text))} {
		s.ResetLog()
		if _, err := liveblob.LastLines(t.Context(), s.container(), "app.log", n, liveblob.Retry{}); err != nil {
			t.Fatal(err)
		}
		var bytes int64
		for _, e := range s.Log() {
			bytes += e.BytesOut
			if e.BytesOut > 1<<20 {
				t.Errorf("one range of %d bytes", e.BytesOut)
			}
		}
		if bytes > most || len(s.Log()) > 9 {
			t.Errorf("last %d lines: %d bytes in %d requests, want at most %d", n, bytes, len(s.Log()), most)
		}
	}
}

// After the first answer the blob grows, is merged or is replaced: the lines are
// those of the first snapshot, or it is an error.
func TestLastLinesWhileItChanges(t *testing.T) {
	line := strings.Repeat("y", 999) + "\n"
	for _, c := range []struct {
		name   string
		change func(*scribe)
		want   error
	}{
		{"grows", func(w *scribe) { w.commit("one\nmore\nline\n") }, nil},
		{"merged", func(w *scribe) { w.merge() }, nil},
		{"shorter", func(w *scribe) { w.ids = w.ids[:1]; w.commit("") }, liveblob.ErrReplaced},
		{"replaced", func(w *scribe) { w.stream = "other"; w.commit("") }, liveblob.ErrReplaced},
		{"deleted", func(w *scribe) { _, w.err = w.shelf.client("logs", w.name).Delete(t.Context(), nil) }, liveblob.ErrNotFound},
	} {
		for at := 2; at <= 4; at++ {
			t.Run(fmt.Sprint(c.name, " at ", at), func(t *testing.T) {
				s := newShelf()
				w := &scribe{shelf: s, name: "app.log", stream: "s"}
				for range 60 {
					w.commit(line)
				}
				reads, under := 0, s.through
				reading := &shelf{Server: s.Server, endpoint: s.endpoint, through: tripper(func(r *http.Request) (*http.Response, error) {
					if reads++; reads == at {
						c.change(w)
					}
					return under.RoundTrip(r)
				})}
				got, err := liveblob.LastLines(t.Context(), reading.container(), "app.log", 30, liveblob.Retry{GiveUp: time.Second})
				if w.err != nil || reads < at {
					t.Fatal(w.err, reads)
				}
				if !errors.Is(err, c.want) || c.want == nil && got != 30_000 {
					t.Errorf("they begin at %d, %v", got, err)
				}
			})
		}
	}
}

func TestLastLinesUnderFaults(t *testing.T) {
	text := []byte(strings.Repeat(strings.Repeat("z", 999)+"\n", 60))
	for _, kind := range []azuretest.FaultKind{azuretest.LostAnswer, azuretest.CutBefore, azuretest.CutBody, azuretest.Busy, azuretest.Internal, azuretest.BlackHole} {
		for at := 1; at <= 4; at++ {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf()
				s.Put("logs", "app.log", text, nil)
				s.faultAt(at, azuretest.Fault{Kind: kind})
				got, err := liveblob.LastLines(t.Context(), s.container(), "app.log", 30, liveblob.Retry{GiveUp: time.Minute})
				if err != nil || got != 30_000 {
					t.Errorf("%v at %d: %d, %v", kind, at, got, err)
				}
			})
		}
	}
}

func TestLastLinesOfWhatHasNone(t *testing.T) {
	s := newShelf()
	if _, err := liveblob.LastLines(t.Context(), s.container(), "nothing", 10, liveblob.Retry{}); !errors.Is(err, liveblob.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	_, err := s.client("logs", "app.log").Upload(t.Context(), streaming.NopCloser(strings.NewReader("gzip, say")), &blockblob.UploadOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentEncoding: to.Ptr("gzip")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := liveblob.LastLines(t.Context(), s.container(), "app.log", 10, liveblob.Retry{}); !errors.Is(err, liveblob.ErrCompressed) {
		t.Errorf("compressed: %v", err)
	}
	if at, err := liveblob.LastLines(t.Context(), s.container(), "app.log", 0, liveblob.Retry{}); err != nil || at != 9 {
		t.Errorf("end of a compressed one: %d, %v", at, err)
	}
}
