package chunk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// What tests make chunks from. msgp writes the values, so that what is tested
// here does not check itself.
type (
	pairs []pair // a map that keeps its order, and takes a key twice
	pair  struct{ k, v any }
	list  []any
	ext   struct {
		kind int8
		data string
	}
	bin string
	raw []byte // msgpack as it stands
)

func pack(values ...any) (b []byte) {
	for _, v := range values {
		b = appendValue(b, v)
	}
	return b
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case raw:
		return append(b, v...)
	case pairs:
		b = msgp.AppendMapHeader(b, uint32(len(v)))
		for _, p := range v {
			b = appendValue(appendValue(b, p.k), p.v)
		}
		return b
	case list:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for _, e := range v {
			b = appendValue(b, e)
		}
		return b
	case bin:
		return msgp.AppendBytes(b, []byte(v))
	case ext:
		b, err := msgp.AppendExtension(b, &msgp.RawExtension{Type: v.kind, Data: []byte(v.data)})
		if err != nil {
			panic(err)
		}
		return b
	case nil, bool, string, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
		b, err := msgp.AppendIntf(b, v)
		if err != nil {
			panic(err)
		}
		return b
	}
	panic(fmt.Sprintf("no msgpack for a %T", v))
}

// stamp is a time as Fluent Bit writes it.
func stamp(sec, ns uint32) ext {
	return ext{0, string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, sec), ns))}
}

var (
	noon       = time.Date(2026, 11, 23, 12, 0, 5, 743042951, time.UTC)
	noonStamp  = stamp(uint32(noon.Unix()), uint32(noon.Nanosecond()))
	groupOpens = func(attributes any) any { return list{list{stamp(1<<32-1, 0), pairs{}}, attributes} }
	groupEnds  = list{list{stamp(1<<32-2, 0), pairs{}}, pairs{}}
)

// v1 and v2 are events of noon.
func v1(body any) any       { return list{noonStamp, body} }
func v2(meta, body any) any { return list{list{noonStamp, meta}, body} }

// kubernetes is the body of a record as the filter of that name makes them.
func kubernetes(line string) pairs {
	return pairs{
		{"time", "2026-11-23T12:00:05.743042951Z"},
		{"stream", "stdout"},
		{"_p", "F"},
		{"log", line},
		{"kubernetes", pairs{
			{"pod_name", "checkout-7d9c6bdf9b-x2k4p"},
			{"namespace_name", "shop"},
			{"pod_id", "0b6c1a52-3d5c-4f0e-9d3e-0f1b6e1c7a11"},
			{"pod_ip", "10.244.3.17"},
			{"host", "aks-nodepool1-31846713-vmss000002"},
			{"container_name", "checkout"},
			{"docker_id", "6d5e3c5a4f1b7a6b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d"},
			{"container_hash", "registry.example.com/shop/checkout@sha256:6d5e3c5a4f1b7a6b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d"},
			{"container_image", "registry.example.com/shop/checkout:1.42.0"},
			{"labels", pairs{
				{"app.kubernetes.io/name", "checkout"},
				{"app.kubernetes.io/instance", "checkout-prod"},
				{"app.kubernetes.io/version", "1.42.0"},
				{"pod-template-hash", "7d9c6bdf9b"},
				{"team", "payments"},
			}},
		}},
	}
}

// events walks through a chunk; slices of the events are parts of it.
func events(chunk []byte) (all []Event, damage *Damage) {
	var d Decoder
	var e Event
	d.Reset(chunk)
	for d.Next(&e) {
		all = append(all, e)
	}
	return all, d.Damage()
}

// encode is a chunk's records.
func encode(e *Encoder, chunk []byte) (records [][]byte, damage *Damage) {
	all, damage := events(chunk)
	for i := range all {
		records = append(records, slices.Clip(e.Append(nil, &all[i])))
	}
	return records, damage
}
