package dockertest

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Image is the image that ImportBusybox makes: busybox with all its commands in
// /bin, and nothing else.
const Image = "busybox:test"

//go:embed engine.sh
var engineScript []byte

// Engine is a real Docker engine of the test's own; engine.sh says how it is kept
// apart from the machine's. Its containers have --network none or host. With the
// test, or with the test's process at the latest, it ends, and nothing of it is
// left: no process, mount, cgroup or file.
//
// Command and TryDocker may be called by many goroutines at once, the rest by the
// test's own.
type Engine struct {
	dir     string
	script  *exec.Cmd
	stderr  bytes.Buffer // the script's; not to be read before it has ended
	control io.WriteCloser
	answers *os.File
	lines   *bufio.Reader // of answers
	closed  bool
}

// StartEngine starts an engine, with these options of dockerd too, such as
// --live-restore. See NeedEngine.
func StartEngine(t testing.TB, options ...string) *Engine {
	t.Helper()
	NeedEngine(t)
	e, err := newEngine()
	if err != nil {
		t.Fatalf("start a Docker engine: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() && !e.closed {
			t.Logf("dockerd's log, and the plugins':\n%s", e.log())
		}
		e.Close(t)
	})
	e.Start(t, options...)
	return e
}

// newEngine starts the script. Its folder is not t.TempDir, whose name is too long
// for the sockets in it.
func newEngine() (e *Engine, err error) {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	path := filepath.Join(dir, "engine.sh")
	if err := os.WriteFile(path, engineScript, 0o700); err != nil {
		return nil, err
	}
	answers, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	e = &Engine{dir: dir, script: exec.Command("bash", path, dir), answers: answers, lines: bufio.NewReader(answers)}
	e.script.Stdout, e.script.Stderr = stdout, &e.stderr
	e.script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C ends the test, and the script by that
	e.script.WaitDelay = time.Second
	if e.control, err = e.script.StdinPipe(); err != nil {
		return nil, err
	}
	return e, e.script.Start()
}

// NeedEngine skips a test that cannot start an engine. One needs root, and what
// `make docker` installs; AZUREBLOB_TEST_DOCKERD=1 says that both are there, and 0
// that the test is not wanted. Where nothing is left out unasked (CI=true) the test
// fails if it says neither.
func NeedEngine(t testing.TB) {
	t.Helper()
	switch wanted := os.Getenv("AZUREBLOB_TEST_DOCKERD"); {
	case wanted == "1":
	case wanted != "0" && os.Getenv("CI") == "true":
		t.Fatal("AZUREBLOB_TEST_DOCKERD is not 1: it says that dockerd may be started (`make test` sets it)")
	default:
		t.Skip("==== NOT TESTED ON A DOCKER ENGINE: AZUREBLOB_TEST_DOCKERD is not 1 (`make test` sets it) ====")
	}
}

// Start starts dockerd again after Stop, with these options.
func (e *Engine) Start(t testing.TB, options ...string) {
	t.Helper()
	e.tell(t, "start "+strings.Join(options, " "))
}

// Stop ends dockerd with a signal, and its containerd. SIGTERM stops the
// containers and then the plugins; after SIGKILL, and with --live-restore, both
// run on. Without --live-restore the next dockerd stops what it finds.
func (e *Engine) Stop(t testing.TB, signal syscall.Signal) {
	t.Helper()
	e.tell(t, "stop "+strconv.Itoa(int(signal)))
}

// ImportBusybox makes Image.
func (e *Engine) ImportBusybox(t testing.TB) {
	t.Helper()
	e.tell(t, "busybox")
}

// tell gives the script a command and waits for its answer.
func (e *Engine) tell(t testing.TB, command string) {
	t.Helper()
	fmt.Fprintln(e.control, command) // if it has ended, it has said why before
	e.answers.SetReadDeadline(time.Now().Add(time.Minute))
	switch answer, err := e.lines.ReadString('\n'); {
	case err != nil:
		t.Fatalf("Docker engine: %s: no answer: %v", command, err)
	case answer != "ok\n":
		t.Fatalf("Docker engine: %s: %s", command, answer)
	}
}

// Command is a docker command for this engine, not started. It is killed when the
// test ends.
func (e *Engine) Command(t testing.TB, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "docker", args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "DOCKER_") })
	cmd.Env = append(cmd.Env, "DOCKER_HOST=unix://"+e.dir+"/docker.sock", "DOCKER_CONFIG="+e.dir+"/config")
	return cmd
}

// TryDocker runs a docker command and returns what it printed.
func (e *Engine) TryDocker(t testing.TB, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := e.Command(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Docker runs a docker command, which must succeed, and returns its stdout.
func (e *Engine) Docker(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, err := e.TryDocker(t, args...)
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// InstallPlugin creates a managed plugin of a folder with config.json and rootfs,
// sets its settings, and enables it. Timeout is dockerd's patience with a call, in
// seconds; 0: no end.
func (e *Engine) InstallPlugin(t testing.TB, name, dir string, settings map[string]string, timeout int) {
	t.Helper()
	e.Docker(t, "plugin", "create", name, dir)
	if len(settings) > 0 {
		args := []string{"plugin", "set", name}
		for key, value := range settings {
			args = append(args, key+"="+value)
		}
		if _, stderr, err := e.TryDocker(t, args...); err != nil { // not with args: keys of accounts are in there
			t.Fatalf("docker plugin set %s: %v: %s", name, err, stderr)
		}
	}
	e.EnablePlugin(t, name, timeout)
}

// EnablePlugin starts a plugin after DisablePlugin.
func (e *Engine) EnablePlugin(t testing.TB, name string, timeout int) {
	t.Helper()
	e.Docker(t, "plugin", "enable", "--timeout", strconv.Itoa(timeout), name)
}

// DisablePlugin stops a plugin; if containers use it, only with force.
func (e *Engine) DisablePlugin(t testing.TB, name string, force bool) {
	t.Helper()
	e.Docker(t, "plugin", "disable", "--force="+strconv.FormatBool(force), name)
}

// PluginPID is the ID of a plugin's process, to be killed or to be looked up in
// /proc. If dockerd is about to start it, PluginPID waits.
func (e *Engine) PluginPID(t testing.TB, name string) int {
	t.Helper()
	out := e.Docker(t, "plugin", "inspect", "--format", "{{.Id}} {{index .Config.Entrypoint 0}}", name)
	id, program, _ := strings.Cut(strings.TrimSpace(out), " ")
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if pid := findProcess(id, program); pid != 0 {
			return pid
		}
	}
	t.Fatalf("plugin %s: no process of %s runs in a cgroup of its ID %s", name, program, id)
	return 0
}

// PID is the ID of dockerd's process.
func (e *Engine) PID(t testing.TB) int {
	t.Helper()
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if args, err := os.ReadFile(process + "/cmdline"); err == nil && bytes.Contains(args, []byte("--data-root="+e.dir+"/data")) {
			pid, _ := strconv.Atoi(filepath.Base(process))
			return pid
		}
	}
	t.Fatal("dockerd does not run")
	return 0
}

// findProcess looks for a process by its cgroup and by its program's path, which
// is the one inside its own root: containerd and runc know the plugin's process by
// another ID, that of the engine's PID namespace, and runc is in the cgroup too
// before it becomes the plugin.
func findProcess(cgroup, program string) int {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if exe, err := os.Readlink(process + "/exe"); err != nil || exe != program {
			continue
		}
		if groups, err := os.ReadFile(process + "/cgroup"); err == nil && bytes.Contains(groups, []byte(cgroup)) {
			pid, _ := strconv.Atoi(filepath.Base(process))
			return pid
		}
	}
	return 0
}

// Close ends the engine before the test does.
func (e *Engine) Close(t testing.TB) {
	t.Helper()
	if e.closed {
		return
	}
	e.closed = true
	defer os.RemoveAll(e.dir) // the script has, unless it failed
	e.control.Close()
	hung := time.AfterFunc(time.Minute, func() { e.script.Process.Kill() })
	defer hung.Stop()
	err := e.script.Wait()
	e.answers.Close()
	if err != nil || e.stderr.Len() > 0 {
		t.Errorf("end of the Docker engine: %v\n%s", err, &e.stderr)
	}
}

// log is the end of dockerd's log, without the chatter about its own making.
func (e *Engine) log() string {
	file, err := os.ReadFile(filepath.Join(e.dir, "dockerd.log"))
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.SplitAfter(string(file), "\n"), func(line string) bool {
		return strings.Contains(line, "module=grpc") || strings.Contains(line, "loading plugin") ||
			strings.Contains(line, "skip loading") || strings.Contains(line, "msg=serving...")
	})
	return strings.Join(lines[max(0, len(lines)-200):], "")
}
