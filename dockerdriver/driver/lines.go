package driver

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// Bounds of a line that is joined from its parts. A longer one goes on in a record
// of its own, as every line over 16 KiB does in json-file.
const (
	maxLine  = 32 << 20 // bytes
	maxShort = 1 << 18  // where the process holds too much already
	maxHeld  = 64 << 20 // bytes that all logs of the process hold together
	maxWait  = 2 * time.Second
)

// holding is what all joiners hold, and long lines on their way to a blob, in bytes.
var holding atomic.Int64

// joiner makes lines of frames. dockerd cuts a line every 16 KiB, and the parts of
// stdout's lines and stderr's come mixed. A line is written when its last part is
// there, with the time of its first.
//
// What a joiner holds is known by offsets alone (cursor.held), so that after a
// restart the same parts are read from the spool again.
type joiner struct {
	lines [len(sources)]line
	out   record.Record // what emit is given, kept here lest each line make a new one
}

// line is one that has begun and not ended.
type line struct {
	from  int64 // offset of its first part; -1: there is none
	entry frame.Entry
	text  []byte
	since time.Time // when its newest part came
}

func newJoiner() *joiner {
	j := new(joiner)
	for i := range j.lines {
		j.lines[i].from = -1
	}
	return j
}

// add takes the frame at offset at, and gives emit what it ends, nothing of which
// is kept or may be.
func (j *joiner) add(e *frame.Entry, at int64, emit func(*record.Record)) {
	l := &j.lines[sourceIndex(e.Source)]
	if l.from >= 0 && l.entry.ID != e.ID {
		j.end(l, emit, true) // it never ended: the container did, or parts are lost
	}
	ends := !e.Partial || e.Last
	if l.from < 0 {
		if ends {
			j.emit(emit, e, e.Line, false)
			return
		}
		l.from, l.entry = at, *e
		l.entry.Line = nil
	}
	l.text = append(l.text, e.Line...)
	l.since = time.Now()
	total := holding.Add(int64(len(e.Line)))
	switch {
	case ends:
		j.end(l, emit, false)
	case len(l.text) >= maxLine, len(l.text) >= maxShort && total > maxHeld:
		j.end(l, emit, true)
	}
}

// end writes what is held of a line. partial: the line goes on, or never ended.
func (j *joiner) end(l *line, emit func(*record.Record), partial bool) {
	if l.from < 0 {
		return
	}
	j.emit(emit, &l.entry, l.text, partial)
	l.drop()
}

func (j *joiner) emit(emit func(*record.Record), e *frame.Entry, text []byte, partial bool) {
	j.out = record.Record{Time: time.Unix(0, e.Time), Stream: e.Source, Line: text, Partial: partial}
	emit(&j.out)
	j.out = record.Record{}
}

func (l *line) drop() {
	holding.Add(-int64(len(l.text)))
	*l = line{from: -1}
}

// flush writes all that is held, for a log that ends or has a gap.
func (j *joiner) flush(emit func(*record.Record)) {
	for i := range j.lines {
		j.end(&j.lines[i], emit, true)
	}
}

// flushOld writes what has been held for long: a progress bar without line ends is
// to be seen as well.
func (j *joiner) flushOld(now time.Time, emit func(*record.Record)) {
	for i := range j.lines {
		if l := &j.lines[i]; now.Sub(l.since) >= maxWait {
			j.end(l, emit, true)
		}
	}
}

// due is how long from now flushOld has something to do; 0: nothing is held.
func (j *joiner) due(now time.Time) time.Duration {
	var due time.Duration
	for i := range j.lines {
		if l := &j.lines[i]; l.from >= 0 {
			left := max(maxWait-now.Sub(l.since), time.Millisecond)
			due = min(left, cmp.Or(due, left))
		}
	}
	return due
}

// drop forgets what is held; it is still in the spool.
func (j *joiner) drop() {
	for i := range j.lines {
		if j.lines[i].from >= 0 {
			j.lines[i].drop()
		}
	}
}

// held are the offsets from which each source's parts are held; -1: none are.
func (j *joiner) held() (from [len(sources)]int64) {
	for i := range j.lines {
		from[i] = j.lines[i].from
	}
	return from
}
