package chunk

import (
	"bytes"

	"github.com/liveblob/azureblob/core/record"
)

// Encoder writes events as the records of a blob. Its fields are set before the
// first Append. A copy of an Encoder works on its own; one serves one goroutine
// at a time.
type Encoder struct {
	Format record.Format

	// LogKey is the line of a text or raw record. Without it, or where an event
	// does not have it, the line is the event as JSON, so that nothing is lost.
	LogKey Field

	// The keys of a JSON record that are not the body's: time, metadata, the
	// group's attributes. An empty one is left out.
	TimeKey     string
	TimeFormat  TimeFormat
	MetadataKey string
	GroupKey    string

	self *Encoder // the encoder that what is below belongs to; another: it was copied
	head [3]headKey
	json transcoder
	time clock
	line []byte // of a text record, where it is not in the chunk as it is
}

// The order of the keys before the body's.
const (
	timeHead = iota
	metaHead
	groupHead
)

// headKey is a key that is not the body's.
type headKey struct {
	name string // "": left out
	text []byte // as JSON, with the colon
	hash uint64
}

func (e *Encoder) init() {
	e.self, e.json, e.line = e, transcoder{}, nil
	e.time = clock{format: e.TimeFormat}
	for i, name := range [...]string{timeHead: e.TimeKey, metaHead: e.MetadataKey, groupHead: e.GroupKey} {
		e.head[i] = headKey{name: name, text: append(record.AppendStringUTF8(nil, []byte(name)), ':'), hash: hash([]byte(name))}
	}
}

// Append appends ev's record, which ends in a newline.
func (e *Encoder) Append(dst []byte, ev *Event) []byte {
	if e.self != e {
		e.init()
	}
	if e.Format == record.JSON {
		return append(e.appendObject(dst, ev, true), '\n')
	}
	value, found := e.LogKey.Find(ev.Body)
	if e.Format == record.Raw {
		if !found {
			return append(e.appendObject(dst, ev, true), '\n')
		}
		start := len(dst)
		dst = e.json.text(dst, value)
		if len(dst) == start || dst[len(dst)-1] != '\n' {
			dst = append(dst, '\n')
		}
		return dst
	}
	var line []byte
	if !found {
		e.line = e.appendObject(e.line[:0], ev, false) // the line begins with the time
		line = e.line
	} else if s, _, ok := text(value); ok {
		line = s
	} else {
		e.line = e.json.text(e.line[:0], value)
		line = e.line
	}
	return record.Text.Append(dst, &record.Record{
		Time:   ev.Time,
		Stream: streamOf(ev.Body),
		Line:   bytes.TrimSuffix(line, []byte("\n")),
	})
}

// streamOf is the stream that a container runtime's line says it came from.
func streamOf(body []byte) string {
	if value, ok := find(body, "stream"); ok {
		if s, _, _ := text(value); string(s) == "stderr" {
			return "stderr"
		}
	}
	return "stdout"
}

// appendObject appends ev as a JSON object: the keys of the head, then the
// body's.
func (e *Encoder) appendObject(dst []byte, ev *Event, withTime bool) []byte {
	values := [...][]byte{metaHead: ev.Meta, groupHead: ev.Group} // a nil one is left out
	has := func(i int) bool {
		return e.head[i].name != "" && (values[i] != nil || i == timeHead && withTime)
	}
	j := &e.json
	keys, first, isMap := mapHeader(ev.Body)
	start := len(dst)
	j.exact = keys > manyKeys // the head's keys must be told from the body's, too
	for {
		dst = append(dst, '{')
		j.seen, j.twice = j.seen[:0], false
		for i := range e.head {
			if !has(i) || j.exact && e.hidden(i, has, ev.Body) {
				continue
			}
			dst = append(dst, e.head[i].text...)
			if i == timeHead {
				dst = e.time.append(dst, ev.Time)
			} else {
				dst, _ = j.value(dst, values[i], 0)
			}
			dst = append(dst, ',')
			j.see(e.head[i].hash, 0)
		}
		if isMap {
			dst, _ = j.pairs(dst, ev.Body, first, keys, 0)
		} else {
			j.see(hash([]byte("log")), 0)
			dst = append(dst, `"log":`...)
			dst, _ = j.value(dst, ev.Body, 0)
		}
		if dst[len(dst)-1] == ',' {
			dst = dst[:len(dst)-1]
		}
		dst = append(dst, '}')
		if !j.twice || j.exact {
			j.exact = false
			return dst
		}
		dst, j.exact = dst[:start], true
	}
}

// hidden reports that a key of the head is also one that comes after it.
func (e *Encoder) hidden(i int, has func(int) bool, body []byte) bool {
	for later := i + 1; later < len(e.head); later++ {
		if has(later) && e.head[later].name == e.head[i].name {
			return true
		}
	}
	if _, _, isMap := mapHeader(body); !isMap {
		return e.head[i].name == "log"
	}
	_, ok := find(body, e.head[i].name)
	return ok
}
