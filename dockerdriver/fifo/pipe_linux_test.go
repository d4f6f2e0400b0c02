package fifo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// numbered is a frame that says its number: some hundred bytes, or now and then as
// large as dockerd makes them.
func numbered(i int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	size := 8 + rnd.IntN(300)
	if i%23 == 0 {
		size = 8 + rnd.IntN(16<<10)
	}
	line := bytes.Repeat([]byte{byte('a' + i%26)}, size)
	binary.BigEndian.PutUint64(line, uint64(i))
	e := frame.Entry{Source: []string{"stdout", "stderr"}[i%2], Time: 1795401505743042951 + int64(i), Line: line}
	return frame.Append(nil, &e)
}

// sized is a frame of n bytes.
func sized(n int) []byte {
	e := frame.Entry{Source: "stdout", Time: 1795401505743042951}
	for over := 24; over < 28; over++ { // the length of the line takes 1 to 4 bytes
		e.Line = bytes.Repeat([]byte("x"), n-over)
		if b := frame.Append(nil, &e); len(b) == n {
			return b
		}
	}
	panic(fmt.Sprint("no frame has ", n, " bytes"))
}

// fifo makes a FIFO and opens it as dockerd does, for writing and reading.
func fifo(t testing.TB) (path string, w *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(path, 0o600))
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { w.Close() })
	return path, w
}

// reader is a Pipe, what was taken from it and what was dropped.
type reader struct {
	t *testing.T
	*Pipe
	taken   []byte
	batches int
	large   bool // some of it was collected
	dropped []drop
}

type drop struct {
	n   int
	why error
}

func open(t *testing.T, path string) *reader {
	t.Helper()
	p, err := Open(path)
	must(t, err)
	r := &reader{t: t, Pipe: p}
	p.Dropped = func(n int, why error) { r.dropped = append(r.dropped, drop{n, why}) }
	hung := time.AfterFunc(20*time.Second, p.Interrupt) // Next then fails
	t.Cleanup(func() { hung.Stop(); p.Close() })
	return r
}

func (r *reader) take(frames []byte) error {
	if len(frames) == 0 || len(frames) > batchSize || r.big == nil && whole(frames) != len(frames) {
		r.t.Errorf("a batch of %d bytes, %d in whole frames", len(frames), whole(frames))
	}
	r.taken = append(r.taken, frames...)
	r.batches++
	r.large = r.large || r.big != nil
	return nil
}

// until reads until n bytes are taken.
func (r *reader) until(n int) {
	r.t.Helper()
	for len(r.taken) < n {
		if err := r.Next(r.take); err != nil {
			r.t.Errorf("%v, with %d bytes of %d", err, len(r.taken), n)
			return
		}
	}
}

// end reads until there is no more.
func (r *reader) end() {
	r.t.Helper()
	for {
		if err := r.Next(r.take); err == io.EOF {
			return
		} else if err != nil {
			r.t.Fatalf("%v, with %d bytes", err, len(r.taken))
		}
	}
}

func (r *reader) took(want []byte, dropped ...drop) {
	r.t.Helper()
	if !bytes.Equal(r.taken, want) {
		r.t.Errorf("%d bytes taken, want %d", len(r.taken), len(want))
	}
	if !slices.Equal(r.dropped, dropped) {
		r.t.Errorf("dropped %v, want %v", r.dropped, dropped)
	}
}

func write(t testing.TB, w *os.File, b []byte) {
	t.Helper()
	_, err := w.Write(b)
	must(t, err)
}

func TestFrames(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	var want []byte
	for i := range 2000 {
		want = append(want, numbered(i)...)
	}
	go func() {
		for i := range 2000 {
			w.Write(numbered(i))
		}
		w.Close()
	}()
	r.end()
	r.took(want)
	if err := r.Next(r.take); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	if r.size.Load() != batchSize {
		t.Errorf("a busy pipe holds %d bytes", r.size.Load())
	}
}

func TestSplitFrames(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []byte
	for i := range 100 {
		want = append(want, numbered(i)...)
	}
	go func() {
		for b := want; len(b) > 0; {
			n := min(1+rnd.IntN(1<<rnd.IntN(14)), len(b))
			w.Write(b[:n])
			b = b[n:]
			time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond) // so that a look may come between
		}
		w.Close()
	}()
	r.end()
	r.took(want)
}

// lookOnce is one look, without waiting for anything.
func (r *reader) lookOnce() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.look(false, r.take); err != nil {
		r.t.Fatal(err)
	}
}

// TestRestComesLate: a part of a frame that was looked at, and left, does not make
// the poller miss the rest.
func TestRestComesLate(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	b := slices.Concat(numbered(1), numbered(2))
	for i := range b {
		write(t, w, b[i:i+1])
		if i < 6 || i%41 == 0 {
			r.lookOnce()
		}
	}
	r.until(len(b))
	r.took(b)
}

func TestSizes(t *testing.T) {
	for _, n := range []int{30, 4095, 4096, 4097, 28 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 500 << 10, 512 << 10, 1<<20 - 4096, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20, 4 + frame.MaxSize} {
		for _, piece := range []int{n, 2100} { // 2100 at a time leave half of each page empty
			t.Run(fmt.Sprint(n, " by ", piece), func(t *testing.T) {
				path, w := fifo(t)
				r := open(t, path)
				want := slices.Concat(numbered(1), sized(n), numbered(2))
				go func() {
					for part := range slices.Chunk(want, piece) {
						w.Write(part)
					}
				}()
				r.until(len(want))
				r.took(want)
				if r.large && n <= 500<<10 {
					t.Error("it was taken out of the pipe before it was whole")
				}
			})
		}
	}
}

// TestGrowsForAFrame: a frame that a larger pipe could hold stays in the pipe until it
// is whole, even if little of it is there at first.
func TestGrowsForAFrame(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	b := sized(400 << 10)
	write(t, w, b[:1000])
	r.lookOnce()
	go w.Write(b[1000:])
	r.until(len(b))
	r.took(b)
	if r.large {
		t.Error("it was taken out of the pipe before it was whole")
	}
}

func TestJunk(t *testing.T) {
	f := numbered
	long := bytes.Repeat([]byte("no frame at all "), 200<<10)
	for _, tt := range []struct {
		name                string
		before, junk, after []byte
	}{
		{name: "first", junk: []byte("junk"), after: f(2)},
		{name: "between", before: f(1), junk: []byte("junk"), after: f(2)},
		{name: "the rest of a frame", junk: f(1)[100:], after: f(2)},
		{name: "zeros", before: f(1), junk: make([]byte, 1000), after: f(2)},
		{name: "3 MiB", before: f(1), junk: long, after: f(2)},
		{name: "a length above the limit", before: f(1), junk: []byte("\x01\x00\x00\x01\n\x06stdout"), after: f(2)},
		{name: "a large frame of nobody", before: f(1), junk: []byte("\x00\x10\x00\x00\n\x03tty and so on"), after: f(2)},
		{name: "nearly a frame", before: f(1), junk: []byte("\xff\x00\x00\x00\x40\n\x06stdou"), after: f(2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, w := fifo(t)
			r := open(t, path)
			go func() {
				for _, b := range [][]byte{tt.before, tt.junk, tt.after} {
					w.Write(b)
				}
				w.Close()
			}()
			r.end()
			n := 0
			for _, d := range r.dropped {
				if n += d.n; !errors.Is(d.why, frame.ErrGarbled) {
					t.Errorf("dropped because of %v", d.why)
				}
			}
			if n != len(tt.junk) {
				t.Errorf("%d bytes dropped, want %d", n, len(tt.junk))
			}
			if want := slices.Concat(tt.before, tt.after); !bytes.Equal(r.taken, want) {
				t.Errorf("%d bytes taken, want %d", len(r.taken), len(want))
			}
		})
	}
}

// TestJunkStaysLost: what looks like a frame's beginning where junk breaks off is
// judged again, as strictly, when more has come.
func TestJunkStaysLost(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	write(t, w, []byte("junk\x00\x00\xff\xff\n"))
	r.lookOnce()
	r.lookOnce()
	r.took(nil, drop{4, frame.ErrGarbled})
	write(t, w, append([]byte("? no frame"), numbered(1)...))
	r.until(len(numbered(1)))
	dropped := []drop{{4, frame.ErrGarbled}, {len("\x00\x00\xff\xff\n? no frame"), frame.ErrGarbled}}
	r.took(numbered(1), dropped...)

	// Then it is over: a frame whose source is not dockerd's own is one again.
	other := frame.Append(nil, &frame.Entry{Source: "tty", Time: 1})
	write(t, w, other)
	r.until(len(r.taken) + len(other))
	r.took(append(numbered(1), other...), dropped...)

	// A large frame must be beyond doubt, so it is not believed before that can be seen.
	write(t, w, []byte("\x00\x10\x00\x00\n"))
	r.lookOnce()
	write(t, w, []byte("? no frame"))
	write(t, w, numbered(2))
	r.until(len(r.taken) + len(numbered(2)))
	r.took(slices.Concat(numbered(1), other, numbered(2)), append(dropped, drop{len("\x00\x10\x00\x00\n? no frame"), frame.ErrGarbled})...)
}

func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		rest []byte
	}{
		{"of a length", numbered(2)[:3]},
		{"of a frame", numbered(23)[:50]},
		{"of a large frame", sized(3 << 20)[:2<<20+7]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, w := fifo(t)
			r := open(t, path)
			go func() {
				w.Write(numbered(1))
				w.Write(tt.rest)
				w.Close()
			}()
			r.end()
			r.took(numbered(1), drop{len(tt.rest), io.ErrUnexpectedEOF})
			if err := r.Next(r.take); err != io.EOF {
				t.Errorf("then %v", err)
			}
		})
	}
}

// TestNoWriter: dockerd may be gone before this process comes to the pipe.
func TestNoWriter(t *testing.T) {
	path, w := fifo(t)
	must(t, w.Close())
	r := open(t, path)
	for range 2 {
		if err := r.Next(r.take); err != io.EOF {
			t.Fatal(err)
		}
		if found, err := r.Skip(numbered(1)); found || err != nil {
			t.Fatal(found, err)
		}
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	write(t, w, numbered(1))
	must(t, w.Close())
	r.end()
	r.took(numbered(1))
}

func TestOpenErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if _, err := Open(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "not a FIFO") || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

// TestTakeFails: what take refuses stays in the pipe, in order.
func TestTakeFails(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	full := errors.New("full")
	var want []byte
	for i := range 60 {
		b := numbered(i)
		if i == 30 || i == 59 {
			b = sized(3 << 20) // it is not in the pipe any more, and stays all the same
		}
		want = append(want, b...)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := want; len(b) > 0; {
			n := min(5000, len(b))
			w.Write(b[:n])
			b = b[n:]
		}
	}()
	for i := 0; len(r.taken) < len(want); i++ {
		err := r.Next(func(frames []byte) error {
			if i%2 == 0 {
				return full
			}
			if i%4 == 1 && r.big != nil { // and in the middle of the large one
				i++
			}
			return r.take(frames)
		})
		if err != nil && err != full || i%2 == 0 && i%4 != 2 && err == nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	<-done
	r.took(want)
}

// TestAtOnce: a line that comes into a quiet pipe waits for no nap.
func TestAtOnce(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	least := time.Hour
	for i := range 10 {
		time.Sleep(2 * maxGap) // it is quiet
		arrived := make(chan time.Time)
		go func() {
			r.until((i + 1) * len(numbered(1)))
			arrived <- time.Now()
		}()
		time.Sleep(time.Millisecond) // it waits, as a rule
		start := time.Now()
		write(t, w, numbered(1))
		least = min(least, (<-arrived).Sub(start))
	}
	if least > maxGap/2 { // one of ten is enough: the machine may be busy
		t.Errorf("%v at best", least)
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{gap: maxGap}
		nap := func() time.Duration {
			start := time.Now()
			p.nap()
			return time.Since(start)
		}
		expect := func(what string, want time.Duration) {
			t.Helper()
			if got := nap(); got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		expect("first", 0)
		p.found(130, batchSize)
		expect("busy", maxGap)
		time.Sleep(maxGap - time.Millisecond) // the caller's own work counts
		expect("soon after", time.Millisecond)
		time.Sleep(maxGap)
		expect("quiet", 0)
		for range 10 {
			p.found(batchSize, batchSize)
		}
		expect("full", minGap)
		p.found(batchSize/4, batchSize)
		expect("as it is to be", minGap)
		for range 10 {
			p.found(130, batchSize)
		}
		expect("little", maxGap)
	})
}

// TestTakesMany: looks at a stream of lines are rare.
func TestTakesMany(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	const n = 20_000
	b := sized(130)
	go func() {
		for range n {
			w.Write(b)
		}
	}()
	start := time.Now()
	r.until(n * len(b))
	if most := int(time.Since(start)/minGap) + 10; r.batches > most || r.batches > n/20 {
		t.Errorf("%d batches", r.batches)
	}
	if r.size.Load() != batchSize {
		t.Errorf("the pipe holds %d", r.size.Load())
	}
}

// TestQuietPipeStaysSmall: a pipe that has little in it is left as it is.
func TestQuietPipeStaysSmall(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	size := int(r.size.Load())
	for i := range 50 {
		write(t, w, numbered(i*23+1))
	}
	r.until(50 * 30)
	if now, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || now != size {
		t.Errorf("the pipe holds %d, before %d, %v", now, size, err)
	}
}

func TestInterrupt(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	returned := make(chan error)
	go func() {
		err := r.Next(r.take)
		for err == nil {
			err = r.Next(r.take)
		}
		returned <- err
	}()
	write(t, w, numbered(1))
	r.Interrupt()
	write(t, w, numbered(2))
	must(t, r.Drain(r.take)) // while the other may still be in Next
	if err := <-returned; !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	r.took(slices.Concat(numbered(1), numbered(2)))

	write(t, w, numbered(3)) // nor does it see what is there
	if err := r.Next(r.take); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	must(t, r.Drain(r.take))
	r.took(slices.Concat(numbered(1), numbered(2), numbered(3)))
}

func TestDrain(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	must(t, r.Drain(r.take)) // nothing there
	r.grow()
	var want []byte
	for i := range 200 {
		want = append(want, numbered(i)...)
	}
	write(t, w, want)
	must(t, r.Drain(r.take))
	r.took(want)

	// A part of a frame is left, and goes on.
	full := errors.New("full")
	a, b := numbered(1000)[:60], numbered(1000)[60:]
	write(t, w, a)
	if err := r.Drain(r.take); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	go func() {
		time.Sleep(5 * time.Millisecond)
		w.Write(b)
	}()
	must(t, r.Drain(r.take))
	want = append(want, numbered(1000)...)
	r.took(want)
	write(t, w, a)
	write(t, w, b)
	if err := r.Drain(func([]byte) error { return full }); err != full {
		t.Error(err)
	}

	// The writers go in the middle of a frame.
	write(t, w, a)
	must(t, w.Close())
	must(t, r.Drain(r.take))
	r.took(append(want, numbered(1000)...), drop{len(a), io.ErrUnexpectedEOF})
}

func TestClose(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	returned := make(chan error)
	go func() { returned <- r.Next(r.take) }()
	must(t, r.Close())
	if err := <-returned; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	_, err := r.Skip(numbered(1))
	for _, err := range []error{err, r.Next(r.take), r.Drain(r.take)} {
		if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	}

	// Within take: the frames were appended and are in the pipe.
	write(t, w, numbered(1))
	r = open(t, path)
	err = r.Next(func(frames []byte) error { return errors.Join(r.take(frames), r.Close()) })
	if !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	again := open(t, path)
	if found, err := again.Skip(r.taken); !found || err != nil {
		t.Error(found, err)
	}
	write(t, w, numbered(2))
	must(t, again.Drain(again.take))
	again.took(numbered(2))
}

func TestSkip(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	skip := func(batch []byte, want bool) {
		t.Helper()
		if found, err := r.Skip(batch); found != want || err != nil {
			t.Fatal(found, err)
		}
	}
	skip(numbered(1), false)
	r.grow()
	var all []byte
	for i := range 300 {
		all = append(all, numbered(i)...)
	}
	write(t, w, all)
	skip(nil, false)
	skip(all[1:], false)
	skip(append(slices.Clip(all), 'x'), false) // more than there is
	other := slices.Clone(all[:50_000])
	other[len(other)-1]++
	skip(other, false)
	first := whole(all[:50_000])
	skip(all[:first], true)
	skip(all[:first], false)
	must(t, r.Drain(r.take))
	r.took(all[first:])
	write(t, w, all)
	skip(all, true)
	must(t, r.Drain(r.take))
	r.took(all[first:])
}

// TestAnotherReader: bytes that somebody else takes are not counted as taken.
func TestAnotherReader(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	write(t, w, numbered(1))
	err := r.Next(func(frames []byte) error {
		_, err := io.ReadFull(w, make([]byte, 10))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
}

// TestManyPipes: they share the buffers, and each gets its own bytes.
func TestManyPipes(t *testing.T) {
	const pipes, each = 12, 400
	var wg sync.WaitGroup
	for k := range pipes {
		path, w := fifo(t)
		r := open(t, path)
		var want []byte
		for i := range each {
			want = append(want, numbered(k*each+i)...)
		}
		go func() {
			for i := range each {
				w.Write(numbered(k*each + i))
			}
			w.Close()
		}()
		wg.Go(func() {
			for {
				if err := r.Next(r.take); err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					break
				}
			}
			r.took(want)
		})
	}
	wg.Wait()
	if len(scratches) != cap(scratches) {
		t.Errorf("%d of %d scratches were given back", len(scratches), cap(scratches))
	}
}

// TestIdle: a quiet pipe costs its goroutine, and no thread.
func TestIdle(t *testing.T) {
	const pipes = 300
	threads := func() int {
		tasks, err := os.ReadDir("/proc/self/task")
		must(t, err)
		return len(tasks)
	}
	goroutines, before := runtime.NumGoroutine(), threads()
	var wg sync.WaitGroup
	var writers []*os.File
	var readers []*reader
	got := make(chan error, pipes)
	for range pipes {
		path, w := fifo(t)
		r := open(t, path)
		writers, readers = append(writers, w), append(readers, r)
		wg.Go(func() {
			got <- r.Next(r.take)
			r.Next(r.take)
		})
	}
	for i, w := range writers { // each is at work
		write(t, w, numbered(i))
	}
	for range pipes {
		must(t, <-got)
	}
	if n := runtime.NumGoroutine() - goroutines; n > pipes {
		t.Errorf("%d goroutines", n)
	}
	if n := threads() - before; n > 20 {
		t.Errorf("%d more threads", n)
	}
	for _, r := range readers {
		r.Interrupt()
	}
	wg.Wait()
}

// FuzzPipe writes any bytes. What is taken is whole frames, and what is taken and
// dropped is, in order, what was written.
func FuzzPipe(f *testing.F) {
	f.Add(slices.Concat(numbered(1), []byte("junk"), numbered(2)), uint16(100))
	f.Add(slices.Concat(numbered(1)[:40], numbered(2), numbered(3)[:9]), uint16(7))
	f.Add([]byte("\x00\x10\x00\x00\n\x06stdout, but never more of it"), uint16(1))
	f.Add(make([]byte, 100), uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		if len(b) > 60_000 {
			return
		}
		path, w := fifo(t)
		r := open(t, path)
		at, taken := 0, 0
		r.Dropped = func(n int, why error) { at += n }
		take := func(frames []byte) error {
			if whole(frames) != len(frames) || at+len(frames) > len(b) || !bytes.Equal(frames, b[at:at+len(frames)]) {
				t.Fatalf("%q taken at %d of %q", frames, at, b)
			}
			at += len(frames)
			taken += len(frames)
			return nil
		}
		for part := range slices.Chunk(b, int(piece)+1) {
			write(t, w, part)
			r.mu.Lock()
			_, err := r.look(false, take)
			r.mu.Unlock()
			must(t, err)
		}
		must(t, w.Close())
		for {
			if err := r.Next(take); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if at != len(b) {
			t.Fatalf("%d bytes of %d", at, len(b))
		}
		if n := whole(b); taken < n {
			t.Fatalf("%d bytes taken, the first %d are whole frames", taken, n)
		}
	})
}

// However many pipes are busy, few are large at a time, and those that have gone quiet
// make room.
func TestFewAreLarge(t *testing.T) {
	var all []*Pipe
	for i := range maxGrown + 10 {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		all = append(all, p)
		p.grow()
	}
	large := func() (n int) {
		for _, p := range all {
			if p.size.Load() >= batchSize {
				n++
			}
		}
		return n
	}
	if n := large(); n != maxGrown {
		t.Errorf("%d pipes are large", n)
	}
	all[3].busy.Store(time.Now().Add(-2 * quiet).UnixNano())
	last := all[len(all)-1]
	last.grow()
	if last.size.Load() != batchSize || all[3].size.Load() != small || large() != maxGrown {
		t.Errorf("the busy one has %d bytes, the quiet one %d, and %d are large", last.size.Load(), all[3].size.Load(), large())
	}
	for _, p := range all {
		p.Close()
	}
	if len(grown.pipes) != 0 {
		t.Errorf("%d closed pipes are on the list", len(grown.pipes))
	}
}
