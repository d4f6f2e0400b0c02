package core_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core"
)

var update = flag.Bool("update", false, "rewrite what is generated in the README")

const (
	readme        = "../README.md"
	optionsBegin  = "<!-- options:begin -->\n"
	optionsEnd    = "<!-- options:end -->"
	howToGenerate = "go test ./core -run README -update"
)

// The README's option table is made from the code's own.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	before, rest, found := strings.Cut(text, optionsBegin)
	have, after, closed := strings.Cut(rest, optionsEnd)
	if !found || !closed || strings.Contains(after, optionsBegin) {
		t.Fatalf("%s: there must be one pair of %s and %s", readme, strings.TrimSpace(optionsBegin), optionsEnd)
	}
	want := "\n" + core.Table() + "\n"
	if have == want {
		return
	}
	if !*update {
		t.Fatalf("%s: the option table is stale: run %s\n%s", readme, howToGenerate, firstDifference(have, want))
	}
	if err := os.WriteFile(readme, []byte(before+optionsBegin+want+optionsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func firstDifference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(h), len(w)) {
		if h[i] != w[i] {
			return "have: " + h[i] + "\nwant: " + w[i]
		}
	}
	return "one ends before the other"
}
