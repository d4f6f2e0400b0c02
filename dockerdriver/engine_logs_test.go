package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// following is docker logs --follow that runs.
type following struct {
	cmd            *exec.Cmd
	stdout, stderr growing
	done           chan error
}

func (h *host) follow(t *testing.T, args ...string) *following {
	t.Helper()
	f := &following{cmd: h.Command(t, append([]string{"logs"}, args...)...), done: make(chan error, 1)}
	f.cmd.Stdout, f.cmd.Stderr = &f.stdout, &f.stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.done <- f.cmd.Wait() }()
	return f
}

// end waits for its end.
func (f *following) end(t *testing.T) (stdout, stderr string) {
	t.Helper()
	select {
	case err := <-f.done:
		if err != nil {
			t.Errorf("docker %q: %v: %s", f.cmd.Args[1:], err, f.stderr.String())
		}
	case <-time.After(20 * time.Second):
		t.Errorf("docker %q does not end", f.cmd.Args[1:])
	}
	return f.stdout.String(), f.stderr.String()
}

// growing is output that is looked at while it grows.
type growing struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.String()
}

// pair is the same program in two containers, one of each log driver.
type pair struct {
	h      *host
	name   string
	stamps map[string]string // docker logs -t of each driver, for stamped
}

// pair starts them; options are of the driver's.
func (h *host) pair(t *testing.T, name, program string, options ...string) *pair {
	t.Helper()
	p := &pair{h: h, name: name, stamps: map[string]string{}}
	for _, driver := range drivers {
		s := spec{name: p.of(driver), driver: driver, program: program, args: []string{p.of(driver)}}
		if driver == pluginName {
			s.options = options
		}
		h.start(t, s)
	}
	return p
}

func (p *pair) of(driver string) string { return p.name + "-" + driver }

// stamp is at the beginning of a line of docker logs -t, and of each further part of a
// line that was cut.
var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z `)

// stamped puts the stamp of the line that begins so in place of what is in braces, as in
// --since={line}: the containers did not write at the same time.
func (p *pair) stamped(t *testing.T, driver string, args []string) []string {
	t.Helper()
	args = slices.Clone(args)
	for i, arg := range args {
		option, line, found := strings.Cut(strings.TrimSuffix(arg, "}"), "{")
		if !found {
			continue
		}
		if !strings.Contains(p.stamps[driver], "Z "+line) {
			stdout, stderr := p.h.logs(t, "--timestamps", p.of(driver))
			p.stamps[driver] = stdout + stderr
		}
		before, _, found := strings.Cut(p.stamps[driver], " "+line)
		if !found {
			t.Errorf("docker logs --timestamps %s has no line %q", p.of(driver), line)
		}
		args[i] = option + before[strings.LastIndexByte(before, '\n')+1:]
	}
	return args
}

// compare checks that docker logs gives the same for both containers.
func (p *pair) compare(t *testing.T, args ...string) {
	t.Helper()
	var out [2][2]string
	for i, driver := range drivers {
		stdout, stderr := p.h.logs(t, append(p.stamped(t, driver, args), p.of(driver))...)
		out[i] = [2]string{stdout, stderr}
	}
	sameOutput(t, args, out[0], out[1])
}

// sameOutput compares stdout and stderr, but for the digits of stamps.
func sameOutput(t *testing.T, args []string, want, got [2]string) {
	t.Helper()
	for i, stream := range []string{"stdout", "stderr"} {
		got, want := []byte(got[i]), []byte(want[i])
		if slices.Contains(args, "--timestamps") {
			got, want = stamp.ReplaceAll(got, []byte("T ")), stamp.ReplaceAll(want, []byte("T "))
		}
		if at := differ(got, want); at >= 0 {
			t.Errorf("docker logs %s: %d bytes of %s, json-file gives %d; they differ from byte %d on: %.80q, want %.80q",
				strings.Join(args, " "), len(got), stream, len(want), at, got[min(at, len(got)):], want[min(at, len(want)):])
		}
	}
}

// dialogue is a pair of containers that say what they are told, and docker logs -f of
// both.
type dialogue struct {
	*pair
	in     [2]*os.File
	follow [2]*following
	said   map[string]string // to each stream
}

// saying writes what it is told to the stream that it is told.
const saying = `while read -r to text; do
	if [ $to = stdout ]; then printf "$text"; else printf "$text" >&2; fi
done <"/in/$0"`

func (h *host) dialogue(t *testing.T, name string) *dialogue {
	t.Helper()
	d := &dialogue{said: map[string]string{}}
	for i, driver := range drivers {
		d.in[i] = h.input(t, name+"-"+driver)
	}
	d.pair = h.pair(t, name, saying)
	for i, driver := range drivers {
		d.follow[i] = h.follow(t, "--follow", d.of(driver))
	}
	return d
}

// tell makes both say something.
func (d *dialogue) tell(t *testing.T, stream, text string) {
	t.Helper()
	var octal strings.Builder // for printf
	for i := range len(text) {
		fmt.Fprintf(&octal, `\%03o`, text[i])
	}
	for _, in := range d.in {
		if _, err := fmt.Fprintln(in, stream, octal.String()); err != nil {
			t.Fatal(err)
		}
	}
	d.said[stream] += text
}

// say is tell that waits until it is logged. Or else stdout's and stderr's lines could
// change places, and other ones be the last three.
func (d *dialogue) say(t *testing.T, stream, text string) {
	t.Helper()
	d.tell(t, stream, text)
	within(t, 20*time.Second, func() error {
		for _, f := range d.follow {
			stdout, stderr := f.stdout.String(), f.stderr.String()
			if stdout != d.said["stdout"] || stderr != d.said["stderr"] {
				return fmt.Errorf("docker %q has %d bytes of stdout and %d of stderr, %d and %d were written",
					f.cmd.Args[1:], len(stdout), len(stderr), len(d.said["stdout"]), len(d.said["stderr"]))
			}
		}
		return nil
	})
}

// end lets the containers exit.
func (d *dialogue) end(t *testing.T) {
	t.Helper()
	for i, driver := range drivers {
		d.in[i].Close()
		d.h.wait(t, d.of(driver))
	}
}

// logsOptions are those of docker logs, for what testLogs has its containers say.
var logsOptions = [][]string{
	nil,
	{"--tail=0"}, {"--tail=1"}, {"--tail=2"}, {"--tail=3"}, {"--tail=4"}, {"--tail=7"}, {"--tail=100"}, {"--tail=all"}, {"--tail=-1"},
	{"--since={err 1}"}, {"--since={out 3}"}, {"--since={out 4}"}, {"--since=10m"}, {"--since=2100-01-01T00:00:00Z"},
	{"--until={err 1}"}, {"--until={out 3}"}, {"--until={out 4}"}, {"--until=10m"}, {"--until=2100-01-01T00:00:00Z"},
	{"--since={err 1}", "--until={out 3}"}, {"--since={out 3}", "--until={err 1}"},
	{"--tail=3", "--since={out 2}"}, {"--tail=9", "--until={err 3}"}, {"--tail=9", "--since={out 3}", "--until={out 4}"},
	{"--timestamps"}, {"--timestamps", "--tail=5"}, {"--timestamps", "--since={err 2}"},
}

// testLogs compares docker logs with that of json-file, with all options, while the
// containers run and after that.
func testLogs(t *testing.T, h *host) {
	d := h.dialogue(t, "logs")
	for i := range 4 {
		d.say(t, "stdout", fmt.Sprintf("out %d\n", i))
		d.say(t, "stderr", fmt.Sprintf("err %d\n", i))
	}
	for _, text := range []string{"\n", "a\rb\r\n", "\x1b[31mred\x1b[0m\n", strings.Repeat("0123456789", 4000) + "\n", "out 4\n"} {
		d.say(t, "stdout", text)
	}
	d.say(t, "stderr", "err 4\n")
	for _, args := range logsOptions {
		d.compare(t, args...)
	}
	testFollow(t, d)
	for _, args := range logsOptions {
		d.compare(t, args...)
		d.compare(t, append([]string{"--follow"}, args...)...) // ends at once
	}
}

// testFollow compares what docker logs -f gives of the rest of the containers' lives.
func testFollow(t *testing.T, d *dialogue) {
	options := [][]string{
		{"--tail=2"}, {"--since={out 3}"}, {"--timestamps"}, {"--tail=5", "--since={out 4}"}, {"--since={out 1}", "--until={out 4}"},
		{"--tail=0"}, // last
	}
	var follow [][2]*following
	for _, args := range options {
		var f [2]*following
		for i, driver := range drivers {
			f[i] = d.h.follow(t, append(append([]string{"--follow"}, d.stamped(t, driver, args)...), d.of(driver))...)
		}
		follow = append(follow, f)
	}
	fromNow := follow[len(follow)-1] // shows nothing until something new comes
	within(t, 20*time.Second, func() error {
		for _, f := range follow[:len(follow)-1] {
			for i := range f {
				if f[i].stdout.String() == "" {
					return fmt.Errorf("docker %q gives nothing", f[i].cmd.Args[1:])
				}
			}
		}
		return nil
	})
	for i := 0; fromNow[0].stdout.String() == "" || fromNow[1].stdout.String() == ""; i++ {
		d.say(t, "stdout", fmt.Sprintf("tick %d\n", i))
	}
	for i := range 3 {
		d.say(t, "stdout", fmt.Sprintf("late out %d\n", i))
		d.say(t, "stderr", fmt.Sprintf("late err %d\n", i))
	}
	// json-file's docker logs -f may miss what is written as the container ends.
	const rest = "and no newline"
	d.tell(t, "stdout", rest)
	d.end(t)

	for n, f := range follow {
		var out [2][2]string
		for i := range f {
			stdout, stderr := f[i].end(t)
			stdout = strings.TrimSuffix(stamp.ReplaceAllString(stdout, "T "), rest)
			out[i] = [2]string{strings.TrimSuffix(stdout, "T "), stderr}
		}
		if f == fromNow { // they did not begin at the same line
			for i := range out {
				if !strings.HasSuffix(d.said["stdout"], out[i][0]+rest) || !strings.HasSuffix(out[i][0], "late out 2\n") {
					t.Errorf("docker logs --follow --tail=0 %s gives %q", d.of(drivers[i]), out[i][0])
				}
				out[i][0] = ""
			}
		}
		sameOutput(t, append([]string{"--follow"}, options[n]...), out[0], out[1])
	}
	for i, f := range d.follow {
		stdout, stderr := f.end(t)
		if drivers[i] == "json-file" && !strings.HasSuffix(stdout, rest) {
			stdout += rest
		}
		if stdout != d.said["stdout"] || stderr != d.said["stderr"] {
			t.Errorf("docker logs --follow %s has %d bytes of stdout and %d of stderr, %d and %d were written",
				d.of(drivers[i]), len(stdout), len(stderr), len(d.said["stdout"]), len(d.said["stderr"]))
		}
	}
}

// testEvicted has docker logs read from the blob what the spool does not hold any more.
func testEvicted(t *testing.T, h *host) {
	const lines = 12_000 // 6 MB
	var log strings.Builder
	for i := range lines {
		fmt.Fprintf(&log, "line %d %s\n", i, strings.Repeat("=", 500))
	}
	if err := os.WriteFile(filepath.Join(h.dir, "many"), []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var in [2]*os.File
	for i, driver := range drivers {
		in[i] = h.input(t, "evicted-"+driver)
	}
	p := h.pair(t, "evicted", `cat /in/many; read -r end <"/in/$0"`, "--log-opt=azureblob-cache-size=1K", "--log-opt=azureblob-spool-size=8M")
	compare := func() {
		t.Helper()
		for _, args := range [][]string{
			nil, {"--tail=5"}, {"--tail=11000"}, {"--tail=10000", "--until={line 3000 }"}, {"--timestamps", "--until={line 100 }"},
			{"--since={line 100 }", "--until={line 200 }"}, {"--since={line 11990 }"},
		} {
			p.compare(t, args...)
		}
	}
	within(t, 60*time.Second, func() error {
		for _, driver := range drivers {
			if out, _ := h.logs(t, "--tail=1", p.of(driver)); !strings.HasPrefix(out, fmt.Sprintf("line %d ", lines-1)) {
				return fmt.Errorf("%s ends with %q", p.of(driver), out)
			}
		}
		if held := h.held(t, p.of(pluginName)); held > 4<<20 {
			return fmt.Errorf("%d bytes of the log are held", held)
		}
		return nil
	})
	before := h.store.Counts()[azuretest.GetBlob]
	compare()
	if h.store.Counts()[azuretest.GetBlob] == before {
		t.Error("the blob was not read")
	}
	for i, driver := range drivers {
		fmt.Fprintln(in[i])
		h.wait(t, p.of(driver))
	}
	h.complete(t, p.of(pluginName))
	compare()
}

// held is how much of a container's log is on the disk.
func (h *host) held(t *testing.T, name string) (bytes int64) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(h.stateDir(t), "containers", h.id(t, name), "spool", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments of %s: %q, %v", name, segments, err)
	}
	for _, path := range segments {
		if info, err := os.Stat(path); err == nil { // else it was evicted just now
			bytes += info.Size()
		}
	}
	return bytes
}

func (h *host) id(t testing.TB, name string) string {
	t.Helper()
	return strings.TrimSpace(h.Docker(t, "inspect", "--format={{.Id}}", name))
}

// stateDir is the plugin's, as seen from here.
func (h *host) stateDir(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("/proc/%d/root/run/docker/logging/state", h.PluginPID(t, pluginName))
}

// testStoreAway: docker logs gives what is here, soon, and says what is missing.
func testStoreAway(t *testing.T, h *host) {
	p := &pair{h: h, name: "evicted"}
	back := h.outage()
	defer back()
	all, _ := h.logs(t, p.of("json-file"))
	begun := time.Now()
	stdout, stderr := h.logs(t, p.of(pluginName))
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("docker logs took %v", took)
	}
	if stdout == "" || !strings.HasSuffix(all, stdout) {
		t.Errorf("docker logs gives %d bytes, which are no end of the log of %d", len(stdout), len(all))
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "azureblob: ") || !strings.Contains(stderr, "logs/evicted-azureblob/") {
		t.Errorf("docker logs says of what is missing: %q", stderr)
	}
	begun = time.Now()
	p.compare(t, "--tail=10")
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("docker logs --tail=10 took %v", took)
	}
}
