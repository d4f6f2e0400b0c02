package logopt

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core"
)

var update = flag.Bool("update", false, "rewrite what is generated: parts of the README, the plugin's config.json")

const (
	readme        = "../../README.md"
	howToGenerate = "go test ./dockerdriver/logopt -run Generated -update"
)

// The README's tables about the Docker driver are made from the code's own.
func TestREADMEGenerated(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, part := range []struct{ marker, want string }{
		{"docker options", Table()},
		{"docker settings", ProcessTable()},
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

// Variables that the README speaks of must be ones that are read. The test stands
// here because this package knows all of them.
func TestREADMEVariables(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for i := range core.Options {
		known[core.Options[i].EnvName()] = true
	}
	for _, o := range options {
		known[o.env] = true
	}
	for _, v := range Process {
		known[v.Name] = true
	}
	words := strings.FieldsFunc(string(b), func(r rune) bool {
		return r != '_' && (r < 'A' || r > 'Z')
	})
	for _, w := range words {
		ours := strings.HasPrefix(w, "AZURE_") || strings.HasPrefix(w, "AZUREBLOB_")
		if ours && !known[w] && !strings.HasPrefix(w, "AZUREBLOB_TEST_") {
			t.Errorf("%s: there is no variable %s", readme, w)
		}
	}
}

// TestTables holds the tables to their own rules, so that a new row cannot break them.
func TestTables(t *testing.T) {
	t.Parallel()
	for table, columns := range map[string]int{Table(): 4, ProcessTable(): 3} {
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
	names := make(map[string]bool)
	once := func(name string) {
		if name != "" && names[name] {
			t.Errorf("%s is there twice", name)
		}
		names[name] = true
	}
	for i := range core.Options {
		once(core.Options[i].EnvName())
		once(logOpt(&core.Options[i]))
	}
	for _, o := range options {
		once(o.env)
		once(o.name)
		if o.help == "" {
			t.Errorf("%s has no help", o.name)
		}
	}
	for _, v := range Process {
		once(v.Name)
		if v.Help == "" {
			t.Errorf("%s has no help", v.Name)
		}
	}
	for name := range notHere {
		if core.FindOption(name) == nil {
			t.Errorf("there is no option %s", name)
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
