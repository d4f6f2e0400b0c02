package record

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// AppendString appends s as a JSON string, byte for byte as encoding/json with
// SetEscapeHTML(false) writes it: <, > and & stay, U+2028 and U+2029 are escaped
// (JavaScript ends a line there), and each byte that is not part of valid UTF-8
// becomes the escape \ufffd. Written so, it can be told from a U+FFFD that the
// log itself holds, which stays as it is.
func AppendString[S []byte | string](dst []byte, s S) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, []byte(s), false) // no copy: it neither escapes nor changes
	return append(dst, '"')
}

// AppendStringUTF8 appends s as a JSON string in which all stands as it is that
// JSON lets stand: U+2028 and U+2029 too, and U+FFFD itself for each byte that is
// not part of valid UTF-8. So does Fluent Bit with json.escape_unicode off.
func AppendStringUTF8(dst, s []byte) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s, true)
	return append(dst, '"')
}

// AppendAttrs appends m as a JSON object with its keys in order, for
// Record.Attrs. An empty m appends nothing, which leaves "attrs" out of the
// record.
func AppendAttrs(dst []byte, m map[string]string) []byte {
	if len(m) == 0 {
		return dst
	}
	sep := byte('{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = append(dst, sep)
		dst = AppendString(dst, k)
		dst = append(dst, ':')
		dst = AppendString(dst, m[k])
		sep = ','
	}
	return append(dst, '}')
}

const hex = "0123456789abcdef"

// appendEscaped appends what stands between a JSON string's quotes, in UTF-8 as
// far as may be or in encoding/json's way. Runs of bytes that need no escape are
// found a word at a time and copied whole.
func appendEscaped(dst, s []byte, utf8Only bool) []byte {
	start := 0 // of the run that is not copied yet
	for i := 0; ; {
		i += plain(s[i:])
		if i == len(s) {
			return append(dst, s[start:]...)
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(dst, s[start:i]...)
				if utf8Only {
					dst = append(dst, "\ufffd"...)
				} else {
					dst = append(dst, `\ufffd`...)
				}
			case !utf8Only && (r == '\u2028' || r == '\u2029'):
				dst = append(dst, s[start:i]...)
				dst = append(dst, '\\', 'u', '2', '0', '2', hex[r&0xf])
			default: // part of the run
				i += size
				continue
			}
			i += size
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
}

// plain counts the bytes at the head of s that stand for themselves in a JSON
// string: printable ASCII but for the quote and the backslash.
//
// Eight bytes are looked at together; the last eight are, where s is no multiple
// of that long, in part for the second time. Five to seven are made eight of the
// first four and the last four.
func plain(s []byte) int {
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		if w := special(binary.LittleEndian.Uint64(s[n:])); w != 0 {
			return n + bits.TrailingZeros64(w)/8
		}
	}
	switch {
	case n == len(s):
	case n > 0:
		return len(s) - 8 + bits.TrailingZeros64(special(binary.LittleEndian.Uint64(s[len(s)-8:])))/8
	case len(s) >= 4:
		w := uint64(binary.LittleEndian.Uint32(s)) | uint64(binary.LittleEndian.Uint32(s[len(s)-4:]))<<32
		n = bits.TrailingZeros64(special(w)) / 8
		if n >= 4 {
			n += len(s) - 8
		}
	default:
		for n < len(s) && s[n] >= 0x20 && s[n] < utf8.RuneSelf && s[n] != '"' && s[n] != '\\' {
			n++
		}
	}
	return n
}

// special has the top bit of each byte of w set that is not plain, and the bit of
// no byte below the lowest such one; zero if all eight are plain.
//
// The bit is set by: the byte itself if it is not ASCII; the subtraction of 0x20
// if it is a control; the subtraction of 1 from the xor if it is the quote or the
// backslash. A borrow can set the bit of a plain byte too, but only above one
// that is rightly set.
func special(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	return (w | (w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) & tops
}
