package chunk

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEvents(t *testing.T) {
	body := pairs{{"log", "line"}}
	unix := func(sec, ns int64) time.Time { return time.Unix(sec, ns).UTC() }
	for _, tt := range []struct {
		name  string
		event any
		time  time.Time
		meta  any // nil: none
	}{
		{"version 1", v1(body), noon, nil},
		{"version 2", v2(pairs{}, body), noon, nil},
		{"metadata", v2(pairs{{"a", 1}}, body), noon, pairs{{"a", 1}}},
		{"empty map32 of metadata", v2(raw("\xdf\x00\x00\x00\x00"), body), noon, nil},
		{"array16 of two", raw(append([]byte("\xdc\x00\x02"), pack(noonStamp, body)...)), noon, nil},
		{"array32 of two", raw(append([]byte("\xdd\x00\x00\x00\x02"), pack(list{noonStamp, pairs{}}, body)...)), noon, nil},
		{"array16 for a header", raw(append([]byte("\x92\xdc\x00\x02"), pack(noonStamp, pairs{}, body)...)), noon, nil},
		{"ext8", list{raw("\xc7\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07"), body}, unix(5, 7), nil},
		{"ext16", list{raw("\xc8\x00\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07"), body}, unix(5, 7), nil},
		{"ext32", list{raw("\xc9\x00\x00\x00\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07"), body}, unix(5, 7), nil},
		{"the last second before the markers", list{stamp(math.MaxUint32-2, 999999999), body}, unix(math.MaxUint32-2, 999999999), nil},
		{"fixint", list{7, body}, unix(7, 0), nil},
		{"uint8", list{raw{0xcc, 200}, body}, unix(200, 0), nil},
		{"uint16", list{uint64(60000), body}, unix(60000, 0), nil},
		{"uint32", list{uint64(math.MaxUint32), body}, unix(math.MaxUint32, 0), nil}, // a marker only as an extension
		{"uint64", list{uint64(1) << 40, body}, unix(1<<40, 0), nil},
		{"int64", list{raw("\xd3\x00\x00\x00\x00\x00\x00\x00\x07"), body}, unix(7, 0), nil},
		{"negative fixint", list{-1, body}, unix(-1, 0), nil},
		{"int8", list{raw{0xd0, 0x80}, body}, unix(-128, 0), nil},
		{"int16", list{-30000, body}, unix(-30000, 0), nil},
		{"int32", list{-2000000000, body}, unix(-2000000000, 0), nil},
		{"float64", list{1795399705.75, body}, unix(1795399705, 750000000), nil},
		{"float32", list{float32(0.5), body}, unix(0, 500000000), nil},
		{"negative float", list{list{-1.25, pairs{}}, body}, unix(-2, 750000000), nil},
		{"milliseconds", list{uint64(1795399705743), body}, unix(1795399705743, 0), nil},
	} {
		all, damage := events(pack(tt.event))
		if damage != nil || len(all) != 1 {
			t.Errorf("%s: %d events, damage %v", tt.name, len(all), damage)
			continue
		}
		e := all[0]
		if !e.Time.Equal(tt.time) || e.Time.Location() != time.UTC || !bytes.Equal(e.Body, pack(body)) || e.Group != nil {
			t.Errorf("%s: %v %x group %x, want %v %x", tt.name, e.Time, e.Body, e.Group, tt.time, pack(body))
		}
		if tt.meta == nil && e.Meta != nil || tt.meta != nil && !bytes.Equal(e.Meta, pack(tt.meta)) {
			t.Errorf("%s: metadata %x", tt.name, e.Meta)
		}
	}
}

// A body may be anything; the built-in outputs end a chunk at one that is no map.
func TestOddBodies(t *testing.T) {
	bodies := []any{"text", nil, 5, -1.5, list{1, 2}, ext{3, "abc"}, bin("b"), true, pairs{}, pairs{{nil, nil}}}
	var chunk []byte
	for _, b := range bodies {
		chunk = append(chunk, pack(v2(pairs{}, b))...)
	}
	all, damage := events(chunk)
	if damage != nil || len(all) != len(bodies) {
		t.Fatalf("%d events of %d, %v", len(all), len(bodies), damage)
	}
	for i := range all {
		if !bytes.Equal(all[i].Body, pack(bodies[i])) {
			t.Errorf("body %x, want %x", all[i].Body, pack(bodies[i]))
		}
	}
}

// What is no event costs nothing but itself.
func TestNoEvents(t *testing.T) {
	body := pairs{{"n", 1}}
	for _, tt := range []struct {
		value any
		err   error
	}{
		{nil, errShape}, {5, errShape}, {"text", errShape}, {body, errShape}, {list{}, errShape},
		{list{noonStamp}, errShape}, {list{noonStamp, body, 1}, errShape},
		{list{list{noonStamp}, body}, errShape}, {list{list{}, body}, errShape}, {list{list{noonStamp, pairs{}, 1}, body}, errShape},
		{list{"2026-11-23", body}, errTime}, {list{nil, body}, errTime}, {list{body, body}, errTime}, {list{list{list{}, pairs{}}, body}, errTime},
		{list{ext{1, "12345678"}, body}, errTime}, {list{ext{0, "1234"}, body}, errTime}, {list{ext{-1, "12345678"}, body}, errTime}, {list{ext{0, "123456789"}, body}, errTime},
		{list{stamp(5, 1e9), body}, errTime}, {list{stamp(5, math.MaxUint32), body}, errTime},
		{list{stamp(math.MaxUint32, 1), body}, errTime}, {list{stamp(math.MaxUint32-1, 1), body}, errTime},
		{list{math.NaN(), body}, errTime}, {list{math.Inf(1), body}, errTime}, {list{1e300, body}, errTime}, {list{-1e300, body}, errTime},
		{list{uint64(math.MaxUint64), body}, errTime}, {list{math.MinInt64, body}, errTime}, {list{1 << 53, body}, errTime},
		{v2(nil, body), errMeta}, {v2("text", body), errMeta}, {v2(list{}, body), errMeta},
		{groupOpens("text"), errMarker}, {groupOpens(nil), errMarker}, {list{list{stamp(math.MaxUint32-1, 0), pairs{}}, 1}, errMarker},
		{v2(pairs{}, deep(maxDepth)), errDeep}, {deep(3 * maxDepth), errDeep}, {deep(100_000), errDeep},
	} {
		chunk := pack(v1(body), tt.value, tt.value, v2(pairs{}, body))
		all, damage := events(chunk)
		if len(all) != 2 || damage == nil || damage.Events != 2 || damage.Bytes != 0 || !errors.Is(damage.Err, tt.err) {
			t.Errorf("%.40v: %d events, %+v, want 2 and %v", tt.value, len(all), damage, tt.err)
			continue
		}
		if !bytes.Equal(all[1].Body, pack(body)) || all[1].Group != nil {
			t.Errorf("%v: the next event is %x in %x", tt.value, all[1].Body, all[1].Group)
		}
	}
}

// deep is a value of n maps and arrays within each other.
func deep(n int) any {
	var b []byte
	for i := range n {
		if i%2 == 0 {
			b = append(b, 0x91)
		} else {
			b = append(b, 0x82, 0x01, 0x80, 0x02)
		}
	}
	return raw(append(b, 0xc0))
}

// Depth is a limit of the whole event, however many containers lie side by side.
func TestDepth(t *testing.T) {
	wide := list{}
	for range 3 * maxDepth {
		wide = append(wide, list{pairs{{"a", list{1}}}, pairs{}})
	}
	// An event of version 1 is one array around its body.
	chunk := pack(v1(deep(maxDepth-1)), v1(wide), v2(pairs{{"deep", deep(maxDepth - 3)}}, wide))
	all, damage := events(chunk)
	if len(all) != 3 || damage != nil {
		t.Fatalf("%d events, %v", len(all), damage)
	}
	for i := range all {
		record := new(Encoder).Append(nil, &all[i])
		if _, err := parse(record); err != nil {
			t.Errorf("%.100s: %v", record, err)
		}
	}
}

// Groups: markers are not events, attributes belong to what follows, a group
// ends at its end, at the next start, and at the chunk's end.
func TestGroups(t *testing.T) {
	event := func(n int) any { return v2(pairs{}, pairs{{"n", n}}) }
	a, b := pairs{{"group", "a"}}, pairs{{"group", "b"}}
	chunk := pack(
		event(0),
		groupOpens(a), event(1), event(2), groupEnds,
		event(3),
		groupEnds, event(4), // none was open
		groupOpens(a), groupOpens(b), event(5), groupEnds, event(6), // no nesting: Fluent Bit's own decoder knows none
		groupOpens(b), list{stamp(math.MaxUint32, 0), a}, event(7), // version 1
		groupOpens(pairs{}), event(8),
		groupOpens(b), "damage", event(9),
	)
	want := []any{nil, a, a, nil, nil, b, nil, a, nil, b}
	all, damage := events(chunk)
	if len(all) != len(want) || damage.Events != 1 {
		t.Fatalf("%d events of %d, %+v", len(all), len(want), damage)
	}
	for i, e := range all {
		if want[i] == nil && e.Group != nil || want[i] != nil && !bytes.Equal(e.Group, pack(want[i])) {
			t.Errorf("event %d has the group %x, want %v", i, e.Group, want[i])
		}
	}
	var d Decoder
	var e Event
	d.Reset(chunk)
	for d.Next(&e) {
	}
	if d.Reset(pack(event(0))); !d.Next(&e) || e.Group != nil || d.Damage() != nil {
		t.Errorf("a decoder that is used again begins with %x, %v", e.Group, d.Damage())
	}
	if d.Next(&e) || d.Next(&e) {
		t.Error("an event behind the last")
	}
}

// Cut a chunk anywhere: the whole events before the cut are there, the rest is
// counted, and the events are the same as the whole chunk's.
func TestCut(t *testing.T) {
	var chunk []byte
	ends := map[int]int{0: 0} // offset → events
	for i, v := range []any{v1(kubernetes("line")), v2(pairs{{"m", 1}}, pairs{{"a", list{1, 2.5, ext{4, "abcdefgh"}, bin("x")}}}), "no event", v2(pairs{}, pairs{{"s", strings.Repeat("x", 70000)}})} {
		chunk = append(chunk, pack(v)...)
		ends[len(chunk)] = min(i+1, 2) // the third is none
	}
	ends[len(chunk)] = 3
	whole, start := 0, 0
	for cut := 0; cut <= len(chunk); cut++ {
		if cut > 2000 && cut < len(chunk)-2000 {
			continue // in the long string
		}
		n, clean := ends[cut]
		if clean {
			whole, start = n, cut
		}
		all, damage := events(chunk[:cut:cut])
		if len(all) != whole {
			t.Fatalf("cut at %d: %d events, want %d", cut, len(all), whole)
		}
		rest := 0
		if damage != nil {
			rest = damage.Bytes
		}
		if rest != cut-start || rest > 0 && damage.Err == nil {
			t.Fatalf("cut at %d: damage %+v, want %d bytes", cut, damage, cut-start)
		}
	}
}

// A byte that begins no value ends the walk.
func TestNeverByte(t *testing.T) {
	good := pack(v1(pairs{{"a", 1}}))
	chunk := append(append(bytes.Clone(good), 0x92, 0x01, 0x81, 0xa1, 'k', 0xc1), good...)
	all, damage := events(chunk)
	if len(all) != 1 || damage.Bytes != len(chunk)-len(good) || damage.Events != 0 || !errors.Is(damage.Err, errNever) {
		t.Errorf("%d events, %+v", len(all), damage)
	}
	if want := "decode chunk of 36 bytes at byte 15: 0xc1 begins no msgpack value"; damage.Err.Error() != want {
		t.Errorf("error %q, want %q", damage.Err, want)
	}
}

// A head that promises more than there is costs no time and no memory.
func TestHostileHeads(t *testing.T) {
	for _, head := range []string{
		"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x00",
		"\xdc\xff\xff", "\xde\xff\xff", "\xda\xff\xff", "\xc5\xff\xff", "\xc8\xff\xff\x00", "\xd9\xff", "\xc4\xff", "\xc7\xff\x00", "\x9f", "\x8f", "\xbf",
		strings.Repeat("\xdf\xff\xff\xff\xff", 50), strings.Repeat("\x91", 1000), "\xcf\x01", "\xcb", "\xca\x01\x02\x03", "\xd8\x00",
	} {
		for _, before := range []string{"", "\x92", "\x92\x92", "\x92\x05", "\x92\x05\x81\xa1k"} {
			chunk := []byte(before + head)
			var all []Event
			var damage *Damage
			allocated := testing.AllocsPerRun(1, func() { all, damage = events(chunk) })
			if len(all) != 0 || damage == nil || damage.Bytes != len(chunk) || allocated > 20 {
				t.Errorf("%q: %d events, %+v, %v allocations", chunk, len(all), damage, allocated)
			}
		}
	}
}

// A value may be as long as it likes.
func TestLongValue(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 640<<10)
	all, damage := events(pack(v1(pairs{{"log", long}}), v1(pairs{{"log", "next"}})))
	if len(all) != 2 || damage != nil {
		t.Fatalf("%d events, %v", len(all), damage)
	}
	field, _ := ParseField("log")
	if value, ok := field.Find(all[0].Body); !ok || string(AppendText(nil, value)) != long {
		t.Errorf("%d bytes of %d", len(value), len(long))
	}
}

// skip takes what msgp's own takes, and neither reads on.
func TestSkipAsMsgp(t *testing.T) {
	var value []byte
	for first := range 256 {
		for _, tail := range []int{0, 1, 2, 3, 4, 5, 8, 9, 10, 17, 18, 40, 300} {
			value = append(value[:0], byte(first))
			for i := range tail {
				value = append(value, byte(i%7))
			}
			checkSkip(t, value)
		}
	}
}

func checkSkip(t *testing.T, b []byte) {
	t.Helper()
	b = bytes.Clone(b)
	n, err := skip(b[:len(b):len(b)])
	rest, theirs := msgp.Skip(b)
	if errors.Is(err, errDeep) {
		err = nil
	}
	if (err == nil) != (theirs == nil) || err == nil && n != len(b)-len(rest) {
		t.Fatalf("skip(%.100x) = %d, %v; msgp: %d, %v", b, n, err, len(b)-len(rest), theirs)
	}
	if err == nil && length(b) != n {
		t.Fatalf("length(%.100x) = %d, skip's is %d", b, length(b), n)
	}
}

// An Event that is used again keeps nothing of the one before.
func TestEventIsUsedAgain(t *testing.T) {
	all, _ := events(pack(groupOpens(pairs{{"g", 1}}), v2(pairs{{"m", 1}}, pairs{}), v1("x"), groupEnds, v1("y")))
	if len(all) != 3 || all[0].Meta == nil || all[1].Meta != nil || all[1].Group == nil || all[2].Group != nil {
		t.Errorf("%+v", all)
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	chunk := pack(v1(kubernetes("line")), groupOpens(pairs{{"a", 1}}), v2(pairs{{"m", 1}}, kubernetes("line")), groupEnds)
	var d Decoder
	var e Event
	if n := testing.AllocsPerRun(100, func() {
		for d.Reset(chunk); d.Next(&e); {
		}
	}); n != 0 {
		t.Errorf("%v allocations a chunk, want 0", n)
	}
}
