// Package record makes the bytes of a log: one record at a time, and
// compressed members for each flush of them.
//
//	Record ─ Format.Append ─► bytes of a flush ─ Compressor.Append ─► members ─► blob
//	blob ─ NewDecoder ─► the bytes of all flushes ─ line by line, Format.Parse ─► Record
//
// The three formats, for the line `hi` of stdout:
//
//	json  {"log":"hi\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-11-23T02:08:25.743042951Z"}
//	text  2026-11-23T02:08:25.743042951Z stdout F hi
//	raw   hi
//
// json has the keys of Docker's json-file, so what reads those files reads this;
// text is the CRI's line, as Kubernetes' tools read it. Times are UTC and always
// have nine fractional digits, so that records sort as text.
//
// Everything here appends to the caller's slice and keeps nothing: there is no
// state, all of it may be used by many goroutines at once, and a slice that is
// used again makes a record cost no allocation. Every line gives a record,
// whatever its bytes: text and raw keep them all; JSON cannot carry invalid
// UTF-8 and says so with U+FFFD (see AppendString).
package record

import (
	"bytes"
	"cmp"
	"fmt"
	"time"
)

// Record is one line of a log.
type Record struct {
	Time    time.Time
	Stream  string // "stdout" or "stderr", one word; "" is stdout
	Line    []byte // without its newline
	Attrs   []byte // a JSON object made once by AppendAttrs, or nil; json only
	Partial bool   // the line goes on in the next record
}

// Format is how a record is written.
type Format uint8

const (
	JSON Format = iota // one JSON object a line
	Text               // time stamp, stream, F or P (partial), line
	Raw                // the line alone
)

// ParseFormat is the format of that name.
func ParseFormat(name string) (Format, error) {
	for _, f := range []Format{JSON, Text, Raw} {
		if name == f.String() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("parse format %q: use json, text or raw", name)
}

// String is the name that ParseFormat takes.
func (f Format) String() string {
	switch f {
	case JSON:
		return "json"
	case Text:
		return "text"
	case Raw:
		return "raw"
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// ContentType is the media type of a blob of such records.
func (f Format) ContentType() string {
	if f == JSON {
		return "application/x-ndjson"
	}
	return "text/plain; charset=utf-8"
}

// Append appends r's bytes to dst. A partial record ends its line in no format
// but text, where the tag P says that the line goes on.
func (f Format) Append(dst []byte, r *Record) []byte {
	switch f {
	case JSON:
		return appendJSON(dst, r)
	case Text:
		return appendText(dst, r)
	}
	dst = append(dst, r.Line...)
	if !r.Partial {
		dst = append(dst, '\n')
	}
	return dst
}

func appendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendEscaped(dst, r.Line, false)
	if !r.Partial {
		dst = append(dst, `\n`...)
	}
	dst = append(dst, `","stream":`...)
	dst = AppendString(dst, cmp.Or(r.Stream, "stdout"))
	if len(r.Attrs) > 0 {
		dst = append(dst, `,"attrs":`...)
		dst = append(dst, r.Attrs...)
	}
	dst = append(dst, `,"time":"`...)
	dst = appendTime(dst, r.Time)
	return append(dst, '"', '}', '\n')
}

// appendText writes a line that has newlines inside (a field of a Fluent Bit
// record may) as that many lines, so that each line of the blob stands alone
// and no log can forge a time stamp.
func appendText(dst []byte, r *Record) []byte {
	for line, last := r.Line, false; !last; {
		piece := line
		end := bytes.IndexByte(line, '\n')
		if last = end < 0; !last {
			piece, line = line[:end], line[end+1:]
		}
		dst = appendTime(dst, r.Time)
		dst = append(dst, ' ')
		dst = append(dst, cmp.Or(r.Stream, "stdout")...)
		if last && r.Partial {
			dst = append(dst, " P "...)
		} else {
			dst = append(dst, " F "...)
		}
		dst = append(dst, piece...)
		dst = append(dst, '\n')
	}
	return dst
}

const timeLayout = "2006-01-02T15:04:05.000000000Z"

// appendTime is t.UTC().AppendFormat(dst, timeLayout) at a fraction of its cost.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if uint(year) > 9999 { // more than four digits, or a sign
		return t.AppendFormat(dst, timeLayout)
	}
	hour, minute, second := t.Clock()
	ns := uint32(t.Nanosecond())

	dst = append(dst, timeLayout...)
	b := (*[len(timeLayout)]byte)(dst[len(dst)-len(timeLayout):])
	b[0], b[1] = digits(uint32(year) / 100)
	b[2], b[3] = digits(uint32(year) % 100)
	b[5], b[6] = digits(uint32(month))
	b[8], b[9] = digits(uint32(day))
	b[11], b[12] = digits(uint32(hour))
	b[14], b[15] = digits(uint32(minute))
	b[17], b[18] = digits(uint32(second))
	b[20] = byte('0' + ns/1e8)
	b[21], b[22] = digits(ns / 1e6 % 100)
	b[23], b[24] = digits(ns / 1e4 % 100)
	b[25], b[26] = digits(ns / 100 % 100)
	b[27], b[28] = digits(ns % 100)
	return dst
}

// digits are the two digits of n, which is below 100.
func digits(n uint32) (tens, units byte) {
	return byte('0' + n/10), byte('0' + n%10)
}
