package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measurer runs benchmarks.
type measurer struct {
	runs     int
	dir      string // test binaries, a file for each package
	keep     string // what benchmarks printed, a file for each row
	progress io.Writer
	built    map[string]error // by package
}

// outcome is what running a row's benchmark gave.
type outcome struct {
	about   string // when, how often, and with which version
	runs    int
	values  map[string]map[string][]float64 // by benchmark, without "Benchmark", and metric: a value for each run
	skipped map[string]string               // by benchmark: why
	err     error                           // of the process as a whole
	tail    []string                        // its last lines that are not results
}

const tailLines = 12

// measure runs the row's benchmark, with its binary apart from its compilation, and
// keeps what it prints. That it fails is a part of that.
func (m *measurer) measure(r row) error {
	to, err := os.CreateTemp(m.keep, ".row-")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name())
	fmt.Fprintf(to, "%s%d runs, %s\n", keptAbout, m.runs, stamp())
	if err := m.run(r, to); err != nil {
		fmt.Fprintf(to, "%s%s\n", keptError, strings.ReplaceAll(err.Error(), "\n", "\n"+keptError))
	}
	return cmp.Or(to.Close(), os.Rename(to.Name(), m.file(r)))
}

// Lines of a kept file that the benchmark has not printed.
const (
	keptAbout = "# measured in "
	keptError = "# failed: "
)

func (m *measurer) file(r row) string { return filepath.Join(m.keep, r.name+".txt") }

// run gives to all that the benchmark prints.
func (m *measurer) run(r row, to io.Writer) error {
	binary := filepath.Join(m.dir, strings.ReplaceAll(r.pkg, "/", "-")+".test")
	err, known := m.built[binary]
	if !known {
		var out []byte
		if out, err = exec.Command("go", "test", "-c", "-o", binary, "./"+r.pkg).CombinedOutput(); err != nil {
			err = fmt.Errorf("go test -c ./%s: %w\n%s", r.pkg, err, out)
		}
		m.built[binary] = err
	}
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "-test.run=^$", "-test.v", "-test.timeout=3h", "-test.benchtime=1x",
		"-test.count="+strconv.Itoa(m.runs), "-test.bench="+r.bench)
	cmd.Dir = r.pkg
	out, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	read(io.TeeReader(out, to), r, m.runs, m.progress)
	return cmd.Wait()
}

// kept is what the row's benchmark printed when it was measured last.
func (m *measurer) kept(r row) (outcome, error) {
	f, err := os.Open(m.file(r))
	if err != nil {
		return outcome{}, err
	}
	defer f.Close()
	return read(f, r, 0, io.Discard), nil
}

// read parses the output of a test binary as it comes, and tells of the progress.
func read(out io.Reader, r row, runs int, progress io.Writer) outcome {
	o := outcome{values: map[string]map[string][]float64{}, skipped: map[string]string{}}
	of := map[string]bool{}
	for _, c := range r.compare {
		of[c.on] = true
	}
	begun, done, all := time.Now(), 0, len(of)*runs
	why := "its benchmark does not say why" // of the benchmark that is skipped next
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil && line == "" {
			return o
		}
		line = strings.TrimRight(line, "\n")
		if about, ok := strings.CutPrefix(line, keptAbout); ok {
			o.about = about
			fmt.Sscan(about, &o.runs)
			continue
		}
		if text, ok := strings.CutPrefix(line, keptError); ok {
			o.err = errors.Join(o.err, errors.New(text))
			continue
		}
		if name, metrics, ok := parseResult(line); ok {
			if o.values[name] == nil {
				o.values[name] = map[string][]float64{}
			}
			for metric, v := range metrics {
				o.values[name][metric] = append(o.values[name][metric], v)
			}
			if !of[name] {
				continue
			}
			done++
			took := time.Since(begun)
			fmt.Fprintf(progress, "      %s: run %d of %d after %v, about %v to go\n", name, len(o.first(name)), runs,
				took.Round(time.Second), (took / time.Duration(done) * time.Duration(max(0, all-done))).Round(time.Second))
			continue
		}
		if m := notMeasured.FindStringSubmatch(line); m != nil {
			why = m[1]
			continue
		}
		if name, ok := strings.CutPrefix(line, "--- SKIP: Benchmark"); ok {
			o.skipped[name] = why
			continue
		}
		if line != "" && !noise.MatchString(line) {
			if o.tail = append(o.tail, line); len(o.tail) > tailLines {
				o.tail = o.tail[1:]
			}
		}
	}
}

// first is the values of one of the benchmark's metrics.
func (o *outcome) first(name string) []float64 {
	for _, v := range o.values[name] {
		return v
	}
	return nil
}

var (
	notMeasured = regexp.MustCompile(`==== NOT (?:MEASURED|TESTED)[^:]*: (.*?) ?====`)
	// Names as they begin, and what the package and the machine are.
	noise = regexp.MustCompile(`^(Benchmark\S+|goos: .*|goarch: .*|pkg: .*|cpu: .*|PASS|FAIL|--- BENCH: .*)$`)
)

// parseResult takes a line of results apart: "BenchmarkName-2  1  12.3 s@azureblob …".
// The name is without "Benchmark" and the number of processors.
func parseResult(line string) (name string, metrics map[string]float64, ok bool) {
	rest, ok := strings.CutPrefix(line, "Benchmark")
	f := strings.Fields(rest)
	if !ok || len(f) < 4 || len(f)%2 != 0 {
		return "", nil, false
	}
	if _, err := strconv.Atoi(f[1]); err != nil {
		return "", nil, false
	}
	metrics = map[string]float64{}
	for pair := range slices.Chunk(f[2:], 2) {
		v, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return "", nil, false
		}
		metrics[pair[1]] = v
	}
	return strings.TrimSuffix(f[0], procsSuffix()), metrics, true
}

// procsSuffix is the number of processors, which a result's name ends with.
func procsSuffix() string {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return "-" + strconv.Itoa(n)
	}
	return ""
}
