package liveblob_test

import (
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core/liveblob"
)

func TestStem(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                           "",
		"a.log":                      "a.log",
		"a.log-0001":                 "a.log",
		"a.log-99999":                "a.log",
		"a.log-100000":               "a.log-100000",
		"a.log-001":                  "a.log-001",
		"a-1a2b3c4d.log":             "a.log",
		"a-1a2b3c4d.log-0002":        "a.log",
		"a-1A2B3C4D.log":             "a-1A2B3C4D.log",
		"a-1a2b3c4.log":              "a-1a2b3c4.log",
		"a-1a2b3c4d-5e6f7a8b.log":    "a.log",
		"a-0001":                     "a",
		"a-0001-1a2b3c4d":            "a",
		"-0001":                      "",
		"dir-0001/a":                 "dir-0001/a",
		"dir/.log-1a2b3c4d":          "dir/.log",
		"web/" + hex64 + ".log":      "web/" + hex64 + ".log",
		"web/" + hex64 + ".log-0001": "web/" + hex64 + ".log",
	} {
		if got := liveblob.Stem(name); got != want {
			t.Errorf("Stem(%q) is %q, want %q", name, got, want)
		}
	}
}

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// FuzzStem: a log's forks and the blobs that it rolls over to have its stem, in
// whatever order they came about.
func FuzzStem(f *testing.F) {
	for _, name := range []string{"a.log", ".log", "a/.log", "a", "a-0001", "a-1a2b3c4d", "a-0001.log", "a.log-0001", "a.0-0001-1a2b3c4d", "a.", "a.-0001", "-",
		"a.123456789012345678901234567890-0001", "a.1234567890123456789012345678901-1a2b3c4d", "a.b-12345-12345678-1234/c-0001-0002"} {
		f.Add(name, "host:1", 1)
	}
	f.Fuzz(func(t *testing.T, name, stream string, part int) {
		if name == "" || len(name) > 1000 || !utf8.ValidString(name) || part < 1 || part > 99999 {
			return
		}
		want := liveblob.Stem(name)
		fork := liveblob.ForkName(name, stream)
		for _, of := range []string{fork, fmt.Sprintf("%s-%04d", name, part), fmt.Sprintf("%s-%04d", fork, part)} {
			if got := liveblob.Stem(of); got != want {
				t.Errorf("Stem(%q) is %q, that of %q is %q", of, got, name, want)
			}
		}
		if liveblob.Stem(want) != want {
			t.Errorf("Stem(%q) is %q", want, liveblob.Stem(want))
		}
	})
}

// TestStemOfChain holds Stem to the names that a Writer really gives: it forks, and
// then rolls over.
func TestStemOfChain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const name = "web/x.log"
	s.Put("logs", name, []byte("theirs"), map[string]string{"stream": "them"})
	cfg := s.config(name)
	cfg.Fork, cfg.MaxSize = true, 1
	w := s.writer(cfg)
	seen := map[string]bool{}
	for range 3 {
		must(t, w.Commit(t.Context(), []byte("line\n"), ""))
		at := w.State().Blob
		seen[at] = true
		if got := liveblob.Stem(at); got != name {
			t.Errorf("the stem of %q is %q", at, got)
		}
	}
	if len(seen) != 3 || seen[name] {
		t.Errorf("the log is in %v", seen)
	}
}
