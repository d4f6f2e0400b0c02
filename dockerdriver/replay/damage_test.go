package replay

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// A damaged batch is left out, with a line in its place, and all else is there.
func TestDamagedSpool(t *testing.T) {
	l := newLog(t, 1)
	l.batch = 1
	for i := range 1000 {
		l.say("stdout", fmt.Sprintf("line %03d %s", i, strings.Repeat("x", 100)))
	}
	l.append()
	l.damage("line 500 ")
	lost := slices.IndexFunc(l.entries, func(e frame.Entry) bool { return bytes.HasPrefix(e.Line, []byte("line 500 ")) })
	want := slices.Delete(slices.Clone(l.entries), lost, lost+1)

	cfg := l.config()
	note := fmt.Sprintf("azureblob: %d bytes ", l.offsets[lost+1]-l.offsets[lost])
	for tail, from := range map[int]int{-1: 0, 600: 399} {
		cfg.Tail = tail
		got, err := read(t.Context(), cfg)
		must(t, err)
		i := slices.IndexFunc(got, func(e frame.Entry) bool { return e.Source == "stderr" })
		if i < 0 || got[i].Time != l.entries[lost+1].Time || len(said(got)) != 1 || !strings.HasPrefix(said(got)[0], note) {
			t.Fatalf("tail %d: it says %q, want %q", tail, said(got), note)
		}
		l.check(fmt.Sprint("tail ", tail), slices.Delete(got, i, i+1), want[from:])
	}

	// Nobody who does not look there hears of it.
	cfg.Tail = -1
	cfg.Since = time.Unix(0, l.entries[lost+2].Time)
	got, err := read(t.Context(), cfg)
	must(t, err)
	l.check("since", got, l.entries[lost+2:])
	cfg.Since, cfg.Tail = time.Time{}, 400
	got, err = read(t.Context(), cfg)
	must(t, err)
	l.check("tail", got, l.entries[600:])

	l.damage("line 999 ")
	got, err = read(t.Context(), cfg)
	must(t, err)
	if last := len(got) - 1; got[last].Source != "stderr" || got[last].Time != l.entries[998].Time {
		t.Errorf("the last entry is %s", brief(&got[last]))
	}
}

// damage flips a byte of the batch that holds a text, on the disk.
func (l *log) damage(text string) {
	files, err := filepath.Glob(filepath.Join(l.dir, "*.seg"))
	must(l.t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		must(l.t, err)
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i] ^= 1
			must(l.t, os.WriteFile(name, b, 0o600))
			return
		}
	}
	l.t.Fatalf("%q is in no segment", text)
}

// Frames that lie in several batches are put together; where that cannot be, reading
// goes on at the next one.
func TestFramesAcrossBatches(t *testing.T) {
	big := frame.Entry{Source: "stdout", Time: 2, Line: bytes.Repeat([]byte("big "), 3<<20/4)}
	whole := frame.Append(nil, &frame.Entry{Source: "stdout", Time: 1, Line: []byte("first")})
	whole = frame.Append(whole, &big)
	whole = frame.Append(whole, &frame.Entry{Source: "stderr", Time: 3, Line: []byte("last")})
	batches := slices.Collect(slices.Chunk(whole, 1<<20))
	tests := []struct {
		name          string
		before, while int // batches that are evicted: before it is read, and after the first entry
		want          []string
		holes         int
	}{
		{name: "all is there", want: []string{"first", string(big.Line), "last"}},
		{name: "evicted before", before: 2, want: []string{"last"}, holes: 1},
		{name: "evicted meanwhile", while: 2, want: []string{"first", "last"}, holes: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := spool.Open(t.TempDir(), spool.Config{Segment: 1})
			must(t, err)
			defer s.Close()
			for _, b := range batches {
				_, err := s.Append(b)
				must(t, err)
			}
			drop := func(n int) {
				for range n {
					_, _, err := s.DropOldest(1)
					must(t, err)
				}
			}
			drop(tt.before)
			var got []string
			holes := 0
			must(t, Read(t.Context(), Config{Spool: s, Tail: -1}, func(e *frame.Entry) error {
				text := string(e.Line)
				if strings.HasPrefix(text, "azureblob: ") {
					holes++
					return nil
				}
				if got = append(got, text); text == "first" {
					drop(tt.while)
				}
				return nil
			}))
			if !slices.Equal(got, tt.want) || holes != tt.holes {
				t.Errorf("%d entries and %d holes, want %d and %d", len(got), holes, len(tt.want), tt.holes)
			}
		})
	}
}
