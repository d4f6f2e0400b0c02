package replay

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// scripted makes a log of words:
//
//	o e   a line of stdout, of stderr
//	O E   16 KiB of a line of stdout, of stderr, that goes on
//	O. E. its end
//	X     O with bytes that are no UTF-8
//	O! E! a piece of a line, after which the container has stopped
//	/     the uploader does not wait any longer for the ends of lines
//	^     the uploader has come to here
//	|     the spool is evicted up to here
func scripted(t *testing.T, format record.Format, script string) *log {
	l := newLogIn(t, 1, 1) // each entry has a segment
	l.batch, l.format = 1, format
	var flushed []int
	var uploaded, evicted int
	for _, word := range strings.Fields(script) {
		source := "stdout"
		if strings.ContainsAny(word, "eE") {
			source = "stderr"
		}
		switch word {
		case "/":
			flushed = append(flushed, len(l.entries))
			continue
		case "^":
			uploaded = len(l.entries)
			continue
		case "|":
			evicted = len(l.entries)
			continue
		case "o", "e":
			l.say(source, fmt.Sprintf("line %d", len(l.entries)))
			continue
		}
		part := l.open[source]
		if part == nil {
			l.now++
			part = &frame.Entry{Source: source, Time: l.now, Partial: true, ID: fmt.Sprint(l.now)}
			l.open[source] = part
		}
		part.Ordinal++
		part.Line = bytes.Repeat([]byte{byte('A' + len(l.entries))}, partSize)
		switch {
		case word == "X":
			part.Line = bytes.Repeat([]byte("\xffx"), partSize/2)
		case strings.HasSuffix(word, "."):
			part.Line, part.Last = []byte("end"), true
		case strings.HasSuffix(word, "!"):
			part.Line = part.Line[:100]
		}
		l.add(*part)
		if part.Last {
			delete(l.open, source)
		}
		if strings.HasSuffix(word, "!") {
			l.stop()
		}
	}
	l.append()
	l.patient = true
	for _, n := range flushed {
		l.upload(n - l.uploaded)
		l.flush()
	}
	l.upload(uploaded - l.uploaded)
	for l.spool.Stats().First < l.offsets[evicted] {
		_, _, err := l.spool.DropOldest(1)
		must(t, err)
	}
	if first := l.spool.Stats().First; first != l.offsets[evicted] || first > l.committed() {
		t.Fatalf("%q: evicted up to %d, want %d, which is to be committed: %d is", script, first, l.offsets[evicted], l.committed())
	}
	return l
}

func TestSeam(t *testing.T) {
	for _, script := range []string{
		"o e o | o e ^ o",
		"o o ^ | o o",
		"o | o o ^ e O O E. O. ^",
		"o O | O O. o ^",
		"O | O O. ^ o",
		"O O O. | o ^",
		"o O | e O O. o e ^ o",         // stderr's line is the first to end
		"O | O e e O. e o ^",           // and again
		"O | E E. O. o e ^",            // a line begins in the spool before that ends
		"o O E | O E E. O. ^",          // no line begins in the spool
		"O E / | E. ^ O. o",            // the blob has not seen what goes on
		"O E / | E. e O. o e ^",        // pieces
		"O O / e | e O. o ^",           // the last one is short
		"O O / e | e e ^ O. o",         // and not there yet
		"e O O / e e | e E O. E. ^",    // the other stream has begun a line
		"O O / | O O ^",                // it has not ended: all that is in the blob was evicted
		"O O | O O / ^ O",              // it has not ended: some of that is in the spool
		"o O O | O O / O O ^ O O. o",   // it is held back as well
		"o X X | X X / ^ X X X O. o",   // and no UTF-8
		"O X X / X | X X / X X O. o ^", // and has ended
		"o O! | o e ^",
		"o O O! | O O. e ^",
		"o O | O! O O. e ^",
		"O | O! e o ^ o",
		"O E! | O. E e E. ^",
		"o | O O O O O / O O O O. o ^", // it begins in the spool, and the blob has it in pieces
		"o | O E / O E / O. E. o ^",
	} {
		for _, format := range []record.Format{record.JSON, record.Text} {
			t.Run(fmt.Sprint(format, " ", script), func(t *testing.T) {
				l := scripted(t, format, script)
				got, err := read(t.Context(), l.config())
				must(t, err)
				l.checkStreams(got)
				if len(got) != len(l.entries) && !strings.Contains(script, "X") {
					t.Errorf("%d entries, want %d", len(got), len(l.entries))
				}
				for tail := range len(got) + 2 {
					cfg := l.config()
					cfg.Tail = tail
					last, err := read(t.Context(), cfg)
					must(t, err)
					if want := min(tail, len(got)); len(last) != want {
						t.Errorf("tail %d gives %d entries, want %d", tail, len(last), want)
					}
				}
			})
		}
	}
}

// checkStreams compares what a terminal shows of each stream.
func (l *log) checkStreams(got []frame.Entry) {
	l.t.Helper()
	for _, source := range []string{"stdout", "stderr"} {
		got, want := text(got, source), text(l.entries, source)
		if l.format == record.JSON {
			got, want = []byte(replaced(got)), []byte(replaced(want))
		}
		if !bytes.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			l.t.Fatalf("%s: %d bytes, want %d; they differ at %d: %.60q, want %.60q", source, len(got), len(want), i, got[i:], want[i:])
		}
	}
}
