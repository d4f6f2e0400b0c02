package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// The tests of the files engine_*_test.go run the driver as users do: as a managed
// plugin of a real Docker engine, with real containers and the docker command. Only
// Azure is a stand-in. What json-file does in the same engine is what is right.

// pluginName is what the driver is installed as, and so the log driver's name.
const pluginName = "azureblob"

// drivers are compared with each other.
var drivers = []string{"json-file", pluginName}

// host is a Docker engine of the test's own, with the driver in it.
type host struct {
	*dockertest.Engine
	store  *azuretest.Server
	plugin string // the folder that it was made of
	dir    string // that containers see as /in
}

// newHost starts an engine with these options of dockerd, and installs the plugin
// that is in a folder.
func newHost(t testing.TB, plugin string, options ...string) *host {
	t.Helper()
	h := &host{Engine: dockertest.StartEngine(t, options...), store: azuretest.New(), plugin: plugin, dir: t.TempDir()}
	h.store.NoLog = true
	h.ImportBusybox(t)
	h.InstallPlugin(t, pluginName, plugin, map[string]string{
		"AZURE_STORAGE_CONNECTION_STRING": h.store.ConnectionString(h.store.Start(t)),
	}, 0)
	return h
}

// buildPlugin makes the folder that a user would give to docker plugin create, with
// these variables of make.
func buildPlugin(t testing.TB, variables ...string) (dir string) {
	t.Helper()
	dockertest.NeedEngine(t)
	dir = filepath.Join(t.TempDir(), "plugin")
	args := append([]string{"--directory", "..", "plugin", "PLUGIN=" + dir}, variables...)
	if out, err := exec.Command("make", args...).CombinedOutput(); err != nil {
		t.Fatalf("make plugin: %v\n%s", err, out)
	}
	return dir
}

// spec is a container: what docker run is told.
type spec struct {
	name    string
	driver  string   // "": azureblob; "default": what dockerd was told
	options []string // of docker run, as --log-opt=tag=web
	program string   // of a shell
	args    []string // of the program, from $0 on
}

// runArgs are the arguments of docker for docker run.
func (h *host) runArgs(s spec) []string {
	args := []string{"run", "--name=" + s.name, "--network=none", "--stop-signal=KILL", "--volume=" + h.dir + ":/in"}
	switch s.driver {
	case "":
		args = append(args, "--log-driver="+pluginName)
	case "default":
	default:
		args = append(args, "--log-driver="+s.driver)
	}
	args = append(args, s.options...)
	args = append(args, dockertest.Image, "sh", "-c", s.program)
	return append(args, s.args...)
}

// start is docker run -d.
func (h *host) start(t testing.TB, s spec) {
	t.Helper()
	h.Docker(t, append([]string{"run", "--detach"}, h.runArgs(s)[1:]...)...)
}

// wait waits for a container's end.
func (h *host) wait(t testing.TB, name string) {
	t.Helper()
	if code := strings.TrimSpace(h.Docker(t, "wait", name)); code != "0" {
		t.Fatalf("container %s ended with %s", name, code)
	}
}

// input makes a FIFO that containers see as /in/NAME. It stays open, also while no
// container reads it, until it is closed or the test ends.
func (h *host) input(t testing.TB, name string) *os.File {
	t.Helper()
	path := filepath.Join(h.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// blob is that of the container which had this name when it was started first.
func (h *host) blob(name string) (found azuretest.Blob, err error) {
	var names []string
	for _, blob := range h.store.Blobs("logs") {
		if strings.HasPrefix(blob, name+"/") {
			names = append(names, blob)
			found, _ = h.store.Blob("logs", blob)
		}
	}
	if len(names) != 1 {
		return found, fmt.Errorf("the blobs of container %s are %q", name, names)
	}
	return found, nil
}

// complete waits for a container's blob to be so.
func (h *host) complete(t testing.TB, name string) (blob azuretest.Blob) {
	t.Helper()
	if err := poll(60*time.Second, func() (err error) {
		if blob, err = h.blob(name); err == nil && blob.Metadata["complete"] != "1" {
			err = fmt.Errorf("the blob of container %s, of %d bytes, is not complete", name, len(blob.Content))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return blob
}

// logs is docker logs.
func (h *host) logs(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := h.TryDocker(t, append([]string{"logs"}, args...)...)
	if err != nil {
		t.Fatalf("docker logs %s: %v: %s", strings.Join(args, " "), err, stderr)
	}
	return stdout, stderr
}

// outage black-holes the store until the function it returns is called, which also
// breaks what has been waiting.
func (h *host) outage() (end func()) { return (&bed{server: h.store}).outage() }

// killPlugin is kill -9. It returns when dockerd has started the next process and
// seen it answer. dockerd asks half a second after the start, and disables a plugin
// that is dead by then.
func (h *host) killPlugin(t testing.TB) {
	t.Helper()
	root := strings.TrimSpace(h.Docker(t, "info", "--format={{.DockerRootDir}}"))
	id := strings.TrimSpace(h.Docker(t, "plugin", "inspect", "--format={{.Id}}", pluginName))
	saved := func() time.Time { // when dockerd last saw it answer
		info, err := os.Stat(filepath.Join(root, "plugins", id, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	before := saved()
	if err := syscall.Kill(h.PluginPID(t, pluginName), syscall.SIGKILL); err != nil {
		t.Fatalf("kill the plugin: %v", err)
	}
	if err := poll(20*time.Second, func() error {
		if saved().Equal(before) {
			return errors.New("dockerd has not started the plugin again")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// counter is a container that writes numbered lines, as many as it is told, to both
// of its streams:
//
//	web stdout 17 =====
type counter struct {
	h     *host
	name  string
	fill  string
	in    *os.File
	lines int // that it was told to write to each stream
}

// counting takes from stdin which lines to write, so that a container that was
// started again goes on.
const counting = `while read -r i last; do
	while [ $i -le $last ]; do echo "$0 stdout $i $1"; echo "$0 stderr $i $1" >&2; i=$((i+1)); done
done <"/in/$0"`

// count starts a container that writes lines of about this size.
func (h *host) count(t *testing.T, name string, size int, options ...string) *counter {
	t.Helper()
	c := &counter{h: h, name: name, fill: strings.Repeat("=", max(0, size-len(name)-12)), in: h.input(t, name)}
	h.start(t, spec{name: name, options: options, program: counting, args: []string{name, c.fill}})
	return c
}

// write tells it to write so many lines to each stream.
func (c *counter) write(t *testing.T, n int) {
	t.Helper()
	if _, err := fmt.Fprintln(c.in, c.lines+1, c.lines+n); err != nil {
		t.Error(err)
	}
	c.lines += n
}

func (c *counter) line(stream string, i int) string {
	return fmt.Sprintf("%s %s %d %s", c.name, stream, i, c.fill)
}

// end lets the container exit when it has written all.
func (c *counter) end(t *testing.T) {
	t.Helper()
	c.in.Close()
	c.h.wait(t, c.name)
}

// check says what is wrong with lines that should be all that the container wrote,
// each once and each stream's in order.
func (c *counter) check(lines []dockertest.Line) error {
	next := map[string]int{"stdout": 1, "stderr": 1}
	for at, l := range lines {
		want := c.line(l.Source, next[l.Source])
		if l.Text != want {
			return fmt.Errorf("line %d of %d of container %s is %.60q, want %.60q", at+1, len(lines), c.name, l.Text, want)
		}
		next[l.Source]++
	}
	if next["stdout"] != c.lines+1 || next["stderr"] != c.lines+1 {
		return fmt.Errorf("container %s wrote %d lines to each stream, %d of stdout and %d of stderr are there",
			c.name, c.lines, next["stdout"]-1, next["stderr"]-1)
	}
	return nil
}

func (c *counter) checkBlob(blob azuretest.Blob) error {
	lines, err := dockertest.BlobLines(blob, "json")
	if err == nil {
		err = c.check(lines)
	}
	return err
}

// checkLogs is check on docker logs.
func (c *counter) checkLogs(t *testing.T) error {
	t.Helper()
	stdout, stderr := c.h.logs(t, c.name)
	var lines []dockertest.Line
	for text := range strings.Lines(stdout) {
		lines = append(lines, dockertest.Line{Source: "stdout", Text: strings.TrimSuffix(text, "\n")})
	}
	for text := range strings.Lines(stderr) {
		lines = append(lines, dockertest.Line{Source: "stderr", Text: strings.TrimSuffix(text, "\n")})
	}
	return c.check(lines)
}

// seen waits until docker logs has the last line of each stream.
func (c *counter) seen(t *testing.T) {
	t.Helper()
	// dockerd buffers a MiB of each stream, so that one may end that many lines after the
	// other.
	within(t, 30*time.Second, func() error {
		stdout, stderr := c.h.logs(t, "--tail=5000", c.name)
		for stream, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
			if !strings.HasSuffix(text, c.line(stream, c.lines)+"\n") {
				return fmt.Errorf("docker logs %s ends with %q, want line %d", c.name, text[max(0, len(text)-60):], c.lines)
			}
		}
		return nil
	})
}

// logged waits until docker logs has all that it wrote.
func (c *counter) logged(t *testing.T) {
	t.Helper()
	c.seen(t)
	if err := c.checkLogs(t); err != nil {
		t.Errorf("docker logs: %v", err)
	}
}

// readable waits until the blob has it.
func (c *counter) readable(t *testing.T) (blob azuretest.Blob) {
	t.Helper()
	within(t, 30*time.Second, func() (err error) {
		if blob, err = c.h.blob(c.name); err == nil {
			err = c.checkBlob(blob)
		}
		return err
	})
	return blob
}

// exact checks the complete blob and docker logs.
func (c *counter) exact(t *testing.T) {
	t.Helper()
	if err := c.checkBlob(c.h.complete(t, c.name)); err != nil {
		t.Errorf("in the blob: %v", err)
	}
	if err := c.checkLogs(t); err != nil {
		t.Errorf("in docker logs: %v", err)
	}
}

// TestEngine installs the driver in engines, two at a time: most of the time is spent
// waiting.
func TestEngine(t *testing.T) {
	plugin := buildPlugin(t)
	for _, engine := range []struct {
		name    string
		options []string
		test    func(*testing.T, *host)
	}{
		{"outage", nil, testOutages},
		{"live-restore", []string{"--live-restore"}, testOutagesLive},
		{"kill", nil, testKill},
		{"use", nil, testUse},
	} {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			engine.test(t, newHost(t, plugin, engine.options...))
		})
	}
}
