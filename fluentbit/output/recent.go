package output

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/zeebo/xxh3"
)

// A blob's cursor says which chunks were the last to be committed, and by whom:
//
//	+-------------------+----------------------+-----
//	| run: 8 characters | 11 characters a mark | …      the newest last
//	+-------------------+----------------------+-----
//
// A mark is a hash of tag and chunk, and of the form of the records, 64 bits in base64.
// Chunks that are alike in every byte get marks that follow each other, so that a mark
// stands for one chunk.
const (
	runLength  = 8
	markLength = 11

	// A flush is acknowledged at once, but Fluent Bit may not live to hear it, and what
	// it flushes while it ends comes again in any case. So the marks of the last
	// seconds are kept, a few at least, and as many as a cursor has room for at most.
	// That of a chunk which will come again is kept until it does, so that the process
	// after this one knows it too.
	keepFor  = 30 * time.Second
	keepLast = 16
	maxMarks = 185
)

type mark uint64

// markOf is the first mark that the chunk may have. kind says what is made of it: two
// outputs that write the same chunk to one blob in different forms both do.
func markOf(kind, tag string, chunk []byte) mark {
	return mark(xxh3.HashSeed(chunk, xxh3.HashString(kind+"\x00"+tag)))
}

// recent are the marks of the last commits, oldest first.
type recent []marked

type marked struct {
	mark mark
	at   time.Time
}

// landed is a chunk that is in the blob and may be given again.
type landed struct {
	mark mark
	sure bool // it will be: Flush has answered Retry
}

func (r recent) has(m mark) bool {
	return slices.ContainsFunc(r, func(e marked) bool { return e.mark == m })
}

// free is the first mark for a chunk that is not in use by one like it.
func (r recent) free(m mark) mark {
	for r.has(m) {
		m++
	}
	return m
}

// trim leaves out what is no longer needed. It may change r.
func (r recent) trim(now time.Time, coming []landed) recent {
	left := len(r)
	r = slices.DeleteFunc(r, func(e marked) bool {
		left--
		return left >= keepLast && now.Sub(e.at) > keepFor && !slices.Contains(coming, landed{e.mark, true})
	})
	return r[max(0, len(r)-maxMarks):]
}

// renew makes the mark the newest: its chunk was acknowledged once more.
func (r recent) renew(m mark, now time.Time) recent {
	i := slices.IndexFunc(r, func(e marked) bool { return e.mark == m })
	if i < 0 {
		return r
	}
	return append(slices.Delete(r, i, i+1), marked{m, now})
}

// cursor writes r as a cursor of that run.
func (r recent) cursor(run string) string {
	b := make([]byte, 0, runLength+len(r)*markLength)
	b = append(b, run...)
	for _, e := range r {
		b = base64.RawURLEncoding.AppendEncode(b, binary.BigEndian.AppendUint64(nil, uint64(e.mark)))
	}
	return string(b)
}

// parseCursor reads what cursor wrote. A cursor that something else has written says
// nothing.
func parseCursor(s string) (run string, marks []mark) {
	if len(s) < runLength || (len(s)-runLength)%markLength != 0 {
		return "", nil
	}
	run, s = s[:runLength], s[runLength:]
	for ; s != ""; s = s[markLength:] {
		b, err := base64.RawURLEncoding.DecodeString(s[:markLength])
		if err != nil || len(b) != 8 { // line ends are skipped
			return "", nil
		}
		marks = append(marks, mark(binary.BigEndian.Uint64(b)))
	}
	return run, marks
}
