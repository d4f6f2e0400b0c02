//go:build cgo

package main

import (
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// writes keeps what each call of Write was given.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestLog(t *testing.T) {
	var w writes
	log := slog.New(newLogHandler(&w))
	log.Debug("nobody asked for this")
	log.Info("started", "path", "a b", "n", 1)
	log.Warn("two\n  lines", "err", errors.New("x\ny"))
	log.With("blob", "b").WithGroup("g").Error("failed", "k", "v")
	log.Info("alone")
	want := []string{
		`[ info] [output:azureblob] started path="a b" n=1`,
		`[ warn] [output:azureblob] two lines err="x\ny"`,
		`[error] [output:azureblob] failed blob=b g.k=v`,
		`[ info] [output:azureblob] alone`,
	}
	if len(w) != len(want) {
		t.Fatalf("%d writes, want %d: %q", len(w), len(want), w)
	}
	stamp := regexp.MustCompile(`^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}\] `)
	for i, line := range w {
		at := stamp.FindString(line)
		if got := strings.TrimPrefix(line, at); at == "" || got != want[i]+"\n" {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
}

// Lines of several goroutines do not get into each other.
func TestLogAtOnce(t *testing.T) {
	var w writes
	log := slog.New(newLogHandler(&w))
	var all sync.WaitGroup
	for range 8 {
		log := log.With("who", "me")
		all.Go(func() {
			for range 200 {
				log.Info("message", "k", strings.Repeat("v", 50))
			}
		})
	}
	all.Wait()
	if len(w) != 1600 {
		t.Errorf("%d lines, want 1600", len(w))
	}
	for _, line := range w {
		if !strings.HasSuffix(line, "message who=me k="+strings.Repeat("v", 50)+"\n") {
			t.Fatalf("a line is %q", line)
		}
	}
}
