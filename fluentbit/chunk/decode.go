package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Event is one log event. Its slices are parts of the chunk; Meta, Group and
// Body are well-formed msgpack.
type Event struct {
	Time  time.Time // UTC
	Meta  []byte    // metadata, a map that is not empty; nil: none
	Group []byte    // attributes of the group that the event is in, a map that is not empty; nil: none
	Body  []byte    // one value, a map but for odd inputs
}

// Decoder walks through a chunk. The zero value is at the end of an empty one.
type Decoder struct {
	chunk  []byte
	next   int    // where the next event begins
	group  []byte // of the events to come
	damage Damage
}

// Damage is what of a chunk could not be read.
type Damage struct {
	Bytes  int   // at the chunk's end, behind what is not msgpack
	Events int   // well-formed msgpack, skipped because it is no event
	Err    error // what was wrong first, and where
}

// Reset makes d begin with a chunk. What it has given of another stays valid.
func (d *Decoder) Reset(chunk []byte) {
	*d = Decoder{chunk: chunk}
}

// Next reads the next event into e, and says whether there was one. Markers of
// groups are not events. What is well-formed but no event is skipped and
// counted; what is not well-formed ends the walk, because nothing says where the
// next event would begin.
func (d *Decoder) Next(e *Event) bool {
	for d.next < len(d.chunk) {
		start := d.next
		n, err := skip(d.chunk[start:])
		if n == 0 {
			d.fail(start, err)
			d.damage.Bytes = len(d.chunk) - start
			d.next = len(d.chunk)
			return false
		}
		d.next += n
		var mark marker
		if err == nil {
			mark, err = e.parse(d.chunk[start:d.next:d.next])
		}
		switch {
		case err != nil:
			d.fail(start, err)
			d.damage.Events++
		case mark == groupStart:
			d.group = full(e.Body)
		case mark == groupEnd:
			d.group = nil
		default:
			e.Group = d.group
			return true
		}
	}
	return false
}

// Damage is what could not be read so far; nil: nothing.
func (d *Decoder) Damage() *Damage {
	if d.damage.Err == nil {
		return nil
	}
	damage := d.damage
	return &damage
}

func (d *Decoder) fail(at int, err error) {
	if d.damage.Err == nil {
		d.damage.Err = fmt.Errorf("decode chunk of %d bytes at byte %d: %w", len(d.chunk), at, err)
	}
}

type marker uint8

const (
	noMarker marker = iota
	groupStart
	groupEnd
)

var (
	errShape  = errors.New("no event: want [time, body] or [[time, metadata], body]")
	errTime   = errors.New("no event: its time is none")
	errMeta   = errors.New("no event: its metadata is no map")
	errMarker = errors.New("a group's start or end whose body is no map")
)

// parse reads an event or a marker from b, which is exactly one well-formed
// value.
func (e *Event) parse(b []byte) (mark marker, err error) {
	values, i, ok := arrayHeader(b)
	if !ok || values != 2 {
		return 0, errShape
	}
	values, head, v2 := arrayHeader(b[i:])
	if v2 {
		if values != 2 {
			return 0, errShape
		}
		i += head
	}
	e.Time, mark, ok = eventTime(b[i:])
	if !ok {
		return 0, errTime
	}
	i += length(b[i:])
	e.Meta = nil
	if v2 {
		if _, _, ok := mapHeader(b[i:]); !ok {
			return 0, errMeta
		}
		n := length(b[i:])
		e.Meta = full(b[i : i+n : i+n])
		i += n
	}
	e.Body = b[i:]
	if mark != noMarker {
		if _, _, ok := mapHeader(e.Body); !ok {
			return 0, errMarker
		}
	}
	return mark, nil
}

// full is a map, or nil if it is empty.
func full(m []byte) []byte {
	if keys, _, _ := mapHeader(m); keys == 0 {
		return nil
	}
	return m
}

// maxSeconds is as far from 1970 as a time may be, 285 million years: its
// milliseconds are an int64. Milliseconds that somebody took for seconds are well
// within.
const maxSeconds = 1 << 53

// eventTime reads an event's time as Fluent Bit's own decoder does, and those
// before 1970 too.
func eventTime(b []byte) (t time.Time, mark marker, ok bool) {
	if kind, data, _, ok := extension(b); ok {
		if kind != 0 || len(data) != 8 {
			return t, 0, false
		}
		sec, ns := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
		if sec >= math.MaxUint32-1 {
			mark = groupStart
			if sec == math.MaxUint32-1 {
				mark = groupEnd
			}
			return t, mark, ns == 0
		}
		return time.Unix(int64(sec), int64(ns)).UTC(), 0, ns < 1e9
	}
	if n, negative, ok := integer(b); ok {
		if negative {
			return time.Unix(int64(n), 0).UTC(), 0, int64(n) > -maxSeconds
		}
		return time.Unix(int64(n), 0).UTC(), 0, n < maxSeconds
	}
	f, ok := float(b)
	if !ok || !(math.Abs(f) < maxSeconds) { // NaN is not
		return t, 0, false
	}
	sec := math.Floor(f)
	return time.Unix(int64(sec), int64((f-sec)*1e9)).UTC(), 0, true
}
