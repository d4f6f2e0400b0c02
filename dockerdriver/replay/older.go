package replay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// beyond is how much of the blob is looked through behind the seam.
const beyond = 4 << 20

// older hands over what is only in the blob, or a line that says why it cannot.
func (l *reading) older(ctx context.Context) error {
	if l.Spool != nil {
		var err error
		if l.seam, err = l.look(ctx, l.from); err != nil {
			return err
		}
		if l.seam.first != 0 && l.early(l.seam.first) {
			return nil // and so is all that is older
		}
	}
	err := l.inBlob(ctx)
	var u *unreadable
	if !errors.As(err, &u) {
		return err
	}
	l.skip = 0 // the spool has fewer than are wanted
	there := "are"
	if l.from == 0 { // then there may be nothing older
		if errors.Is(err, liveblob.ErrNotFound) {
			return nil
		}
		there = "may be"
	}
	return l.say(l.seam.first, fmt.Sprintf("older lines %s in %s, and cannot be read now: %v", there, l.Blob.Where, u.err))
}

// inBlob hands over what is only in the blob.
func (l *reading) inBlob(ctx context.Context) error {
	if l.Blob.Format == record.Raw {
		return &unreadable{errors.New("the format raw keeps neither times nor streams")}
	}
	at, err := l.find(ctx)
	if err != nil {
		return err
	}
	if l.Tail > 0 { // once to count, and once more to read: lines are not kept
		n := 0
		if err := l.readBlob(ctx, at, func(*frame.Entry) error { n++; return nil }); err != nil {
			clear(l.long)
			return err
		}
		held, err := l.count(ctx, l.from, l.end)
		if err != nil {
			return err
		}
		l.skip = max(0, n+held-l.Tail)
	}
	return l.readBlob(ctx, at, l.give)
}

// unreadable is why the blob could not be read, or not to its end.
type unreadable struct{ err error }

func (u *unreadable) Error() string { return u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

// readBlob hands over the entries of the blob up to the seam, and those behind it of
// lines that began before it.
func (l *reading) readBlob(ctx context.Context, at place, give func(*frame.Entry) error) error {
	clear(l.long)
	in, err := l.open(ctx, at)
	if err != nil {
		return err
	}
	var r line
	for past := -1; past < beyond; { // bytes behind the seam; -1: it is yet to come
		text, err := in.next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r.parse(l.Blob.Format, text)
		wanted := past < 0
		if past < 0 {
			met, err := l.met(ctx, &r)
			if err != nil {
				return err
			}
			if met {
				past = 0
				wanted = l.seam.cuts(&r)
			}
		} else {
			past += len(text)
			wanted = l.seam.cuts(&r) || r.at < l.seam.begun && r.inParts()
		}
		if wanted {
			if err := l.handOver(&r, give); err != nil {
				return err
			}
		}
	}
	return nil
}

// met reports that the blob has come to the seam. It looks for the seam again if it
// has moved meanwhile, because the spool has dropped its beginning, or was not to be
// seen before.
func (l *reading) met(ctx context.Context, r *line) (bool, error) {
	if l.Spool == nil {
		return false, nil
	}
	for {
		met := l.seam.holds(r) || l.seam.cuts(r) && !r.Partial
		if !met && l.seam.ended {
			return false, nil
		}
		st := l.Spool.Stats()
		if st.First <= l.from && (l.seam.ended || st.End == l.seam.end) {
			return met, nil
		}
		var err error
		l.from = st.First
		if l.seam, err = l.look(ctx, l.from); err != nil {
			return false, err
		}
	}
}

// line is a record of the blob.
type line struct {
	record.Record
	at int64 // its time
}

func (r *line) parse(f record.Format, text []byte) {
	if err := f.Parse(text, &r.Record); err != nil { // it is shown as it is
		r.Record = record.Record{Time: time.Unix(0, r.at), Line: bytes.TrimSuffix(text, []byte{'\n'})}
	}
	r.at, r.Stream = r.Time.UnixNano(), cmp.Or(r.Stream, "stdout")
}

// inParts reports that r is a line, or a piece of one, that dockerd has cut.
func (r *line) inParts() bool { return r.Partial || len(r.Line) >= partSize }

// long is a line in parts that was handed over from the blob, as far as it is there.
type long struct {
	time  int64
	bytes int64 // at least
	ended bool
}

// goesOn reports that r is another piece of the line that was handed over last.
func (l *reading) goesOn(r *line) bool {
	last := l.long[r.Stream]
	return last.time == r.at && !last.ended
}

// handOver gives a record as the parts that dockerd made of it.
func (l *reading) handOver(r *line, give func(*frame.Entry) error) error {
	if r.inParts() || l.goesOn(r) {
		n := int64(len(r.Line))
		if l.Blob.Format == record.JSON {
			n -= 2 * int64(bytes.Count(r.Line, []byte("\ufffd"))) // in place of one byte each
		}
		if l.goesOn(r) {
			n += l.long[r.Stream].bytes
		}
		l.long[r.Stream] = long{time: r.at, bytes: n, ended: !r.Partial}
	}
	e := &l.part
	*e = frame.Entry{Source: r.Stream, Time: r.at, Line: r.Line}
	if !r.inParts() {
		return give(e)
	}
	e.Partial = true
	for rest := r.Line; ; {
		e.Line = rest[:min(len(rest), partSize)]
		rest = rest[len(e.Line):]
		e.Ordinal++
		e.Last = !r.Partial && len(e.Line) < partSize
		if err := give(e); err != nil {
			return err
		}
		if e.Last || r.Partial && len(rest) == 0 {
			return nil
		}
	}
}

// shown reports that an entry of the spool was handed over from the blob.
func (l *reading) shown(e *frame.Entry) bool {
	if !e.Partial || len(l.long) == 0 {
		return false
	}
	last := l.long[e.Source]
	return last.time == e.Time && (last.ended || (int64(e.Ordinal)-1)*partSize < last.bytes)
}
