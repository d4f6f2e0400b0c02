package flbtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/record"
)

// Numbered makes lines that say whose they are and which one they are, and checks that
// each of them is somewhere exactly once:
//
//	kube.web 17 =======
//
// Its methods may be called at once.
type Numbered struct {
	Size     int  // of a line; a shorter one is filled up
	AnyOrder bool // of a tag's lines, as when its chunks are flushed side by side

	mu   sync.Mutex
	made map[string]int // by tag: how many, and so the last one's number
}

// Lines makes the next lines of tag, which has no spaces.
func (n *Numbered) Lines(tag string, count int) []string {
	first := n.take(tag, count)
	lines := make([]string, count)
	for i := range lines {
		lines[i] = n.line(tag, first+i)
	}
	return lines
}

// Chunk is the next lines of tag as the tail input makes them. No two chunks are alike.
func (n *Numbered) Chunk(tag string, count int) []byte {
	return LogChunk(time.Now(), n.Lines(tag, count)...)
}

// take gives the number of the first of the next lines.
func (n *Numbered) take(tag string, count int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.made == nil {
		n.made = map[string]int{}
	}
	n.made[tag] += count
	return n.made[tag] - count + 1
}

// Made is how many lines tag has.
func (n *Numbered) Made(tag string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.made[tag]
}

// Tags is every tag that has lines, sorted.
func (n *Numbered) Tags() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.made))
}

func (n *Numbered) line(tag string, i int) string {
	line := fmt.Sprintf("%s %d ", tag, i)
	return line + strings.Repeat("=", max(0, n.Size-len(line)))
}

// Check tells the first thing that is wrong with lines, and how much else is. They must
// hold what was made of tags, or of all tags if none is named, and nothing else.
func (n *Numbered) Check(lines []string, tags ...string) error {
	if len(tags) == 0 {
		tags = n.Tags()
	}
	var (
		first                          error
		missing, doubled, late, others int
	)
	wrong := func(at int, format string, args ...any) {
		if first == nil {
			first = fmt.Errorf("%s\n%s", fmt.Sprintf(format, args...), around(lines, at))
		}
	}
	seen := map[string][]bool{} // by tag and number
	last := map[string]int{}    // by tag: the highest number so far
	for _, tag := range tags {
		seen[tag] = make([]bool, n.Made(tag)+1)
	}
	for at, line := range lines {
		tag, i := parse(line)
		switch {
		case i < 1 || i >= len(seen[tag]) || line != n.line(tag, i):
			others++
			wrong(at, "line %d is none that was made", at+1)
			continue
		case seen[tag][i]:
			doubled++
			wrong(at, "%s %d is there twice", tag, i)
		case i < last[tag] && !n.AnyOrder:
			late++
			wrong(at, "%s %d comes after %s %d", tag, i, tag, last[tag])
		}
		seen[tag][i] = true
		last[tag] = max(last[tag], i)
	}
	total := 0
	for _, tag := range tags {
		total += len(seen[tag]) - 1
		for i := 1; i < len(seen[tag]); i++ {
			if !seen[tag][i] {
				missing++
				wrong(len(lines), "%s %d of %d is missing", tag, i, len(seen[tag])-1)
			}
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("of %d lines, %d are missing, %d doubled, %d out of order, and %d others are there; first: %w",
		total, missing, doubled, late, others, first)
}

// parse gives 0 for what is no numbered line.
func parse(line string) (tag string, i int) {
	f := strings.SplitN(line, " ", 3)
	if len(f) != 3 {
		return "", 0
	}
	i, _ = strconv.Atoi(f[1])
	return f[0], i
}

// around is the lines next to the one at an index.
func around(lines []string, at int) string {
	var b strings.Builder
	for i := max(0, at-3); i < min(len(lines), at+3); i++ {
		mark := "  "
		if i == at {
			mark = "> "
		}
		fmt.Fprintf(&b, "%s%d %.80q\n", mark, i+1, lines[i])
	}
	if at >= len(lines) {
		b.WriteString("> the end\n")
	}
	return b.String()
}

// BlobLines is the lines of a blob: the key log of each record in the format json, the
// line itself in the format raw.
func BlobLines(b azuretest.Blob, format string) ([]string, error) {
	content, err := record.NewDecoder(b.ContentEncoding, bytes.NewReader(b.Content))
	if err != nil {
		return nil, err
	}
	var lines []string
	in := bufio.NewReader(content)
	for {
		text, err := in.ReadString('\n')
		if err == io.EOF && text == "" {
			return lines, nil
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the blob, %.80q: %w", len(lines)+1, text, err)
		}
		text = strings.TrimSuffix(text, "\n")
		switch format {
		case "json":
			var r struct{ Log string }
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				return nil, fmt.Errorf("line %d of the blob, %.80q: %w", len(lines)+1, text, err)
			}
			text = r.Log
		case "raw":
		default:
			return nil, fmt.Errorf("format %q is unknown", format)
		}
		lines = append(lines, text)
	}
}
