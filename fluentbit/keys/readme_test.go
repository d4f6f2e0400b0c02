package keys

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

var update = flag.Bool("update", false, "rewrite what is generated in the README")

const (
	readme        = "../../README.md"
	howToGenerate = "go test ./fluentbit/keys -run README -update"
)

// The README's tables about the Fluent Bit keys are made from the code's own.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, part := range []struct{ marker, want string }{
		{"fluentbit keys", Table()},
		{"fluentbit moving", MovingTable()},
	} {
		begin, end := "<!-- "+part.marker+":begin -->\n", "<!-- "+part.marker+":end -->"
		before, rest, found := strings.Cut(text, begin)
		have, after, closed := strings.Cut(rest, end)
		if !found || !closed || strings.Contains(after, begin) {
			t.Fatalf("%s: there must be one pair of %s and %s", readme, strings.TrimSpace(begin), end)
		}
		want := "\n" + part.want + "\n"
		if have != want && !*update {
			t.Errorf("%s: %s is stale: run %s\n%s", readme, part.marker, howToGenerate, firstDifference(have, want))
		}
		text = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(readme, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
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

// The tables are held to their own rules, so that a new row cannot break them.
func TestTables(t *testing.T) {
	t.Parallel()
	for table, columns := range map[string]int{Table(): 3, MovingTable(): 2} {
		rows, _, _ := strings.Cut(table, "\n\n")
		for line := range strings.Lines(rows) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if n := strings.Count(line, "|") - strings.Count(line, `\|`); n != columns+1 {
				t.Errorf("not %d columns: %s", columns, line)
			}
		}
	}
	for _, k := range builtIn {
		if k.here == "" || k.inert && k.refused {
			t.Errorf("%s: %+v", k.name, k)
		}
		if n := strings.Count(MovingTable(), "`"+k.name+"`"); n == 0 {
			t.Errorf("%s is in no row", k.name)
		}
		if taken := !k.inert && !k.refused; taken != slices.Contains(known(), k.name) {
			t.Errorf("%s: taken %v", k.name, taken)
		}
	}
}

// The keys are those that a real Fluent Bit's azure_blob has.
func TestBuiltInKeys(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(flbtest.FindFluentBit(t), "-o", "azure_blob", "-h").CombinedOutput()
	text := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(out), "")
	_, text, found := strings.Cut(text, "\nOPTIONS\n")
	if !found {
		t.Fatalf("%v: %s", err, out)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z0-9_.]+) `).FindAllStringSubmatch(text, -1) {
		if !reserved(m[1]) {
			names = append(names, m[1])
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %q in\n%s", names, text)
	}
	for _, name := range names {
		if !slices.ContainsFunc(builtIn, func(k builtInKey) bool { return k.name == name }) {
			t.Errorf("azure_blob has a key %s", name)
		}
	}
	for _, k := range builtIn {
		if !slices.Contains(names, k.name) {
			t.Errorf("azure_blob has no key %s", k.name)
		}
	}
}
