package main

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core/record"
)

// maxLine is how much of a line is kept until its end comes. A longer one is
// written in parts.
const maxLine = 256 << 10

// stamper makes records of the lines in a stream of bytes. Its buffers are used
// again: a line costs no allocation.
type stamper struct {
	format record.Format
	rest   []byte // a line that has not ended yet
	out    []byte // owned by the caller until the next call
}

// lines returns the records of the lines that end in p; now is when p came.
func (s *stamper) lines(p []byte, now time.Time) []byte {
	s.out = s.out[:0]
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		line := p[:end]
		if len(s.rest) > 0 {
			s.rest = append(s.rest, line...)
			line = s.rest
		}
		s.add(line, now, false)
		s.rest = s.rest[:0]
		p = p[end+1:]
	}
	s.rest = append(s.rest, p...)
	for len(s.rest) >= maxLine {
		n := whole(s.rest[:maxLine])
		s.add(s.rest[:n], now, true)
		s.rest = s.rest[:copy(s.rest, s.rest[n:])]
	}
	return s.out
}

// end returns the record of a last line that has no newline.
func (s *stamper) end(now time.Time) []byte {
	s.out = s.out[:0]
	if len(s.rest) > 0 {
		s.add(s.rest, now, false)
		s.rest = nil
	}
	return s.out
}

func (s *stamper) add(line []byte, now time.Time, partial bool) {
	s.out = s.format.Append(s.out, &record.Record{Time: now, Stream: "stdout", Line: line, Partial: partial})
}

// whole is the length of b without a character that it only begins.
func whole(b []byte) int {
	for i := len(b) - 1; i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// lastLines keeps the end of what is written to it: the last n lines, and
// memory for little more.
type lastLines struct {
	n      int
	chunks [][]byte // the last one may be appended to
	breaks []int    // newlines in each
	total  int      // newlines in all
	size   int      // bytes in all
	cut    bool     // lines that were wanted are gone
}

const (
	keepChunk = 64 << 10
	keepMax   = 64 << 20 // bytes
)

func (l *lastLines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		last := len(l.chunks) - 1
		if last < 0 || len(l.chunks[last]) == keepChunk {
			l.chunks = append(l.chunks, make([]byte, 0, keepChunk))
			l.breaks = append(l.breaks, 0)
			last++
		}
		k := min(len(rest), keepChunk-len(l.chunks[last]))
		l.chunks[last] = append(l.chunks[last], rest[:k]...)
		k2 := bytes.Count(rest[:k], newline)
		l.breaks[last] += k2
		l.total += k2
		l.size += k
		rest = rest[k:]
		// n lines and the newline before them must stay, and the last line may
		// lack its own.
		for len(l.chunks) > 1 {
			if l.size > keepMax {
				l.cut = l.cut || l.total-l.breaks[0] <= l.n
			} else if l.total-l.breaks[0] <= l.n {
				break
			}
			l.total -= l.breaks[0]
			l.size -= len(l.chunks[0])
			l.chunks, l.breaks = l.chunks[1:], l.breaks[1:]
		}
	}
	return len(p), nil
}

var newline = []byte{'\n'}

// bytes returns the last n lines.
func (l *lastLines) bytes() []byte {
	all := bytes.Join(l.chunks, nil)
	text := bytes.TrimSuffix(all, newline)
	for n := l.n; ; n-- {
		if n == 0 {
			return all[min(len(text)+1, len(all)):]
		}
		i := bytes.LastIndexByte(text, '\n')
		if i < 0 {
			return all
		}
		text = text[:i]
	}
}
