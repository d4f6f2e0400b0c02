package blobname

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// unknown stands for what a record or a tag does not have.
const unknown = "unknown"

// Namer gives the names of one chunk's events.
type Namer struct {
	t   *Template
	tag string

	name  string   // the last one; "": none was asked for
	tick  int64    // its time, in steps of the template
	roots [][]byte // its values of the template's roots; empty: the record has none

	// Chunks of several sources change between few names.
	names  map[string]string // values, as appendValues writes them → name
	values []byte            // scratch

	missing []string
}

// Namer is for the events of a chunk that has the tag.
func (t *Template) Namer(tag string) *Namer {
	return &Namer{t: t, tag: tag, roots: make([][]byte, len(t.roots))}
}

// Name is the name of the blob that the event goes into. same: it is the last call's.
func (n *Namer) Name(ev *chunk.Event) (name string, same bool) {
	if !n.changed(ev) {
		return n.name, true
	}
	n.values = n.appendValues(n.values[:0], ev)
	name, known := n.names[string(n.values)]
	if !known {
		if n.names == nil {
			n.names = make(map[string]string)
		}
		name = n.t.build(n.values)
		n.names[string(n.values)] = name
	}
	same = name == n.name
	n.name = name
	return name, same
}

// changed reports whether anything that the name may depend on is not as it was in the
// last event.
func (n *Namer) changed(ev *chunk.Event) bool {
	changed := n.name == ""
	if step := n.t.step; step > 0 {
		seconds := ev.Time.Unix()
		tick := seconds / step
		if seconds%step < 0 { // before 1970
			tick--
		}
		if tick != n.tick {
			n.tick, changed = tick, true
		}
	}
	for i, root := range n.t.roots {
		value, _ := root.Find(ev.Body)
		if !bytes.Equal(value, n.roots[i]) {
			n.roots[i], changed = append(n.roots[i][:0], value...), true
		}
	}
	return changed
}

// Missing are the fields and parts of the tag that some event did not have, as the
// template writes them.
func (n *Namer) Missing() []string { return n.missing }

// appendValues appends the value of each part that is no literal, behind its length.
func (n *Namer) appendValues(dst []byte, ev *chunk.Event) []byte {
	for i := range n.t.parts {
		p := &n.t.parts[i]
		if p.kind == literal {
			continue
		}
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		var found bool
		if dst, found = p.append(dst, n.tag, ev); !found && !slices.Contains(n.missing, p.text) {
			n.missing = append(n.missing, p.text)
		}
		binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	}
	return dst
}

// append appends the part's text. found: it is none that stands for a missing one.
func (p *part) append(dst []byte, tag string, ev *chunk.Event) (_ []byte, found bool) {
	start := len(dst)
	switch p.kind {
	case literal:
		return append(dst, p.text...), true
	case wholeTag:
		dst = append(dst, tag...)
	case tagPart:
		parts := strings.Split(tag, ".")
		i := p.index
		if i < 0 {
			i += len(parts)
		}
		if 0 <= i && i < len(parts) {
			dst = append(dst, parts[i]...)
		}
	case field:
		const null = 0xc0
		if value, ok := p.field.Find(ev.Body); ok && value[0] != null {
			dst = chunk.AppendText(dst, value)
		}
	case clock:
		dst = p.clock.FormatBuffer(dst, ev.Time.UTC())
	}
	if len(dst) == start {
		return append(dst, unknown...), false
	}
	return dst, true
}

// Text is the template's text for an event, with nothing made fit for a name: for
// metadata and index tags.
func (t *Template) Text(tag string, ev *chunk.Event) string {
	var b []byte
	for i := range t.parts {
		b, _ = t.parts[i].append(b, tag, ev)
	}
	return string(b)
}
