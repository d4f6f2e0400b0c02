package dockertest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// numbered is what a Numbered wrote through a real FIFO.
func numbered(t *testing.T, n *Numbered, sources ...string) []Line {
	t.Helper()
	p := newFakePlugin(t).serve(t)
	c := quick(t, p).Start(t, Spec{})
	for _, source := range sources {
		must(t, n.Write(c, source))
	}
	_, err := c.Stop()
	must(t, err)
	<-p.streams[0].done
	var l Logs
	for _, e := range entries(p.streams[0].data) {
		if e.Line = slices.Clone(e.Line); !e.Partial || e.Last {
			e.Line = append(e.Line, '\n')
		}
		l.Entries = append(l.Entries, e)
	}
	return l.Lines()
}

func TestNumbered(t *testing.T) {
	n := &Numbered{Name: "web", Size: 30}
	good := numbered(t, n, "stdout", "stdout", "stderr", "stdout", "stderr", "stdout")
	if len(good) != 6 || n.Written("stdout") != 4 || n.Written("stderr") != 2 || good[0].Text != "web stdout 1 =================" {
		t.Fatalf("%d lines, %+v", len(good), good)
	}
	must(t, n.Check(good))
	must(t, n.Check([]Line{good[2], good[4], good[0], good[1], good[3], good[5]})) // sources may overtake
	must(t, (&Numbered{Name: "none"}).Check(nil))
	long := &Numbered{Name: "long", Size: 40_000}
	parts := numbered(t, long, "stdout", "stderr", "stdout")
	if must(t, long.Check(parts)); len(parts) != 3 {
		t.Errorf("%d lines", len(parts))
	}

	without := func(i int) []Line { return slices.Delete(slices.Clone(good), i, i+1) }
	changed := func(i int, text string) []Line {
		c := slices.Clone(good)
		c[i].Text = text
		return c
	}
	for name, test := range map[string]struct {
		lines []Line
		want  []string
	}{
		"missing":      {without(1), []string{"1 are missing, 0 doubled", "first: stdout 2 is missing", "> 3 stdout: \"web stdout 3 ="}},
		"first":        {without(0), []string{"1 are missing", "stdout 1 is missing"}},
		"last":         {without(5), []string{"1 are missing", "stdout ends with 3, but 4 were written", "> the end"}},
		"all":          {nil, []string{"of 6 lines", "6 are missing", "stdout ends with 0"}},
		"doubled":      {slices.Insert(slices.Clone(good), 3, good[1]), []string{"0 are missing, 1 doubled, 0 out of order", "stdout 2 is there twice", "> 4 stdout"}},
		"all twice":    {slices.Concat(good, good), []string{"0 are missing, 6 doubled"}},
		"swapped":      {[]Line{good[1], good[0], good[2], good[3], good[4], good[5]}, []string{"0 are missing, 0 doubled, 1 out of order", "stdout 1 is missing"}},
		"cut":          {changed(0, good[0].Text[:20]), []string{"1 are missing", "1 others", "line 1 of the log is none"}},
		"damaged":      {changed(0, strings.Replace(good[0].Text, "=", "-", 1)), []string{"1 others"}},
		"longer":       {changed(0, good[0].Text+"="), []string{"1 others"}},
		"wrong number": {changed(5, "web stdout 5 ================="), []string{"1 others", "1 are missing"}},
		"foreign":      {append(slices.Clone(good), Line{"stderr", "hello"}), []string{"0 are missing", "1 others", "line 7 of the log"}},
		"wrong source": {append(without(2), Line{"stdout", good[2].Text}), []string{"1 others"}},
	} {
		err := n.Check(test.lines)
		if err == nil {
			t.Errorf("%s: not found", name)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nhas no %q", name, err, want)
			}
		}
	}
}

// TestBlobLines reads back what the formats make, compressed or not.
func TestBlobLines(t *testing.T) {
	n := &Numbered{Name: "web"}
	lines := numbered(t, n, "stdout", "stderr", "stdout")
	// Parts of a line, with lines of the other source between them.
	for _, format := range []record.Format{record.JSON, record.Text} {
		var b azuretest.Blob
		for _, r := range []record.Record{
			{Stream: "stderr", Line: []byte("a long "), Partial: true}, {Stream: "stdout", Line: []byte("x")},
			{Stream: "stderr", Line: []byte("line "), Partial: true}, {Stream: "stderr", Line: []byte("in parts")},
			{Stream: "stdout", Line: []byte("end"), Partial: true},
		} {
			b.Content = format.Append(b.Content, &r)
		}
		got, err := BlobLines(b, format.String())
		must(t, err)
		if want := []Line{{"stdout", "x"}, {"stderr", "a long line in parts"}, {"stdout", "end"}}; !slices.Equal(got, want) {
			t.Errorf("%v: %q", format, got)
		}
	}
	for _, format := range []record.Format{record.JSON, record.Text, record.Raw} {
		for _, compress := range []string{"none", "gzip", "zstd"} {
			compressor, err := record.NewCompressor(compress)
			must(t, err)
			var b azuretest.Blob
			for _, l := range lines {
				line := format.Append(nil, &record.Record{Time: time.Unix(1, 2), Stream: l.Source, Line: []byte(l.Text)})
				if compressor != nil {
					line, b.ContentEncoding = compressor.Append(nil, line), compressor.Encoding()
				}
				b.Content = append(b.Content, line...)
			}
			got, err := BlobLines(b, format.String())
			must(t, err)
			must(t, n.Check(got))
			if format != record.Raw && !slices.Equal(got, lines) {
				t.Errorf("%v: %q", format, got)
			}
			b.Content = b.Content[:len(b.Content)-6]
			if got, err := BlobLines(b, format.String()); err == nil && n.Check(got) == nil {
				t.Errorf("%v, %s: the end is missing, and all seems well", format, compress)
			}
		}
	}
}

// TestLogsLines joins parts, each source's own.
func TestLogsLines(t *testing.T) {
	l := Logs{}
	for _, e := range []struct{ source, line string }{{"stdout", "a"}, {"stderr", "x\n"}, {"stdout", "b\n"}, {"stderr", "\n"}, {"stdout", "end"}} {
		l.Entries = append(l.Entries, frame.Entry{Source: e.source, Line: []byte(e.line)})
	}
	want := []Line{{"stderr", "x"}, {"stdout", "ab"}, {"stderr", ""}, {"stdout", "end"}}
	if got := l.Lines(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
