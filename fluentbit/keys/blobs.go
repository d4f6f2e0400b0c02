package keys

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/fluentbit/blobname"
	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// blobs parses metadata and tags. What is fixed in them is checked here; what events
// bring is made fit when it is known, by BlobMetadata and BlobTags.
func (l *loader) blobs() (err error) {
	var check core.Config
	if l.set.Metadata, check.Metadata, err = l.templates("metadata"); err != nil {
		return err
	}
	if l.set.Tags, check.Tags, err = l.templates("tags"); err != nil {
		return err
	}
	return check.Check()
}

// templates parses a list of names with templates. static is the part of each that no
// event changes.
func (l *loader) templates(option string) (m map[string]*blobname.Template, static core.Map, err error) {
	text := l.value(option)
	if text == "" {
		text, _ = l.lookupEnv(core.FindOption(option).EnvName())
	}
	fail := func(err error) error { return fmt.Errorf("set option %s: %w", l.spell(option), err) }
	m, static = map[string]*blobname.Template{}, core.Map{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, nil, fail(fmt.Errorf("%q is not name=value: write name=value,name=value", pair))
		}
		if m[name] != nil {
			return nil, nil, fail(fmt.Errorf("%q is given twice", name))
		}
		if m[name], err = blobname.ParseText(strings.TrimSpace(value), l.expand); err != nil {
			return nil, nil, fail(fmt.Errorf("%s: %w", name, err))
		}
		static[name], _ = m[name].Static()
	}
	return m, static, nil
}

// metadataRoom is what all metadata of the user's takes where events have a part in it:
// with the writer's own it has room beside a long name.
const metadataRoom = 2 << 10

// BlobMetadata is the metadata of the blob that the event is the first of. What events
// bring is cut where it would be too much for the service.
func (s *Settings) BlobMetadata(tag string, ev *chunk.Event) map[string]string {
	m := make(map[string]string, len(s.Metadata))
	room, open := metadataRoom, 0
	for name, t := range s.Metadata {
		text, all := t.Static()
		room -= len(name)
		if all {
			m[name] = text
			room -= headerSize(text)
		} else {
			open++
		}
	}
	for name, t := range s.Metadata {
		if _, have := m[name]; !have {
			m[name] = cutHeader(t.Text(tag, ev), max(room/open, 64))
		}
	}
	return m
}

// BlobTags are the index tags of that blob, as CleanTag makes them.
func (s *Settings) BlobTags(tag string, ev *chunk.Event) map[string]string {
	m := make(map[string]string, len(s.Tags))
	for name, t := range s.Tags {
		m[name] = CleanTag(t.Text(tag, ev))
	}
	return m
}

// CleanTag makes a value that the service takes for an index tag: _ stands for each
// character that it refuses, and what is longer than 256 is cut.
func CleanTag(value string) string {
	clean := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(" +-./:=_", r) {
			return r
		}
		return '_'
	}, value)
	return clean[:min(len(clean), 256)]
}

// headerSize is the length of a value as package liveblob writes it into a header.
func headerSize(s string) int {
	n := 0
	for i := range len(s) {
		n += headerByte(s[i])
	}
	return n
}

// headerByte is how much a byte takes at most: what is not printable is percent-encoded,
// and so is a space at an end.
func headerByte(c byte) int {
	if c <= ' ' || c > '~' || c == '%' {
		return 3
	}
	return 1
}

// cutHeader is as much of s as takes n bytes in a header, with characters whole.
func cutHeader(s string, n int) string {
	for i := range len(s) {
		if n -= headerByte(s[i]); n < 0 {
			for i > 0 && !utf8.RuneStart(s[i]) {
				i--
			}
			return s[:i]
		}
	}
	return s
}
