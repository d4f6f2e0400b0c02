package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// errRaw: Parse was asked for what is not there.
var errRaw = errors.New("parse record: the format raw keeps neither times nor streams: json and text do")

// Parse sets r to what a line of a log says, which may end with its newline: the
// inverse of Append, but that invalid UTF-8 stays U+FFFD in JSON. JSON may also be
// any other object with json-file's keys and a time. A line of raw cannot be told
// from any other, which the error says.
//
// r's Line and Attrs are parts of line where that is possible, and the bytes of line
// may have been overwritten.
func (f Format) Parse(line []byte, r *Record) error {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	switch f {
	case JSON:
		if parseOwn(line, r) {
			return nil
		}
		return parseJSON(line, r)
	case Text:
		return parseText(line, r)
	}
	return errRaw
}

func parseText(line []byte, r *Record) error {
	at, rest, _ := bytes.Cut(line, []byte{' '})
	stream, rest, _ := bytes.Cut(rest, []byte{' '})
	tag, text, whole := bytes.Cut(rest, []byte{' '})
	if !whole || len(stream) == 0 || string(tag) != "F" && string(tag) != "P" {
		return errors.New("parse record: it is not a line of the format text")
	}
	t, err := parseTime(at)
	if err != nil {
		return err
	}
	*r = Record{Time: t, Stream: streamName(stream), Line: text, Partial: tag[0] == 'P'}
	return nil
}

func parseJSON(line []byte, r *Record) error {
	var v struct {
		Log    string          `json:"log"`
		Stream string          `json:"stream"`
		Attrs  json.RawMessage `json:"attrs"`
		Time   *time.Time      `json:"time"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return fmt.Errorf("parse record: %w", err)
	}
	if v.Time == nil {
		return errors.New("parse record: it has no time")
	}
	*r = Record{Time: v.Time.UTC(), Stream: v.Stream}
	r.setLog([]byte(v.Log))
	if bytes.HasPrefix(v.Attrs, []byte{'{'}) {
		r.Attrs = v.Attrs
	}
	return nil
}

// setLog takes a line with its newline, as json has it.
func (r *Record) setLog(log []byte) {
	line, whole := bytes.CutSuffix(log, []byte{'\n'})
	r.Line, r.Partial = line, !whole
}

// parseOwn parses what appendJSON writes, without an allocation, and reports whether
// it was that. If not, line is as it was:
//
//	{"log":" … ","stream":" … " ,"attrs":{ … } ,"time":"2026-11-23T02:08:25.743042951Z"}
//	         text         stream         attrs  └───────────── time, of one length ─────┘
func parseOwn(line []byte, r *Record) bool {
	const timeKey = `,"time":"`
	text, rest, ok := cutString(line, `{"log":"`)
	if !ok {
		return false
	}
	stream, rest, ok := cutString(rest, `,"stream":"`)
	if !ok || bytes.IndexByte(stream, '\\') >= 0 {
		return false
	}
	end := len(rest) - len(timeKey+timeLayout+`"}`)
	if end < 0 {
		return false
	}
	attrs := rest[:end]
	at, whole := bytes.CutPrefix(rest[end:], []byte(timeKey))
	at, ended := bytes.CutSuffix(at, []byte(`"}`))
	if !whole || !ended {
		return false
	}
	t, ok := ownTime(at)
	if !ok {
		return false
	}
	if len(attrs) > 0 {
		attrs, ok = bytes.CutPrefix(attrs, []byte(`,"attrs":`))
		if !ok || !bytes.HasPrefix(attrs, []byte{'{'}) || !json.Valid(attrs) {
			return false
		}
	}
	*r = Record{Time: t, Stream: streamName(stream), Attrs: attrs}
	r.setLog(unescape(text))
	return true
}

// cutString gives what stands between the quotes of a JSON string, escapes and all,
// and what is behind it. The string begins at the end of prefix.
func cutString(b []byte, prefix string) (s, rest []byte, ok bool) {
	s, ok = bytes.CutPrefix(b, []byte(prefix))
	if !ok {
		return nil, nil, false
	}
	ascii := true
	for i := 0; ; {
		i += plain(s[i:])
		if i == len(s) {
			return nil, nil, false
		}
		switch c := s[i]; {
		case c == '"':
			return s[:i], s[i+1:], ascii || utf8.Valid(s[:i])
		case c == '\\':
			n := escapeLen(s[i:])
			if n == 0 {
				return nil, nil, false
			}
			i += n
		case c >= utf8.RuneSelf:
			ascii = false
			for i++; i < len(s) && s[i] >= utf8.RuneSelf; i++ {
			}
		default: // controls must be escaped
			return nil, nil, false
		}
	}
}

// escapeLen is the length of the escape that s begins with; 0: it is none.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) >= 6 && fourDigits(s[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

// unescape is what s stands for, its escapes being good. It is written over s, as no
// escape is shorter than what it stands for.
func unescape(s []byte) []byte {
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	to := i
	for i < len(s) {
		if s[i] != '\\' {
			n := bytes.IndexByte(s[i:], '\\')
			if n < 0 {
				n = len(s) - i
			}
			to += copy(s[to:], s[i:i+n])
			i += n
			continue
		}
		c := s[i+1]
		if c == 'u' {
			char := fourDigits(s[i+2 : i+6])
			i += 6
			if utf16.IsSurrogate(char) { // alone it stands for U+FFFD
				low := rune(-1)
				if len(s)-i >= 6 && s[i] == '\\' && s[i+1] == 'u' {
					low = fourDigits(s[i+2 : i+6])
				}
				if char = utf16.DecodeRune(char, low); char != utf8.RuneError {
					i += 6
				}
			}
			to += utf8.EncodeRune(s[to:], char)
			continue
		}
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		s[to] = c
		to++
		i += 2
	}
	return s[:to]
}

// fourDigits is the number that four hexadecimal digits make; -1: they are not.
func fourDigits(s []byte) (n rune) {
	for _, c := range s {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = (c | 0x20) - 'a' + 10
		default:
			return -1
		}
		n = n<<4 | rune(c)
	}
	return n
}

// streamName is string(b) without an allocation for the usual names.
func streamName(b []byte) string {
	switch string(b) {
	case "stdout":
		return "stdout"
	case "stderr":
		return "stderr"
	}
	return string(b)
}

// parseTime parses a time of RFC 3339.
func parseTime(b []byte) (time.Time, error) {
	if t, ok := ownTime(b); ok {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return t, errors.New("parse record: its time is not one of RFC 3339")
	}
	return t.UTC(), nil
}

// ownTime parses what appendTime writes at a fraction of the cost of time.Parse, and
// reports whether it was that: then it is what appendTime writes for the result.
func ownTime(b []byte) (time.Time, bool) {
	if len(b) != len(timeLayout) {
		return time.Time{}, false
	}
	t := time.Date(number(b[0:4]), time.Month(number(b[5:7])), number(b[8:10]),
		number(b[11:13]), number(b[14:16]), number(b[17:19]), number(b[20:29]), time.UTC)
	var buf [len(timeLayout)]byte
	return t, bytes.Equal(appendTime(buf[:0], t), b)
}

// number is the number that digits make, and some number for anything else.
func number(digits []byte) (n int) {
	for _, c := range digits {
		n = 10*n + int(c) - '0'
	}
	return n
}
