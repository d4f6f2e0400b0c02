package output

import (
	"fmt"
	"testing"
	"time"
)

func TestFound(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	o := &Output{run: "12345678"}
	s := &stream{o: o, recent: recent{{1, old}}, doubt: []mark{2, 3}}
	s.found(recent{{1, old}, {2, old}, {4, old}}.cursor(o.run))
	switch {
	case len(s.recent) != 3 || s.recent[0].at != old || time.Since(s.recent[2].at) > time.Minute:
		t.Errorf("recent: %v", s.recent)
	case len(s.doubt) != 1 || s.doubt[0] != 3:
		t.Errorf("in doubt: %v", s.doubt)
	case fmt.Sprint(s.landed) != "[{2 true}]":
		t.Errorf("landed: %v", s.landed)
	}
	s.found(recent{{2, old}, {5, old}}.cursor("another1"))
	if fmt.Sprint(s.landed) != "[{2 true} {5 false}]" {
		t.Errorf("landed: %v", s.landed)
	}
	s.comesAgain(5)
	if fmt.Sprint(s.landed) != "[{2 true} {5 true}]" {
		t.Errorf("landed: %v", s.landed)
	}
}

func TestTrim(t *testing.T) {
	now := time.Now()
	made := func(old, young int) (r recent) {
		for i := range old + young {
			at := now.Add(-keepFor - time.Second)
			if i >= old {
				at = now
			}
			r = append(r, marked{mark(i), at})
		}
		return r
	}
	for _, c := range []struct {
		r           recent
		coming      []landed
		first, want int
	}{
		{nil, nil, 0, 0},
		{made(keepLast, 0), nil, 0, keepLast},
		{made(50, 0), nil, 50 - keepLast, keepLast},
		{made(50, 30), nil, 50, 30},
		{made(50, 3), nil, 53 - keepLast, keepLast},
		{made(50, 0), []landed{{7, true}, {8, false}}, 7, keepLast + 1},
		{made(10, 190), nil, 200 - maxMarks, maxMarks},
	} {
		got := c.r.trim(now, c.coming)
		if len(got) != c.want || len(got) > 0 && got[0].mark != mark(c.first) {
			t.Errorf("%d marks: %d are left, want %d from %d: %v", len(c.r), len(got), c.want, c.first, got)
		}
	}
	if s := made(0, maxMarks).cursor("12345678"); len(s) > 2048 {
		t.Errorf("a cursor has %d bytes", len(s))
	}
}

// Marks tell chunks of one tag from another's.
func TestMarkOf(t *testing.T) {
	all := map[mark]bool{
		markOf("json", "a", []byte("x")): true, markOf("json", "b", []byte("x")): true,
		markOf("json", "a", []byte("y")): true, markOf("raw", "a", []byte("x")): true,
	}
	if len(all) != 4 {
		t.Error("alike")
	}
}
