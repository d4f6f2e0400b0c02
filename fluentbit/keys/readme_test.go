package keys

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core/readmetest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// The README's tables about the Fluent Bit keys are made from the code's own.
func TestREADME(t *testing.T) {
	readmetest.Check(t, "../../README.md", "go test ./fluentbit/keys -run README -update",
		readmetest.Section{Name: "fluentbit keys", Want: Table()},
		readmetest.Section{Name: "fluentbit moving", Want: MovingTable()})
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
