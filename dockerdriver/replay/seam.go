package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"

	"github.com/liveblob/azureblob/core/record"
)

// partSize is where dockerd cuts a line.
const partSize = 16 << 10

// seam is what the beginning of the spool tells about where the blob's older lines
// end. The zero seam is nowhere: all of the blob is older.
type seam struct {
	lines []edge // that have a part in the spool up to the first line end there
	ended bool   // there is a line end; else more may come
	end   int64  // of what was looked at

	first int64 // the time of the first entry; 0: there is none
	begun int64 // the time at which the first line begins in the spool; MinInt64: none does
}

// edge is a line at the beginning of the spool.
type edge struct {
	source string
	time   int64
	parts  bool   // it came in parts
	cut    bool   // the first of them are not in the spool
	text   []byte // of one that came whole, as the blob has it
}

// look finds the seam at the offset at which the spool begins.
func (l *reading) look(ctx context.Context, from int64) (seam, error) {
	s := seam{end: l.Spool.End(), begun: math.MinInt64}
	f := l.frames(ctx, from, s.end)
	defer f.close()
	for !s.ended || s.begun == math.MinInt64 {
		e, err := f.next()
		if errors.As(err, new(*hole)) {
			continue
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return seam{}, err
		}
		if s.first == 0 {
			s.first = e.Time
		}
		cut := e.Partial && e.Ordinal > 1
		if !cut && s.begun == math.MinInt64 {
			s.begun = e.Time
		}
		if s.ended {
			continue
		}
		s.ended = !e.Partial || e.Last
		switch {
		case !e.Partial:
			s.lines = append(s.lines, edge{source: e.Source, time: e.Time, text: l.asInBlob(e.Line)})
		case s.inParts(e.Source, e.Time) == nil:
			s.lines = append(s.lines, edge{source: e.Source, time: e.Time, parts: true, cut: cut})
		}
	}
	return s, nil
}

// asInBlob is a line as it is read from the blob.
func (l *reading) asInBlob(text []byte) []byte {
	if l.Blob.Format == record.JSON {
		return []byte(string([]rune(string(text)))) // with U+FFFD for what is not UTF-8
	}
	return bytes.Clone(text)
}

// inParts gives the line of that stream and time that came in parts, or nil.
func (s *seam) inParts(source string, time int64) *edge {
	for i := range s.lines {
		if e := &s.lines[i]; e.parts && e.source == source && e.time == time {
			return e
		}
	}
	return nil
}

// holds reports that a record is of a line that is in the spool from its beginning.
func (s *seam) holds(r *line) bool {
	for i := range s.lines {
		e := &s.lines[i]
		if e.source == r.Stream && e.time == r.at && !e.cut && (e.parts || bytes.Equal(e.text, r.Line)) {
			return true
		}
	}
	return false
}

// cuts reports that a record is of a line of which the spool has only later parts.
func (s *seam) cuts(r *line) bool {
	e := s.inParts(r.Stream, r.at)
	return e != nil && e.cut
}
