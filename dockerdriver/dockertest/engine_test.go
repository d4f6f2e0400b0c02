package dockertest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
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

// TestEngine is one engine's life. A container survives dockerd's end and kill -9
// under live-restore, a plugin is killed and comes back, and then all is gone.
func TestEngine(t *testing.T) {
	e := StartEngine(t, "--live-restore")
	e.ImportBusybox(t)

	t.Run("container", func(t *testing.T) {
		stdout, stderr, err := e.TryDocker(t, "run", "--name", "short", "--network", "none", "--log-driver", "json-file",
			Image, "sh", "-c", "echo out; echo err >&2; exit 3")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 || stdout != "out\n" || stderr != "err\n" {
			t.Fatalf("docker run: %v: stdout %q, stderr %q; it should exit 3 after out and err", err, stdout, stderr)
		}
		stdout, stderr, err = e.TryDocker(t, "logs", "short")
		if err != nil || stdout != "out\n" || stderr != "err\n" {
			t.Fatalf("docker logs: %v: stdout %q, stderr %q", err, stdout, stderr)
		}
	})

	t.Run("restart", func(t *testing.T) {
		e.Docker(t, "run", "--detach", "--name", "long", "--network", "host", Image, "sh", "-c", "echo one; exec sleep 1000")
		state := func() string {
			return e.Docker(t, "inspect", "--format", "{{.State.Pid}} {{.State.StartedAt}} {{.State.Running}}", "long")
		}
		before := state()
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			e.Stop(t, signal)
			if out, _, err := e.TryDocker(t, "version"); err == nil {
				t.Fatalf("dockerd still answers after signal %d: %s", signal, out)
			}
			e.Start(t, "--live-restore")
			if after := state(); after != before {
				t.Fatalf("dockerd's end by signal %d was not survived by the container: %s, before %s", signal, after, before)
			}
		}
		if logs := e.Docker(t, "logs", "long"); logs != "one\n" {
			t.Fatalf("docker logs: %q", logs)
		}
	})

	t.Run("plugin", func(t *testing.T) {
		const name = "discard"
		e.InstallPlugin(t, name, discardPlugin(t), map[string]string{"GREETING": "hello world"}, 0)
		run := func() {
			t.Helper()
			if out := e.Docker(t, "run", "--rm", "--network", "none", "--log-driver", name, Image, "echo", "hello"); out != "hello\n" {
				t.Fatalf("docker run: %q", out)
			}
		}
		run()
		first := e.PluginPID(t, name)
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", first))
		if err != nil || !slices.Contains(strings.Split(string(environ), "\x00"), "GREETING=hello world") {
			t.Fatalf("the plugin's environment has no GREETING=hello world: %q, %v", environ, err)
		}
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); e.PluginPID(t, name) == first; {
			if time.Now().After(deadline) {
				t.Fatalf("the plugin's process %d is there after kill -9", first)
			}
		}
		run()

		e.Docker(t, "run", "--detach", "--name", "logging", "--network", "none", "--log-driver", name, Image, "sleep", "1000")
		if _, _, err := e.TryDocker(t, "plugin", "disable", name); err == nil {
			t.Fatal("a plugin in use was disabled without force")
		}
		e.DisablePlugin(t, name, true)
		e.EnablePlugin(t, name, 0)
		run()
	})

	// Now there are containers, a plugin, and their mounts.
	namespace := pidNamespace(t, e.PluginPID(t, "discard"))
	if n := len(processesBelow(namespace)); n < 6 { // bash, dockerd, containerd, two sleeps, the plugin, and shims
		t.Fatalf("%d processes of the engine found", n)
	}
	cgroups := cgroupsOf(t, e)
	if len(cgroups) < 4 { // the engine's, two containers', the plugin's
		t.Fatalf("cgroups of the engine: %v", cgroups)
	}
	e.Close(t)
	if processes := processesBelow(namespace); len(processes) > 0 {
		t.Errorf("processes are left: %v", processes)
	}
	for _, dir := range append(cgroups, e.dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), e.dir) {
		t.Errorf("mounts are left, or cannot be read: %v:\n%s", err, mounts)
	}
	e.Close(t) // again, for nothing
}

// TestEngineOfKilledTest: an engine ends with the process that started it, even
// with one that could not do anything about it.
func TestEngineOfKilledTest(t *testing.T) {
	const child = "DOCKERTEST_ENGINE_CHILD"
	NeedEngine(t)
	if os.Getenv(child) != "" {
		e := StartEngine(t)
		e.ImportBusybox(t)
		e.Docker(t, "run", "--detach", "--network", "none", Image, "sleep", "1000")
		fmt.Printf("\nengine: %s\n", e.dir)
		time.Sleep(time.Minute) // killed long before
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	defer kill()
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		_, dir, _ = strings.Cut(lines.Text(), "engine: ")
	}
	if dir == "" {
		t.Fatal("the child started no engine")
	}
	running := processesWith(dir)
	if len(running) < 4 { // script, dockerd, containerd, a shim
		t.Fatalf("processes of the engine: %v", running)
	}
	kill()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(dir)
		left := processesWith(dir)
		if errors.Is(err, fs.ErrNotExist) && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the engine outlives its test: processes %v, folder %s: %v", left, dir, err)
		}
	}
}

// discardPlugin builds the plugin that logs nothing.
func discardPlugin(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "rootfs", "discard"), "./discard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./discard: %v\n%s", err, out)
	}
	const config = `{
		"description": "reads logs and throws them away",
		"entrypoint": ["/discard"],
		"interface": {"types": ["docker.logdriver/1.0"], "socket": "discard.sock"},
		"env": [{"name": "GREETING", "settable": ["value"]}]
	}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cgroupsOf are the engine's, its containers' and its plugins'.
func cgroupsOf(t *testing.T, e *Engine) (dirs []string) {
	t.Helper()
	ids := append(strings.Fields(e.Docker(t, "ps", "--quiet", "--no-trunc")),
		strings.Fields(e.Docker(t, "plugin", "ls", "--quiet", "--no-trunc"))...)
	ids = append(ids, "azureblob-engine"+strings.ReplaceAll(e.dir, "/", "-"))
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains(ids, d.Name()) {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

// pidNamespace is the engine's PID namespace as /proc calls it, which is that of
// the parent of a plugin's process. It is kept until the test ends, or another
// engine's could get its number.
func pidNamespace(t *testing.T, plugin int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", plugin))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	namespace, err := os.Open("/proc/" + strings.Fields(rest)[1] + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { namespace.Close() })
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", namespace.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// processesBelow are the processes in a PID namespace or in one that was made in
// it: its own, and theirs by their ancestry.
func processesBelow(namespace string) (found []int) {
	parents := make(map[int]int)
	inside := make(map[int]bool)
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		if ns, err := os.Readlink(path + "/ns/pid"); err == nil && ns == namespace {
			inside[pid] = true
		}
		if stat, err := os.ReadFile(path + "/stat"); err == nil {
			_, rest, _ := strings.Cut(string(stat), ") ")
			parents[pid], _ = strconv.Atoi(strings.Fields(rest)[1])
		}
	}
	for pid := range parents {
		for at := pid; at != 0; at = parents[at] {
			if inside[at] {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// processesWith are those whose command line has a folder's name in it.
func processesWith(dir string) (found []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), dir) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
