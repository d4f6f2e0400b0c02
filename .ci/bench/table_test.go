package main

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// output is what a test binary prints, with what comes in between.
const output = `goos: linux
goarch: amd64
pkg: example.org/x
cpu: Some CPU
BenchmarkRun
BenchmarkRun/a
2026/11/23 12:00:00 a line of a log
BenchmarkRun/a
BenchmarkRun/a-PROCS         	       1	         0 ns/op	         3.0 s@azureblob	         2.0 s@peer	        10 MB@azureblob
BenchmarkRun/a-PROCS         	       1	         0 ns/op	         1.0 s@azureblob	         2.0 s@peer	        30 MB@azureblob
BenchmarkRun/a-PROCS         	       1	         0 ns/op	         8.0 s@azureblob	         4.0 s@peer	        20 MB@azureblob
BenchmarkRun/b
    run_test.go:9: ==== NOT MEASURED: there is no peer ====
--- SKIP: BenchmarkRun/b
BenchmarkRun/b2
    run_test.go:9: ==== NOT MEASURED: there is no other peer ====
--- SKIP: BenchmarkRun/b2
BenchmarkRun/c
    run_test.go:12: the disk is full
--- FAIL: BenchmarkRun/c
--- FAIL: BenchmarkRun
FAIL
`

func readOutput(t *testing.T, text string, r row) outcome {
	t.Helper()
	text = keptAbout + "3 runs, a day\n" + strings.ReplaceAll(text, "-PROCS", procsSuffix())
	return read(strings.NewReader(text), r, 3, io.Discard)
}

func tableOf(t *testing.T, o outcome, cs ...comparison) *table {
	t.Helper()
	tb := &table{about: []string{"a machine"}}
	tb.add(row{name: "run", what: "a run | of all", compare: cs}, o)
	return tb
}

// Each figure is a median over the runs, the ratio that of the medians, and the spread
// that of the single runs.
func TestFigures(t *testing.T) {
	o := readOutput(t, output, row{})
	for _, tt := range []struct {
		c    comparison
		want string // of the cells
	}{
		{comparison{on: "Run/a", ours: "s@azureblob", peer: "s@peer", limit: times(1.5)}, "3.00 s|2.00 s, peer|1.50×|0.50–2.00×|3|≤ 1.50×|yes"},
		{comparison{on: "Run/a", ours: "s@azureblob", peer: "s@peer", limit: times(1.49), why: "w"}, "3.00 s|2.00 s, peer|1.50×|0.50–2.00×|3|≤ 1.49×|no [1]"},
		{comparison{on: "Run/a", ours: "s@azureblob", peer: "s@peer", limit: over(1)}, "3.00 s|2.00 s, peer|+1.00 s|-1.00–4.00|3|≤ +1.00 s|yes"},
		{comparison{on: "Run/a", ours: "s@azureblob", peer: "s@peer", limit: over(0.9)}, "3.00 s|2.00 s, peer|+1.00 s|-1.00–4.00|3|≤ +0.900 s|no [1]"},
		{comparison{on: "Run/a", ours: "MB@azureblob", limit: atMost(20)}, "20.0 MB|–|–|10.0–30.0|3|≤ 20.0 MB|yes"},
		{comparison{on: "Run/a", ours: "MB@azureblob", limit: atMost(19.9)}, "20.0 MB|–|–|10.0–30.0|3|≤ 19.9 MB|no [1]"},
		{comparison{on: "Run/a", ours: "s@peer", peer: "s@azureblob"}, "2.00 s, peer|3.00 s, azureblob|0.67×|0.50–2.00×|3|–|–"},
	} {
		tb := tableOf(t, o, tt.c)
		if got := strings.Join(tb.rows[0].lines[0].cells(), "|"); got != tt.want {
			t.Errorf("%+v:\n got %s\nwant %s", tt.c, got, tt.want)
		}
		if tb.failed() {
			t.Errorf("%+v: a target that is missed is no failure", tt.c)
		}
	}
}

// A comparison that has no figures says why, and takes none with it.
func TestWithoutFigures(t *testing.T) {
	o := readOutput(t, output, row{})
	o.err = errors.New("exit status 1")
	on := func(name string) comparison {
		return comparison{what: name, on: name, ours: "s@azureblob", peer: "s@peer", limit: times(9)}
	}
	other := on("Run/a")
	other.ours = "s@nobody"
	tb := tableOf(t, o, on("Run/a"), on("Run/b"), on("Run/b2"), on("Run/c"), on("Run/d"), other)
	var met []string
	for _, l := range tb.rows[0].lines {
		met = append(met, l.met)
	}
	if got, want := strings.Join(met, ","), "yes,NOT MEASURED,NOT MEASURED,FAILED,FAILED,FAILED"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	notes := strings.Join(tb.notes, "\n\n")
	for _, want := range []string{"NOT MEASURED: there is no peer\n", "NOT MEASURED: there is no other peer\n", "the disk is full", "exit status 1"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	if !tb.failed() {
		t.Error("the table does not count as failed")
	}

	if got := tb.rows[0].lines[1].cells()[1]; got != "peer" {
		t.Errorf("the peer that was not measured is called %q", got)
	}

	// Fewer runs than were asked for are none, nor is a process that ended in between.
	short := strings.Join(strings.SplitAfter(output, "\n")[:9], "") + "panic: out of luck\n"
	o = readOutput(t, short, row{})
	o.err = errors.New("exit status 2")
	if tb := tableOf(t, o, on("Run/a")); tb.rows[0].lines[0].met != "FAILED" || !strings.Contains(tb.notes[0], "out of luck") {
		t.Errorf("a benchmark that panicked: %q, %q", tb.rows[0].lines[0].met, tb.notes)
	}
	// Something else in the row failed.
	o = readOutput(t, output, row{})
	o.err = errors.New("exit status 1")
	if tb := tableOf(t, o, on("Run/a"), on("Run/b")); tb.rows[0].lines[0].met != "FAILED" || tb.rows[0].lines[1].met != "NOT MEASURED" {
		t.Errorf("a row whose benchmark failed elsewhere: %q", tb.notes)
	}
	// A build that fails.
	if tb := tableOf(t, outcome{err: errors.New("no Go files")}, on("Run/a")); !tb.failed() || !strings.Contains(tb.notes[0], "no Go files") {
		t.Errorf("a package that cannot be built: %q", tb.notes)
	}
}

// The note of a missed target is there only if it is missed.
func TestNotes(t *testing.T) {
	o := readOutput(t, output, row{})
	c := comparison{on: "Run/a", ours: "s@azureblob", peer: "s@peer", limit: times(9), why: "The profile says so."}
	if tb := tableOf(t, o, c); len(tb.notes) > 0 {
		t.Errorf("a target that holds has the notes %q", tb.notes)
	}
	c.limit = times(1)
	if tb := tableOf(t, o, c, c); len(tb.notes) != 1 || tb.notes[0] != c.why {
		t.Errorf("notes %q, want the one sentence", tb.notes)
	}
	c.why = ""
	if tb := tableOf(t, o, c); len(tb.notes) != 1 || !strings.Contains(tb.notes[0], "Nobody") {
		t.Errorf("notes %q of a miss that nobody explains", tb.notes)
	}
}

func TestTable(t *testing.T) {
	o := readOutput(t, output, row{})
	tb := tableOf(t, o,
		comparison{"µ-time", "Run/a", "s@azureblob", "s@peer", times(2), ""},
		comparison{"size", "Run/a", "MB@azureblob", "", atMost(5), "Too large."})
	var text, md strings.Builder
	if err := errors.Join(tb.text(&text), tb.markdown(&md)); err != nil {
		t.Fatal(err)
	}
	const wantText = `azureblob beside its peers

a machine

measured  azureblob  peer          ratio  min–max     runs  asked      met
run: a run | of all (3 runs, a day)
  µ-time  3.00 s     2.00 s, peer  1.50×  0.50–2.00×  3     ≤ 2.00×    yes
  size    20.0 MB    –             –      10.0–30.0   3     ≤ 5.00 MB  no [1]

[1] Too large.
`
	if text.String() != wantText {
		t.Errorf("got\n%s\nwant\n%s", text.String(), wantText)
	}
	for _, want := range []string{
		"| measured | azureblob | peer | ratio | min–max | runs | asked | met |\n|---|---|---|---|---|---|---|---|\n",
		"| **run: a run \\| of all** (3 runs, a day) | | | | | | | |\n",
		"| µ-time | 3.00 s | 2.00 s, peer | 1.50× | 0.50–2.00× | 3 | ≤ 2.00× | yes |\n",
		"\n[1] Too large.\n",
	} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("no %q in\n%s", want, md.String())
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.00123: "0.00123", 0.5: "0.500", 9.999: "10.00", 12.345: "12.3", 123.45: "123", 98765.4: "98765", -1.5: "-1.50"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) is %s, want %s", v, got, want)
		}
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("the median of 1 to 4 is %v", got)
	}
}

func TestMetric(t *testing.T) {
	for name, want := range map[string]string{"s@json-file": "s json-file", "cpu-s/M-lines@dockerd": "s/M-lines dockerd", "lag-p50-ms@gzip-6": "ms gzip-6", "fetched/appended@x": "fetched/appended x", "KiB-per-stream@x": "KiB/stream x"} {
		if unit, contender := metric(name); unit+" "+contender != want {
			t.Errorf("%s is %q of %q", name, unit, contender)
		}
	}
}

// Each row can be picked, and no comparison is asked for twice.
func TestRows(t *testing.T) {
	seen := map[any]bool{}
	for _, r := range rows {
		if r.name == "" || r.what == "" || r.pkg == "" || len(r.compare) == 0 || seen[r.name] {
			t.Errorf("row %q is not whole, or there twice", r.name)
		}
		seen[r.name] = true
		for _, c := range r.compare {
			c.why = ""
			what := c.what
			if c.what = ""; what == "" || !strings.Contains(c.ours, "@") || c.peer != "" && !strings.Contains(c.peer, "@") || seen[c] {
				t.Errorf("%s: %q is not whole, or there twice", r.name, what)
			}
			seen[c] = true
		}
	}
}

// What was measured is found again, with the error that the benchmark ended with.
func TestKept(t *testing.T) {
	m := measurer{runs: 2, keep: t.TempDir()}
	r := row{name: "run"}
	if _, err := m.kept(r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a row that was never measured: %v", err)
	}
	m.dir, m.progress, m.built = t.TempDir(), io.Discard, map[string]error{}
	r.pkg = "testdata/nothing"
	if err := m.measure(r); err != nil {
		t.Fatal(err)
	}
	o, err := m.kept(r)
	if err != nil || o.runs != 2 || o.err == nil || !strings.Contains(o.err.Error(), "go test -c ./testdata/nothing") || !strings.Contains(o.about, "version") {
		t.Errorf("a package that is not there is kept as %+v, %v", o, err)
	}
}
