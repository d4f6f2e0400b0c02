package liveblob

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

// ledger plays flushes of given sizes through join and keeps the block list that a
// Writer would commit.
type ledger struct {
	commits  uint64
	sealed   int
	tail     tail
	size     int64
	uploaded int64
	listed   int64 // entries of all lists
	longest  int
	rate     int64
	most     int64 // bytes of the largest upload
}

func (l *ledger) flush(n int64) {
	l.commits++
	window := window(l.commits, l.rate)
	l.sealed += len(l.tail.shed(window))
	keep, from, level, sealed := l.tail.join(n, window)
	merged := l.tail.size - from + n
	l.uploaded += merged
	l.most = max(l.most, merged)
	if sealed {
		l.sealed++
		l.tail = tail{}
	} else {
		l.tail.blocks = append(l.tail.blocks[:keep], block{level: level, size: merged})
		l.tail.size += n
	}
	l.size += n
	l.longest = max(l.longest, l.sealed+len(l.tail.blocks))
	l.listed += int64(l.sealed + len(l.tail.blocks))
}

// sent is the bytes of all blocks and lists for a byte of log.
func (l *ledger) sent() float64 { return float64(l.uploaded+33*l.listed) / float64(l.size) }

// What a byte of log costs, and how long the list of a large blob gets.
func TestCarryStaysShortAndCheap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		flushes int
		bytes   int64
		longest int
		sent    float64
	}{
		{name: "200 B, 1,000", flushes: 1_000, bytes: 200, longest: 50, sent: 6},
		{name: "200 B, 500,000", flushes: 500_000, bytes: 200, longest: 80, sent: 10.7},
		{name: "4 KiB, 1,000", flushes: 1_000, bytes: 4 << 10, longest: 50, sent: 3.1},
		{name: "4 KiB, 500,000", flushes: 500_000, bytes: 4 << 10, longest: 200, sent: 4.5},
		{name: "32 KiB, 1 GiB", flushes: 1 << 15, bytes: 32 << 10, longest: 150, sent: 3.5},
		{name: "1 MiB, 10 GiB", flushes: 10 << 10, bytes: 1 << 20, longest: 1_500, sent: 2.1},
		{name: "8 MiB, 100 GiB", flushes: 100 << 7, bytes: 8 << 20, longest: 12_000, sent: 1.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger
			for range tt.flushes {
				l.flush(tt.bytes)
			}
			if l.longest > tt.longest {
				t.Errorf("the list had %d blocks, want at most %d", l.longest, tt.longest)
			}
			if sent := l.sent(); sent > tt.sent {
				t.Errorf("%.2f bytes were sent for one of log, want at most %.1f", sent, tt.sent)
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
				if w := window(l.commits, l.rate); l.tail.size >= w {
					t.Fatalf("flush %d: the tail has %d bytes, the window is %d", i, l.tail.size, w)
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
	for commits, want := range map[uint64]int64{0: 256 << 10, 64: 256 << 10, 1024: 4 << 20, 4096: 16 << 20, 1 << 63: 16 << 20} {
		if got := window(commits, 0); got != want {
			t.Errorf("window(%d) = %d, want %d", commits, got, want)
		}
	}
	for rate, want := range map[int64]int64{1: 256 << 10, 3 << 20: 3 << 20, 1 << 30: 16 << 20} {
		if got := window(5_000, rate); got != want {
			t.Errorf("window at %d bytes a second = %d, want %d", rate, got, want)
		}
	}
}

// On a slow line no flush waits for a large merge, not even when it has become slow
// only now, and the list stays short all the same.
func TestCarryOnASlowLine(t *testing.T) {
	for _, rate := range []int64{100 << 10, 1 << 20, 5 << 20} {
		var l ledger
		for range 15*16*16 + 15*16 + 15 { // the tail is as large as it gets
			l.flush(4_000)
		}
		l.rate, l.most = rate, 0
		sealed := l.sealed
		for range 20_000 {
			l.flush(4_000)
		}
		if most := 2 * max(rate, minWindow); l.most > most {
			t.Errorf("at %d bytes a second, a flush uploaded %d bytes", rate, l.most)
		}
		if most := sealed + 60 + int(20_000*4_000/max(rate, minWindow)); l.longest > most {
			t.Errorf("at %d bytes a second the list had %d blocks, want at most %d", rate, l.longest, most)
		}
		t.Logf("rate %d: at most %d bytes in a flush, %d blocks", rate, l.most, l.longest)
	}
}

// A resumed writer goes on with the levels that its predecessor had, so that a
// restart does not make it merge large blocks with small ones.
func TestLevelsOutliveTheWriter(t *testing.T) {
	for _, bytes := range []int64{1, 200, 4 << 10, 60 << 10} {
		var l ledger
		for i := range 5_000 {
			l.flush(bytes)
			for _, b := range l.tail.blocks {
				if got := levelOf(b.size, l.size/int64(l.commits)); got != b.level {
					t.Fatalf("flush %d of %d bytes: a block of level %d and %d bytes is taken for one of level %d", i, bytes, b.level, b.size, got)
				}
			}
		}
	}
	if got := levelOf(1<<50, 0); got > 13 {
		t.Errorf("levelOf an absurd blob = %d", got)
	}
}

// A merge that was put off is made up for by a later one.
func TestCarryAfterPostponedMerges(t *testing.T) {
	var l ledger
	for range 255 {
		l.flush(100)
	}
	for range 40 { // put off
		l.tail.blocks = append(l.tail.blocks, block{size: 100})
		l.tail.size, l.size = l.tail.size+100, l.size+100
	}
	l.flush(100)
	if n := len(l.tail.blocks); n != 1 || l.tail.blocks[0].size != 296*100 {
		t.Errorf("%d blocks are left: %+v", n, l.tail.blocks)
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
