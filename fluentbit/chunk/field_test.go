package chunk

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestParseField(t *testing.T) {
	for text, want := range map[string][]string{
		"log":                     {"log"},
		"$log":                    {"log"},
		"my.key":                  {"my.key"}, // without the dollar sign it is no accessor
		"two words":               {"two words"},
		"$kubernetes['pod_name']": {"kubernetes", "pod_name"},
		"$a['b']['c']":            {"a", "b", "c"},
		"$a['']":                  {"a", ""},
		"$a['it''s']":             {"a", "it's"},
		"$a['''']['x']":           {"a", "'", "x"},
		"$a['b.c/d e$[]\"']":      {"a", `b.c/d e$[]"`},
		"$kubernetes['labels']['app.kubernetes.io/name']": {"kubernetes", "labels", "app.kubernetes.io/name"},
		"$_p":      {"_p"},
		"$a-b/c":   {"a-b/c"},
		"$a['世界']": {"a", "世界"},
	} {
		f, err := ParseField(text)
		if err != nil || !slices.Equal(f.path, want) || f.String() != text || f.IsZero() {
			t.Errorf("ParseField(%s) = %q %s, %v; want %q", text, f.path, f, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                  "it is empty",
		"$":                 "follows the dollar sign",
		"$$log":             "follows the dollar sign",
		"$['a']":            "follows the dollar sign",
		"kubernetes['pod']": "begins with a dollar sign: $kubernetes['pod']",
		"$a.b":              `".b" is no key: write keys within a map as in`,
		"$a[0]":             `"[0]" is no key`,
		"$a[\"b\"]":         `is no key`,
		"$a['b'":            "not closed",
		"$a['b":             "not closed",
		"$a['":              "not closed",
		"$a['b''":           "not closed",
		"$a['b']c":          `"c" is no key`,
		"$a['b'] ":          `" " is no key`,
		"$log line":         `" line" is no key`,
	} {
		f, err := ParseField(text)
		if err == nil || !strings.HasPrefix(err.Error(), "parse field ") || !strings.Contains(err.Error(), want) || !f.IsZero() {
			t.Errorf("ParseField(%s) = %q, %v; want an error with %s", text, f.path, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	body := pairs{
		{"log", "first"},
		{5, "a number"},
		{"a", pairs{{"b", pairs{{"c", 1}}}}},
		{"log", "last"},
		{"a", pairs{{nil, 1}, {"b", pairs{{"c", list{1, 2}}, {"d", ext{1, "x"}}}}, {list{}, 2}}},
		{bin("binary"), bin("value")},
		{"", "empty"},
		{"nil", nil},
	}
	for text, want := range map[string]any{
		"log":          "last",
		"$a['b']['c']": list{1, 2},
		"$a['b']":      pairs{{"c", list{1, 2}}, {"d", ext{1, "x"}}},
		"$a['b']['d']": ext{1, "x"},
		"binary":       bin("value"),
		"nil":          nil,
	} {
		value, ok := field(t, text).Find(pack(body))
		if !ok || !bytes.Equal(value, pack(want)) || cap(value) != len(value) {
			t.Errorf("%s is %x, %v; want %x", text, value, ok, pack(want))
		}
	}
	for _, text := range []string{"lo", "logs", "b", "5", "$a['c']", "$log['x']", "$a['b']['c']['d']", "$nil['x']", "$a['']"} {
		if value, ok := field(t, text).Find(pack(body)); ok || value != nil {
			t.Errorf("%s is %x, want none", text, value)
		}
	}
	for _, odd := range []any{"log", nil, list{"log", 1}, 5, ext{0, "x"}, pairs{}} {
		if value, ok := field(t, "log").Find(pack(odd)); ok || value != nil {
			t.Errorf("log of %v is %x, want none", odd, value)
		}
	}
	if value, ok := (Field{}).Find(pack(body)); ok || value != nil || !(Field{}).IsZero() {
		t.Errorf("the zero Field finds %x", value)
	}
	f, b := field(t, "$a['b']['c']"), pack(body)
	if n := testing.AllocsPerRun(100, func() { f.Find(b) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
