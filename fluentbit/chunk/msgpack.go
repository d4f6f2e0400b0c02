package chunk

import (
	"encoding/binary"
	"errors"
	"math"
)

// The first byte of a msgpack value, as far as it is asked for by name.
const (
	mNil     = 0xc0
	mNever   = 0xc1 // not used by the format
	mFalse   = 0xc2
	mTrue    = 0xc3
	mBin8    = 0xc4
	mBin16   = 0xc5
	mBin32   = 0xc6
	mExt8    = 0xc7
	mExt16   = 0xc8
	mExt32   = 0xc9
	mFloat32 = 0xca
	mFloat64 = 0xcb
	mUint8   = 0xcc
	mUint16  = 0xcd
	mUint32  = 0xce
	mUint64  = 0xcf
	mInt8    = 0xd0
	mInt16   = 0xd1
	mInt32   = 0xd2
	mInt64   = 0xd3
	mFixext1 = 0xd4
	mStr8    = 0xd9
	mStr16   = 0xda
	mStr32   = 0xdb
	mArray16 = 0xdc
	mArray32 = 0xdd
	mMap16   = 0xde
	mMap32   = 0xdf
)

// maxDepth is how many arrays and maps may be within each other, an event's own
// included. Fluent Bit's own decoder takes 32.
const maxDepth = 100

var (
	errCut   = errors.New("it ends within a value")
	errNever = errors.New("0xc1 begins no msgpack value")
	errDeep  = errors.New("more than 100 arrays and maps within each other")
)

// size is the length of a value that begins with that byte, where the byte says
// it; else 0.
var size = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c < 0x80, c >= 0xe0, c == mNil, c == mFalse, c == mTrue, c == 0x80, c == 0x90:
			t[c] = 1
		case c >= 0xa0 && c < 0xc0:
			t[c] = uint8(1 + c&0x1f)
		case c >= mUint8 && c <= mUint64:
			t[c] = 1 + 1<<(c-mUint8)
		case c >= mInt8 && c <= mInt64:
			t[c] = 1 + 1<<(c-mInt8)
		case c == mFloat32:
			t[c] = 5
		case c == mFloat64:
			t[c] = 9
		case c >= mFixext1 && c < mStr8:
			t[c] = 2 + 1<<(c-mFixext1)
		}
	}
	return t
}()

// skip is the length of the value that b begins with: all of it is within b and
// well-formed. An error other than errDeep has no length.
//
// It counts the values that are still to come rather than to descend. So many
// containers as maxDepth are rare; only then is it looked at how deep they go.
func skip(b []byte) (int, error) {
	i, containers := 0, 0
	for todo := 1; todo > 0; todo-- {
		if i >= len(b) {
			return 0, errCut
		}
		c := b[i]
		if n := size[c]; n > 0 {
			i += int(n)
			continue
		}
		head, length, values := header(b[i:])
		if head == 0 {
			if c == mNever {
				return 0, errNever
			}
			return 0, errCut
		}
		i += head + length
		if values > 0 {
			if values > len(b)-i { // each takes a byte at least
				return 0, errCut
			}
			todo += values
			containers++
		}
	}
	if i > len(b) {
		return 0, errCut
	}
	if containers > maxDepth && !shallow(b[:i]) {
		return i, errDeep
	}
	return i, nil
}

// header reads the head of a value whose length the first byte does not say: how
// long the head is, how many bytes follow it and how many values. A head of 0
// means that b ends within it, or that there is no such value.
func header(b []byte) (head, length, values int) {
	switch c := b[0]; {
	case c >= 0x80 && c < 0x90:
		return 1, 0, 2 * int(c&0x0f)
	case c >= 0x90 && c < 0xa0:
		return 1, 0, int(c & 0x0f)
	case c == mStr8 || c == mBin8:
		if len(b) >= 2 {
			return 2, int(b[1]), 0
		}
	case c == mStr16 || c == mBin16:
		if len(b) >= 3 {
			return 3, int(binary.BigEndian.Uint16(b[1:])), 0
		}
	case c == mStr32 || c == mBin32:
		if len(b) >= 5 {
			return 5, int(binary.BigEndian.Uint32(b[1:])), 0
		}
	case c == mExt8:
		if len(b) >= 3 {
			return 3, int(b[1]), 0
		}
	case c == mExt16:
		if len(b) >= 4 {
			return 4, int(binary.BigEndian.Uint16(b[1:])), 0
		}
	case c == mExt32:
		if len(b) >= 6 {
			return 6, int(binary.BigEndian.Uint32(b[1:])), 0
		}
	case c == mArray16:
		if len(b) >= 3 {
			return 3, 0, int(binary.BigEndian.Uint16(b[1:]))
		}
	case c == mArray32:
		if len(b) >= 5 {
			return 5, 0, int(binary.BigEndian.Uint32(b[1:]))
		}
	case c == mMap16:
		if len(b) >= 3 {
			return 3, 0, 2 * int(binary.BigEndian.Uint16(b[1:]))
		}
	case c == mMap32:
		if len(b) >= 5 {
			return 5, 0, 2 * int(binary.BigEndian.Uint32(b[1:]))
		}
	}
	return 0, 0, 0
}

// shallow reports that a well-formed value is no deeper than maxDepth.
func shallow(b []byte) bool {
	var open [maxDepth + 1]int // values to come in each container that is open
	depth := 0
	open[0] = 1
	for i := 0; ; {
		for open[depth] == 0 {
			if depth == 0 {
				return true
			}
			depth--
		}
		open[depth]--
		if n := size[b[i]]; n > 0 {
			i += int(n)
			continue
		}
		head, length, values := header(b[i:])
		i += head + length
		if values > 0 {
			if depth++; depth > maxDepth {
				return false
			}
			open[depth] = values
		}
	}
}

// length is skip for a value that is known to be well-formed.
func length(b []byte) int {
	i := 0
	for todo := 1; todo > 0; todo-- {
		if n := size[b[i]]; n > 0 {
			i += int(n)
			continue
		}
		head, length, values := header(b[i:])
		i += head + length
		todo += values
	}
	return i
}

// The functions below take a well-formed value, and say whether it is what they
// are for.

// mapHeader is how many keys a map has and where the first begins.
func mapHeader(b []byte) (keys, head int, ok bool) {
	switch c := b[0]; {
	case c >= 0x80 && c < 0x90:
		return int(c & 0x0f), 1, true
	case c == mMap16:
		return int(binary.BigEndian.Uint16(b[1:])), 3, true
	case c == mMap32:
		return int(binary.BigEndian.Uint32(b[1:])), 5, true
	}
	return 0, 0, false
}

func arrayHeader(b []byte) (values, head int, ok bool) {
	switch c := b[0]; {
	case c >= 0x90 && c < 0xa0:
		return int(c & 0x0f), 1, true
	case c == mArray16:
		return int(binary.BigEndian.Uint16(b[1:])), 3, true
	case c == mArray32:
		return int(binary.BigEndian.Uint32(b[1:])), 5, true
	}
	return 0, 0, false
}

// text is the bytes of a string or a binary, which are one here, and where the
// next value begins.
func text(b []byte) (s []byte, next int, ok bool) {
	if c := b[0]; c >= 0xa0 && c < 0xc0 {
		next = 1 + int(c&0x1f)
		return b[1:next], next, true
	}
	var head int
	switch b[0] {
	case mStr8, mBin8:
		head, next = 2, 2+int(b[1])
	case mStr16, mBin16:
		head, next = 3, 3+int(binary.BigEndian.Uint16(b[1:]))
	case mStr32, mBin32:
		head, next = 5, 5+int(binary.BigEndian.Uint32(b[1:]))
	default:
		return nil, 0, false
	}
	return b[head:next], next, true
}

// extension is the type and the bytes of an extension.
func extension(b []byte) (kind int8, data []byte, next int, ok bool) {
	c := b[0]
	if c >= mFixext1 && c < mStr8 {
		next = int(size[c])
		return int8(b[1]), b[2:next], next, true
	}
	if c < mExt8 || c > mExt32 {
		return 0, nil, 0, false
	}
	head, length, _ := header(b)
	next = head + length
	return int8(b[head-1]), b[head:next], next, true
}

// integer is the bits of an integer, and whether they are a negative one's.
func integer(b []byte) (n uint64, negative, ok bool) {
	switch c := b[0]; {
	case c < 0x80:
		return uint64(c), false, true
	case c >= 0xe0:
		return uint64(int64(int8(c))), true, true
	}
	var i int64
	switch b[0] {
	case mUint8:
		return uint64(b[1]), false, true
	case mUint16:
		return uint64(binary.BigEndian.Uint16(b[1:])), false, true
	case mUint32:
		return uint64(binary.BigEndian.Uint32(b[1:])), false, true
	case mUint64:
		return binary.BigEndian.Uint64(b[1:]), false, true
	case mInt8:
		i = int64(int8(b[1]))
	case mInt16:
		i = int64(int16(binary.BigEndian.Uint16(b[1:])))
	case mInt32:
		i = int64(int32(binary.BigEndian.Uint32(b[1:])))
	case mInt64:
		i = int64(binary.BigEndian.Uint64(b[1:]))
	default:
		return 0, false, false
	}
	return uint64(i), i < 0, true
}

func float(b []byte) (f float64, ok bool) {
	switch b[0] {
	case mFloat32:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:]))), true
	case mFloat64:
		return math.Float64frombits(binary.BigEndian.Uint64(b[1:])), true
	}
	return 0, false
}
