package spool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// made is a spool of three segments on disk, to be damaged, and what it holds.
type made struct {
	dir    string
	files  []string // of the segments
	starts []int    // of the batches in the stream
	want   []byte
}

func make3(t testing.TB) made {
	t.Helper()
	m := made{dir: t.TempDir()}
	s, err := Open(m.dir, Config{Segment: 180, boot: testBoot})
	must(t, err)
	for i := range 9 { // three to a segment
		m.starts = append(m.starts, len(m.want))
		m.want = append(m.want, batch(i, 20+i)...)
		appendTo(t, s, batch(i, 20+i))
	}
	m.starts = append(m.starts, len(m.want))
	for _, seg := range s.segments {
		m.files = append(m.files, s.path(seg))
	}
	if len(m.files) != 3 {
		t.Fatalf("%d segments", len(m.files))
	}
	must(t, s.state.Close()) // as if killed: no Close
	must(t, s.file.Close())
	s.closed = true
	return m
}

func (m made) copy(t testing.TB) made {
	t.Helper()
	old := m.dir
	m.dir = filepath.Join(t.TempDir(), "spool")
	must(t, os.CopyFS(m.dir, os.DirFS(old)))
	m.files = slices.Clone(m.files)
	for i, f := range m.files {
		m.files[i] = filepath.Join(m.dir, filepath.Base(f))
	}
	return m
}

// reopen checks that all that is held is right and in its place, that what is
// missing is reported, and that appending goes on behind it. It gives the stream's
// end as it was found, and the gaps.
func (m made) reopen(t testing.TB, boot uint64) (end int64, gaps []GapError) {
	t.Helper()
	cfg := Config{Segment: 180, boot: boot}
	s, err := Open(m.dir, cfg)
	must(t, err)
	end = s.End()
	extra := batch(99, 3) // shorter than most of what is cut off
	appendTo(t, s, extra)
	for range 2 {
		var got []byte
		got, gaps = readAll(t, s, 0)
		var want []byte
		at := 0
		for _, gap := range gaps {
			if at < len(m.want) {
				want = append(want, m.want[at:min(gap.From, int64(len(m.want)))]...)
			}
			at = int(gap.To)
		}
		if at < len(m.want) && int64(at) < end {
			want = append(want, m.want[at:min(int(end), len(m.want))]...)
		}
		if want = append(want, extra...); !bytes.Equal(got, want) {
			t.Fatalf("end %d, gaps %v: got %d bytes, want %d", end, gaps, len(got), len(want))
		}
		must(t, s.Close())
		s, err = Open(m.dir, cfg)
		must(t, err)
		if s.End() != end+int64(len(extra)) {
			t.Fatalf("end %d, then %d", end, s.End())
		}
	}
	must(t, s.Close())
	return end, gaps
}

func TestTruncatedAnywhere(t *testing.T) {
	m := make3(t)
	last, err := os.ReadFile(m.files[2])
	must(t, err)
	for size := range len(last) + 1 {
		c := m.copy(t)
		must(t, os.Truncate(c.files[2], int64(size)))
		wantEnd := m.starts[6] // what the whole records come to
		for i, at := 6, segmentHeader; i < 9; i++ {
			if at += recordHeader + 20 + i; at <= size {
				wantEnd = m.starts[i+1]
			}
		}
		if end, gaps := c.reopen(t, testBoot); end != int64(wantEnd) || gaps != nil {
			t.Errorf("cut at %d: end %d, want %d, gaps %v", size, end, wantEnd, gaps)
		}
		// The same after the machine has died: bytes behind the cut may have been
		// uploaded, so the stream goes on further up, and says so.
		c = m.copy(t)
		must(t, os.Truncate(c.files[2], int64(size)))
		if end, gaps := c.reopen(t, testBoot+1); end != offsetJump || len(gaps) != 1 || gaps[0] != (GapError{From: int64(wantEnd), To: offsetJump, Unsized: true, Cause: ErrLost}) {
			t.Errorf("cut at %d, new boot: end %d, gaps %v", size, end, gaps)
		}
	}
}

func TestFlippedAnywhere(t *testing.T) {
	m := make3(t)
	for k, file := range m.files {
		data, err := os.ReadFile(file)
		must(t, err)
		for at := range data {
			c := m.copy(t)
			bad := slices.Clone(data)
			bad[at] ^= 0x10
			must(t, os.WriteFile(c.files[k], bad, 0o600))
			end, gaps := c.reopen(t, testBoot)

			i, in := 3*k, at-segmentHeader // the batch that is hit, and where
			for ; in >= recordHeader+20+i; i++ {
				in -= recordHeader + 20 + i
			}
			from, to := int64(m.starts[i]), int64(m.starts[i+1])
			var want []GapError
			switch {
			case at < segmentHeader && k < 2: // name and state stand in for the header
			case at < segmentHeader: // and for all we know it is of another boot
				want = []GapError{{From: int64(len(m.want)), To: offsetJump, Unsized: true, Cause: ErrLost}}
			case i == 8 && in < recordHeader: // nobody knows where the stream ended
				want = []GapError{{From: from, To: offsetJump, Unsized: true, Cause: ErrLost}}
			default:
				want = []GapError{{From: from, To: to, Cause: ErrLost}}
			}
			if !slices.Equal(gaps, want) || want == nil && end != int64(len(m.want)) {
				t.Errorf("segment %d, byte %d: end %d, gaps %v, want %v", k, at, end, gaps, want)
			}
		}
	}
}

func TestFilesMissingExtraRenamed(t *testing.T) {
	m := make3(t)
	n := int64(len(m.want))
	b1, b2 := int64(m.starts[3]), int64(m.starts[6])
	lost := func(from, to int64) []GapError { return []GapError{{From: from, To: to, Cause: ErrLost}} }
	for _, tt := range []struct {
		name string
		do   func(c made) error
		end  int64
		gaps []GapError
	}{
		{"first missing", func(c made) error { return os.Remove(c.files[0]) }, n, lost(0, b1)},
		{"middle missing", func(c made) error { return os.Remove(c.files[1]) }, n, lost(b1, b2)},
		{"last missing", func(c made) error { return os.Remove(c.files[2]) }, b2, nil},
		{"middle empty", func(c made) error { return os.Truncate(c.files[1], 0) }, n, lost(b1, b2)},
		{"middle header only", func(c made) error { return os.Truncate(c.files[1], segmentHeader) }, n, lost(b1, b2)},
		{"last empty", func(c made) error { return os.Truncate(c.files[2], 0) }, b2, nil},
		{"empty one more", func(c made) error {
			return os.WriteFile(filepath.Join(c.dir, header{base: n}.name()), nil, 0o600)
		}, n, nil},
		{"strange names", func(c made) error {
			must(t, os.WriteFile(filepath.Join(c.dir, "core"), []byte("x"), 0o600))
			must(t, os.WriteFile(filepath.Join(c.dir, "00.seg"), []byte("x"), 0o600))
			return os.Mkdir(filepath.Join(c.dir, header{base: 5}.name()), 0o700)
		}, n, nil},
		{"renamed", func(c made) error {
			return os.Rename(c.files[1], filepath.Join(c.dir, header{base: 12345}.name()))
		}, n, nil},
		{"swapped", func(c made) error {
			must(t, os.Rename(c.files[1], c.files[1]+"x"))
			must(t, os.Rename(c.files[0], c.files[1]))
			return os.Rename(c.files[1]+"x", c.files[0])
		}, n, nil},
		{"a copy", func(c made) error {
			b, err := os.ReadFile(c.files[0])
			must(t, err)
			return os.WriteFile(filepath.Join(c.dir, header{base: n}.name()), b, 0o600)
		}, n, nil},
		{"another spool's", func(c made) error {
			b, err := os.ReadFile(make3(t).files[1])
			must(t, err)
			return os.WriteFile(filepath.Join(c.dir, header{base: n}.name()), b, 0o600)
		}, n, nil},
		{"zeros behind", func(c made) error { return os.Truncate(c.files[2], 4000) }, offsetJump,
			[]GapError{{From: n, To: offsetJump, Unsized: true, Cause: ErrLost}}},
		{"zeros behind the first", func(c made) error { return os.Truncate(c.files[0], 4000) }, n, nil},
		{"state missing", func(c made) error { return os.Remove(filepath.Join(c.dir, "state")) }, n, nil},
		{"state cut", func(c made) error { return os.Truncate(filepath.Join(c.dir, "state"), 30) }, n, nil},
		{"state garbled", func(c made) error {
			return os.WriteFile(filepath.Join(c.dir, "state"), bytes.Repeat([]byte("garbage"), 1000), 0o600)
		}, n, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := m.copy(t)
			must(t, tt.do(c))
			end, gaps := c.reopen(t, testBoot)
			if end != tt.end || !slices.Equal(gaps, tt.gaps) {
				t.Errorf("end %d, gaps %v, want %d, %v", end, gaps, tt.end, tt.gaps)
			}
		})
	}
}

// TestDeletedWhileOpen: a file that somebody takes away is a gap, not an endless error.
func TestDeletedWhileOpen(t *testing.T) {
	m := make3(t)
	s := open(t, m.dir, Config{Segment: 180})
	must(t, os.Remove(m.files[1]))
	got, gaps := readAll(t, s, 0)
	from, to := m.starts[3], m.starts[6]
	if want := append(m.want[:from:from], m.want[to:]...); !bytes.Equal(got, want) ||
		!slices.Equal(gaps, []GapError{{From: int64(from), To: int64(to), Cause: ErrLost}}) {
		t.Errorf("%d bytes, gaps %v", len(got), gaps)
	}
}

// TestLogOfASegment: a log that holds the bytes of a segment is not taken for one
// when the record around them is damaged.
func TestLogOfASegment(t *testing.T) {
	m := make3(t)
	trap, err := os.ReadFile(m.files[0])
	must(t, err)
	dir := t.TempDir()
	s := open(t, dir, Config{})
	for range 3 {
		appendTo(t, s, trap)
	}
	path := s.path(s.segments[0])
	must(t, s.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	b[segmentHeader+1] ^= 1 // the first record's length
	must(t, os.WriteFile(path, b, 0o600))
	s = open(t, dir, Config{})
	n := int64(len(trap))
	if got, gaps := readAll(t, s, 0); !bytes.Equal(got, append(trap[:n:n], trap...)) || !slices.Equal(gaps, []GapError{{From: 0, To: n, Cause: ErrLost}}) {
		t.Errorf("%d bytes, gaps %v", len(got), gaps)
	}
}

// TestShorterThanCommitted: a stream that ends before what was committed has lost
// offsets that were given out.
func TestShorterThanCommitted(t *testing.T) {
	for _, all := range []bool{false, true} {
		m := make3(t)
		s := open(t, m.dir, Config{Segment: 180})
		must(t, s.Commit(s.End()))
		must(t, s.Close())
		for i, file := range m.files {
			if all || i == 2 {
				must(t, os.Remove(file))
			}
		}
		s = open(t, m.dir, Config{Segment: 180})
		if all && s.End() != int64(len(m.want)) || !all && s.End() != offsetJump {
			t.Errorf("all %v: end %d", all, s.End())
		}
	}
}

// TestStateSlots: whichever slot is damaged, the other one counts.
func TestStateSlots(t *testing.T) {
	m := make3(t)
	s := open(t, m.dir, Config{Segment: 180})
	must(t, s.Commit(40))
	must(t, s.Commit(60))
	path := filepath.Join(m.dir, "state")
	b, err := os.ReadFile(path)
	must(t, err)
	for at := range b {
		bad := slices.Clone(b)
		bad[at] ^= 1
		if st, ok := parseState(bad); !ok || st.committed != 40 && st.committed != 60 {
			t.Errorf("byte %d: %+v, %v", at, st, ok)
		}
	}
}

// TestNewBoot: what was closed in order goes on without a gap in the bytes, and a
// position that was given out before never comes again.
func TestNewBoot(t *testing.T) {
	dir := t.TempDir()
	var want []byte
	end := int64(0)
	for boot := range uint64(5) {
		for again := range 3 {
			s := open(t, dir, Config{boot: boot + 1})
			if s.End() < end || again > 0 && s.End() != end {
				t.Fatalf("boot %d: end %d, before %d", boot, s.End(), end)
			}
			must(t, s.Close())
			s = open(t, dir, Config{boot: boot + 1})
			p := fmt.Appendf(nil, "boot %d, %d\n", boot, again)
			want = append(want, p...)
			end = appendTo(t, s, p)
			if got, gaps := readAll(t, s, 0); !bytes.Equal(got, want) || gaps != nil {
				t.Fatalf("%q, %v", got, gaps)
			}
			must(t, s.Commit(end))
			must(t, s.Close())
		}
	}
	// A loss of power right after a commit: nothing is doubled, and a later position
	// is free.
	s := open(t, dir, Config{boot: 6})
	must(t, s.Commit(s.End()))
	must(t, s.Close())
	s = open(t, dir, Config{boot: 7})
	before := s.End()
	must(t, s.Close())
	if s = open(t, dir, Config{boot: 7}); s.End() != before || s.Stats().Backlog != 0 {
		t.Fatalf("end %d, then %+v", before, s.Stats())
	}
}

// TestInUseAgain: that a spool was closed in order counts until the next Append.
func TestInUseAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Config{})
	end := appendTo(t, s, []byte("kept"))
	size := s.Stats().Disk
	must(t, s.Close())
	s = open(t, dir, Config{})
	appendTo(t, s, []byte("lost with the power"))
	must(t, s.state.Close())
	must(t, s.file.Close())
	s.closed = true
	must(t, os.Truncate(s.path(s.segments[0]), size))
	s = open(t, dir, Config{boot: testBoot + 1})
	if _, gaps := readAll(t, s, 0); len(gaps) != 1 || gaps[0].From != end || !gaps[0].Unsized {
		t.Errorf("gaps %v", gaps)
	}
}

func FuzzOpen(f *testing.F) {
	m := make3(f)
	for _, file := range m.files {
		b, err := os.ReadFile(file)
		must(f, err)
		f.Add(b, b[:100], []byte{})
		f.Add(b[:90], append(b[:60:60], b...), b[1:])
	}
	st, err := os.ReadFile(filepath.Join(m.dir, "state"))
	must(f, err)
	f.Add([]byte{}, []byte{}, st)
	f.Fuzz(func(t *testing.T, a, b, state []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, header{base: 0}.name()), a, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, header{base: 100}.name()), b, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "state"), state, 0o600))
		s := open(t, dir, Config{Segment: 1000})
		end := s.End()
		extra := []byte("goes on")
		appendTo(t, s, extra)
		got, _ := readAll(t, s, 0)
		if !bytes.HasSuffix(got, extra) || len(got) > len(a)+len(b)+len(extra) {
			t.Fatalf("end %d, %d bytes of %d", end, len(got), len(a)+len(b))
		}
		if last, err := s.LastBytes(len(extra)); err != nil || !bytes.Equal(last, extra) {
			t.Fatal(last, err)
		}
		s.Tail(50)
		must(t, s.Commit(s.End()))
		if _, _, err := s.DropOldest(1); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzScan goes over a segment whose records are right, so that lengths and offsets
// are believed, and whose bytes are then changed.
func FuzzScan(f *testing.F) {
	f.Add([]byte{10, 0, 20, 0, 3, 5}, uint16(70), byte(1))
	f.Fuzz(func(t *testing.T, ops []byte, at uint16, flip byte) {
		h := header{id: 1}
		b := h.append(nil)
		for i := 0; i+1 < len(ops); i += 2 {
			p := batch(i, 1+int(ops[i]))
			b = append(appendRecord(b, h.seed(), int64(ops[i+1])*int64(i), p), p...)
		}
		if int(at) < len(b) {
			b[at] ^= flip
		}
		s := newScanner(bytes.NewReader(b), h, int64(len(b)))
		to, steps := int64(0), 0
		for {
			e, err := s.next()
			if err != nil {
				return
			}
			if steps++; e.from != to || e.to <= e.from || steps > 2*len(b) {
				t.Fatalf("%+v behind %d, step %d", e, to, steps)
			}
			to = e.to
		}
	})
}
