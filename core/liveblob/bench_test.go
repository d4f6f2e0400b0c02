package liveblob_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// BenchmarkGrowingBlob is what a flush costs as its blob grows: requests, the
// longest block list, and the bytes sent for a byte of log, early on (commits
// 1,000 to 2,000) and at the end (the last 1,000).
func BenchmarkGrowingBlob(b *testing.B) {
	for _, tt := range []struct{ commits, size int }{{60_000, 200}, {10_000, 4 << 10}} {
		b.Run(fmt.Sprintf("%dx%dB", tt.commits, tt.size), func(b *testing.B) {
			data := append(bytes.Repeat([]byte("x"), tt.size-1), '\n')
			for b.Loop() {
				s := newStore(b)
				var sent, requests int64
				s.NoLog = true
				s.SetFault(func(r azuretest.Request) azuretest.Fault {
					requests++
					sent += max(r.BodyBytes, 0)
					return azuretest.Fault{}
				})
				start := time.Now()
				w := s.writer(s.config("growing.log"))
				must(b, w.Resume(b.Context()))
				requests = 0
				var early, late int64
				longest := 0
				for i := range tt.commits {
					switch i {
					case 1_000:
						early = -sent
					case 2_000:
						early += sent
					case tt.commits - 1_000:
						late = -sent
					}
					must(b, w.Commit(b.Context(), data, ""))
					longest = max(longest, w.State().Blocks)
				}
				late += sent
				perByte := func(n int64) float64 { return float64(n) / float64(1_000*tt.size) }
				b.ReportMetric(float64(requests)/float64(tt.commits), "requests/commit")
				b.ReportMetric(float64(longest), "blocks-at-most")
				b.ReportMetric(perByte(early), "sent/byte-early")
				b.ReportMetric(perByte(late), "sent/byte-late")
				b.ReportMetric(float64(sent)/float64(tt.commits*tt.size), "sent/byte")
				b.ReportMetric(float64(time.Since(start).Microseconds())/float64(tt.commits), "µs/commit")
			}
		})
	}
}
