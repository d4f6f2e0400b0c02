package record

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// parsed is what Parse makes of a copy of line.
func parsed(f Format, line string) (Record, error) {
	var r Record
	err := f.Parse([]byte(line), &r)
	return r, err
}

func sameRecord(a, b *Record) bool {
	return a.Time.Equal(b.Time) && a.Stream == b.Stream && a.Partial == b.Partial &&
		bytes.Equal(a.Line, b.Line) && bytes.Equal(a.Attrs, b.Attrs)
}

// What is in no log of ours is read all the same, or refused.
func TestParse(t *testing.T) {
	own := `"time":"` + noonText + `"}`
	good := []struct {
		name   string
		format Format
		line   string
		want   Record
	}{
		{"json-file's", JSON, `{"log":"hi\n","stream":"stdout","time":"2026-11-23T12:00:00.743Z"}`, Record{Stream: "stdout", Line: []byte("hi")}},
		{"with white space, in another order", JSON, " {\t\"time\" : \"2026-11-23T13:00:00.743+01:00\", \"log\" : \"hi\" }\r\n", Record{Line: []byte("hi"), Partial: true}},
		{"with unknown keys", JSON, `{"kubernetes":{"log":"no","a":[1,{"b":"}"}]},"log":"hi\n","level":null,` + own, Record{Line: []byte("hi")}},
		{"with attrs", JSON, `{"log":"hi\n","stream":"stderr","attrs":{"a":"}\""},` + own, Record{Stream: "stderr", Line: []byte("hi"), Attrs: []byte(`{"a":"}\""}`)}},
		{"with attrs that are none", JSON, `{"log":"hi\n","stream":"stderr","attrs":null,` + own, Record{Stream: "stderr", Line: []byte("hi")}},
		{"a key twice behind attrs", JSON, `{"log":"hi\n","stream":"stderr","attrs":{},"stream":"stdout",` + own, Record{Stream: "stdout", Line: []byte("hi"), Attrs: []byte(`{}`)}},
		{"another stream", JSON, `{"log":"hi\n","stream":"a\u0062",` + own, Record{Stream: "ab", Line: []byte("hi")}},
		{"empty", JSON, `{"stream":"stdout",` + own, Record{Stream: "stdout", Partial: true}},
		{"all escapes", JSON, `{"log":"\"\\\/\b\f\n\r\t\u00E9\u20ac\uD83D\ude00\n","stream":"stdout",` + own, Record{Stream: "stdout", Line: []byte("\"\\/\b\f\n\r\té€😀")}},
		{"half surrogates", JSON, `{"log":"\ud83dx\ud83d\u0041\ud83d\ud83d\ude00\ude00\ud83d","stream":"stdout",` + own, Record{Stream: "stdout", Line: []byte("�x�A�😀��"), Partial: true}},
		{"invalid UTF-8", JSON, `{"log":"` + "\xff\xe2\x82" + `","stream":"stdout",` + own, Record{Stream: "stdout", Line: []byte("���"), Partial: true}},
		{"CRI's", Text, "2026-11-23T14:00:00.743+02:00 stderr P a  b ", Record{Stream: "stderr", Line: []byte("a  b "), Partial: true}},
		{"blank", Text, noonText + " stdout F \n", Record{Stream: "stdout"}},
		{"no UTF-8", Text, noonText + " stdout F \xff\x00\r\n", Record{Stream: "stdout", Line: []byte("\xff\x00\r")}},
	}
	for _, tt := range good {
		tt.want.Time = noon
		if got, err := parsed(tt.format, tt.line); err != nil || !sameRecord(&got, &tt.want) {
			t.Errorf("%v, %s: got %+v, %v, want %+v", tt.format, tt.name, got, err, tt.want)
		}
	}

	bad := map[Format][]string{
		JSON: {
			"", "hi", "{", "{}", "null", "[]", `{"log":"hi\n"}`, `{"log":5,` + own, `{"log":"hi\n","stream":"stdout",` + own + "}",
			`{"log":"` + "\n" + `","stream":"stdout",` + own, `{"log":"\x","stream":"stdout",` + own, `{"log":"\u12","stream":"stdout",` + own,
			`{"log":"\"\q","stream":"stdout",` + own, `{"log":"hi\n","stream":"stdout","time":"2026-02-30T12:00:00.743000000Z"}`,
			`{"log":"hi\n","stream":"stdout","attrs":{"a":1}},` + own, `{"log":"hi\n","stream":"stdout","attrs":{` + own,
			`{"log":"hi\n","stream":"stdout" ,` + own[:len(own)-1], `{"log":"hi\n","stream":"stdout","time":"2026-11-23T24:00:00.000000000Z"}`,
		},
		Text: {
			"", "hi", "2026-11-23 stdout F hi", noonText, noonText + " stdout", noonText + " stdout F", noonText + " stdout X hi",
			noonText + "  F hi", noonText + " stdout FP hi", "2026-11-23T12:00:60.743000000Z stdout F hi", "2026-1--23T12:00:00.743000000Z stdout F hi",
		},
		Raw: {"", "hi\n", noonText + " stdout F hi\n"},
	}
	for f, lines := range bad {
		for _, line := range lines {
			r, err := parsed(f, line)
			if err == nil {
				t.Errorf("%v: %q gives %+v", f, line, r)
			} else if strings.Contains(err.Error(), "hi") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: the error %q holds the log, or is not one line", f, err)
			}
		}
	}
}

func TestParseAllocates(t *testing.T) {
	for _, f := range []Format{JSON, Text} {
		line := f.Append(nil, &Record{Time: noon, Line: []byte("GET \"/\"\té \x1b[0m"), Attrs: AppendAttrs(nil, map[string]string{"tag": "web"})})
		work := make([]byte, len(line))
		var r Record
		if n := testing.AllocsPerRun(100, func() {
			copy(work, line)
			if err := f.Parse(work, &r); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%v: %v allocations for a line of our own", f, n)
		}
	}
}

// A record that was written is read back; the times of all days too.
func FuzzParseIsInverse(f *testing.F) {
	f.Add(int64(1795435200743000000), "stdout", []byte("a\tb\"\\\u2028\xff\ufffd😀"), "k", "v", false)
	f.Add(int64(-1), "stderr", []byte{}, "", "", true)
	f.Add(int64(1<<62), "", []byte("\n\n"), "}", `"`, true)
	f.Fuzz(func(t *testing.T, at int64, stream string, line []byte, key, value string, partial bool) {
		r := Record{Time: time.Unix(at/1e9, at%1e9), Stream: stream, Line: line, Partial: partial}
		if key != "" {
			r.Attrs = AppendAttrs(nil, map[string]string{key: value})
		}
		want := r
		if stream == "" {
			want.Stream = "stdout"
		}
		if !bytes.ContainsAny(line, "\n") && !strings.ContainsAny(stream, " \n") {
			want.Attrs = nil
			if got, err := parsed(Text, string(Text.Append(nil, &r))); err != nil || !sameRecord(&got, &want) {
				t.Errorf("text: %+v reads back as %+v, %v", want, got, err)
			}
			want.Attrs = r.Attrs
		}
		want.Stream, want.Line = replaced(want.Stream), []byte(replaced(string(line)))
		if partial && bytes.HasSuffix(line, []byte{'\n'}) { // then JSON cannot tell
			want.Partial, want.Line = false, want.Line[:len(want.Line)-1]
		}
		if got, err := parsed(JSON, string(JSON.Append(nil, &r))); err != nil || !sameRecord(&got, &want) {
			t.Errorf("json: %+v reads back as %+v, %v", want, got, err)
		}
	})
}

// Junk is refused without a panic, and what is not is what encoding/json reads.
func FuzzParseJunk(f *testing.F) {
	for _, line := range []string{
		`{"log":"a\ud83d\ude00\n","stream":"stdout","attrs":{"a":"b"},"time":"` + noonText + `"}`,
		`{"log":"","stream":"` + "\xff" + `","time":"` + noonText + `"}`,
		noonText + " stdout P \xff",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, format := range []Format{JSON, Text, Raw} {
			var got, want Record
			whole := bytes.TrimSuffix(line, []byte{'\n'})
			err := format.Parse(bytes.Clone(line), &got)
			if format == Text && err == nil && got.Time.Year() >= 0 && got.Time.Year() <= 9999 && !bytes.ContainsAny(got.Line, "\n") && !strings.Contains(got.Stream, "\n") {
				again, err := parsed(Text, string(Text.Append(nil, &got)))
				if err != nil || !sameRecord(&got, &again) {
					t.Errorf("%q is %+v, and then %+v, %v", line, got, again, err)
				}
			}
			if format != JSON {
				continue
			}
			wantErr := parseJSON(bytes.Clone(whole), &want)
			if (err == nil) != (wantErr == nil) || err == nil && !sameRecord(&got, &want) {
				t.Errorf("%q is %+v, %v, want %+v, %v", line, got, err, want, wantErr)
			}
			if err == nil && !utf8.Valid(got.Line) {
				t.Errorf("%q gives a line of invalid UTF-8", line)
			}
		}
	})
}

// Each of many lines that differ from a good one in a byte is read as encoding/json
// does, whichever way it goes.
func TestParseDamaged(t *testing.T) {
	good := JSON.Append(nil, &Record{Time: noon, Line: []byte("a\tb\"é\u2028\x00\n"), Attrs: []byte(`{"a":"b"}`)})
	rnd := rand.New(rand.NewPCG(1, 2))
	kept := 0
	for i := range good[:len(good)-1] {
		for range 40 {
			line := bytes.Clone(good)
			line[i] = byte(rnd.Uint32())
			var got, want Record
			wantErr := parseJSON(bytes.TrimSuffix(bytes.Clone(line), []byte{'\n'}), &want)
			err := JSON.Parse(bytes.Clone(line), &got)
			if (err == nil) != (wantErr == nil) || err == nil && !sameRecord(&got, &want) {
				t.Errorf("%q is %+v, %v, want %+v, %v", line, got, err, want, wantErr)
			}
			if err == nil {
				kept++
			}
		}
	}
	if kept == 0 {
		t.Error("no damaged line was read, so nothing was compared")
	}
}

func BenchmarkParse(b *testing.B) {
	lines := loghub(b)
	for _, f := range []Format{JSON, Text} {
		b.Run(f.String(), func(b *testing.B) {
			var all []byte
			for i, line := range lines {
				all = f.Append(all, &Record{Time: noon.Add(time.Duration(i)), Line: line})
			}
			work := make([]byte, len(all))
			var r Record
			b.SetBytes(int64(len(all)))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, all)
				for line := range bytes.Lines(work) {
					if err := f.Parse(line, &r); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/record")
		})
	}
	b.Run("encoding/json", func(b *testing.B) {
		line := JSON.Append(nil, &Record{Time: noon, Line: lines[0]})
		var v struct {
			Log, Stream string
			Time        time.Time
		}
		for b.Loop() {
			if err := json.Unmarshal(line, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
