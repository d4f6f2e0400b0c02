package logopt

import (
	"os"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/readmetest"
)

const (
	readme        = "../../README.md"
	howToGenerate = "go test ./dockerdriver/logopt -run Generated -update"
)

// The README's tables about the Docker driver are made from the code's own.
func TestREADMEGenerated(t *testing.T) {
	readmetest.Check(t, readme, howToGenerate,
		readmetest.Section{Name: "docker options", Want: Table()},
		readmetest.Section{Name: "docker settings", Want: ProcessTable()})
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
