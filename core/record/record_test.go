package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// noon has nanoseconds that end in zeros, which must be written all the same.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 743_000_000, time.UTC)

const noonText = "2026-11-23T12:00:00.743000000Z"

func TestNames(t *testing.T) {
	types := map[Format]string{
		JSON: "application/x-ndjson",
		Text: "text/plain; charset=utf-8",
		Raw:  "text/plain; charset=utf-8",
	}
	for f, contentType := range types {
		if got, err := ParseFormat(f.String()); err != nil || got != f {
			t.Errorf("ParseFormat(%q) = %v, %v", f.String(), got, err)
		}
		if got := f.ContentType(); got != contentType {
			t.Errorf("%v.ContentType() = %q, want %q", f, got, contentType)
		}
	}
	var zero Format
	if zero != JSON {
		t.Errorf("the zero format is %v, want json", zero)
	}
	for _, bad := range []string{"", "JSON", "Format(3)", "json\n\x1b[31m"} {
		_, err := ParseFormat(bad)
		if err == nil {
			t.Errorf("ParseFormat(%q) gave no error", bad)
		} else if s := err.Error(); !strings.Contains(s, "json, text or raw") || strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("ParseFormat(%q): %q is not one line that lists the formats", bad, s)
		}
	}
}

func TestAppend(t *testing.T) {
	attrs := AppendAttrs(nil, map[string]string{"tag": "web", "env": `a"b`})
	tests := []struct {
		name            string
		record          Record
		json, text, raw string
	}{
		{"plain", Record{Line: []byte("hi")},
			`{"log":"hi\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F hi\n", "hi\n"},
		{"stderr, attrs", Record{Line: []byte("hi"), Stream: "stderr", Attrs: attrs},
			`{"log":"hi\n","stream":"stderr","attrs":{"env":"a\"b","tag":"web"},"time":"` + noonText + `"}` + "\n",
			noonText + " stderr F hi\n", "hi\n"},
		{"partial", Record{Line: []byte("hi"), Partial: true},
			`{"log":"hi","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout P hi\n", "hi"},
		{"blank", Record{},
			`{"log":"\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F \n", "\n"},
		{"blank, partial", Record{Partial: true},
			`{"log":"","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout P \n", ""},
		{"carriage return", Record{Line: []byte("a\r")},
			`{"log":"a\r\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F a\r\n", "a\r\n"},
		{"NUL and colour", Record{Line: []byte("\x00\x1b[31mred\x1b[0m")},
			`{"log":"\u0000\u001b[31mred\u001b[0m\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F \x00\x1b[31mred\x1b[0m\n", "\x00\x1b[31mred\x1b[0m\n"},
		{"invalid UTF-8 beside U+FFFD", Record{Line: []byte("\xff\xc3(\ufffd\xe2\x82")},
			`{"log":"\ufffd\ufffd(` + "\ufffd" + `\ufffd\ufffd\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F \xff\xc3(\ufffd\xe2\x82\n", "\xff\xc3(\ufffd\xe2\x82\n"},
		{"line separators", Record{Line: []byte("a\u2028b\u2029c\u2027")},
			`{"log":"a\u2028b\u2029c` + "\u2027" + `\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F a\u2028b\u2029c\u2027\n", "a\u2028b\u2029c\u2027\n"},
		{"markup", Record{Line: []byte("<a href=\"x\">&é日😀</a>\\")},
			`{"log":"<a href=\"x\">&é日😀</a>\\\n","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + ` stdout F <a href="x">&é日😀</a>\` + "\n", `<a href="x">&é日😀</a>\` + "\n"},
		{"newlines inside", Record{Line: []byte("a\n\nb"), Partial: true},
			`{"log":"a\n\nb","stream":"stdout","time":"` + noonText + `"}` + "\n",
			noonText + " stdout F a\n" + noonText + " stdout F \n" + noonText + " stdout P b\n", "a\n\nb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.record.Time = noon
			for f, want := range map[Format]string{JSON: tt.json, Text: tt.text, Raw: tt.raw} {
				if got := string(f.Append([]byte("before\n"), &tt.record)); got != "before\n"+want {
					t.Errorf("%v:\n got %q\nwant %q", f, got, "before\n"+want)
				}
			}
		})
	}
}

// A record that encoding/json reads back is the one that was written.
func TestJSONReadsBack(t *testing.T) {
	size := 20 << 20
	if underRace() {
		size = 2 << 20 // encoding/json takes seconds for the rest
	}
	long := bytes.Repeat([]byte(strings.Repeat("0123456789", 200)+"\xff\"日本\t"), size/2000)
	lines := [][]byte{nil, []byte("x"), []byte("\xf0\x9f\x98"), []byte(strings.Repeat("\u2028", 99)), long}
	attrs := map[string]string{"": "", "b": "\x00", "a\u2029": "<&>", "\xff": "é"}
	for _, line := range lines {
		r := Record{Time: noon.In(time.FixedZone("", 5*3600+1800)), Line: line, Stream: "stderr", Attrs: AppendAttrs(nil, attrs)}
		var got struct {
			Log    string            `json:"log"`
			Stream string            `json:"stream"`
			Attrs  map[string]string `json:"attrs"`
			Time   time.Time         `json:"time"`
		}
		b := JSON.Append(nil, &r)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("line of %d bytes: %v", len(line), err)
		}
		if n := bytes.IndexByte(b, '\n'); n != len(b)-1 {
			t.Errorf("line of %d bytes: the record has a newline at %d of %d", len(line), n, len(b))
		}
		if want := replaced(string(line)) + "\n"; got.Log != want {
			t.Errorf("line of %d bytes reads back as %d bytes, want %d", len(line), len(got.Log), len(want))
		}
		if got.Stream != "stderr" || !got.Time.Equal(noon) {
			t.Errorf("stream %q, time %v", got.Stream, got.Time)
		}
		if want := map[string]string{"": "", "b": "\x00", "a\u2029": "<&>", "\ufffd": "é"}; !maps.Equal(got.Attrs, want) {
			t.Errorf("attrs %q, want %q", got.Attrs, want)
		}
	}
}

// replaced is s with U+FFFD for each byte that is not part of valid UTF-8.
func replaced(s string) string { return string([]rune(s)) }

// reference is what encoding/json makes of v.
func reference(t testing.TB, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func checkString(t testing.TB, s string) {
	t.Helper()
	want := reference(t, s)
	if got := AppendString(nil, s); string(got) != want {
		t.Fatalf("AppendString(%q)\n got %s\nwant %s", s, got, want)
	}
	if got := AppendString([]byte("x"), []byte(s)); string(got) != "x"+want {
		t.Fatalf("AppendString of the bytes %q\n got %s\nwant x%s", s, got, want)
	}
	// In UTF-8, nothing is left of the difference: an escape of one log may stand
	// in the text of another.
	inUTF8 := strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029", `\ufffd`, "\ufffd").Replace(want)
	if got := AppendStringUTF8([]byte("x"), []byte(s)); string(got) != "x"+inUTF8 {
		t.Fatalf("AppendStringUTF8 of %q\n got %s\nwant x%s", s, got, inUTF8)
	}
}

// Every pair of bytes, at places that slide over the words that plain looks at:
// a borrow from one byte to the next must not hide or move a special one.
func TestAppendStringEveryPair(t *testing.T) {
	word := []byte("abcdefghijklmnopqrstuvwxyz")
	for a := range 256 {
		for b := range 256 {
			s := bytes.Clone(word)
			at := (a + b) % 23
			s[at], s[at+1] = byte(a), byte(b)
			checkString(t, string(s))
		}
	}
	for c := range 256 { // and each byte everywhere, in strings of every length
		for n := range 20 {
			for at := range n {
				s := bytes.Clone(word[:n])
				s[at] = byte(c)
				checkString(t, string(s))
			}
		}
	}
}

func TestAppendAttrs(t *testing.T) {
	if got := AppendAttrs(nil, nil); got != nil {
		t.Errorf("no attrs: %q, want nil", got)
	}
	m := map[string]string{}
	for i := range 100 {
		m[fmt.Sprint(i*7919%1000, "<\x80\"")] = fmt.Sprint("v\n", i)
		if got, want := string(AppendAttrs([]byte("x"), m)), "x"+reference(t, m); got != want {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
	}
}

func TestAppendTime(t *testing.T) {
	check := func(at time.Time) {
		t.Helper()
		if got, want := string(appendTime([]byte("x"), at)), "x"+at.UTC().Format(timeLayout); got != want {
			t.Fatalf("appendTime(%v)\n got %s\nwant %s", at, got, want)
		}
	}
	check(time.Time{})
	check(time.Unix(0, 0))
	check(time.Unix(0, -1))
	check(time.Unix(1<<60, 1)) // year in the billions
	check(time.Unix(-1<<60, 1))
	for _, year := range []int{-1, 0, 1, 1600, 1900, 1969, 2000, 2023, 2024, 9999, 10000} {
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("", 14*3600), time.FixedZone("", -12*3600)} {
			for _, ns := range []int{0, 1, 999_999_999, 120_000_000, 90_807_060} {
				check(time.Date(year, 2, 28, 23, 59, 59, ns, zone))
				check(time.Date(year, 2, 29, 0, 0, 0, ns, zone))
				check(time.Date(year, 12, 31, 23, 59, 60, ns, zone))
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		check(time.Unix(rnd.Int64N(1<<39)-1<<38, rnd.Int64N(1e9)))
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	record := Record{
		Time:   noon.In(time.FixedZone("", 3600)),
		Stream: "stderr",
		Line:   []byte(strings.Repeat("GET /<a>?b=\"c\" \xff 日本\t\u2028\n", 100)),
		Attrs:  AppendAttrs(nil, map[string]string{"tag": "web"}),
	}
	dst := make([]byte, 0, 1<<20)
	for _, f := range []Format{JSON, Text, Raw} {
		if n := testing.AllocsPerRun(100, func() { dst = f.Append(dst[:0], &record) }); n != 0 {
			t.Errorf("%v: %v allocations a record, want 0", f, n)
		}
	}
	s := string(record.Line)
	if n := testing.AllocsPerRun(100, func() { dst = AppendString(dst[:0], s) }); n != 0 {
		t.Errorf("AppendString of a string: %v allocations, want 0", n)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x7f\x80\xff", "a\"\\\b\f\n\r\t<>&", "\u2028\u2029\ufffd", "\xed\xa0\x80\xf4\x90\x80\x80", "日本\xe6\x97"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("AppendString(%q) = %s: %v", s, b, err)
		}
		if want := replaced(s); got != want {
			t.Fatalf("AppendString(%q) = %s reads back as %q, want %q", s, b, got, want)
		}
		checkString(t, s)
	})
}

// Whatever a line holds, each line of a text blob has a time stamp, a stream and
// a tag, and the lines' rests put together are the line.
func FuzzTextLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n"), true)
	f.Add([]byte("\n\n"), false)
	f.Add([]byte(noonText+" stdout F forged"), false)
	f.Fuzz(func(t *testing.T, line []byte, partial bool) {
		b := Text.Append(nil, &Record{Time: noon, Line: line, Partial: partial})
		var got []byte
		for l := range bytes.Lines(b) {
			if rest, ok := bytes.CutPrefix(l, []byte(noonText+" stdout F ")); ok {
				got = append(got, rest...)
			} else if rest, ok := bytes.CutPrefix(l, []byte(noonText+" stdout P ")); ok {
				got = append(got, bytes.TrimSuffix(rest, []byte("\n"))...)
			} else {
				t.Fatalf("%q has a line without a head: %q", b, l)
			}
		}
		if want := Raw.Append(nil, &Record{Line: line, Partial: partial}); !bytes.Equal(got, want) {
			t.Fatalf("%q reads back as %q, want %q", b, got, want)
		}
	})
}
