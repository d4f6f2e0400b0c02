package chunk

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/liveblob/azureblob/core/record"
)

// loghub are real log lines, from shared/data/loghub beside the project.
func loghub(tb testing.TB) (lines []string) {
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		files, _ := filepath.Glob(filepath.Join(dir, "shared", "data", "loghub", "*.log"))
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			for line := range bytes.Lines(data) {
				lines = append(lines, string(bytes.TrimRight(line, "\r\n")))
			}
		}
		if len(lines) > 0 {
			return lines
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Skip("no logs to measure with: put loghub's *.log files into shared/data/loghub, in a folder above this one")
		}
		dir = up
	}
}

// tailChunk and kubernetesChunk are 2 MB of events as Fluent Bit's inputs and
// its filter make them.
func tailChunk(tb testing.TB) []byte {
	return fill(tb, func(line string) pairs { return pairs{{"log", line}} })
}

func kubernetesChunk(tb testing.TB) []byte {
	return fill(tb, func(line string) pairs { return kubernetes(line + "\n") })
}

func fill(tb testing.TB, body func(line string) pairs) (chunk []byte) {
	lines := loghub(tb)
	for i := 0; len(chunk) < 2_000_000; i++ {
		t := noon.Add(time.Duration(i) * 12345678)
		chunk = append(chunk, pack(list{list{stamp(uint32(t.Unix()), uint32(t.Nanosecond())), pairs{}}, body(lines[i*7919%len(lines)])})...)
	}
	return chunk
}

// BenchmarkChunk counts the chunk's bytes; out/in is the length of what is
// written to it.
func BenchmarkChunk(b *testing.B) {
	log, _ := ParseField("log")
	pod, _ := ParseField("$kubernetes['pod_name']")
	for _, input := range []struct {
		name  string
		chunk []byte
	}{{"tail", tailChunk(b)}, {"kubernetes", kubernetesChunk(b)}} {
		run := func(name string, each func(dst []byte, ev *Event) []byte) {
			b.Run(input.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(input.chunk)))
				b.ReportAllocs()
				var dst []byte
				var d Decoder
				var ev Event
				events := 0
				for b.Loop() {
					dst, events = dst[:0], 0
					for d.Reset(input.chunk); d.Next(&ev); events++ {
						dst = each(dst, &ev)
					}
				}
				if damage := d.Damage(); damage != nil {
					b.Fatal(damage.Err)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
				b.ReportMetric(float64(len(dst))/float64(len(input.chunk)), "out/in")
			})
		}
		run("decode", func(dst []byte, ev *Event) []byte { return dst })
		run("find", func(dst []byte, ev *Event) []byte {
			pod.Find(ev.Body)
			return dst
		})
		for _, e := range []*Encoder{
			{Format: record.JSON, TimeKey: "@timestamp"},
			{Format: record.Text, LogKey: log},
			{Format: record.Raw, LogKey: log},
		} {
			run(e.Format.String(), e.Append)
		}
		b.Run(input.name+"/msgp and encoding/json", func(b *testing.B) {
			b.SetBytes(int64(len(input.chunk)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst = dst[:0]
				for rest := input.chunk; len(rest) > 0; {
					v, after, err := msgp.ReadIntfBytes(rest)
					if err != nil {
						b.Fatal(err)
					}
					rest = after
					j, err := json.Marshal(v.([]any)[1])
					if err != nil {
						b.Fatal(err)
					}
					dst = append(dst, j...)
				}
			}
		})
	}
}
