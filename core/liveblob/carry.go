package liveblob

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
)

const (
	base      = 16        // blocks of one level that merge into one of the next
	minWindow = 256 << 10 // bytes
	maxWindow = 16 << 20
	wholeMax  = 64 << 10 // bytes of a blob that one Put Blob sends whole
	splitMin  = 8 << 20  // new bytes above which they are staged in parts
	partSize  = 4 << 20
)

// window is the size at which the tail of a blob with so many commits is sealed. rate
// is how fast blocks are uploaded, in bytes a second; 0: not known.
//
// A block costs 33 bytes of every later commit's list, and merging it costs its
// bytes once. Nobody knows how many commits are still to come; as many as there
// were is the best guess. So a log of many small flushes is worth larger blocks, and
// one of a few large ones is left alone. But no flush shall wait for more than about a
// second of merging.
func window(commits uint64, rate int64) int64 {
	w := int64(min(commits, maxWindow>>12)) << 12
	if rate > 0 {
		w = min(w, rate)
	}
	return max(w, minWindow)
}

// levelOf is the level of a block that an earlier writer has left: how many carries
// it takes from a mean flush to its size.
func levelOf(size, mean int64) uint8 {
	return uint8((bits.Len64(uint64(size/max(mean, 1))) + 1) / 4)
}

// block is one block of the tail.
type block struct {
	id    string // base64
	level uint8  // how many carries made it
	size  int64  // bytes
}

// tail is the end of a blob that later flushes may still merge. Its total is
// below the window, or below two where that has shrunk or a merge was put off.
type tail struct {
	blocks []block // levels fall from one to the next, but after a resume
	size   int64   // bytes of all blocks
}

// shed seals blocks at the front as they are, where the tail has become too large for
// one upload, and gives their IDs.
func (t *tail) shed(window int64) (ids []string) {
	for t.size >= 2*window {
		ids = append(ids, t.blocks[0].id)
		t.size -= t.blocks[0].size
		t.blocks = t.blocks[1:]
	}
	return ids
}

// join says how n more bytes join the tail: the first keep blocks stay, those
// behind them and the new bytes become one block of the given level; sealed means
// that nothing will merge with it any more. from is where, in the tail's bytes,
// the merged ones begin.
func (t *tail) join(n, window int64) (keep int, from int64, level uint8, sealed bool) {
	if t.size+n >= window || n > splitMin {
		return 0, 0, 0, true
	}
	keep, from = len(t.blocks), t.size
	for {
		run, bytes := 0, int64(0)
		for run < keep && t.blocks[keep-1-run].level <= level {
			bytes += t.blocks[keep-1-run].size
			run++
		}
		if run < base-1 {
			return keep, from, level, false
		}
		keep -= run
		from -= bytes
		level++
	}
}

// blockID is drawn in the package comment.
func blockID(nonce [6]byte, counter uint64) string {
	var raw [14]byte
	binary.BigEndian.PutUint64(raw[6:], counter)
	copy(raw[2:], nonce[:]) // the counter's upper two bytes are always zero
	return base64.StdEncoding.EncodeToString(raw[2:])
}
