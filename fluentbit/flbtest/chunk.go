package flbtest

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// Map is a msgpack map that keeps its order, and takes any key, twice if need be.
type Map []Pair

// Pair is one of a Map.
type Pair struct{ Key, Value any }

// Ext is a msgpack extension value.
type Ext struct {
	Type int8
	Data []byte
}

// Raw is msgpack as it stands, for what is odd or damaged.
type Raw []byte

// Event is one event of a chunk, encoded. A stamp is a time.Time, which becomes Fluent
// Bit's own extension type, or any other value, which is encoded as it is.
type Event []byte

// V1 is an event as Fluent Bit made them before 2.1: [stamp, body].
func V1(stamp, body any) Event {
	return AppendValue(nil, []any{stamp, body})
}

// V2 is an event as Fluent Bit makes them: [[stamp, meta], body]. A nil meta becomes the
// empty map that Fluent Bit writes.
func V2(stamp, meta, body any) Event {
	if meta == nil {
		meta = Map{}
	}
	return AppendValue(nil, []any{[]any{stamp, meta}, body})
}

// GroupStart is the marker that a group of events begins, whose attributes are attrs.
func GroupStart(meta, attrs any) Event {
	return V2(marker(0xffffffff), meta, attrs)
}

// GroupEnd is the marker that it ends.
func GroupEnd() Event {
	return V2(marker(0xfffffffe), nil, Map{})
}

func marker(seconds uint32) Ext {
	return Ext{0, binary.BigEndian.AppendUint64(nil, uint64(seconds)<<32)}
}

// Chunk is a chunk of events, as an output gets it.
func Chunk(events ...Event) []byte {
	var chunk []byte
	for _, e := range events {
		chunk = append(chunk, e...)
	}
	return chunk
}

// LogChunk is what the tail input makes of lines: {"log": line}, all of the time at.
func LogChunk(at time.Time, lines ...string) []byte {
	var chunk []byte
	for _, line := range lines {
		chunk = appendLog(chunk, at, line)
	}
	return chunk
}

func appendLog(chunk []byte, at time.Time, line string) []byte {
	chunk = append(chunk, 0x92, 0x92)
	chunk = AppendValue(chunk, at)
	chunk = append(chunk, 0x80, 0x81)
	chunk = msgp.AppendString(chunk, "log")
	return msgp.AppendString(chunk, line)
}

// AppendValue appends v as Fluent Bit's packer writes it: integers, strings and the like
// in as few bytes as they need, float32 and float64 as they are.
func AppendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(dst)
	case bool:
		return msgp.AppendBool(dst, v)
	case int:
		return AppendValue(dst, int64(v))
	case int64:
		if v >= 0 {
			return msgp.AppendUint64(dst, uint64(v)) // msgp has signed types for these
		}
		return msgp.AppendInt64(dst, v)
	case uint64:
		return msgp.AppendUint64(dst, v)
	case float32:
		return msgp.AppendFloat32(dst, v)
	case float64:
		return msgp.AppendFloat64(dst, v)
	case string:
		return msgp.AppendString(dst, v)
	case []byte:
		return msgp.AppendBytes(dst, v)
	case time.Time:
		dst = append(dst, 0xd7, 0)
		dst = binary.BigEndian.AppendUint32(dst, uint32(v.Unix()))
		return binary.BigEndian.AppendUint32(dst, uint32(v.Nanosecond()))
	case Ext:
		return appendExt(dst, v)
	case Raw:
		return append(dst, v...)
	case []any:
		dst = msgp.AppendArrayHeader(dst, uint32(len(v)))
		for _, x := range v {
			dst = AppendValue(dst, x)
		}
		return dst
	case Map:
		dst = msgp.AppendMapHeader(dst, uint32(len(v)))
		for _, p := range v {
			dst = AppendValue(AppendValue(dst, p.Key), p.Value)
		}
		return dst
	}
	panic(fmt.Sprintf("flbtest: a chunk cannot hold a %T", v))
}

func appendExt(dst []byte, e Ext) []byte {
	switch n := len(e.Data); {
	case n == 1:
		dst = append(dst, 0xd4)
	case n == 2:
		dst = append(dst, 0xd5)
	case n == 4:
		dst = append(dst, 0xd6)
	case n == 8:
		dst = append(dst, 0xd7)
	case n == 16:
		dst = append(dst, 0xd8)
	case n < 1<<8:
		dst = append(dst, 0xc7, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0xc8), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xc9), uint32(n))
	}
	return append(append(dst, byte(e.Type)), e.Data...)
}
