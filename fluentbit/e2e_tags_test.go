package main_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

const forwardSection = `
[INPUT]
    Name            forward
    Listen          127.0.0.1
    Port            ${FORWARD_PORT}
`

// startForward starts a Fluent Bit that takes lines of any tag over a connection.
func startForward(t *testing.T, s *azuretest.Server, library, output string) (*flbtest.FluentBit, net.Conn) {
	t.Helper()
	port := flbtest.FreePort(t)
	f := flbtest.StartFluentBit(t, flbtest.FluentBitConfig{
		Conf:    serviceSection + forwardSection + output,
		Library: library,
		Env:     map[string]string{"CONNECTION": s.ConnectionString(s.Start(t)), "FORWARD_PORT": port},
	})
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return f, conn
}

// A thousand tags at once: all of them are live, and the process hardly grows.
func TestFluentBitThousandTags(t *testing.T) {
	flbtest.FindFluentBit(t)
	const tags, rounds, limit = 1000, 5, 40 << 20
	s := azuretest.New()
	s.NoLog = true
	without, other := startForward(t, s, "", "\n[OUTPUT]\n    Name null\n    Match *\n")
	f, conn := startForward(t, s, flbtest.Library(t), outputSection)
	base, idle := without.Usage().RSS, f.Usage().RSS
	lines := flbtest.Numbered{AnyOrder: true, Size: 200}
	for round := range rounds {
		var message []byte
		for tag := range tags {
			name := fmt.Sprintf("tag%d", tag)
			var events []any
			for _, line := range lines.Lines(name, 10) {
				events = append(events, []any{time.Now(), flbtest.Map{{Key: "log", Value: line}}})
			}
			message = flbtest.AppendValue(message, []any{name, events})
		}
		for _, c := range []net.Conn{conn, other} {
			if _, err := c.Write(message); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 30*time.Second, "all lines are readable", func() error {
			for tag := range tags {
				name := fmt.Sprintf("tag%d", tag)
				blob, _ := s.Blob("logs", name+".log")
				if n := bytes.Count(blob.Content, []byte("\n")); n < 10*(round+1) {
					return fmt.Errorf("%s has %d of %d", name, n, 10*(round+1))
				}
			}
			return nil
		})
	}
	// Fluent Bit itself grows, by the chunks of so many tags.
	busy, own := f.Usage().RSS, without.Usage().RSS
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	t.Logf("idle %.1f MiB, and %.1f with %d tags; without the plugin %.1f and %.1f",
		mib(idle), mib(busy), tags, mib(base), mib(own))
	if grown := busy - idle - (own - base); grown > limit && !flbtest.RaceDetector {
		t.Errorf("%d tags take %.1f MiB, want %d at most", tags, mib(grown), limit>>20)
	}
	without.Stop()
	f.Stop()
	for _, tag := range lines.Tags() {
		blob, _ := s.Blob("logs", tag+".log")
		got, err := flbtest.BlobLines(blob, "raw")
		if err == nil {
			err = lines.Check(got, tag)
		}
		if err != nil {
			t.Errorf("blob %s.log: %v", tag, err)
		}
	}
}
