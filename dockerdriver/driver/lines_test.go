package driver

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

func TestCursorText(t *testing.T) {
	for _, c := range []cursor{
		cursorAt("0123456789abcdef", 0),
		cursorAt("0123456789abcdef", 1<<50),
		{spool: "a", offset: 7, held: [...]int64{3, -1}},
		{spool: "a", offset: 7, held: [...]int64{0, 5}},
	} {
		if got, err := parseCursor(c.String()); err != nil || got != c {
			t.Errorf("%q is read as %+v, %v", c, got, err)
		}
	}
	for _, bad := range []string{"", "a", "a 1", "a 1 -", "a - - -", "a 1 - - -", "a -1 - -", "a 1 - x", "a 1 2x -"} {
		if c, err := parseCursor(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}

func show(r *record.Record) string {
	s := fmt.Sprintf("%d %s %s", r.Time.UnixNano(), r.Stream, r.Line)
	if r.Partial {
		s += "…"
	}
	return s
}

func TestLinesAreJoinedBySource(t *testing.T) {
	part := func(source, id string, n int32, last bool, line string) frame.Entry {
		return frame.Entry{Source: source, Time: 5, Line: []byte(line), Partial: true, Last: last, ID: id, Ordinal: n}
	}
	line := func(source, line string) frame.Entry {
		return frame.Entry{Source: source, Time: 9, Line: []byte(line)}
	}
	for _, c := range []struct {
		what   string
		frames []frame.Entry
		want   []string
	}{
		{"whole lines", []frame.Entry{line("stdout", "a"), line("stderr", ""), line("stdout", "b")},
			[]string{"9 stdout a", "9 stderr ", "9 stdout b"}},
		{"parts of both, mixed", []frame.Entry{
			part("stdout", "1", 1, false, "a"), part("stderr", "2", 1, false, "x"), part("stdout", "1", 2, false, "b"),
			line("stderr", "later"), part("stdout", "1", 3, true, "c")},
			[]string{"5 stderr x…", "9 stderr later", "5 stdout abc"}},
		{"a line that never ended, and one after it", []frame.Entry{
			part("stdout", "1", 1, false, "a"), part("stdout", "2", 1, false, "b"), part("stdout", "2", 2, true, "c")},
			[]string{"5 stdout a…", "5 stdout bc"}},
		{"the end of the log", []frame.Entry{part("stdout", "1", 1, false, "a")},
			[]string{"5 stdout a…"}},
		{"the end of a line alone", []frame.Entry{part("stdout", "1", 7, true, "z")},
			[]string{"5 stdout z"}},
		{"parts without metadata, of old engines", []frame.Entry{
			{Source: "stdout", Time: 5, Line: []byte("a"), Partial: true}, line("stdout", "b")},
			[]string{"5 stdout ab"}},
	} {
		var got []string
		emit := func(r *record.Record) { got = append(got, show(r)) }
		j := newJoiner()
		for i, e := range c.frames {
			j.add(&e, int64(i), emit)
		}
		j.flush(emit)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
		if n := holding.Load(); n != 0 {
			t.Fatalf("%s: %d bytes are counted as held", c.what, n)
		}
	}
}

func TestWholeLinesAreNoGarbage(t *testing.T) {
	j := newJoiner()
	e := frame.Entry{Source: "stdout", Time: 5, Line: []byte("hello")}
	total := 0
	emit := func(r *record.Record) { total += len(r.Line) }
	if n := testing.AllocsPerRun(1000, func() { j.add(&e, 0, emit) }); n > 0 || total == 0 {
		t.Errorf("%v allocations for a line, %d bytes written", n, total)
	}
}

func TestHugeLinesArePieces(t *testing.T) {
	j := newJoiner()
	var sizes []int
	emit := func(r *record.Record) { sizes = append(sizes, len(r.Line)) }
	chunk := make([]byte, 1<<20)
	for i := range 40 {
		j.add(&frame.Entry{Source: "stdout", Line: chunk, Partial: true, ID: "1", Ordinal: int32(i + 1), Last: i == 39}, int64(i), emit)
	}
	if want := []int{maxLine, 8 << 20}; !slices.Equal(sizes, want) {
		t.Errorf("a line of 40 MiB is written as %v, not %v", sizes, want)
	}
	// All together hold no more than maxHeld, and a little for each.
	many := make([]*joiner, 200)
	for i := range many {
		many[i] = newJoiner()
		for n := range 4 {
			many[i].add(&frame.Entry{Source: "stderr", Line: chunk[:512<<10], Partial: true, ID: "1", Ordinal: int32(n + 1)}, 0, emit)
		}
	}
	if n, limit := holding.Load(), int64(maxHeld+len(many)<<20); n > limit {
		t.Errorf("%d bytes are held, and %d are the most", n, limit)
	}
	for _, j := range many {
		j.drop()
	}
}

func TestHeldPartsAreShownInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoiner()
		var got []string
		emit := func(r *record.Record) { got = append(got, show(r)) }
		if d := j.due(time.Now()); d != 0 {
			t.Errorf("nothing is held, and due in %v", d)
		}
		j.add(&frame.Entry{Source: "stdout", Time: 5, Line: []byte("12%\r"), Partial: true, ID: "1", Ordinal: 1}, 40, emit)
		time.Sleep(j.due(time.Now()) - time.Millisecond)
		j.flushOld(time.Now(), emit)
		if len(got) != 0 || j.held() != [...]int64{40, -1} {
			t.Errorf("too early: %q, held %v", got, j.held())
		}
		time.Sleep(j.due(time.Now()))
		j.flushOld(time.Now(), emit)
		if want := []string{"5 stdout 12%\r…"}; !slices.Equal(got, want) || j.held() != [...]int64{-1, -1} {
			t.Errorf("got %q, held %v", got, j.held())
		}
	})
}
