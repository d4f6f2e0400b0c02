package liveblob

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// ledger plays flushes of given sizes through join and keeps the block list that a
// Writer would commit.
type ledger struct {
	sealed   int
	tail     tail
	size     int64
	uploaded int64
	longest  int
}

func (l *ledger) flush(n int64) {
	keep, from, level, sealed := l.tail.join(n, window(l.size))
	merged := l.tail.size - from + n
	l.uploaded += merged
	if sealed {
		l.sealed++
		l.tail = tail{}
	} else {
		l.tail.blocks = append(l.tail.blocks[:keep], block{level: level, size: merged})
		l.tail.size += n
	}
	l.size += n
	l.longest = max(l.longest, l.sealed+len(l.tail.blocks))
}

// The figures are those of the facts: what 10,000 and 50,000 flushes of 4 KiB
// cost, and how long the list of a large blob gets.
func TestCarryStaysShortAndCheap(t *testing.T) {
	for _, tt := range []struct {
		name          string
		flushes       int
		bytes         int64
		longest       int
		timesUploaded float64
	}{
		{name: "200 B", flushes: 60_000, bytes: 200, longest: 150, timesUploaded: 4.1},
		{name: "4 KiB", flushes: 10_000, bytes: 4 << 10, longest: 250, timesUploaded: 3.1},
		{name: "4 KiB long", flushes: 50_000, bytes: 4 << 10, longest: 600, timesUploaded: 3.1},
		{name: "1 GiB", flushes: 1 << 15, bytes: 32 << 10, longest: 1_000, timesUploaded: 3.1},
		{name: "10 GiB", flushes: 10 << 10, bytes: 1 << 20, longest: 3_400, timesUploaded: 2.1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger
			for range tt.flushes {
				l.flush(tt.bytes)
			}
			if l.longest > tt.longest {
				t.Errorf("the list had %d blocks, want at most %d", l.longest, tt.longest)
			}
			if times := float64(l.uploaded) / float64(l.size); times > tt.timesUploaded {
				t.Errorf("each byte was uploaded %.2f times, want at most %.1f", times, tt.timesUploaded)
			}
		})
	}
}

// Whatever the sizes, the tail stays below the window, the list short and the
// upload cheap.
func TestCarryUnderHostileSizes(t *testing.T) {
	for name, size := range map[string]func(i int) int64{
		"alternating":      func(i int) int64 { return []int64{1, 200 << 10}[i%2] },
		"just under":       func(i int) int64 { return minWindow - 1 },
		"fifteen then big": func(i int) int64 { return []int64{10, 250 << 10}[i%16/15] },
		"random":           func(i int) int64 { return 1 << rand.IntN(20) },
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			for i := range 20_000 {
				l.flush(size(i))
				if l.tail.size >= window(l.size) {
					t.Fatalf("flush %d: the tail has %d bytes, the window is %d", i, l.tail.size, window(l.size))
				}
			}
			if most := int(l.size/minWindow) + 64; l.longest > most {
				t.Errorf("the list had %d blocks, want at most %d", l.longest, most)
			}
			if times := float64(l.uploaded) / float64(l.size); times > 6 {
				t.Errorf("each byte was uploaded %.2f times", times)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	for size, want := range map[int64]int64{0: 256 << 10, 64 << 20: 256 << 10, 512 << 20: 2 << 20, 1 << 30: 4 << 20, 1 << 40: 4 << 20} {
		if got := window(size); got != want {
			t.Errorf("window(%d) = %d, want %d", size, got, want)
		}
	}
}

func TestBlockID(t *testing.T) {
	id := blockID([6]byte{1, 2, 3, 4, 5, 6}, 0x0708_090a_0b0c)
	raw, err := base64.StdEncoding.DecodeString(id)
	if err != nil || len(id) != 16 {
		t.Fatalf("blockID = %q: %d characters, %v", id, len(id), err)
	}
	if want := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}; !bytes.Equal(raw, want) {
		t.Errorf("blockID is made of % x", raw)
	}
}

func TestBodyIsAReadSeeker(t *testing.T) {
	a, b := []byte("the tail's bytes, "), []byte("and the new ones")
	all := append(bytes.Clone(a), b...)
	for lo := range len(all) {
		for hi := lo; hi <= len(all); hi++ {
			if err := iotest.TestReader(slice(a, b, lo, hi), all[lo:hi]); err != nil {
				t.Fatalf("slice %d to %d: %v", lo, hi, err)
			}
		}
	}
	r := slice(a, b, 0, len(all))
	io.Copy(io.Discard, r)
	if end, _ := r.Seek(0, io.SeekEnd); end != int64(len(all)) {
		t.Errorf("the end is at %d, want %d", end, len(all))
	}
}

func TestBudgetDropsTheLeastRecentlyUsed(t *testing.T) {
	b := &Budget{Limit: 100 + 3*placeSize}
	var one, two, three cached
	b.keep(&one, make([]byte, 40))
	b.keep(&two, make([]byte, 40))
	b.keep(&one, b.borrow(&one)) // used again
	b.keep(&three, make([]byte, 40))
	if b.borrow(&two) != nil {
		t.Error("the least recently used bytes were kept over the limit")
	}
	if len(b.borrow(&one)) != 40 || len(b.borrow(&three)) != 40 {
		t.Error("bytes within the limit were dropped")
	}
	b.keep(&one, make([]byte, 101+2*placeSize))
	if b.borrow(&one) != nil {
		t.Error("bytes over the limit were kept")
	}
	if b.used != 0 || b.kept.Len() != 0 {
		t.Errorf("an empty budget has %d bytes in %d places", b.used, b.kept.Len())
	}
}
