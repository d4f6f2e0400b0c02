package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is what was measured, in the order in which it was.
type table struct {
	about []string // machine and versions
	rows  []tableRow
	notes []string // why targets are missed, and what failed
}

type tableRow struct {
	row
	about string // when it was measured, and with which version
	lines []line
}

// line is a comparison with its figures. ours is empty if there are none, and met says
// why: NOT MEASURED or FAILED.
type line struct {
	comparison
	shown
	met    string // "yes", "no", "–" where nothing is asked, …
	note   int    // number of its note; 0: none
	failed bool
}

// shown are a comparison's figures in the table's form.
type shown struct {
	ours, peer string // medians with units; the peer with its name
	ratio      string // of the medians, or their difference where that is limited, or "–"
	spread     string // of the ratio, or of ours where a value is asked or there is no peer, over the runs
	runs       int
}

// add takes what was measured for a row.
func (t *table) add(r row, o outcome) {
	tr := tableRow{row: r, about: o.about}
	noted := map[string]int{} // the number of a note by its text
	note := func(format string, args ...any) int {
		text := fmt.Sprintf(format, args...)
		if noted[text] == 0 {
			t.notes = append(t.notes, text)
			noted[text] = len(t.notes)
		}
		return noted[text]
	}
	// Without a value for each run there are no figures. Where a benchmark failed and
	// each comparison has all of its values, no figure of the row can be trusted.
	lacks := func(c comparison) bool {
		runs := max(o.runs, 1)
		return len(o.values[c.on][c.ours]) < runs || c.peer != "" && len(o.values[c.on][c.peer]) < runs
	}
	distrust := o.err != nil && !slices.ContainsFunc(r.compare, func(c comparison) bool { return o.skip(c) == "" && lacks(c) })
	for _, c := range r.compare {
		l := line{comparison: c}
		_, l.shown.peer = metric(c.peer)
		switch {
		case o.skip(c) != "":
			l.met, l.note = "NOT MEASURED", note("NOT MEASURED: %s", o.skip(c))
		case lacks(c), distrust:
			l.failed, l.met, l.note = true, "FAILED", note("FAILED: %s", o.reason(c, o.runs))
		default:
			var met bool
			if l.shown, met = c.show(o.values[c.on][c.ours], o.values[c.on][c.peer]); c.limit.kind == nothing {
				l.met = "–"
			} else if l.met = "yes"; !met {
				l.met, l.note = "no", note("%s", c.missed())
			}
		}
		tr.lines = append(tr.lines, l)
	}
	t.rows = append(t.rows, tr)
}

func (c comparison) missed() string {
	if c.why == "" {
		return "Nobody has found the reason."
	}
	return c.why
}

// skip is why c's benchmark, or one that it is a part of, was not run; "" if it was.
func (o outcome) skip(c comparison) string {
	for name, why := range o.skipped {
		if c.on == name || strings.HasPrefix(c.on, name+"/") {
			return why
		}
	}
	return ""
}

// reason is why there are no figures for c.
func (o outcome) reason(c comparison, runs int) string {
	var why strings.Builder
	if o.err != nil {
		fmt.Fprintf(&why, "Benchmark%s: %v", c.on, o.err)
	} else {
		fmt.Fprintf(&why, "Benchmark%s did not report %s", c.on, c.ours)
		if c.peer != "" {
			fmt.Fprintf(&why, " and %s", c.peer)
		}
		fmt.Fprintf(&why, " in each of %d runs", runs)
	}
	for _, l := range o.tail {
		why.WriteString("\n" + l)
	}
	return why.String()
}

// show makes the medians over runs, their ratio, and how far the runs are apart.
// ours and peer have a value for each run, in the order of the runs.
func (c comparison) show(ours, peer []float64) (s shown, met bool) {
	unit, contender := metric(c.ours)
	s = shown{ours: figure(median(ours)) + " " + unit, peer: "–", ratio: "–", spread: spread(ours, ""), runs: len(ours)}
	if contender != "azureblob" {
		s.ours += ", " + contender
	}
	theirs := math.NaN()
	if c.peer != "" {
		unit, contender := metric(c.peer)
		theirs = median(peer)
		s.peer = figure(theirs) + " " + unit + ", " + contender
		each := make([]float64, len(ours)) // the comparison of each run
		switch c.limit.kind {
		case value:
			s.ratio = ratioOf(median(ours) / theirs)
		case more:
			for i := range ours {
				each[i] = ours[i] - peer[i]
			}
			s.ratio, s.spread = fmt.Sprintf("%+.2f %s", median(ours)-theirs, unit), spread(each, "")
		default:
			for i := range ours {
				each[i] = ours[i] / peer[i]
			}
			s.ratio, s.spread = ratioOf(median(ours)/theirs), spread(each, "×")
		}
	}
	return s, c.limit.met(median(ours), theirs)
}

// metric takes "cpu-s/M-lines@dockerd" apart: the unit is s/M-lines.
func metric(name string) (unit, contender string) {
	measure, contender, _ := strings.Cut(name, "@")
	measure = strings.Replace(measure, "-per-", "/", 1)
	above, _, _ := strings.Cut(measure, "/")
	return measure[strings.LastIndex(above, "-")+1:], contender
}

// median of at least one value.
func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}

func spread(of []float64, unit string) string {
	if unit == "×" {
		return strings.TrimSuffix(ratioOf(slices.Min(of)), "×") + "–" + ratioOf(slices.Max(of))
	}
	return figure(slices.Min(of)) + "–" + figure(slices.Max(of))
}

// ratioOf has two decimals, and a small one as many as it takes.
func ratioOf(v float64) string {
	if v < 0.1 {
		return figure(v) + "×"
	}
	return fmt.Sprintf("%.2f×", v)
}

// figure is v with three significant digits, and never with an exponent.
func figure(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return fmt.Sprintf("%.*f", min(max(0, digits), 9), v)
}

func (t *table) failed() bool {
	for _, r := range t.rows {
		for _, l := range r.lines {
			if l.failed {
				return true
			}
		}
	}
	return false
}

var columns = []string{"azureblob", "peer", "ratio", "min–max", "runs", "asked", "met"}

// cells are the columns of a line after the first.
func (l line) cells() []string {
	unit, _ := metric(l.comparison.ours)
	met := l.met
	if l.note > 0 {
		met += fmt.Sprintf(" [%d]", l.note)
	}
	runs := "–"
	if l.runs > 0 {
		runs = fmt.Sprint(l.runs)
	}
	all := []string{l.shown.ours, l.shown.peer, l.ratio, l.spread, runs, l.limit.asked(unit), met}
	for i := range all {
		if all[i] == "" {
			all[i] = "–"
		}
	}
	return all
}

const heading = "azureblob beside its peers"

// text writes the table in aligned columns.
func (t *table) text(to io.Writer) error {
	lines := [][]string{append([]string{"measured"}, columns...)}
	for _, r := range t.rows {
		lines = append(lines, []string{r.name + ": " + r.what + " (" + r.about + ")"})
		for _, l := range r.lines {
			lines = append(lines, append([]string{"  " + l.what}, l.cells()...))
		}
	}
	widths := make([]int, len(columns)+1)
	for _, cells := range lines {
		for i, c := range cells[:len(cells)-1] { // nothing is to the right of the last
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n\n", heading, strings.Join(t.about, "\n"))
	for _, cells := range lines {
		last := len(cells) - 1
		for i, c := range cells[:last] {
			fmt.Fprintf(&b, "%s%*s", c, widths[i]-utf8.RuneCountInString(c)+2, "")
		}
		b.WriteString(cells[last] + "\n")
	}
	for i, n := range t.notes {
		fmt.Fprintf(&b, "\n[%d] %s", i+1, strings.ReplaceAll(n, "\n", "\n    "))
	}
	return t.end(to, strings.TrimRight(b.String(), "\n")+"\n")
}

// markdown writes the table with what is needed to read it without the program.
func (t *table) markdown(to io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# %s

Written by `+"`make bench`"+`, which measures again; nothing here is edited by hand. Each figure
is the median of the runs, and each ratio that of the medians; min–max is what single runs
gave. Each run has all contenders, one after the other on the same input.

`, heading)
	for _, a := range t.about {
		fmt.Fprintf(&b, "- %s\n", a)
	}
	fmt.Fprintf(&b, "\n| measured | %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| **%s: %s** (%s) %s|\n", cell(r.name), cell(r.what), cell(r.about), strings.Repeat("| ", len(columns)))
		for _, l := range r.lines {
			fmt.Fprintf(&b, "| %s |", cell(l.what))
			for _, c := range l.cells() {
				fmt.Fprintf(&b, " %s |", cell(c))
			}
			b.WriteString("\n")
		}
	}
	for i, n := range t.notes {
		first, rest, more := strings.Cut(n, "\n")
		fmt.Fprintf(&b, "\n[%d] %s\n", i+1, first)
		if more {
			fmt.Fprintf(&b, "```\n%s\n```\n", rest)
		}
	}
	return t.end(to, b.String())
}

// end writes the table so far, and what rows have to show besides.
func (t *table) end(to io.Writer, soFar string) error {
	if _, err := io.WriteString(to, soFar); err != nil {
		return err
	}
	for _, r := range t.rows {
		if r.more == nil {
			continue
		}
		if _, err := io.WriteString(to, "\n"); err != nil {
			return err
		}
		if err := r.more(to); err != nil {
			return err
		}
	}
	return nil
}

// cell keeps text from ending its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
