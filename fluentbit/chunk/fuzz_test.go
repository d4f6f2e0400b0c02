package chunk

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"unsafe"

	"github.com/tinylib/msgp/msgp"

	"github.com/liveblob/azureblob/core/record"
)

func addSeeds(f *testing.F) {
	for _, g := range golden {
		f.Add(g.chunk)
		for rest := g.chunk; len(rest) > 0; { // and each event alone
			n, err := skip(rest)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(rest[:n])
			rest = rest[n:]
		}
	}
	f.Add(pack(v1(kubernetes("line")), "no event", groupOpens(pairs{{"g", 1}}), v2(pairs{{"m", 1}}, deep(90))))
	f.Add(pack(deep(110), v1(many(manyKeys+1)), v1("text")))
	f.Add(pack(v1(pairs{{pairs{{pairs{{list{1}, 2}}, 3}}, 4}, {"a", 1}, {"a", pairs{{"b", 1}, {"b", 2}}}})))
	f.Add([]byte("\x92\x92\xd7\x00\x6b\x03\x9b\x59\x00\x00\x00\x07\xdf\xff\xff\xff\xff\x80"))
	f.Add([]byte("\x92\x05\xc1"))
}

// Any bytes: no panic, no read outside (the chunk has no byte to spare behind
// it), every event's record is one line of valid JSON, an event's slices are
// parts of the chunk and well-formed, and what is neither an event nor a marker
// is damage.
func FuzzDecode(f *testing.F) {
	addSeeds(f)
	log, err := ParseField("$a['log']")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		chunk := make([]byte, len(data))
		copy(chunk, data)
		inside := func(what string, b []byte) {
			if b == nil {
				return
			}
			if n, err := skip(b); err != nil || n != len(b) {
				t.Fatalf("%s %x is not one value: %v", what, b, err)
			}
			if cap(b) != len(b) {
				t.Fatalf("%s has room for %d more bytes", what, cap(b)-len(b))
			}
			start := uintptr(unsafe.Pointer(unsafe.SliceData(chunk)))
			at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
			if at < start || at+uintptr(len(b)) > start+uintptr(len(chunk)) {
				t.Fatalf("%s is not in the chunk", what)
			}
		}
		whole := Encoder{TimeKey: "@timestamp", MetadataKey: "meta", GroupKey: "group"}
		bare := Encoder{}
		text := Encoder{Format: record.Text, LogKey: log}
		line := Encoder{Format: record.Raw, LogKey: log}
		var d Decoder
		var ev Event
		var dst []byte
		for d.Reset(chunk[:len(chunk):len(chunk)]); d.Next(&ev); {
			inside("metadata", ev.Meta)
			inside("group", ev.Group)
			inside("body", ev.Body)
			for _, e := range []*Encoder{&whole, &bare} {
				dst = e.Append(dst[:0], &ev)
				if n := bytes.IndexByte(dst, '\n'); n != len(dst)-1 {
					t.Fatalf("a newline at %d of %d in %q", n, len(dst), dst)
				}
				if !json.Valid(dst) || dst[0] != '{' {
					t.Fatalf("%x is no JSON: %q", ev.Body, dst)
				}
			}
			for _, e := range []*Encoder{&text, &line} {
				if dst = e.Append(dst[:0], &ev); len(dst) == 0 || dst[len(dst)-1] != '\n' {
					t.Fatalf("%v: %q has no end", e.Format, dst)
				}
			}
			if value, ok := log.Find(ev.Body); ok {
				inside("field", value)
			}
		}
		damage := d.Damage()
		if damage == nil {
			damage = new(Damage)
		} else if damage.Err == nil || damage.Bytes == 0 && damage.Events == 0 {
			t.Fatalf("damage of nothing: %+v", damage)
		}
		// The whole values that msgp counts end where ours do.
		rest := chunk
		for len(rest) > damage.Bytes {
			after, err := msgp.Skip(rest)
			if err != nil {
				t.Fatalf("msgp finds damage %d bytes before the end, not %d: %v", len(rest), damage.Bytes, err)
			}
			rest = after
		}
		if len(rest) != damage.Bytes {
			t.Fatalf("the damage is %d bytes, no value ends there", damage.Bytes)
		}
		if _, err := msgp.Skip(rest); err == nil {
			t.Fatalf("msgp finds no damage in %x", rest)
		}
	})
}

// What is in the JSON is what msgp decodes.
func FuzzRoundTrip(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _ := events(data)
		var e Encoder
		for i := range all {
			if _, _, isMap := mapHeader(all[i].Body); !isMap {
				continue
			}
			want, rest, err := msgp.ReadIntfBytes(all[i].Body)
			if err != nil {
				continue // a key that is no string, an extension of msgp's own
			}
			if len(rest) > 0 {
				t.Fatalf("msgp leaves %x of %x", rest, all[i].Body)
			}
			text := e.Append(nil, &all[i])
			got, err := parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if !same(got, want) {
				t.Fatalf("%x\nis %#v\n got %s", all[i].Body, want, text)
			}
		}
	})
}

// same compares what encoding/json reads with what msgp does.
func same(got, want any) bool {
	switch want := want.(type) {
	case nil, bool:
		return got == want
	case string:
		return got == replaced(want)
	case []byte:
		return got == replaced(string(want))
	case int64:
		return got == json.Number(strconv.FormatInt(want, 10))
	case uint64:
		return got == json.Number(strconv.FormatUint(want, 10))
	case float32:
		return same(got, float64(want))
	case float64:
		if math.IsNaN(want) || math.IsInf(want, 0) {
			return got == nil
		}
		number, ok := got.(json.Number)
		f, err := number.Float64()
		if math.IsInf(f, 0) {
			f, err = math.Copysign(math.MaxFloat64, f), nil // 16 digits of it are more than it is
		}
		return ok && err == nil && math.Abs(f-want) <= 1e-15*math.Abs(want)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !same(list[i], want[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return false
		}
		names := map[string]bool{}
		for k := range want {
			names[replaced(k)] = true
		}
		if len(names) != len(object) {
			return false
		}
		if len(names) != len(want) {
			return true // keys that differ in invalid bytes alone; one of them wins
		}
		for k, v := range want {
			if value, ok := object[replaced(k)]; !ok || !same(value, v) {
				return false
			}
		}
		return true
	}
	_, isText := got.(string) // an extension, in one of msgp's own types
	return isText
}

// replaced is s with U+FFFD for each byte that is not part of valid UTF-8.
func replaced(s string) string { return string([]rune(s)) }
