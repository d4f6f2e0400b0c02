// Package readmetest holds the README to what the code says of itself. Only tests
// import it.
package readmetest

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// Update is the flag -update of tests that keep generated files.
var Update = flag.Bool("update", false, "rewrite what is generated")

// Section is a part of the README between <!-- Name:begin --> and <!-- Name:end -->.
type Section struct{ Name, Want string }

// Check compares sections of the file with what they should be, or writes them with
// -update. command is what a user has to run for that.
func Check(t *testing.T, file, command string, sections ...Section) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, s := range sections {
		begin, end := "<!-- "+s.Name+":begin -->\n", "<!-- "+s.Name+":end -->"
		before, rest, found := strings.Cut(text, begin)
		have, after, closed := strings.Cut(rest, end)
		if !found || !closed || strings.Contains(after, begin) {
			t.Fatalf("%s: there must be one pair of %s and %s", file, strings.TrimSpace(begin), end)
		}
		want := "\n" + s.Want + "\n"
		if have != want && !*Update {
			t.Errorf("%s: %s is stale: run %s\n%s", file, s.Name, command, FirstDifference(have, want))
		}
		text = before + begin + want + end + after
	}
	if *Update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FirstDifference shows the first line that is not the same.
func FirstDifference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(h), len(w)) {
		if h[i] != w[i] {
			return "have: " + h[i] + "\nwant: " + w[i]
		}
	}
	return "one ends before the other"
}
