package chunk

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/record"
)

// one is the record of one event.
func one(t *testing.T, e *Encoder, event any) string {
	t.Helper()
	records, damage := encode(e, pack(event))
	if damage != nil || len(records) != 1 {
		t.Fatalf("%d records of %v, %v", len(records), event, damage)
	}
	text, ok := strings.CutSuffix(string(records[0]), "\n")
	if !ok {
		t.Errorf("the record %q does not end in a newline", records[0])
	}
	return text
}

func field(t testing.TB, text string) Field {
	t.Helper()
	f, err := ParseField(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The keys before the body's, and which of two keys that are the same remains.
func TestJSONHead(t *testing.T) {
	const at = `"2026-11-23T12:00:05.743042Z"`
	meta, body := pairs{{"m", 1}}, pairs{{"log", "x"}}
	all := Encoder{TimeKey: "t", MetadataKey: "meta", GroupKey: "group"}
	for _, tt := range []struct {
		name    string
		encoder Encoder
		event   any
		want    string
	}{
		{"nothing", Encoder{}, v2(meta, body), `{"log":"x"}`},
		{"nothing of nothing", Encoder{}, v2(meta, pairs{}), `{}`},
		{"time", Encoder{TimeKey: "@timestamp"}, v2(meta, body), `{"@timestamp":` + at + `,"log":"x"}`},
		{"time alone", Encoder{TimeKey: "@timestamp"}, v2(meta, pairs{}), `{"@timestamp":` + at + `}`},
		{"all", all, v2(meta, body), `{"t":` + at + `,"meta":{"m":1},"log":"x"}`},
		{"no metadata", all, v2(pairs{}, body), `{"t":` + at + `,"log":"x"}`},
		{"odd name", Encoder{TimeKey: "a \"b\"\n\u2028"}, v1(body), `{"a \"b\"\n` + "\u2028" + `":` + at + `,"log":"x"}`},
		{"the body has the time's", all, v2(meta, pairs{{"a", 1}, {"t", 2}}), `{"meta":{"m":1},"a":1,"t":2}`},
		{"the body has the metadata's", all, v2(meta, pairs{{"meta", 2}}), `{"t":` + at + `,"meta":2}`},
		{"the body has all", all, v2(meta, pairs{{"meta", 2}, {"group", 3}, {"t", 4}, {"t", 5}}), `{"meta":2,"group":3,"t":5}`},
		{"the body has a key that is only hidden", all, v2(pairs{}, pairs{{"meta", 2}}), `{"t":` + at + `,"meta":2}`},
		{"one name for two", Encoder{TimeKey: "x", MetadataKey: "x"}, v2(meta, body), `{"x":{"m":1},"log":"x"}`},
		{"one name for two, one of them not there", Encoder{TimeKey: "x", MetadataKey: "x"}, v2(pairs{}, body), `{"x":` + at + `,"log":"x"}`},
		{"and the body has a key twice", Encoder{TimeKey: "x", MetadataKey: "x"}, v2(pairs{}, pairs{{"a", 1}, {"a", 2}}), `{"x":` + at + `,"a":2}`},
		{"twice in the metadata", all, v2(pairs{{"k", 1}, {"k", 2}}, body), `{"t":` + at + `,"meta":{"k":2},"log":"x"}`},
		{"no map", Encoder{TimeKey: "@timestamp"}, v2(meta, "text"), `{"@timestamp":` + at + `,"log":"text"}`},
		{"no map and no time", Encoder{}, v2(meta, list{1, pairs{{"a", nil}}}), `{"log":[1,{"a":null}]}`},
		{"no map, and log is the time", Encoder{TimeKey: "log"}, v2(meta, 5), `{"log":5}`},
		{"a key of the time's name within", all, v2(pairs{}, pairs{{"in", pairs{{"t", 1}}}}), `{"t":` + at + `,"in":{"t":1}}`},
	} {
		if got := one(t, &tt.encoder, tt.event); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}

	records, _ := encode(&all, pack(groupOpens(pairs{{"g", "1"}}), v2(meta, body), v2(meta, pairs{{"group", "body's"}}), groupEnds, v2(pairs{}, body)))
	for i, want := range []string{
		`{"t":` + at + `,"meta":{"m":1},"group":{"g":"1"},"log":"x"}`,
		`{"t":` + at + `,"meta":{"m":1},"group":"body's"}`,
		`{"t":` + at + `,"log":"x"}`,
	} {
		if got := string(records[i]); got != want+"\n" {
			t.Errorf("record %d\n got %swant %s", i, got, want)
		}
	}
}

// A map that is looked at in the exact way, and one of hashes, give the same.
func TestManyKeys(t *testing.T) {
	for _, n := range []int{manyKeys - 1, manyKeys, manyKeys + 1, 5000} {
		var body pairs
		var want []string
		for i := range n {
			k := fmt.Sprint(i * 7919 % n)
			body = append(body, pair{k, pairs{{"v", i}}})
			want = append(want, fmt.Sprintf(`"%s":{"v":%d}`, k, i))
		}
		e := &Encoder{TimeKey: "@timestamp"}
		head := `{"@timestamp":"2026-11-23T12:00:05.743042Z",`
		if got := one(t, e, v1(body)); got != head+strings.Join(want, ",")+"}" {
			t.Errorf("%d keys: %.200s…", n, got)
		}
		last := fmt.Sprintf(`"%s":{"w":0},"@timestamp":1}`, body[n/2].k)
		body = append(body, pair{body[n/2].k, pairs{{"w", 1}, {"w", 0}}}, pair{"@timestamp", 1})
		want = append(want[:n/2], want[n/2+1:]...)
		if got := one(t, e, v1(body)); got != "{"+strings.Join(want, ",")+","+last {
			t.Errorf("%d keys, one twice: %.200s…", n, got)
		}
		if got := one(t, e, v1(pairs{{"a", 1}})); got != head+`"a":1}` {
			t.Errorf("after %d keys: %s", n, got)
		}
	}
}

// Keys that are no strings are never the same as another.
func TestOddKeys(t *testing.T) {
	key := pairs{{list{1}, 2}}
	const name = `"\\x81\\x91\\x01\\x02"`
	for _, tt := range []struct {
		body pairs
		want string
	}{
		{pairs{{1, "a"}, {1, "b"}, {"1", "c"}}, `{"1":"a","1":"b","1":"c"}`},
		{pairs{{key, "a"}, {key, "b"}}, `{` + name + `:"a",` + name + `:"b"}`},
		{pairs{{"d", 1}, {key, pairs{{key, 1}}}, {5, 6}, {bin("d"), 2}}, `{` + name + `:{` + name + `:1},"5":6,"d":2}`},
		{pairs{{-1.5, 1}, {true, 2}, {nil, 3}, {math.NaN(), 4}, {ext{1, ""}, 5}, {list{}, 6}}, `{"-1.5":1,"true":2,"null":3,"null":4,"":5,"\\x90":6}`},
	} {
		if got := one(t, new(Encoder), v1(tt.body)); got != tt.want {
			t.Errorf("%v\n got %s\nwant %s", tt.body, got, tt.want)
		}
	}
	nested := any("x") // a map as the key of a map, at every depth
	for range maxDepth - 1 {
		nested = pairs{{nested, 1}}
	}
	if got := one(t, new(Encoder), v1(nested)); len(got) > 10*maxDepth*10 {
		t.Errorf("a record of %d bytes became %d", len(pack(nested)), len(got))
	}
}

// Doubled keys at every depth must not cost twice as much at each.
func TestDoubledKeysInDepth(t *testing.T) {
	value := any(1)
	want := "1"
	for range maxDepth - 2 {
		value = pairs{{"a", 0}, {"a", value}}
		want = `{"a":` + want + `}`
	}
	done := make(chan string)
	go func() { done <- one(t, new(Encoder), v1(value)) }()
	select {
	case got := <-done:
		if got != want {
			t.Errorf("got %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("one record takes more than 10 s")
	}
}

// Keys of hostile maps: all the same, and all different, in numbers that n²
// would not end with.
func TestHostileKeys(t *testing.T) {
	const n = 600_000
	same, different := make(pairs, n), make(pairs, n)
	for i := range n {
		same[i], different[i] = pair{"key", i}, pair{fmt.Sprint(i), i}
	}
	start := time.Now()
	if got, want := one(t, new(Encoder), v1(same)), fmt.Sprintf(`{"key":%d}`, n-1); got != want {
		t.Errorf("got %.100s, want %s", got, want)
	}
	if got := one(t, new(Encoder), v1(pairs{{"map", different}})); strings.Count(got, ":") != n+1 {
		t.Errorf("%d keys of %d", strings.Count(got, ":"), n+1)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestTextAndRaw(t *testing.T) {
	const at = "2026-11-23T12:00:05.743042951Z "
	const json = `{"@timestamp":"2026-11-23T12:00:05.743042Z",`
	meta := pairs{{"m", 1}}
	for _, tt := range []struct {
		name, key string
		event     any
		raw, text string // text without the time
	}{
		{"line", "log", v1(pairs{{"log", "hi"}}), "hi", "stdout F hi"},
		{"accessor", "$log", v1(pairs{{"log", "hi"}}), "hi", "stdout F hi"},
		{"one newline is the line's own", "log", v1(pairs{{"log", "hi\n"}}), "hi", "stdout F hi"},
		{"two are not", "log", v1(pairs{{"log", "hi\n\n"}}), "hi\n", "stdout F hi\n" + at + "stdout F "},
		{"empty", "log", v1(pairs{{"log", ""}}), "", "stdout F "},
		{"nothing but a newline", "log", v1(pairs{{"log", "\n"}}), "", "stdout F "},
		{"newlines within", "log", v1(pairs{{"log", "a\nb\r\n"}}), "a\nb\r", "stdout F a\n" + at + "stdout F b\r"},
		{"bytes stay", "log", v1(pairs{{"log", "\x00\xff\"\\"}}), "\x00\xff\"\\", "stdout F \x00\xff\"\\"},
		{"binary", "log", v1(pairs{{"log", bin("b\xff")}}), "b\xff", "stdout F b\xff"},
		{"stderr", "log", v1(pairs{{"log", "x"}, {"stream", "stderr"}}), "x", "stderr F x"},
		{"stdout", "log", v1(pairs{{"stream", "stdout"}, {"log", "x"}}), "x", "stdout F x"},
		{"another stream", "log", v1(pairs{{"stream", "F 2026"}, {"log", "x"}}), "x", "stdout F x"},
		{"a stream that is no string", "log", v1(pairs{{"stream", 2}, {"log", "x"}}), "x", "stdout F x"},
		{"the last of two", "log", v1(pairs{{"log", "a"}, {"log", "b"}}), "b", "stdout F b"},
		{"nested", "$a['b']['c.d']", v1(pairs{{"a", pairs{{"b", pairs{{"c.d", "x"}}}}}}), "x", "stdout F x"},
		{"number", "log", v1(pairs{{"log", 12.5}}), "12.5", "stdout F 12.5"},
		{"map", "log", v1(pairs{{"log", pairs{{"a", 1}, {"a", "\n"}}}}), `{"a":"\n"}`, `stdout F {"a":"\n"}`},
		{"nil", "log", v1(pairs{{"log", nil}}), "null", "stdout F null"},
		{"not there", "log", v2(meta, pairs{{"msg", "x"}}), json + `"meta":{"m":1},"msg":"x"}`, `stdout F {"meta":{"m":1},"msg":"x"}`},
		{"not there, of stderr", "$log['x']", v1(pairs{{"log", "x"}, {"stream", "stderr"}}), json + `"log":"x","stream":"stderr"}`, `stderr F {"log":"x","stream":"stderr"}`},
		{"no map", "log", v1("x"), json + `"log":"x"}`, `stdout F {"log":"x"}`},
		{"no key is asked for", "", v1(pairs{{"log", "x"}}), json + `"log":"x"}`, `stdout F {"log":"x"}`},
		{"no body", "", v1(pairs{}), json[:len(json)-1] + `}`, `stdout F {}`},
	} {
		e := Encoder{Format: record.Raw, TimeKey: "@timestamp", MetadataKey: "meta"}
		if tt.key != "" {
			e.LogKey = field(t, tt.key)
		}
		if got := one(t, &e, tt.event); got != tt.raw {
			t.Errorf("%s, raw\n got %q\nwant %q", tt.name, got, tt.raw)
		}
		e = Encoder{Format: record.Text, LogKey: e.LogKey, TimeKey: "@timestamp", MetadataKey: "meta"}
		if got := one(t, &e, tt.event); got != at+tt.text {
			t.Errorf("%s, text\n got %q\nwant %q", tt.name, got, at+tt.text)
		}
	}
}

func TestAppendText(t *testing.T) {
	for _, tt := range []struct {
		value any
		want  string
	}{
		{"text\n\xff", "text\n\xff"}, {bin("\x00"), "\x00"}, {"", ""}, {1, "1"}, {-1, "-1"}, {2.0, "2.0"}, {true, "true"}, {false, "false"}, {nil, "null"},
		{list{"a", 1}, `["a",1]`}, {pairs{{"a", pairs{{"b", 1}, {"b", 2}}}}, `{"a":{"b":2}}`}, {ext{1, "z"}, `"\\x7a"`},
	} {
		if got := AppendText([]byte("x"), pack(tt.value)); string(got) != "x"+tt.want {
			t.Errorf("AppendText(%v) = %q, want %q", tt.value, got, "x"+tt.want)
		}
	}
}

// Append appends: what is in dst stays, whatever its capacity.
func TestAppendKeepsDst(t *testing.T) {
	all, _ := events(pack(v2(pairs{{"m", 1}}, kubernetes("line")), v1(pairs{{"a", 1}, {"a", 2}}), v1("text")))
	for _, f := range []record.Format{record.JSON, record.Text, record.Raw} {
		e := &Encoder{Format: f, TimeKey: "t", LogKey: field(t, "log")}
		var want []byte
		for i := range all {
			want = append(want, e.Append(nil, &all[i])...)
		}
		for spare := range 200 {
			dst := append(make([]byte, 0, 5+spare), "begin"...)
			for i := range all {
				dst = e.Append(dst, &all[i])
			}
			if string(dst) != "begin"+string(want) {
				t.Fatalf("%v with room for %d: %s", f, spare, dst)
			}
		}
	}
}

// A copy of an encoder, used or not, is one of its own, and may be configured
// anew.
func TestEncoderCopies(t *testing.T) {
	chunk := pack(v1(kubernetes("line")), v1(pairs{{"a", 1}, {"a", 2}, {"@timestamp", 3}}))
	first := Encoder{TimeKey: "@timestamp"}
	want, _ := encode(&first, chunk)
	var done sync.WaitGroup
	for range 8 {
		e := first
		done.Go(func() {
			for range 200 {
				if got, _ := encode(&e, chunk); !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
					t.Errorf("got %s", got)
					return
				}
			}
		})
	}
	done.Wait()
	e := first
	e.TimeKey, e.TimeFormat = "time", Epoch
	if got, want := one(t, &e, v1(pairs{})), `{"time":1795435205}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := one(t, &first, v1(pairs{})), `{"@timestamp":"2026-11-23T12:00:05.743042Z"}`; got != want {
		t.Errorf("then the first: %s, want %s", got, want)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	doubled := pairs{{"a", 1.5}, {"b", list{1, "x", pairs{{"c", 1}, {"c", 2}}}}, {"a", ext{1, "x"}}}
	oddKeys := pairs{{1, 1}, {list{1, pairs{{"a", 3}}}, 4}, {nil, 5}}
	chunk := pack(v2(pairs{{"m", 1}}, kubernetes("line \xff\n")), v1(many(20)), v1(oddKeys), v1(doubled), v1(many(manyKeys+20)), v1("text"), v1(pairs{{"log", 5}}))
	for _, f := range []record.Format{record.JSON, record.Text, record.Raw} {
		e := &Encoder{Format: f, LogKey: field(t, "log"), TimeKey: "@timestamp", MetadataKey: "meta", GroupKey: "group"}
		var d Decoder
		var ev Event
		dst := make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(100, func() {
			dst = dst[:0]
			for d.Reset(chunk); d.Next(&ev); {
				dst = e.Append(dst, &ev)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations a chunk, want 0", f, n)
		}
	}
}

// Records whose keys differ are written once, and what is remembered of a map
// ends with it.
func TestOnePass(t *testing.T) {
	e := &Encoder{TimeKey: "@timestamp", MetadataKey: "meta"}
	encode(e, pack(v2(pairs{{"log", 1}, {"stream", 2}}, kubernetes("line")), v1(list{pairs{{"a", 1}}, pairs{{"a", 2}}}), v1(pairs{{"a", pairs{{"a", pairs{{"a", 1}}}}}, {"b", pairs{{"a", 1}}}})))
	if e.json.keys != nil {
		t.Error("a record without doubled keys was looked at twice")
	}
	encode(e, pack(v1(many(manyKeys+1)), v1(pairs{{"a", many(manyKeys + 1)}})))
	if len(e.json.drop) != 0 {
		t.Errorf("%d marks are left", len(e.json.drop))
	}
}

// An encoder that is idle refers to no chunk, whose memory may be gone.
func TestEncoderKeepsNothing(t *testing.T) {
	e := &Encoder{TimeKey: "@timestamp"}
	encode(e, pack(v1(pairs{{"a", 1}, {"a", pairs{{"b", 2}, {"b", 3}}}}), v1(many(manyKeys+1))))
	kept := e.json.keys[:cap(e.json.keys)]
	if len(kept) == 0 {
		t.Fatal("no keys were looked at")
	}
	for _, k := range kept {
		if k.text != nil {
			t.Fatalf("the key %q is kept", k.text)
		}
	}
}

func TestTimeFormats(t *testing.T) {
	early := time.Date(5, 1, 2, 3, 4, 5, 60_007_008, time.UTC)
	far := time.Unix(1795399705743, 1)
	before := time.Unix(-2, 750_000_000)
	for _, tt := range []struct {
		name               string
		format             TimeFormat
		noon               string
		early, far, before string
	}{
		{"iso8601", Iso8601, `"2026-11-23T12:00:05.743042Z"`, `"0005-01-02T03:04:05.060007Z"`, `"58863-12-14T04:29:03.000000Z"`, `"1969-12-31T23:59:58.750000Z"`},
		{"iso8601_ns", Iso8601Nano, `"2026-11-23T12:00:05.743042951Z"`, `"0005-01-02T03:04:05.060007008Z"`, `"58863-12-14T04:29:03.000000001Z"`, `"1969-12-31T23:59:58.750000000Z"`},
		{"epoch", Epoch, "1795435205", "-62009268955", "1795399705743", "-2"},
		{"epoch_ms", EpochMillis, "1795435205743", "-62009268954940", "1795399705743000", "-1250"},
		{"Epoch_Millis", EpochMillis, "1795435205743", "-62009268954940", "1795399705743000", "-1250"},
		{"epoch_milliseconds", EpochMillis, "1795435205743", "-62009268954940", "1795399705743000", "-1250"},
		{"double", Double, "1795435205.743043", "-62009268954.93999", "1795399705743.0", "-1.25"},
		{"JAVA_SQL_TIMESTAMP", JavaSQLTimestamp, `"2026-11-23 12:00:05.743042"`, `"0005-01-02 03:04:05.060007"`, `"58863-12-14 04:29:03.000000"`, `"1969-12-31 23:59:58.750000"`},
	} {
		f, err := ParseTimeFormat(tt.name)
		if err != nil || f != tt.format {
			t.Errorf("ParseTimeFormat(%q) = %v, %v", tt.name, f, err)
		}
		if again, err := ParseTimeFormat(f.String()); again != f || err != nil {
			t.Errorf("%q is not parsed as %v", f.String(), f)
		}
		c := clock{format: f}
		for range 2 {
			for at, want := range map[time.Time]string{noon: tt.noon, early: tt.early, far: tt.far, before: tt.before, noon.In(time.FixedZone("", 3600)): tt.noon} {
				if got := string(c.append([]byte("x"), at)); got != "x"+want {
					t.Errorf("%s of %v: %s, want %s", tt.name, at, got, want)
				}
			}
		}
	}
	if f, err := ParseTimeFormat("rfc3339"); err == nil || !strings.Contains(err.Error(), `"rfc3339": use iso8601, iso8601_ns, epoch`) {
		t.Errorf("ParseTimeFormat(rfc3339) = %v, %v", f, err)
	}
	if got := TimeFormat(99).String(); got != "TimeFormat(99)" {
		t.Error(got)
	}
}

// The second that is kept is the right one, at its edges and in any order.
func TestClock(t *testing.T) {
	c := clock{format: Iso8601Nano}
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(0, 999_999_999), time.Unix(1, 0), time.Unix(0, 1), time.Unix(-1, 999_999_999), time.Unix(-1, 0), noon, noon.Add(time.Second), noon} {
		if got, want := string(c.append(nil, at.UTC())), at.UTC().Format(`"2006-01-02T15:04:05.000000000Z"`); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}
