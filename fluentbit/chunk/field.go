package chunk

import (
	"errors"
	"fmt"
	"strings"
)

// Field names a value in an event's body, by the keys that lead to it. It is
// written as Fluent Bit's record accessors are. The zero Field names nothing.
type Field struct {
	text string
	path []string
}

// ParseField reads log, $log or $kubernetes['labels']['app.kubernetes.io/name'].
// A quote within a key is written twice. Without the dollar sign all of it is
// one key.
func ParseField(s string) (Field, error) {
	path, err := parsePath(s)
	if err != nil {
		return Field{}, fmt.Errorf("parse field %q: %w", s, err)
	}
	return Field{text: s, path: path}, nil
}

func parsePath(s string) ([]string, error) {
	name, accessor := strings.CutPrefix(s, "$")
	if !accessor {
		switch {
		case s == "":
			return nil, errors.New("it is empty: write log, $log or $kubernetes['pod_name']")
		case strings.Contains(s, "['"):
			return nil, fmt.Errorf("a path begins with a dollar sign: $%s", s)
		}
		return []string{s}, nil
	}
	rest := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/")
	name = name[:len(name)-len(rest)]
	if name == "" {
		return nil, errors.New("a key follows the dollar sign: write $log or $kubernetes['pod_name']")
	}
	path := []string{name}
	for rest != "" {
		key, after, err := parseKey(rest)
		if err != nil {
			return nil, err
		}
		path, rest = append(path, key), after
	}
	return path, nil
}

// parseKey reads ['key'] at the beginning of s.
func parseKey(s string) (key, rest string, err error) {
	rest, ok := strings.CutPrefix(s, "['")
	if !ok {
		return "", "", fmt.Errorf("%q is no key: write keys within a map as in $kubernetes['pod_name']", s)
	}
	for {
		part, after, ok := strings.Cut(rest, "'")
		if !ok {
			return "", "", fmt.Errorf("the quote in %q is not closed by ']", s)
		}
		key += part
		if rest, ok = strings.CutPrefix(after, "]"); ok {
			return key, rest, nil
		}
		if rest, ok = strings.CutPrefix(after, "'"); !ok {
			return "", "", fmt.Errorf("the quote in %q is not closed by ']", s)
		}
		key += "'"
	}
}

// IsZero reports a Field that names nothing.
func (f Field) IsZero() bool { return len(f.path) == 0 }

// String is the text that ParseField took.
func (f Field) String() string { return f.text }

// Find is the field's value in a body, as msgpack: of keys that are the same the
// last one's.
func (f Field) Find(body []byte) (value []byte, ok bool) {
	for i, key := range f.path {
		if i > 0 {
			body = value
		}
		if value, ok = find(body, key); !ok {
			break
		}
	}
	return value, ok
}

// find is the value of a map's key.
func find(m []byte, key string) (value []byte, ok bool) {
	keys, i, _ := mapHeader(m)
	for range keys {
		name, n, isText := text(m[i:])
		if !isText {
			n = length(m[i:])
		}
		i += n
		n = length(m[i:])
		if isText && string(name) == key {
			value, ok = m[i:i+n:i+n], true
		}
		i += n
	}
	return value, ok
}
