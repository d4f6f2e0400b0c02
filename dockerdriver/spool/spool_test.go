package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const testBoot = 7

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, cfg Config) *Spool {
	t.Helper()
	if cfg.boot == 0 {
		cfg.boot = testBoot
	}
	s, err := Open(dir, cfg)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func appendTo(t testing.TB, s *Spool, p []byte) int64 {
	t.Helper()
	end, err := s.Append(p)
	must(t, err)
	return end
}

// batch is bytes that tell where they belong.
func batch(i, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(i))
	for len(b) < n {
		b = append(b, byte(i+len(b)*7))
	}
	return b[:n]
}

// readAll gives what is there from an offset on, with the gaps in between.
func readAll(t testing.TB, s *Spool, from int64) (b []byte, gaps []GapError) {
	t.Helper()
	r := s.Reader(from)
	defer r.Close()
	p := make([]byte, 10_000)
	for {
		n, err := r.Read(p)
		b = append(b, p[:n]...)
		var gap *GapError
		switch {
		case err == io.EOF:
			if r.Offset() != s.End() {
				t.Fatalf("EOF at %d, the stream ends at %d", r.Offset(), s.End())
			}
			return b, gaps
		case errors.As(err, &gap):
			if gap.From != r.Offset() || gap.To <= gap.From {
				t.Fatalf("gap from %d to %d at offset %d", gap.From, gap.To, r.Offset())
			}
			gaps = append(gaps, *gap)
			r.MoveTo(gap.To)
		case err != nil:
			t.Fatal(err)
		case n == 0:
			t.Fatal("nothing read, and no error")
		}
	}
}

func TestAppendRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, Config{Segment: 1000, boot: testBoot})
	var want []byte
	for i := range 200 {
		p := batch(i, 1+i*3)
		want = append(want, p...)
		if end := appendTo(t, s, p); end != int64(len(want)) {
			t.Fatalf("offset %d, want %d", end, len(want))
		}
	}
	big := batch(1, MaxAppend)
	want = append(want, big...)
	appendTo(t, s, big)
	if _, err := s.Append(make([]byte, MaxAppend+1)); err == nil {
		t.Error("a batch that is too large was taken")
	}
	check := func(s *Spool) {
		t.Helper()
		for from := 0; from <= len(want); from += 33_333 {
			if b, gaps := readAll(t, s, int64(from)); !bytes.Equal(b, want[from:]) || gaps != nil {
				t.Fatalf("from %d: %d bytes and gaps %v, want %d", from, len(b), gaps, len(want)-from)
			}
		}
		if b, err := s.LastBytes(5000); err != nil || !bytes.Equal(b, want[len(want)-5000:]) {
			t.Fatalf("last bytes: %d, %v", len(b), err)
		}
		if at := s.LastAppend(); at != int64(len(want)-len(big)) {
			t.Fatalf("last append %d", at)
		}
		if at := s.Tail(MaxAppend + 1); at != int64(len(want)-len(big)-598) {
			t.Fatalf("tail %d", at)
		}
	}
	check(s)
	id := s.ID()
	must(t, s.Close())
	s = open(t, dir, Config{Segment: 1000})
	check(s)
	if s.ID() != id {
		t.Errorf("ID %s, then %s", id, s.ID())
	}
	for _, name := range []string{"", "state", s.segments[0].name} {
		want := os.FileMode(0o600)
		if name == "" {
			want = 0o700
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := Open(dir, Config{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	must(t, s.Close())
	if _, err := s.Append([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after Close: %v", err)
	}
}

func TestCommitEvictsOldestFirst(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Segment: 300 << 10, Cache: 700 << 10}
	s := open(t, dir, cfg)
	var want []byte
	for i := range 100 {
		p := batch(i, 50<<10)
		want = append(want, p...)
		appendTo(t, s, p)
	}
	old := s.Reader(0)
	defer old.Close()
	if _, err := old.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	must(t, s.Commit(1<<20))
	must(t, s.Commit(5)) // never back
	st := s.Stats()
	if st.Committed != 1<<20 || st.First == 0 || st.First > 1<<20 || st.Backlog != st.End-1<<20 {
		t.Fatalf("%+v", st)
	}
	_, err := old.Read(make([]byte, 10))
	var gap *GapError
	if !errors.As(err, &gap) || !errors.Is(err, ErrEvicted) || gap.From != 10 || gap.To != st.First {
		t.Fatalf("%v", err)
	}
	if err := s.Commit(st.End + 1); err == nil {
		t.Error("committed what was never appended")
	}
	must(t, s.Commit(st.End))
	if st = s.Stats(); st.Backlog != 0 || st.Disk > 2<<20 || st.End-st.First < MaxAppend {
		t.Fatalf("%+v", st)
	}
	if b, err := s.LastBytes(MaxAppend); err != nil || !bytes.Equal(b, want[len(want)-MaxAppend:]) {
		t.Fatalf("last bytes: %d, %v", len(b), err)
	}
	must(t, s.Close())
	s = open(t, dir, cfg)
	if again := s.Stats(); again != st {
		t.Fatalf("%+v, before %+v", again, st)
	}
	if b, gaps := readAll(t, s, st.First); !bytes.Equal(b, want[st.First:]) || gaps != nil {
		t.Fatal("the cache is not what was appended")
	}
}

func TestFullAndDropOldest(t *testing.T) {
	for _, limit := range []int64{1000, 400 << 10} {
		dir := t.TempDir()
		s := open(t, dir, Config{Limit: limit})
		size := int(limit / 40)
		var want []byte
		i := 0
		fill := func() {
			for {
				_, err := s.Append(batch(i, size))
				if errors.Is(err, ErrFull) {
					return
				}
				must(t, err)
				want = append(want, batch(i, size)...)
				i++
			}
		}
		fill()
		if s.Stats().Backlog != limit {
			t.Fatalf("%+v", s.Stats())
		}
		must(t, s.Commit(int64(size)+3))
		from, to, err := s.DropOldest(int64(size))
		if err != nil || from != int64(size)+3 || to < from+int64(size) {
			t.Fatalf("dropped %d to %d, %v", from, to, err)
		}
		_, gaps := readAll(t, s, from)
		if limit == 1000 { // all was in one segment
			if to != limit || gaps != nil && gaps[0].To != to {
				t.Fatalf("to %d, %v", to, gaps)
			}
		}
		fill()
		must(t, s.Close())
		s = open(t, dir, Config{Limit: limit})
		b, gaps := readAll(t, s, from)
		if len(gaps) != 1 || gaps[0] != (GapError{From: from, To: to, Cause: ErrEvicted}) || !bytes.Equal(b, want[to:]) {
			t.Fatalf("%d bytes, gaps %v", len(b), gaps)
		}
		// Everything, then nothing.
		if from, to, err = s.DropOldest(1 << 40); err != nil || to != s.End() {
			t.Fatal(from, to, err)
		}
		if from, to, err = s.DropOldest(1); err != nil || from != to {
			t.Fatal(from, to, err)
		}
		end := s.End()
		must(t, s.Close())
		if s = open(t, dir, Config{Limit: limit}); s.End() != end {
			t.Fatalf("the end went from %d to %d", end, s.End())
		}
	}
}

func TestReadersFollow(t *testing.T) {
	s := open(t, t.TempDir(), Config{Segment: 100 << 10, Cache: 1 << 30})
	const batches = 3000
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			r := s.Reader(0)
			defer r.Close()
			var got []byte
			p := make([]byte, 7000)
			next := 0
			for next < batches {
				n, err := r.Read(p)
				if err == io.EOF {
					<-r.Changed()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				for got = append(got, p[:n]...); next < batches; next++ {
					want := batch(next, 4+next%900)
					if len(got) < len(want) {
						break
					}
					if !bytes.Equal(got[:len(want)], want) {
						t.Errorf("batch %d differs", next)
						return
					}
					got = got[len(want):]
				}
			}
		})
	}
	group.Go(func() { // commits behind, evicts, looks at the tail
		for s.End() < 1_000_000 {
			if err := s.Commit(s.End() / 2); err != nil {
				t.Error(err)
			}
			s.Tail(1000)
			if _, err := s.LastBytes(1000); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range batches {
		appendTo(t, s, batch(i, 4+i%900))
	}
	group.Wait()
}

// TestEvictionRace has readers in segments that are removed under them.
func TestEvictionRace(t *testing.T) {
	s := open(t, t.TempDir(), Config{Segment: 64 << 10, Limit: 3 << 20})
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			r := s.Reader(0)
			defer r.Close()
			p := make([]byte, 5000)
			for {
				_, err := r.Read(p)
				var gap *GapError
				switch {
				case err == io.EOF:
					select {
					case <-r.Changed():
					case <-ctx.Done():
						return
					}
				case errors.As(err, &gap) && errors.Is(err, ErrEvicted):
					r.MoveTo(gap.To)
				case err != nil:
					t.Error(err)
					return
				}
			}
		})
	}
	group.Go(func() {
		for ctx.Err() == nil {
			st := s.Stats()
			if err := s.Commit(st.Committed + (st.End-st.Committed)/3); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
	for i := range 3000 {
		if _, err := s.Append(batch(i, 10_000)); errors.Is(err, ErrFull) {
			if _, _, err := s.DropOldest(100_000); err != nil {
				t.Fatal(err)
			}
		} else {
			must(t, err)
		}
	}
	stop()
	group.Wait()
}

func TestChanged(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	r := s.Reader(0)
	defer r.Close()
	changed := r.Changed()
	select {
	case <-changed:
		t.Error("an empty spool has changed")
	default:
	}
	appendTo(t, s, []byte("x"))
	<-changed
	<-r.Changed() // it stays so until it is read
	io.ReadAll(r)
	changed = r.Changed()
	must(t, s.Close())
	<-changed
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// TestSync: an fsync covers all that was appended, in however many segments.
func TestSync(t *testing.T) {
	s := open(t, t.TempDir(), Config{Segment: 1000})
	dirty := func() (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, seg := range s.segments {
			if seg.dirty {
				n++
			}
		}
		return n
	}
	for range 2 {
		for i := range 10 {
			appendTo(t, s, batch(i, 300))
		}
		if dirty() < 3 {
			t.Errorf("%d segments are dirty", dirty())
		}
		must(t, s.Sync())
		if dirty() != 0 {
			t.Errorf("%d segments are dirty after Sync", dirty())
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	p := make([]byte, 300)
	appendTo(t, s, p)
	if n := testing.AllocsPerRun(1000, func() { appendTo(t, s, p) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestIdleReader: a reader that has read a lot and waits keeps no buffer.
func TestIdleReader(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	appendTo(t, s, make([]byte, MaxAppend))
	r := s.Reader(0)
	defer r.Close()
	io.ReadAll(r)
	if cap(r.scan.buf) > 4<<10 {
		t.Errorf("a buffer of %d bytes", cap(r.scan.buf))
	}
}

// TestLeavesNothingOpen: short containers must not add up.
func TestLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(files)
	}
	before := open()
	for i := range 100 {
		s, err := Open(filepath.Join(dir, fmt.Sprint(i%3)), Config{Segment: 1000})
		must(t, err)
		for j := range i {
			appendTo(t, s, batch(j, 100))
		}
		r := s.Reader(s.Stats().First)
		io.ReadAll(r)
		r.Close()
		must(t, s.Close())
	}
	if after := open(); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{300, 100 << 10} {
		p := make([]byte, size)
		rand.NewChaCha8([32]byte{}).Read(p)
		b.Run(fmt.Sprintf("spool/%dB", size), func(b *testing.B) {
			s := open(b, b.TempDir(), Config{Segment: 8 << 20})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				end, err := s.Append(p)
				must(b, err)
				if end%(64<<20) < int64(size) {
					must(b, s.Commit(end))
				}
			}
		})
		b.Run(fmt.Sprintf("file/%dB", size), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "file"))
			must(b, err)
			defer f.Close()
			b.SetBytes(int64(size))
			n := 0
			for b.Loop() {
				_, err := f.Write(p)
				must(b, err)
				if n += size; n >= 64<<20 { // a disk's worth of page cache is not what is measured
					n = 0
					must(b, f.Truncate(0))
					_, err := f.Seek(0, io.SeekStart)
					must(b, err)
				}
			}
		})
	}
}

// A batch that was not used up can be read again, whether its memory was kept or not.
func TestBatchAgain(t *testing.T) {
	s, err := Open(t.TempDir(), Config{Segment: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var want []byte
	for i := range 300 {
		batch := bytes.Repeat([]byte{byte(i)}, 1+i*7%3000)
		want = append(want, batch...)
		if _, err := s.Append(batch); err != nil {
			t.Fatal(err)
		}
	}
	r := s.Reader(0)
	defer r.Close()
	var got []byte
	for i := 0; ; i++ {
		b, at, err := r.Batch()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if at != int64(len(got)) {
			t.Fatalf("a batch at %d is said to be at %d", len(got), at)
		}
		used := len(b) - i%3*len(b)/4
		got = append(got, b[:used]...)
		r.MoveTo(at + int64(used))
		if i%2 == 0 {
			r.Rest()
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("read %d bytes that are not the %d appended", len(got), len(want))
	}
	select {
	case <-r.Changed():
		t.Error("at the end, there is something to say")
	default:
	}
	changed := r.Changed()
	if _, err := s.Append([]byte("more")); err != nil {
		t.Fatal(err)
	}
	<-changed
	<-r.Changed() // it stays so until it is read
}
