package record

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"
)

// realLogs are the lines of files in shared/data beside the project.
func realLogs(b *testing.B, patterns ...string) (lines [][]byte) {
	dir, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	for {
		for _, pattern := range patterns {
			files, _ := filepath.Glob(filepath.Join(dir, "shared", "data", pattern))
			for _, name := range files {
				data, err := os.ReadFile(name)
				if err != nil {
					b.Fatal(err)
				}
				for line := range bytes.Lines(data) {
					lines = append(lines, bytes.TrimRight(line, "\r\n"))
				}
			}
		}
		if len(lines) > 0 {
			return lines
		}
		up := filepath.Dir(dir)
		if up == dir {
			b.Skipf("==== NOT MEASURED: no logs: put %q into shared/data, in a folder above this one ====", patterns)
		}
		dir = up
	}
}

func loghub(b *testing.B) [][]byte { return realLogs(b, "loghub/*.log") }

// BenchmarkAppend counts the bytes of the lines, not of the records.
func BenchmarkAppend(b *testing.B) {
	lines := loghub(b)
	records := make([]Record, len(lines))
	size := 0
	for i, line := range lines {
		records[i] = Record{Time: noon.Add(time.Duration(i) * 12345678), Stream: "stdout", Line: line}
		size += len(line) + 1
	}
	run := func(name string, encode func(dst []byte, r *Record) []byte) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst = dst[:0]
				for i := range records {
					dst = encode(dst, &records[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
		})
	}
	run("json", JSON.Append)
	run("text", Text.Append)
	run("raw", Raw.Append)
	var buf bytes.Buffer
	run("json-file's way", func(dst []byte, r *Record) []byte {
		buf.Reset()
		jsonFile(&buf, r)
		return append(dst, buf.Bytes()...)
	})
	type entry struct {
		Log    string    `json:"log"`
		Stream string    `json:"stream"`
		Time   time.Time `json:"time"`
	}
	run("encoding/json", func(dst []byte, r *Record) []byte {
		j, err := json.Marshal(entry{string(r.Line) + "\n", r.Stream, r.Time})
		if err != nil {
			b.Fatal(err)
		}
		return append(append(dst, j...), '\n')
	})
}

// jsonFile encodes as Docker's json-file driver does: a loop over bytes into a
// buffer, a formatted time.
func jsonFile(w *bytes.Buffer, r *Record) {
	str := func(s []byte) {
		w.WriteByte('"')
		start := 0
		for i := 0; i < len(s); {
			if c := s[i]; c < utf8.RuneSelf {
				if c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
					i++
					continue
				}
				w.Write(s[start:i])
				switch c {
				case '"', '\\':
					w.WriteByte('\\')
					w.WriteByte(c)
				case '\n':
					w.WriteString(`\n`)
				case '\r':
					w.WriteString(`\r`)
				default:
					w.WriteString(`\u00`)
					w.WriteByte(hex[c>>4])
					w.WriteByte(hex[c&0xf])
				}
				i++
				start = i
				continue
			}
			c, size := utf8.DecodeRune(s[i:])
			if c == utf8.RuneError && size == 1 {
				w.Write(s[start:i])
				w.WriteString(`\ufffd`)
				start = i + 1
			}
			i += size
		}
		w.Write(s[start:])
		w.WriteByte('"')
	}
	w.WriteString(`{"log":`)
	str(append(r.Line[:len(r.Line):len(r.Line)], '\n'))
	w.WriteString(`,"stream":`)
	str([]byte(r.Stream))
	w.WriteString(`,"time":`)
	w.WriteString(r.Time.UTC().Format(`"` + time.RFC3339Nano + `"`))
	w.WriteString("}\n")
}

func BenchmarkTime(b *testing.B) {
	dst := make([]byte, 0, 64)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			dst = appendTime(dst[:0], noon)
		}
	})
	for _, layout := range []string{timeLayout, time.RFC3339Nano} {
		b.Run(layout, func(b *testing.B) {
			for b.Loop() {
				dst = noon.AppendFormat(dst[:0], layout)
			}
		})
	}
}

// BenchmarkCompress counts the bytes of the flush; ratio is the member's length
// to it.
func BenchmarkCompress(b *testing.B) {
	var plain []byte
	for i, line := range loghub(b) {
		plain = JSON.Append(plain, &Record{Time: noon.Add(time.Duration(i) * 12345678), Line: line})
	}
	for _, encoding := range encodings {
		c := compressor(b, encoding)
		for _, size := range []struct {
			name string
			n    int
		}{{"200B", 200}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
			src, dst := plain[:size.n], []byte(nil)
			b.Run(encoding+"/"+size.name, func(b *testing.B) {
				b.SetBytes(int64(size.n))
				b.ReportAllocs()
				for b.Loop() {
					dst = c.Append(dst[:0], src)
				}
				b.ReportMetric(float64(len(dst))/float64(size.n), "ratio")
			})
		}
		blob := c.Append(nil, plain)
		b.Run(encoding+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, decoding(b, encoding, bytes.NewReader(blob))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
