package dockertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/record"
)

// Numbered writes lines that say whose they are and which one they are, and checks
// that each of them is somewhere exactly once and in order:
//
//	web stdout 17 =======
//
// The order is that of each source: stdout and stderr may overtake each other. Only
// a line whose Write returned nil counts as written, so a line that dockerd's death
// cut off is written again under its number. That is sound for frames of up to
// 4 KiB, which a pipe takes whole or not at all. A line of more than 16 KiB goes in
// parts.
//
// Each source is written by one goroutine at a time; all else may be called at once.
type Numbered struct {
	Name string // without spaces
	Size int    // of a line; a shorter one is filled up

	mu      sync.Mutex
	written map[string]int // by source: how many, and so the last one's number
}

// Write writes the next line of source into c.
func (n *Numbered) Write(c *Container, source string) error {
	i := n.Written(source) + 1
	line, err := n.line(source, i), error(nil)
	if len(line) < copyLine {
		err = c.Write(source, line)
	} else {
		err = c.copy(source, strings.NewReader(line+"\n"))
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.written == nil {
		n.written = map[string]int{}
	}
	n.written[source] = i
	return nil
}

// Written is how many lines source has.
func (n *Numbered) Written(source string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.written[source]
}

func (n *Numbered) line(source string, i int) string {
	line := fmt.Sprintf("%s %s %d ", n.Name, source, i)
	return line + strings.Repeat("=", max(0, n.Size-len(line)))
}

// Line is a line of a log as it was found, without its newline.
type Line struct {
	Source string // "": the format does not tell
	Text   string
}

// Check tells the first thing that is wrong with lines, and how much else is.
// They must hold what was written when Check is called, and nothing else.
func (n *Numbered) Check(lines []Line) error {
	var (
		first                          error
		missing, doubled, late, others int
	)
	wrong := func(at int, format string, args ...any) {
		if first == nil {
			first = fmt.Errorf("%s\n%s", fmt.Sprintf(format, args...), around(lines, at))
		}
	}
	last := map[string]int{} // by source: the highest number so far
	type number struct {
		source string
		i      int
	}
	seen := map[number]bool{}
	for at, l := range lines {
		source, i, ok := n.parse(l)
		switch {
		case !ok:
			others++
			wrong(at, "line %d of the log is none that was written", at+1)
			continue
		case seen[number{source, i}]:
			doubled++
			wrong(at, "%s %d is there twice", source, i)
			continue
		case i <= last[source]:
			late++
			missing--
			wrong(at, "%s %d comes after %s %d", source, i, source, last[source])
		case i > last[source]+1:
			missing += i - last[source] - 1
			wrong(at, "%s %d is missing", source, last[source]+1)
		}
		seen[number{source, i}] = true
		last[source] = max(last[source], i)
	}
	total := 0
	for _, source := range []string{"stdout", "stderr"} {
		written := n.Written(source)
		total += written
		if last[source] < written {
			missing += written - last[source]
			wrong(len(lines), "%s ends with %d, but %d were written", source, last[source], written)
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("of %d lines of %q, %d are missing, %d doubled, %d out of order, and %d others are there; first: %w",
		total, n.Name, missing, doubled, late, others, first)
}

// parse reports whose line it is, and whether it is there as it was written.
func (n *Numbered) parse(l Line) (source string, i int, ok bool) {
	f := strings.SplitN(l.Text, " ", 4)
	if len(f) != 4 {
		return "", 0, false
	}
	source = f[1]
	i, err := strconv.Atoi(f[2])
	ok = err == nil && (l.Source == "" || l.Source == source) &&
		0 < i && i <= n.Written(source) && l.Text == n.line(source, i)
	return source, i, ok
}

// around is the lines next to the one at an index.
func around(lines []Line, at int) string {
	var b strings.Builder
	for i := max(0, at-3); i < min(len(lines), at+3); i++ {
		mark := "  "
		if i == at {
			mark = "> "
		}
		text := lines[i].Text
		if len(text) > 80 {
			text = text[:80] + "…"
		}
		fmt.Fprintf(&b, "%s%d %s: %q\n", mark, i+1, lines[i].Source, text)
	}
	if at >= len(lines) {
		b.WriteString("> the end\n")
	}
	return b.String()
}

// joiner makes lines of entries, of which one that has no newline goes on in the next
// of its source.
type joiner struct {
	lines []Line
	open  map[string]string // by source
}

func (j *joiner) add(source, text string) {
	text = j.open[source] + text
	line, whole := strings.CutSuffix(text, "\n")
	if j.open == nil {
		j.open = map[string]string{}
	}
	if whole {
		j.lines, text = append(j.lines, Line{source, line}), ""
	}
	j.open[source] = text
}

// end adds what never got its newline.
func (j *joiner) end() []Line {
	for _, source := range []string{"stdout", "stderr"} {
		if j.open[source] != "" {
			j.lines = append(j.lines, Line{source, j.open[source]})
		}
	}
	return j.lines
}

// Lines is what docker logs printed, with the parts of lines joined.
func (l *Logs) Lines() []Line {
	var j joiner
	for _, e := range l.Entries {
		j.add(e.Source, string(e.Line))
	}
	return j.end()
}

// BlobLines is the lines of a blob of format json, text or raw, with the parts of
// lines joined.
func BlobLines(b azuretest.Blob, format string) ([]Line, error) {
	content, err := record.NewDecoder(b.ContentEncoding, bytes.NewReader(b.Content))
	if err != nil {
		return nil, err
	}
	var j joiner
	in := bufio.NewReader(content)
	for n := 1; ; n++ {
		text, err := in.ReadString('\n')
		if err == io.EOF && text == "" {
			return j.end(), nil
		}
		if err == io.EOF && format != "raw" {
			err = io.ErrUnexpectedEOF
		}
		if err == nil || err == io.EOF {
			err = j.parse(text, format)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the blob, %.80q: %w", n, text, err)
		}
	}
}

func (j *joiner) parse(text, format string) error {
	switch format {
	case "json":
		var r struct{ Log, Stream string }
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return err
		}
		j.add(r.Stream, r.Log)
	case "text":
		f := strings.SplitN(text, " ", 4)
		switch {
		case len(f) == 4 && f[2] == "F":
			j.add(f[1], f[3])
		case len(f) == 4 && f[2] == "P":
			j.add(f[1], strings.TrimSuffix(f[3], "\n"))
		default:
			return errors.New("it is no line of that format")
		}
	case "raw":
		j.lines = append(j.lines, Line{"", strings.TrimSuffix(text, "\n")})
	default:
		return fmt.Errorf("format %q is unknown", format)
	}
	return nil
}
