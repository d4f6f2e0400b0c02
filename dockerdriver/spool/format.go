package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// All numbers are big-endian; all checksums are CRC-32C.
//
// A segment is a header and records:
//
//	+---------+--------+--------+--------+--------+---------+---------+
//	| magic 8 | id 8   | base 8 | prev 8 | boot 8 | flags 4 | CRC 4   |
//	+---------+--------+--------+--------+--------+---------+---------+
//
//	id     of the spool, made up when it was made
//	base   offset in the stream of the segment's first byte
//	prev   where the stream ended before; base, unless offsets were skipped
//	boot   of the machine, when the segment was made
//	flags  1: the spool was closed in order before, so nothing from prev to base is lost
//	CRC    of all before it
//
// A record is a batch that was appended, 1 byte to 1 MiB:
//
//	+----------+--------+------------+------------+------- … -------+
//	| length 4 | at 4   | data CRC 4 | head CRC 4 | data            |
//	+----------+--------+------------+------------+------- … -------+
//
//	length    of data
//	at        offset of its first byte, less the segment's base
//	head CRC  of id, base and the 12 bytes before it
//
// The header's own CRC keeps a damaged length from leading astray. The id in it,
// which no container knows, keeps a log that holds the bytes of a segment from
// being taken for records when a scan looks for the next one.
//
// The state has two slots, at 0 and at 512, so that one is whole whatever happens
// to the other. They are written in turn, in place, so a full disk cannot prevent
// it. The greater count is the newer one:
//
//	+---------+------+--------+-------------+---------+---------+-------+
//	| magic 8 | id 8 | boot 8 | committed 8 | clean 8 | count 8 | CRC 4 |
//	+---------+------+--------+-------------+---------+---------+-------+
//
//	boot   of the machine, when the slot was written
//	clean  where the stream ended when it was closed in order; -1: it is in use
const (
	segmentHeader = 48
	recordHeader  = 16
	slotSize      = 52
	slotStride    = 512

	segmentMagic = "azspool1"
	stateMagic   = "azspstt1"

	flagClean = 1

	maxOffset  = 1 << 62
	maxSegment = 1 << 30 // so that a record's at fits
	offsetJump = 1 << 40 // what offsets skip to a multiple of when some may be lost
)

// MaxAppend is the size of the largest batch.
const MaxAppend = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	id         uint64
	base, prev int64
	boot       uint64
	clean      bool
}

func (h header) append(b []byte) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.BigEndian.AppendUint64(b, h.id)
	b = binary.BigEndian.AppendUint64(b, uint64(h.base))
	b = binary.BigEndian.AppendUint64(b, uint64(h.prev))
	b = binary.BigEndian.AppendUint64(b, h.boot)
	var flags uint32
	if h.clean {
		flags = flagClean
	}
	b = binary.BigEndian.AppendUint32(b, flags)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic || !checksumEnds(b[:segmentHeader]) {
		return h, false
	}
	h.id = binary.BigEndian.Uint64(b[8:])
	h.base = int64(binary.BigEndian.Uint64(b[16:]))
	h.prev = int64(binary.BigEndian.Uint64(b[24:]))
	h.boot = binary.BigEndian.Uint64(b[32:])
	h.clean = binary.BigEndian.Uint32(b[40:])&flagClean != 0
	return h, 0 <= h.prev && h.prev <= h.base && h.base < maxOffset
}

// seed is what the checksums of the segment's record headers begin with.
func (h header) seed() uint32 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], h.id)
	binary.BigEndian.PutUint64(b[8:], uint64(h.base))
	return crc32.Checksum(b[:], castagnoli)
}

func (h header) name() string { return fmt.Sprintf("%016x.seg", h.base) }

// parseName gives the base that a segment's file name says.
func parseName(name string) (base int64, ok bool) {
	hex, isSegment := strings.CutSuffix(name, ".seg")
	if !isSegment || len(hex) != 16 {
		return 0, false
	}
	base, err := strconv.ParseInt(hex, 16, 64)
	return base, err == nil && 0 <= base && base < maxOffset && name == header{base: base}.name()
}

type record struct {
	length, at int64
	data       uint32 // its checksum
}

// appendRecord appends the header of a record that holds p.
func appendRecord(b []byte, seed uint32, at int64, p []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
	b = binary.BigEndian.AppendUint32(b, uint32(at))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(p, castagnoli))
	return binary.BigEndian.AppendUint32(b, crc32.Update(seed, castagnoli, b[start:]))
}

func parseRecord(b []byte, seed uint32) (r record, ok bool) {
	length := binary.BigEndian.Uint32(b)
	if length == 0 || length > MaxAppend ||
		crc32.Update(seed, castagnoli, b[:12]) != binary.BigEndian.Uint32(b[12:]) {
		return r, false
	}
	return record{int64(length), int64(binary.BigEndian.Uint32(b[4:])), binary.BigEndian.Uint32(b[8:])}, true
}

type slot struct {
	id               uint64
	boot             uint64
	committed, clean int64
	count            uint64
}

func (s slot) append(b []byte) []byte {
	start := len(b)
	b = append(b, stateMagic...)
	b = binary.BigEndian.AppendUint64(b, s.id)
	b = binary.BigEndian.AppendUint64(b, s.boot)
	b = binary.BigEndian.AppendUint64(b, uint64(s.committed))
	b = binary.BigEndian.AppendUint64(b, uint64(s.clean))
	b = binary.BigEndian.AppendUint64(b, s.count)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseSlot(b []byte) (s slot, ok bool) {
	if len(b) < slotSize || string(b[:8]) != stateMagic || !checksumEnds(b[:slotSize]) {
		return s, false
	}
	s.id = binary.BigEndian.Uint64(b[8:])
	s.boot = binary.BigEndian.Uint64(b[16:])
	s.committed = int64(binary.BigEndian.Uint64(b[24:]))
	s.clean = int64(binary.BigEndian.Uint64(b[32:]))
	s.count = binary.BigEndian.Uint64(b[40:])
	return s, 0 <= s.committed && s.committed < maxOffset
}

// parseState gives the newer of the two slots.
func parseState(b []byte) (s slot, ok bool) {
	s, ok = parseSlot(b)
	if len(b) > slotStride {
		if t, also := parseSlot(b[slotStride:]); also && (!ok || t.count > s.count) {
			return t, true
		}
	}
	return s, ok
}

func checksumEnds(b []byte) bool {
	n := len(b) - 4
	return crc32.Checksum(b[:n], castagnoli) == binary.BigEndian.Uint32(b[n:])
}
