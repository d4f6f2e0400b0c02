package chunk

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "record testdata with the Fluent Bit that FLUENT_BIT names")

// golden are the chunks that were given to a real Fluent Bit. Under testdata are,
// for each: NAME.chunk, what its outputs got; NAME.json, what azure_blob wrote
// with json.escape_unicode off; NAME.escaped.json, with it on; and, of the chunk
// times, what the HTTP output wrote in each of its time formats.
var golden = []struct {
	name  string
	chunk []byte
	// differs is where our record is another than the built-in's, by the number
	// of the record: why, and what ours is instead.
	differs map[int]difference
}{
	{name: "types", chunk: pack(
		v2(pairs{}, pairs{{"nil", nil}, {"true", true}, {"false", false}, {"string", "text"}, {"empty", ""}}),
		v2(pairs{}, pairs{{"0", 0}, {"127", 127}, {"128", 128}, {"255", 255}, {"256", 256}, {"65535", 65535}, {"65536", 65536},
			{"uint32", uint64(math.MaxUint32)}, {"+1", uint64(1 << 32)}, {"int64", int64(math.MaxInt64)}, {"uint64", uint64(math.MaxUint64)}}),
		v2(pairs{}, pairs{{"-1", -1}, {"-32", -32}, {"-33", -33}, {"-128", -128}, {"-129", -129}, {"-32768", -32768}, {"-32769", -32769},
			{"int32", math.MinInt32}, {"-1", math.MinInt32 - 1}, {"int64", int64(math.MinInt64)}}),
		v2(pairs{}, pairs{{"int8", raw{0xd0, 5}}, {"int16", raw{0xd1, 0, 5}}, {"int32", raw{0xd2, 0, 0, 0, 5}}, {"int64", raw{0xd3, 0, 0, 0, 0, 0, 0, 0, 5}}, {"uint8", raw{0xcc, 5}}}),
		v2(pairs{}, pairs{{"array", list{}}, {"one", list{1}}, {"many", list{1, "two", 3.5, nil, list{true, pairs{}}, pairs{{"a", 1}}}}, {"map", pairs{}}}),
		v2(pairs{}, pairs{{"sixteen", list{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}, {"array32", raw{0xdd, 0, 0, 0, 1, 7}}, {"map32", raw{0xdf, 0, 0, 0, 1, 0xa1, 'k', 7}}}),
		v2(pairs{}, pairs{{"bin", bin("binary \"text\"")}, {"empty", bin("")}, {"bin16", raw("\xc5\x00\x03abc")}, {"str32", raw("\xdb\x00\x00\x00\x03abc")}}),
		v2(pairs{}, pairs{{"long", strings.Repeat("0123456789", 30)}, {strings.Repeat("key", 20), 1}}),
		v2(pairs{}, pairs{}),
		v1(pairs{{"version", 1}}),
		v2(pairs{}, pairs{{"ext", ext{5, "\x01\x7f"}}, {"ext8", ext{-1, "abc"}}}),
		v2(pairs{}, pairs{{"ext", ext{5, "\x80\xff"}}}),
	), differs: map[int]difference{
		10: {"a backslash stands alone in the built-in's extensions, which is no JSON", `{"@timestamp":"2026-11-23T12:00:05.743042Z","ext":"\\x01\\x7f","ext8":"\\x61\\x62\\x63"}`},
		11: {"and bytes from 0x80 on are sign-extended there", `{"@timestamp":"2026-11-23T12:00:05.743042Z","ext":"\\x80\\xff"}`},
	}},
	{name: "floats", chunk: pack(
		v2(pairs{}, list0(0.0, math.Copysign(0, -1), 1.0, -1.0, 100.0, 1e15, 123456789012345678.0, 9007199254740993.0, -9223372036854775808.0)),
		v2(pairs{}, list0(9223372036854775808.0, 1e19, 1e22, 1e100, -1e300, math.MaxFloat64)),
		v2(pairs{}, list0(0.1, 0.5, 1.5, -2.25, 3.141592653589793, 1e-4, 1e-5, 1.5e-7, 123456.789, 0.30000000000000004, 4503599627370497.5, 99999999999999.995, 999999999999999.9)),
		v2(pairs{}, list0(math.SmallestNonzeroFloat64, 2.2250738585072014e-308, 1.7976931348623157e-300, 5e-324, 0.000123456789012345678)),
		v2(pairs{}, list0(float32(0.1), float32(1.5), float32(16777216), float32(math.MaxFloat32), float32(math.SmallestNonzeroFloat32), float32(-0.3))),
		v2(pairs{}, list0(math.NaN())),
		v2(pairs{}, list0(math.Inf(1), float32(math.Inf(-1)))),
	), differs: map[int]difference{
		5: {"NaN has no JSON", `{"@timestamp":"2026-11-23T12:00:05.743042Z","f":[null]}`},
		6: {"infinities have none", `{"@timestamp":"2026-11-23T12:00:05.743042Z","f":[null,null]}`},
	}},
	{name: "strings", chunk: pack(append([]any{
		v2(pairs{}, pairs{{"escapes", "quote \" backslash \\ slash / tab \t newline \n return \r bell \b feed \f"}}),
		v2(pairs{}, pairs{{"controls", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"}}),
		v2(pairs{}, pairs{{"html", "<a href='x'>&amp;</a>"}, {"separators", "a\u2028b\u2029c"}}),
		v2(pairs{}, pairs{{"unicode", "Grüße, 世界, мир, 🌍🚀, é (e\u0301), \u00a0\u200b\ufeff, \ufffd, \U0010ffff, \u0080, \u07ff, \u0800, \uffff"}}),
		v2(pairs{}, pairs{{"Schlüssel \"\n\t", "quoted \"key\""}, {"世界", "🌍"}, {"", "empty key"}}),
		v2(pairs{}, pairs{{"mixed", strings.Repeat("ASCII then ü and \" then ", 20)}}),
		v2(pairs{}, pairs{{"delete", "0123456789abcde\x7f"}}),
		v2(pairs{}, pairs{{"delete", "short \x7f"}}),
	}, invalid()...)...), differs: map[int]difference{
		7: {"delete needs no escape; the built-in escapes it or not, by its place among blocks of 16 bytes and by processor", "{\"@timestamp\":\"2026-11-23T12:00:05.743042Z\",\"delete\":\"short \x7f\"}"},
	}},
	{name: "keys", chunk: pack(
		v2(pairs{}, pairs{{"a", 1}, {"b", 2}, {"a", 3}, {"c", 4}}),
		v2(pairs{}, pairs{{"a", 1}, {"a", 2}, {"a", 3}}),
		v2(pairs{}, pairs{{"@timestamp", "the body's"}, {"log", "line"}}),
		v2(pairs{}, pairs{{"log", "line"}, {"@timestamp", nil}, {"@timestamp", 1}}),
		v2(pairs{}, pairs{{"nested", pairs{{"x", pairs{{"y", 1}, {"y", 2}}}, {"x", pairs{{"z", 1}, {"w", 2}, {"z", list{pairs{{"p", 1}, {"p", 2}}}}}}}}}),
		v2(pairs{}, pairs{{"A", 1}, {"a", 2}, {"a ", 3}, {"ab", 4}, {"", 5}, {"", 6}}),
		v2(pairs{}, many(300)),
		v2(pairs{}, append(many(300), pair{"key 7", "again"}, pair{"@timestamp", 8})),
		v2(pairs{}, pairs{{1, "integer"}, {"a", 1}}),
		v2(pairs{}, pairs{{-5, 1}, {2.5, 2}, {nil, 3}, {true, 4}}),
		v2(pairs{}, pairs{{list{1, "a"}, 1}, {pairs{{"k", "v"}}, 2}}),
		v2(pairs{}, pairs{{ext{1, "z"}, 1}}),
		v2(pairs{}, pairs{{bin("binary"), 1}, {"b", 2}}),
		v2(pairs{}, pairs{{bin("same"), 1}, {"same", 2}, {bin("same"), 3}}),
	), differs: map[int]difference{
		8:  {"a key that is no string has no quotes in the built-in's", `{"@timestamp":"2026-11-23T12:00:05.743042Z","1":"integer","a":1}`},
		9:  {"the same", `{"@timestamp":"2026-11-23T12:00:05.743042Z","-5":1,"2.5":2,"null":3,"true":4}`},
		10: {"arrays and maps as keys are shown as their bytes", `{"@timestamp":"2026-11-23T12:00:05.743042Z","\\x92\\x01\\xa1\\x61":1,"\\x81\\xa1\\x6b\\xa1\\x76":2}`},
		11: {"the backslash", `{"@timestamp":"2026-11-23T12:00:05.743042Z","\\x7a":1}`},
		13: {"the built-in tells a binary key from a string: three keys that are one in JSON", `{"@timestamp":"2026-11-23T12:00:05.743042Z","same":3}`},
	}},
	{name: "times", chunk: pack(
		list{list{stamp(0, 0), pairs{}}, pairs{{"n", 1}}},
		list{list{stamp(1, 1), pairs{}}, pairs{{"n", 2}}},
		list{list{stamp(1795399705, 999999999), pairs{}}, pairs{{"n", 3}}},
		list{list{stamp(1795399705, 743042951), pairs{}}, pairs{{"n", 4}}},
		list{list{stamp(1795399705, 999), pairs{}}, pairs{{"n", 5}}},
		list{list{stamp(1795399706, 500000000), pairs{}}, pairs{{"n", 6}}},
		list{list{stamp(4294967293, 0), pairs{}}, pairs{{"n", 7}}},
		list{raw("\xc7\x08\x00\x6b\x03\x9b\x59\x00\x00\x00\x07"), pairs{{"n", "ext8"}}},
		list{1795399705, pairs{{"n", "uint"}}},
		list{raw("\xd3\x00\x00\x00\x00\x6b\x03\x9b\x59"), pairs{{"n", "int64"}}},
		list{1795399705.743042951, pairs{{"n", "double"}}},
		list{list{1795399705.999999999, pairs{}}, pairs{{"n", "double, v2"}}},
		list{0.25, pairs{{"n", "early"}}},
		list{uint64(1795399705743), pairs{{"n", "milliseconds taken for seconds"}}},
	)},
	{name: "metadata", chunk: pack(
		v2(pairs{{"k", "v"}, {"n", 1}}, pairs{{"log", "with metadata"}}),
		v2(pairs{}, pairs{{"log", "without"}}),
		groupOpens(pairs{{"resource", pairs{{"service.name", "shop"}}}}),
		v2(pairs{}, pairs{{"log", "in a group"}}),
		v2(pairs{{"otlp", pairs{{"severity", 9}}}}, pairs{{"log", "in a group, with metadata"}}),
		groupOpens(pairs{{"resource", "second"}}),
		v2(pairs{}, pairs{{"log", "in a second group, the first was not closed"}}),
		groupEnds,
		v2(pairs{}, pairs{{"log", "behind"}}),
		groupOpens(pairs{}),
		v2(pairs{}, pairs{{"log", "in a group of no attributes"}}),
		groupEnds,
	), differs: map[int]difference{
		0: {internal, `{"@timestamp":"2026-11-23T12:00:05.743042Z","log":"with metadata"}`},
		2: {internal, `{"@timestamp":"2026-11-23T12:00:05.743042Z","log":"in a group"}`},
		3: {internal, `{"@timestamp":"2026-11-23T12:00:05.743042Z","log":"in a group, with metadata"}`},
		4: {internal, `{"@timestamp":"2026-11-23T12:00:05.743042Z","log":"in a second group, the first was not closed"}`},
	}},
	{name: "real", chunk: pack(
		v2(pairs{}, pairs{{"log", "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating"}}),
		v2(pairs{}, pairs{{"log", "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6"}}),
		v2(pairs{}, pairs{{"log", `nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-38101a0b] 10.11.10.1 "GET /v2/servers/detail HTTP/1.1" status: 200 len: 1893 time: 0.2477829`}}),
		v2(pairs{}, kubernetes(`10.244.1.1 - - [23/Nov/2026:12:00:05 +0000] "GET /cart?id=7&x=<y> HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64)"`+"\n")),
		v2(pairs{}, kubernetes("{\"level\":\"info\",\"msg\":\"placed order\\n\",\"total\":12.50,\"currency\":\"€\"}\n")),
	)},
}

const internal = "metadata and groups are left out but on request; the built-in puts them under __internal__"

type difference struct{ why, ours string }

// list0 is a body of numbers.
func list0(numbers ...any) any { return pairs{{"f", list(numbers)}} }

// many is a map of n keys.
func many(n int) (m pairs) {
	for i := range n {
		m = append(m, pair{fmt.Sprintf("key %d", i), i})
	}
	return m
}

// invalid are events with text that is not UTF-8, short, and long enough for the
// built-in's blocks.
func invalid() (events []any) {
	for _, s := range []string{
		"\x80", "\xbf", "\xc0", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2A", "\xc2\xc2\x80", "\xdf", "\xe0", "\xe0\x80\x80", "\xe0\x9f\xbf",
		"\xe2\x82", "\xe2\x82A", "\xe2A\x82", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", "\xef\xbf", "\xf0", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
		"\xf0\x9f\x98", "\xf0\x9f\x98A", "\xf0\x9f", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "\xff\xfe\xfd",
		"caf\xe9", "\xe4\xf6\xfc", "\x80\x80\x80\x80",
	} {
		events = append(events, v2(pairs{}, pairs{{"s", s}, {"in text", "before " + s + " after"}, {"long", strings.Repeat("a", 13) + s + strings.Repeat("b", 20) + s}, {s, 1}}))
	}
	return events
}

func testdata(t *testing.T, name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parse reads JSON whose numbers may be larger than a float64.
func parse(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// Each record is byte for byte the one that the built-in azure_blob wrote, but
// where that is no JSON, or on purpose.
func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			builtIn := bytes.SplitAfter(bytes.TrimSuffix(testdata(t, g.name+".json"), []byte("\n")), []byte("\n"))
			escaped := bytes.Split(testdata(t, g.name+".escaped.json"), []byte("\n"))
			chunk := testdata(t, g.name+".chunk")
			if !bytes.Equal(chunk, g.chunk) {
				t.Error("the chunk is not the one that was recorded: run this test with -update")
			}
			got, damage := encode(&Encoder{TimeKey: "@timestamp"}, chunk)
			if damage != nil {
				t.Fatal(damage.Err)
			}
			if len(got) != len(builtIn) {
				t.Fatalf("%d records, the built-in wrote %d", len(got), len(builtIn))
			}
			for i := range got {
				got, theirs := strings.TrimSuffix(string(got[i]), "\n"), strings.TrimSuffix(string(builtIn[i]), "\n")
				want := theirs
				d, differs := g.differs[i]
				if differs {
					want = d.ours
					if want == theirs {
						t.Errorf("record %d is no longer another than the built-in's (%s)", i, d.why)
					}
				}
				if got != want {
					t.Errorf("record %d\n got %q\nwant %q", i, got, want)
				}
				ours, err := parse([]byte(got))
				if err != nil {
					t.Errorf("record %d: %v", i, err)
				}
				// With escapes, the built-in maps invalid bytes to private characters.
				if !differs && !strings.Contains(theirs, "\ufffd") {
					if other, err := parse(escaped[i]); err != nil || !reflect.DeepEqual(ours, other) {
						t.Errorf("record %d is other data than the built-in's with escapes: %v\n%s\n%s", i, err, got, escaped[i])
					}
				}
			}
		})
	}
}

// What the built-in has under __internal__ is what the keys for it give.
func TestGoldenMetadata(t *testing.T) {
	builtIn := bytes.Split(testdata(t, "metadata.json"), []byte("\n"))
	got, _ := encode(&Encoder{MetadataKey: "log_metadata", GroupKey: "group_attributes"}, testdata(t, "metadata.chunk"))
	for i := range got {
		var theirs struct {
			Internal map[string]any `json:"__internal__"`
		}
		var ours map[string]any
		if err := json.Unmarshal(builtIn[i], &theirs); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got[i], &ours); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"log_metadata", "group_attributes"} {
			if m, _ := theirs.Internal[key].(map[string]any); len(m) == 0 {
				if ours[key] != nil {
					t.Errorf("record %d has %s %v, want none", i, key, ours[key])
				}
			} else if !reflect.DeepEqual(ours[key], theirs.Internal[key]) {
				t.Errorf("record %d has %s %v, want %v", i, key, ours[key], theirs.Internal[key])
			}
		}
	}
}

// Times are as Fluent Bit's outputs write them in json_date_format's formats.
func TestGoldenTimes(t *testing.T) {
	for _, f := range []TimeFormat{Epoch, EpochMillis, Double, JavaSQLTimestamp} {
		want := bytes.SplitAfter(testdata(t, "times."+f.String()+".json"), []byte("\n"))
		got, _ := encode(&Encoder{TimeKey: "@timestamp", TimeFormat: f}, testdata(t, "times.chunk"))
		if len(got) < 10 {
			t.Fatalf("%d records", len(got))
		}
		for i := range got {
			if string(bytes.TrimSpace(got[i])) != string(bytes.TrimSpace(want[i])) {
				t.Errorf("%s: record %d\n got %s\nwant %s", f, i, got[i], want[i])
			}
		}
	}
}
