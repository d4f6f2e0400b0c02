// Bench measures azureblob and its peers and says whether what is asked of it holds.
//
//	go run ./.ci/bench [-runs N] [-bench PATTERN] [-o FILE] [-keep FOLDER]
//
// The benchmarks stand beside the code that they measure, and rows.go lists what is
// compared in them. One iteration of such a benchmark is one run: each contender once,
// one after the other, on the same input. It reports what each took in that run as
// "<measure>@<contender>", such as "s@json-file", with no ratio and no median. Both are
// made here, over the runs:
//
//	rows ─► go test -c, once a package ─► the benchmark, N times ─► parse ─► medians, ratios ─► table
//
// All of it takes more than an hour, so what a benchmark printed is kept in FOLDER, and a
// row that PATTERN leaves out is shown as it was measured last; each row says when, and
// with which version. The table goes to stdout and, if no row is without figures, as
// Markdown to FILE. A row of which a peer is missing on this machine says NOT MEASURED. One that fails says FAILED,
// the others go on, and the exit code is 1. A target that is missed is no failure: the
// table says so, and why.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

func main() {
	runs := flag.Int("runs", 5, "how often each benchmark runs; medians of fewer than 5 say little")
	pattern := flag.String("bench", ".", "a pattern of the rows to measure, by name or package")
	file := flag.String("o", "core/BENCHMARKS.md", "where the table goes if no row is without figures")
	keep := flag.String("keep", ".cache/bench", "where the rows' results are kept")
	flag.Parse()
	failed, err := bench(*runs, *pattern, *file, *keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// bench measures and writes. failed: some row did.
func bench(runs int, pattern, file, keep string) (failed bool, err error) {
	picks, err := regexp.Compile(pattern)
	if err != nil {
		return false, fmt.Errorf("the pattern of rows: %w", err)
	}
	if runs < 1 {
		return false, fmt.Errorf("%d runs are none", runs)
	}
	picked := slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return !picks.MatchString(r.name) && !picks.MatchString(r.pkg)
	})
	if len(picked) == 0 {
		return false, fmt.Errorf("no row is called %q; there are: %s", pattern, names(rows))
	}
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "azureblob-bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)

	m := measurer{runs: runs, dir: dir, keep: keep, progress: os.Stderr, built: map[string]error{}}
	for i, r := range picked {
		begun := time.Now()
		fmt.Fprintf(os.Stderr, "[%d/%d] %s: %s\n", i+1, len(picked), r.name, r.what)
		if err := m.measure(r); err != nil {
			return false, err
		}
		fmt.Fprintf(os.Stderr, "      took %v\n", time.Since(begun).Round(time.Second))
	}
	t := table{about: about()}
	var missing []row
	for _, r := range rows {
		o, err := m.kept(r)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, r)
			continue
		}
		if err != nil {
			return false, err
		}
		t.add(r, o)
	}
	if err := t.text(os.Stdout); err != nil {
		return false, err
	}
	if len(missing) > 0 {
		fmt.Printf("\n%s is left as it was: there are no figures yet of %s.\n", file, names(missing))
		return t.failed(), nil
	}
	if err := t.save(file); err != nil {
		return false, err
	}
	fmt.Printf("\nThe same is in %s.\n", file)
	return t.failed(), nil
}

// save writes the Markdown, all of it or nothing.
func (t *table) save(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".bench-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := cmp.Or(t.markdown(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
