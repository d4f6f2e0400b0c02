//go:build cgo

package main

import (
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
	"github.com/liveblob/azureblob/fluentbit/output"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func lookup(p flbtest.Props) func(string) string {
	return func(name string) string { return p[name] }
}

// A panic is one line that says where, and a result that loses nothing.
func TestPanics(t *testing.T) {
	var w writes
	log := slog.New(newLogHandler(&w))
	said := func(in string) {
		t.Helper()
		if len(w) != 1 || !strings.Contains(w[0], "[error]") || strings.Count(w[0], "\n") != 1 || !strings.Contains(w[0], in) {
			t.Errorf("it says %q, want one line about %s", w, in)
		}
		w = nil
	}

	if in := start(log, func(string) string { panic("no\nkeys") }); in != nil {
		t.Error("an output starts that has panicked")
	}
	said(`panic, please report it: no keys at fluentbit.TestPanics.func`)

	stopped := &instance{log: log}
	if got := stopped.flush("app", nil); got != output.Retry {
		t.Errorf("a flush that panics is answered %v", got)
	}
	said("in=flush")
	if got := answer(stopped, "app", nil); got != 2 { // FLB_RETRY
		t.Errorf("Fluent Bit is told %d", got)
	}
	said("in=flush")

	stopped.stop()
	said("in=exit")

	if got := answer(nil, "app", nil); got != 2 {
		t.Errorf("a flush without an instance is answered %d", got)
	}
}

// Where a panic came from is told from the inside, also one of the runtime's.
func TestWhere(t *testing.T) {
	var w writes
	log := slog.New(newLogHandler(&w))
	got := safely(log, "this", 7, func() int { return index(nil, 3) })
	if got != 7 {
		t.Errorf("the result is %d", got)
	}
	line := strings.Join(w, "")
	inner, outer := strings.Index(line, "fluentbit.index:"), strings.Index(line, "fluentbit.TestWhere.func1:")
	if inner < 0 || outer < inner || !strings.Contains(line, "index out of range") || strings.Contains(line, "runtime.") {
		t.Errorf("it says %q", line)
	}
}

//go:noinline
func index(b []byte, i int) int { return int(b[i]) }

// Starting and stopping leaves no goroutine, which TestMain looks for.
func TestStartStop(t *testing.T) {
	s := azuretest.New()
	conn := s.ConnectionString(s.Start(t))
	var w writes
	log := slog.New(newLogHandler(&w))
	n := &flbtest.Numbered{}
	for range 20 {
		in := start(log, lookup(flbtest.Props{"connection_string": conn, "container_name": "logs", "path": "$TAG.log"}))
		if in == nil {
			t.Fatalf("it does not start: %q", w)
		}
		if got := in.flush("app", n.Chunk("app", 3)); got != output.OK {
			t.Fatalf("a flush is answered %v: %q", got, w)
		}
		in.stop()
	}
	b, _ := s.Blob("logs", "app.log")
	lines, err := flbtest.BlobLines(b, "json")
	if err == nil {
		err = n.Check(lines)
	}
	if err != nil {
		t.Error(err)
	}
	if start(log, lookup(flbtest.Props{"connection_string": conn, "container_name": "NO"})) != nil {
		t.Error("it starts with a container that cannot be")
	}
	for _, line := range w {
		if strings.Contains(line, s.Key()) {
			t.Errorf("the account's key is in %q", line)
		}
	}
}
