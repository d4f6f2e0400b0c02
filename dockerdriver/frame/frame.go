// Package frame is the format in which dockerd hands log entries to a driver, and
// takes them back for docker logs.
//
//	dockerd ─ FIFO ─► Size: where frames end ─► spool ─► Decode ─► lines
//	dockerd ◄─────────── ReadLogs ◄─────────── Append ◄─ entries ◄─┘
//
// A frame is a big-endian length and a protobuf message of that length:
//
//	+----------+----+---------+----+------+----+---------+----+---+----+----------+
//	| length 4 | 0a | source  | 10 | time | 1a | line    | 20 | 1 | 2a | partial  |
//	+----------+----+---------+----+------+----+---------+----+---+----+----------+
//	                 len bytes      varint      len bytes               len message
//
//	partial:  +----+---+----+-----------+----+---------+
//	          | 08 | 1 | 12 | id        | 18 | ordinal |
//	          +----+---+----+-----------+----+---------+
//	           last          len bytes        varint
//
//	source   stdout or stderr
//	time     Unix nanoseconds
//	line     without its newline
//	20 1     the entry is a part of a line that dockerd has split (every 16 KiB)
//	last     the line's last part
//	id       the line's own, shared by its parts
//	ordinal  of the part, from 1
//
// As proto3 has it, a field that is zero is left out, so the first byte behind the
// length is 0a as long as the source is known. Append writes the very bytes that
// dockerd does. There is no state here; all of it may be used by many goroutines.
//
// # Bytes that are no frame
//
// A reader that starts in the middle of a stream, or whose writer broke off, finds
// bytes that are no frame. Size and Resync look at them with different eyes. Size
// judges the place where a frame is due: it refuses a length that is 0 or above
// MaxSize, and a first byte that begins no field. Resync judges every place, most of
// which are the inside of a line, where four bytes that pass for a length are
// common. It believes in a length only if `0a 06 stdout` or `0a 06 stderr` follows.
// A log that holds recorded frames can still deceive it; nothing else does.
package frame

import (
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxSize is the largest payload that is taken for one. dockerd sets no limit; its
// own are some bytes larger than 16 KiB.
const MaxSize = 16 << 20

const header = 4 // the length

// ErrGarbled: the bytes are no frame.
var ErrGarbled = errors.New("not a frame of the log driver protocol")

// A field's tag is its number and how its value is written.
const (
	varint = 0 // protowire.VarintType
	sized  = 2 // protowire.BytesType

	tagSource   = 1<<3 | sized
	tagTime     = 2<<3 | varint
	tagLine     = 3<<3 | sized
	tagPartial  = 4<<3 | varint
	tagMetadata = 5<<3 | sized // a message of:

	tagLast    = 1<<3 | varint
	tagID      = 2<<3 | sized
	tagOrdinal = 3<<3 | varint
)

// Entry is what a frame says: a line, or a part of one.
type Entry struct {
	Source  string // "stdout" or "stderr"
	Time    int64  // Unix nanoseconds
	Line    []byte // without newline; after Decode, a part of the frame that was decoded
	Partial bool   // a part of a line; the fields below belong to it
	Last    bool   // the line's last part
	ID      string // the line's, shared by its parts
	Ordinal int32  // of the part, from 1
}

// Append appends e's frame to dst. An Entry without any field gives no frame that
// Size would take; one with a time does.
func Append(dst []byte, e *Entry) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0) // the length
	if e.Source != "" {
		dst = protowire.AppendString(append(dst, tagSource), e.Source)
	}
	if e.Time != 0 {
		dst = protowire.AppendVarint(append(dst, tagTime), uint64(e.Time))
	}
	if len(e.Line) > 0 {
		dst = protowire.AppendBytes(append(dst, tagLine), e.Line)
	}
	if e.Partial {
		dst = append(dst, tagPartial, 1, tagMetadata)
		dst = protowire.AppendVarint(dst, uint64(e.metadataSize()))
		dst = e.appendMetadata(dst)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-header))
	return dst
}

func (e *Entry) appendMetadata(dst []byte) []byte {
	if e.Last {
		dst = append(dst, tagLast, 1)
	}
	if e.ID != "" {
		dst = protowire.AppendString(append(dst, tagID), e.ID)
	}
	if e.Ordinal != 0 {
		dst = protowire.AppendVarint(append(dst, tagOrdinal), uint64(e.Ordinal))
	}
	return dst
}

// metadataSize is how much appendMetadata appends.
func (e *Entry) metadataSize() (n int) {
	if e.Last {
		n += 2
	}
	if e.ID != "" {
		n += 1 + protowire.SizeBytes(len(e.ID))
	}
	if e.Ordinal != 0 {
		n += 1 + protowire.SizeVarint(uint64(e.Ordinal))
	}
	return n
}
