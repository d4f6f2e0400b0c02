package chunk

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"strconv"

	"github.com/liveblob/azureblob/core/record"
)

// transcoder writes msgpack as JSON, byte for byte as Fluent Bit's own outputs do
// with json.escape_unicode off. Where that is no JSON, it writes
//
//	null         for NaN and infinities
//	"1", "null"  for a key that is a number, a boolean or nil
//	"\\x00\\xff" for an extension, and for a key that is an array or a map: its bytes
//
// It leaves a delete (0x7f) as it is, which they escape or not by its place, and
// takes binaries for strings as keys too.
//
// Of a map's keys that are the same string the last one wins, and keeps its
// place. Whether there are such is found out on the way, by the keys' hashes: to
// look ahead in each map costs more than all else. Only if two hashes are the
// same, the whole record is written again, looking ahead.
type transcoder struct {
	seen  []uint64 // hashes of the keys so far of each map that is open, innermost last
	twice bool     // two of a map were the same
	exact bool     // look ahead
	keys  []key    // of the map that is looked at, owned by lookAhead
	drop  []bool   // by place, for the keys of each map that is open, innermost last
}

type key struct {
	text  []byte
	place int
}

// manyKeys is how many keys a map may have for their hashes to be compared, which
// takes n² steps. Above it, the map is looked at ahead, which takes n log n.
const manyKeys = 256

var seed = maphash.MakeSeed()

func hash(key []byte) uint64 { return maphash.Bytes(seed, key) }

// value appends the value at b[i:] and says where the next begins.
func (t *transcoder) value(dst, b []byte, i int) ([]byte, int) {
	switch c := b[i]; {
	case c >= 0xa0 && c < 0xc0, c >= mStr8 && c <= mStr32, c >= mBin8 && c <= mBin32:
		s, n, _ := text(b[i:])
		return record.AppendStringUTF8(dst, s), i + n
	case c == mTrue:
		return append(dst, "true"...), i + 1
	case c == mFalse:
		return append(dst, "false"...), i + 1
	case c == mNil:
		return append(dst, "null"...), i + 1
	case c == mFloat32 || c == mFloat64:
		f, _ := float(b[i:])
		return appendFloat(dst, f), i + int(size[c])
	}
	if n, negative, ok := integer(b[i:]); ok {
		if negative {
			dst = strconv.AppendInt(dst, int64(n), 10)
		} else {
			dst = strconv.AppendUint(dst, n, 10)
		}
		return dst, i + int(size[b[i]])
	}
	if keys, head, ok := mapHeader(b[i:]); ok {
		base := len(t.seen)
		dst, i = t.pairs(append(dst, '{'), b, i+head, keys, base)
		t.seen = t.seen[:base]
		return append(dst, '}'), i
	}
	if values, head, ok := arrayHeader(b[i:]); ok {
		dst = append(dst, '[')
		i += head
		for n := range values {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst, i = t.value(dst, b, i)
		}
		return append(dst, ']'), i
	}
	_, data, n, _ := extension(b[i:])
	return appendBytes(dst, data), i + n
}

// pairs appends the keys and values of a map, whose first key is at b[i:].
// seen[base:] are the hashes of the object's keys so far.
func (t *transcoder) pairs(dst, b []byte, i, n, base int) ([]byte, int) {
	exact := t.exact || n > manyKeys
	dropBase := len(t.drop)
	if exact {
		t.lookAhead(b, i, n)
	}
	for place := range n {
		if exact && t.drop[dropBase+place] {
			i += length(b[i:])
			i += length(b[i:])
			continue
		}
		s, next, isText := text(b[i:])
		if isText {
			if !exact {
				t.see(hash(s), base)
			}
			dst = record.AppendStringUTF8(dst, s)
		} else {
			dst, next = t.key(dst, b, i)
			next -= i
		}
		dst = append(dst, ':')
		dst, i = t.value(dst, b, i+next)
		dst = append(dst, ',')
	}
	if n > 0 {
		dst = dst[:len(dst)-1] // the last key is never left out, so this is its comma
	}
	t.drop = t.drop[:dropBase]
	return dst, i
}

func (t *transcoder) see(h uint64, base int) {
	for _, other := range t.seen[base:] {
		if other == h {
			t.twice = true
		}
	}
	t.seen = append(t.seen, h)
}

// key appends a key that is no string. The JSON of an array or a map in quotes
// would be twice as long with each such key within it.
func (t *transcoder) key(dst, b []byte, i int) ([]byte, int) {
	_, _, isMap := mapHeader(b[i:])
	_, _, isArray := arrayHeader(b[i:])
	_, _, _, isExtension := extension(b[i:])
	switch {
	case isMap, isArray:
		n := length(b[i:])
		return appendBytes(dst, b[i:i+n]), i + n
	case isExtension:
		return t.value(dst, b, i) // in quotes already
	}
	dst, i = t.value(append(dst, '"'), b, i)
	return append(dst, '"'), i
}

// lookAhead marks in drop the keys that come again later in the map.
func (t *transcoder) lookAhead(b []byte, i, n int) {
	base := len(t.drop)
	t.drop = slices.Grow(t.drop, n)[:base+n]
	clear(t.drop[base:])
	t.keys = t.keys[:0]
	for place := range n {
		s, next, isText := text(b[i:])
		if isText {
			t.keys = append(t.keys, key{s, place})
		} else {
			next = length(b[i:])
		}
		i += next
		i += length(b[i:])
	}
	slices.SortFunc(t.keys, func(x, y key) int {
		return cmp.Or(bytes.Compare(x.text, y.text), x.place-y.place)
	})
	for k := 1; k < len(t.keys); k++ {
		if bytes.Equal(t.keys[k-1].text, t.keys[k].text) {
			t.drop[base+t.keys[k-1].place] = true
		}
	}
	clear(t.keys) // nothing of the chunk is kept
}

// text appends a value as text.
func (t *transcoder) text(dst, value []byte) []byte {
	if s, _, ok := text(value); ok {
		return append(dst, s...)
	}
	start := len(dst)
	t.seen, t.twice = t.seen[:0], false
	dst, _ = t.value(dst, value, 0)
	if t.twice {
		t.exact = true
		dst, _ = t.value(dst[:start], value, 0)
		t.exact = false
	}
	return dst
}

// AppendText appends a value, which is well-formed msgpack: a string as it is,
// all else as in JSON.
func AppendText(dst, value []byte) []byte {
	if s, _, ok := text(value); ok {
		return append(dst, s...)
	}
	var t transcoder
	return t.text(dst, value)
}

// appendBytes appends bytes that are no text, as a JSON string that shows them.
func appendBytes(dst, data []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range data {
		dst = append(dst, '\\', '\\', 'x', hex[c>>4], hex[c&0xf])
	}
	return append(dst, '"')
}

// appendFloat writes a whole number with one decimal, and others with 16 digits
// at most, as C's %.16g does.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case f == math.Trunc(f) && f >= -1<<63 && f < 1<<63:
		return strconv.AppendFloat(dst, f, 'f', 1, 64)
	}
	return strconv.AppendFloat(dst, f, 'g', 16, 64)
}
