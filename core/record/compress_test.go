package record

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
)

var encodings = []string{"gzip", "zstd"}

func compressor(t testing.TB, name string) Compressor {
	t.Helper()
	c, err := NewCompressor(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func decoding(t testing.TB, encoding string, r io.Reader) io.Reader {
	t.Helper()
	d, err := NewDecoder(encoding, r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// logs are n bytes that compress as logs do; noise does not compress.
func logs(n int) []byte { return madeUp()[:n:n] }

var madeUp = sync.OnceValue(func() (b []byte) {
	for i := 0; len(b) < 3<<20; i++ {
		b = fmt.Appendf(b, "%s GET /item/%d 200 %dms\n", noonText, i*7919%1000, i%97)
	}
	return b
})

func noise(n int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
	}
	return b[:n]
}

// member is one member of a blob and what it decodes to.
type member struct {
	name         string
	bytes, plain []byte
}

// members are ours, of many sizes, and ones that other programs make.
func members(t testing.TB, encoding string) []member {
	c := compressor(t, encoding)
	var all []member
	add := func(name string, b, plain []byte) { all = append(all, member{name, b, plain}) }
	for _, n := range []int{1, 2, 100, 4096, 32 << 10, 32<<10 + 1, 128 << 10, 128<<10 + 1, 300_000} {
		add(fmt.Sprintf("%d bytes of log", n), c.Append(nil, logs(n)), logs(n))
		add(fmt.Sprintf("%d bytes of noise", n), c.Append(nil, noise(n)), noise(n))
	}
	add("zeros", c.Append(nil, make([]byte, 1<<20)), make([]byte, 1<<20))
	add("2 MiB of log", c.Append(nil, logs(2<<20)), logs(2<<20)) // beyond zstdWindow

	var b bytes.Buffer
	plain := logs(200_000)
	if encoding == "gzip" {
		w := stdgzip.NewWriter(&b)
		w.Name, w.Comment, w.Extra = "a.log", "caf\u00e9", []byte("more")
		w.Write(plain[:1000])
		w.Flush()
		w.Write(plain[1000:5000])
		w.Close()
		add("header fields, flushed within", bytes.Clone(b.Bytes()), plain[:5000])
		b.Reset()
		w, _ = stdgzip.NewWriterLevel(&b, stdgzip.NoCompression)
		w.Write(plain)
		w.Close()
		add("stored", bytes.Clone(b.Bytes()), plain)
		b.Reset()
		w.Reset(&b)
		w.Close()
		add("empty", bytes.Clone(b.Bytes()), nil)
	} else {
		w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1)) // no content size in the header
		w.Write(plain)
		w.Close()
		add("streamed", bytes.Clone(b.Bytes()), plain)
		b.Reset()
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		w.Write(plain)
		w.Close()
		add("no checksum", bytes.Clone(b.Bytes()), plain)
		w, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		add("empty", w.EncodeAll(nil, nil), nil)
		add("skippable", []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"), nil)
	}
	add("last", c.Append(nil, []byte("last\n")), []byte("last\n"))
	return all
}

func TestCompressorNames(t *testing.T) {
	for _, name := range []string{"", "none"} {
		if c, err := NewCompressor(name); c != nil || err != nil {
			t.Errorf("NewCompressor(%q) = %v, %v, want nil, nil", name, c, err)
		}
	}
	for _, name := range encodings {
		c := compressor(t, name)
		if c.Encoding() != name {
			t.Errorf("NewCompressor(%q).Encoding() = %q", name, c.Encoding())
		}
		if got := c.Append([]byte("x"), nil); string(got) != "x" {
			t.Errorf("%s: nothing became the member %q", name, got[1:])
		}
	}
	if _, err := NewCompressor("brotli"); err == nil || !strings.Contains(err.Error(), "none, gzip or zstd") {
		t.Errorf("NewCompressor(brotli): %v, want an error that lists the names", err)
	}
	if _, err := NewDecoder("br", strings.NewReader("")); err == nil {
		t.Error("NewDecoder(br) gave no error")
	}
	for _, name := range []string{"", "identity"} {
		r := strings.NewReader("x")
		if d := decoding(t, name, r); d != io.Reader(r) {
			t.Errorf("NewDecoder(%q) is not the reader it was given", name)
		}
	}
	decoding(t, "GZIP", nil) // codings are named without regard to case
}

// Decoders of others read what we write, from the start to the end of any
// member, and get the bytes that went in.
func TestOthersReadMembers(t *testing.T) {
	for _, encoding := range encodings {
		c := compressor(t, encoding)
		var blob, want []byte
		for _, n := range []int{1, 5000, 130_000, 3 << 20} {
			blob, want = c.Append(blob, logs(n)), append(want, logs(n)...)
			var got []byte
			var err error
			if encoding == "gzip" {
				var z *stdgzip.Reader
				if z, err = stdgzip.NewReader(bytes.NewReader(blob)); err == nil {
					if !z.ModTime.IsZero() {
						t.Errorf("the header has the time %v, want none", z.ModTime)
					}
					got, err = io.ReadAll(z)
				}
			} else {
				z, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
				got, err = z.DecodeAll(blob, nil)
				z.Close()
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %d of %d bytes, %v", encoding, len(got), len(want), err)
			}
		}
	}
}

// Following a live log: a reader that has been given a member to its last byte
// holds nothing of it back while it waits for the next. The pipe blocks as a
// live blob does; synctest says when the decoder waits.
func TestDecoderHoldsNothingBack(t *testing.T) {
	for _, encoding := range encodings {
		all := members(t, encoding)
		for _, step := range []int{1, 7, 4096, 1 << 30} { // bytes the input gives at a time
			t.Run(fmt.Sprintf("%s by %d", encoding, step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					in, feed := io.Pipe()
					d := decoding(t, encoding, in)
					var got []byte // owned by the reader while it runs, ours once it waits
					end := make(chan error, 1)
					go func() {
						p := make([]byte, 8<<10)
						for {
							n, err := d.Read(p)
							got = append(got, p[:n]...)
							if n == 0 && err == nil {
								err = io.ErrNoProgress
							}
							if err != nil {
								end <- err
								return
							}
						}
					}()
					for _, m := range all {
						if len(m.bytes) > 5000*step {
							continue // takes too long
						}
						for b := m.bytes; len(b) > 0; {
							n, err := feed.Write(b[:min(step, len(b))])
							if err != nil {
								t.Fatal(err)
							}
							b = b[n:]
						}
						synctest.Wait()
						if !bytes.Equal(got, m.plain) {
							t.Fatalf("%s: %d of %d bytes came out before the next member was asked for", m.name, len(got), len(m.plain))
						}
						got = got[:0]
					}
					feed.Close()
					if err := <-end; err != io.EOF || len(got) > 0 {
						t.Errorf("at the end: %v and %d more bytes, want EOF", err, len(got))
					}
				})
			})
		}
	}
}

// A follower that gives up leaves nothing behind: synctest fails if a goroutine
// of the decoder still waits when the test's function returns.
func TestDecoderCanBeDropped(t *testing.T) {
	for _, encoding := range encodings {
		blob := compressor(t, encoding).Append(nil, logs(1<<20))
		synctest.Test(t, func(t *testing.T) {
			in, _ := io.Pipe() // blocks for ever
			d := decoding(t, encoding, io.MultiReader(bytes.NewReader(blob[:len(blob)/2]), in))
			if _, err := io.ReadFull(d, make([]byte, 10)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Cut a blob anywhere: what comes out is a prefix of the log with every whole
// member, and only a cut between members is a clean end.
func TestDecoderTruncated(t *testing.T) {
	for _, encoding := range encodings {
		c := compressor(t, encoding)
		var blob, want []byte
		clean := map[int]int{0: 0} // where members end: offset in blob → in want
		for _, m := range members(t, encoding) {
			if len(m.bytes) < 1000 && len(m.plain) <= 5000 {
				blob, want = append(blob, m.bytes...), append(want, m.plain...)
				clean[len(blob)] = len(want)
			}
		}
		whole := 0
		for cut := range len(blob) + 1 {
			d := decoding(t, encoding, bytes.NewReader(blob[:cut]))
			got, err := io.ReadAll(d) // nil is EOF
			end, isClean := clean[cut]
			if isClean {
				whole = end
			}
			switch {
			case isClean && (err != nil || len(got) != whole):
				t.Fatalf("%s cut between members at %d: %d bytes, %v; want %d and EOF", encoding, cut, len(got), err, whole)
			case !isClean && err != io.ErrUnexpectedEOF:
				t.Fatalf("%s cut within a member at %d: %v, want ErrUnexpectedEOF", encoding, cut, err)
			case len(got) < whole || !bytes.HasPrefix(want, got):
				t.Fatalf("%s cut at %d: %d bytes that are not the log's first, or fewer than %d", encoding, cut, len(got), whole)
			}
			if n, again := d.Read(make([]byte, 1)); n != 0 || again == nil {
				t.Fatalf("%s cut at %d: a read after the end gave %d, %v", encoding, cut, n, again)
			}
		}
		// A long member gives what it has. zstd decodes by blocks of 128 KiB.
		long := c.Append(nil, logs(1<<20))
		got, err := io.ReadAll(decoding(t, encoding, bytes.NewReader(long[:len(long)-1])))
		if err != io.ErrUnexpectedEOF || len(got) < 1<<20-128<<10 || !bytes.HasPrefix(logs(1<<20), got) {
			t.Errorf("%s: a member without its last byte gave %d bytes, %v", encoding, len(got), err)
		}
	}
}

// An error of the input comes out as it is, wherever it strikes.
func TestDecoderInputError(t *testing.T) {
	broken := errors.New("the line is cut")
	for _, encoding := range encodings {
		c := compressor(t, encoding)
		blob := c.Append(c.Append(nil, logs(100)), logs(50))
		if encoding == "zstd" {
			blob = append(blob, "\x50\x2a\x4d\x18\x03\x00\x00\x00abc"...)
		}
		for cut := range len(blob) + 1 {
			_, err := io.ReadAll(decoding(t, encoding, io.MultiReader(bytes.NewReader(blob[:cut]), iotest.ErrReader(broken))))
			if err != broken {
				t.Fatalf("%s, input fails after %d bytes: %v", encoding, cut, err)
			}
		}
	}
}

func TestDecoderCorrupt(t *testing.T) {
	for _, encoding := range encodings {
		good := compressor(t, encoding).Append(nil, logs(1000))
		flipped := bytes.Clone(good)
		if encoding == "gzip" {
			flipped[len(flipped)-8] ^= 1 // CRC-32, before the length
		} else {
			flipped[len(flipped)-1] ^= 1
		}
		for name, blob := range map[string][]byte{
			"plain text":         logs(1000),
			"text after members": append(bytes.Clone(good), logs(100)...),
			"wrong checksum":     append(bytes.Clone(good), flipped...),
		} {
			d := decoding(t, encoding, bytes.NewReader(blob))
			got, err := io.ReadAll(d)
			if err == nil || errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "decode "+encoding+": ") {
				t.Errorf("%s, %s: %v", encoding, name, err)
			}
			if name != "plain text" && !bytes.HasPrefix(got, logs(1000)) {
				t.Errorf("%s, %s: the good member is missing", encoding, name)
			}
			if _, again := d.Read(make([]byte, 1)); again != err {
				t.Errorf("%s, %s: then %v, want the same error again", encoding, name, again)
			}
		}
	}
}

// Content that asks for, or unfolds to, far more memory than it is long.
func TestDecoderMemoryIsBounded(t *testing.T) {
	const magic = "\x28\xb5\x2f\xfd"
	rle := []byte(magic + "\x00\x58") // window 2 MiB
	for i := range 512 {              // 64 MiB of zeros, four bytes for each 128 KiB
		header := uint32(128<<10<<3 | 1<<1)
		if i == 511 {
			header |= 1 // last
		}
		rle = append(rle, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	tests := []struct {
		name  string
		blob  []byte
		plain int64 // -1: must be refused
	}{
		{"window of 128 MiB", []byte(magic + "\x00\x88\x01\x00\x00"), -1},
		{"window of 3.75 TiB", []byte(magic + "\x00\xff\x01\x00\x00"), -1},
		{"single segment of 1 GiB", []byte(magic + "\xa0\x00\x00\x00\x40\x01\x00\x00"), -1},
		{"single segment of 2^63", []byte(magic + "\xe0\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00"), -1},
		{"run of zeros", rle, 64 << 20},
	}
	for _, tt := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, err := io.Copy(io.Discard, decoding(t, "zstd", bytes.NewReader(tt.blob)))
		runtime.ReadMemStats(&after)
		if tt.plain < 0 && err == nil || tt.plain >= 0 && (err != nil || n != tt.plain) {
			t.Errorf("%s: %d bytes, %v", tt.name, n, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s: allocated %d bytes", tt.name, used)
		}
	}
}

// A thousand streams hold a thousand compressors but hardly an encoder.
func TestEncodersAreShared(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		for range 3 { // a pool keeps what it held for one more collection
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	logs(1) // made before the heap is measured
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			before := heap()
			held := make([]Compressor, 1000)
			var done sync.WaitGroup
			for i := range held {
				held[i] = compressor(t, encoding)
				done.Go(func() {
					src := logs(2000 + i)
					got, err := io.ReadAll(decoding(t, encoding, bytes.NewReader(held[i].Append(nil, src))))
					if err != nil || !bytes.Equal(got, src) {
						t.Errorf("stream %d: %d of %d bytes, %v", i, len(got), len(src), err)
					}
				})
			}
			done.Wait()
			if grown := heap() - before; grown > 1<<20 {
				t.Errorf("%d idle compressors hold %d bytes", len(held), grown)
			}
			runtime.KeepAlive(held)
		})
	}
}

// However long a flush, no frame is longer than the window: the encoder would move
// that down at each block, and a decoder needs no more than it.
func TestZstdFramesFitTheWindow(t *testing.T) {
	for _, n := range []int{zstdWindow - 1, zstdWindow, zstdWindow + 1, 2 * zstdWindow, 2*zstdWindow + 1, 3<<20 - 1} {
		for name, src := range map[string][]byte{"logs": logs(n), "noise": noise(n)} {
			blob := compressor(t, "zstd").Append(nil, src)
			frames, plain := 0, 0
			for rest := blob; len(rest) > 0; frames++ {
				var h zstd.Header
				if err := h.Decode(rest); err != nil {
					t.Fatalf("%d bytes of %s, frame %d: %v", n, name, frames, err)
				}
				if !h.HasCheckSum || h.FrameContentSize > zstdWindow || h.WindowSize > zstdWindow {
					t.Errorf("%d bytes of %s, frame %d: %+v", n, name, frames, h)
				}
				plain += int(h.FrameContentSize)
				rest = rest[h.HeaderSize:]
				for last := false; !last; { // 1 bit last, 2 bits type, 21 bits size
					header := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
					last, rest = header&1 == 1, rest[3+header>>3:]
				}
				rest = rest[4:] // the checksum
			}
			if want := (n + zstdWindow - 1) / zstdWindow; frames != want || plain != n {
				t.Errorf("%d bytes of %s: %d frames of %d bytes, want %d", n, name, frames, plain, want)
			}
			if got, err := io.ReadAll(decoding(t, "zstd", bytes.NewReader(blob))); err != nil || !bytes.Equal(got, src) {
				t.Errorf("%d bytes of %s: %d came back, %v", n, name, len(got), err)
			}
		}
	}
}

// In steady state a member costs no allocation, however large.
func TestCompressorDoesNotAllocate(t *testing.T) {
	if underRace() {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	for _, encoding := range encodings {
		c := compressor(t, encoding)
		for _, n := range []int{200, 64 << 10, 1 << 20, 3 << 20} {
			src, dst := logs(n), make([]byte, 0, 4<<20)
			if allocs := testing.AllocsPerRun(20, func() { dst = c.Append(dst[:0], src) }); allocs != 0 {
				t.Errorf("%s of %d bytes: %v allocations a member, want 0", encoding, n, allocs)
			}
		}
	}
}

func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// Any bytes, flushed in any pieces: one decoder over the members gives them back.
func FuzzMembers(f *testing.F) {
	f.Add([]byte("one line\nanother\n"), uint16(9))
	f.Add(logs(5000), uint16(1))
	f.Add(noise(300), uint16(299))
	f.Fuzz(func(t *testing.T, plain []byte, size uint16) {
		flush := max(1, int(size), len(plain)/50)
		for _, encoding := range encodings {
			c := compressor(t, encoding)
			var blob []byte
			for rest := plain; len(rest) > 0; {
				n := min(flush, len(rest))
				blob, rest = c.Append(blob, rest[:n]), rest[n:]
			}
			got, err := io.ReadAll(decoding(t, encoding, iotest.HalfReader(bytes.NewReader(blob))))
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s by %d: %d of %d bytes, %v", encoding, flush, len(got), len(plain), err)
			}
		}
	})
}

// A decoder ends on any input: no panic, no endless loop without bytes.
func FuzzDecoder(f *testing.F) {
	for _, encoding := range encodings {
		b := compressor(f, encoding).Append(nil, logs(300))
		f.Add(b)
		f.Add(append(b, b[:len(b)/2]...))
	}
	f.Add([]byte("\x50\x2a\x4d\x18\xff\xff\xff\xff"))
	f.Add([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x00name without an end"))
	f.Fuzz(func(t *testing.T, blob []byte) {
		for _, encoding := range encodings {
			d := decoding(t, encoding, bytes.NewReader(blob))
			if _, err := io.CopyN(io.Discard, d, 16<<20); err == io.EOF && len(blob) > 0 {
				if _, err := d.Read(make([]byte, 1)); err != io.EOF {
					t.Fatalf("%s: EOF, then %v", encoding, err)
				}
			}
		}
	})
}
