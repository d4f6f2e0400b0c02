package dockertest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// PluginConfig says how the driver is run.
type PluginConfig struct {
	ConnectionString string            // of the account; "": what Env says
	StateDir         string            // "": a temporary folder
	Env              map[string]string // what else it gets; nothing is inherited but PATH
}

// Plugin is the real driver in a process of its own. Its methods belong to the
// test's goroutine. A process that ends by itself, a data race, a panic and the
// account's key in its output all fail the test.
type Plugin struct {
	Socket   string
	StateDir string
	Address  string // of /metrics and /healthz, host:port

	t    testing.TB
	cfg  PluginConfig
	dir  string
	said string    // the file that its output goes to
	cmd  *exec.Cmd // nil: it is not running
}

// StartPlugin builds the driver, once in a test process, and starts it. It ends
// with the test.
func StartPlugin(t testing.TB, cfg PluginConfig) *Plugin {
	t.Helper()
	dir, err := os.MkdirTemp("", "azureblob-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &Plugin{
		Socket:   filepath.Join(dir, "plugin.sock"),
		StateDir: cmp.Or(cfg.StateDir, filepath.Join(dir, "state")),
		Address:  freeAddress(t),
		t:        t,
		cfg:      cfg,
		dir:      dir,
		said:     filepath.Join(dir, "output"),
	}
	t.Cleanup(p.close)
	p.Start()
	return p
}

// Start starts it again after Kill or Terminate, and gives the time until its
// socket took a connection. dockerd gives up on a plugin after about 10 s.
func (p *Plugin) Start() time.Duration {
	p.t.Helper()
	if p.cmd != nil {
		p.t.Fatal("the plugin is running")
	}
	program, err := build()
	if err != nil {
		p.t.Fatalf("build the driver: %v", err)
	}
	out, err := os.OpenFile(p.said, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program)
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = p.environment()
	// It dies with the thread that starts it. The runtime keeps its threads, but for
	// those of goroutines that end while they are locked to one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start the plugin: %v", err)
	}
	p.cmd = cmd
	for {
		conn, err := net.Dial("unix", p.Socket)
		if err == nil {
			conn.Close()
			return time.Since(start)
		}
		if p.ended() {
			p.t.Fatalf("the plugin ended at once")
		}
		if time.Since(start) > 10*time.Second {
			p.t.Fatalf("the plugin does not listen: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (p *Plugin) environment() []string {
	env := []string{"PATH=" + os.Getenv("PATH")}
	settings := map[string]string{
		"AZUREBLOB_SOCKET":                p.Socket,
		"AZUREBLOB_STATE_DIR":             p.StateDir,
		"AZUREBLOB_METRICS_ADDRESS":       p.Address,
		"AZURE_STORAGE_CONNECTION_STRING": p.cfg.ConnectionString,
	}
	for k, v := range p.cfg.Env {
		settings[k] = v
	}
	for k, v := range settings {
		env = append(env, k+"="+v)
	}
	return env
}

// Recovered waits until it has taken over what its last life left, by /healthz.
func (p *Plugin) Recovered() {
	p.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		resp, err := get("http://" + p.Address + "/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(end) {
			p.t.Fatalf("the plugin has not recovered: %v", err)
		}
	}
}

// Kill is kill -9.
func (p *Plugin) Kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
}

// Restart is Kill and Start.
func (p *Plugin) Restart() time.Duration {
	p.t.Helper()
	p.Kill()
	return p.Start()
}

// Terminate is what dockerd does at its own end: SIGTERM, and 10 s.
func (p *Plugin) Terminate() time.Duration {
	p.t.Helper()
	start := time.Now()
	timer := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	p.signal(syscall.SIGTERM)
	return time.Since(start)
}

// signal ends the process, and checks that this is what it ended by.
func (p *Plugin) signal(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatal("the plugin is not running")
	}
	cmd := p.cmd
	p.cmd = nil
	cmd.Process.Signal(sig)
	err := cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed := status.Signaled() && status.Signal() == syscall.SIGKILL
	if sig == syscall.SIGKILL && !killed || sig == syscall.SIGTERM && err != nil {
		p.t.Errorf("the plugin got %v and ended with: %v", sig, cmd.ProcessState)
	}
}

// Signal sends it any other signal.
func (p *Plugin) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("send %v to the plugin: %v", sig, err)
	}
}

// Limit sets one of its resource limits, such as unix.RLIMIT_FSIZE.
func (p *Plugin) Limit(resource int, n uint64) {
	p.t.Helper()
	if err := unix.Prlimit(p.cmd.Process.Pid, resource, &unix.Rlimit{Cur: n, Max: unix.RLIM_INFINITY}, nil); err != nil {
		p.t.Fatalf("limit the plugin: %v", err)
	}
}

// Output is all that it has written to stdout and stderr, in all its lives.
func (p *Plugin) Output() string {
	b, err := os.ReadFile(p.said)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Error(err)
	}
	return string(b)
}

// close is the end of the test.
func (p *Plugin) close() {
	if p.cmd != nil {
		p.Kill()
	}
	said := p.Output()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if i := strings.Index(said, bad); i >= 0 {
			p.t.Errorf("the plugin had a %s\n%.4000s", bad, said[max(0, i-200):])
		}
	}
	if m := accountKey.FindStringSubmatch(p.cfg.ConnectionString); m != nil && strings.Contains(said, m[1]) {
		p.t.Error("the account's key is in the plugin's output")
	}
	if p.t.Failed() {
		p.t.Logf("the plugin's output:\n%s", said[max(0, len(said)-5_000):])
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Error(err)
	}
}

var accountKey = regexp.MustCompile(`AccountKey=([^;]+)`)

// Usage is what a process takes at the moment.
type Usage struct {
	RSS, PeakRSS int64         // bytes
	CPU          time.Duration // user and system, since its start
	FDs, Threads int
	Goroutines   int // of a Plugin
}

func (u Usage) String() string {
	return fmt.Sprintf("RSS %.1f MiB (peak %.1f), CPU %v, %d fds, %d threads, %d goroutines",
		float64(u.RSS)/(1<<20), float64(u.PeakRSS)/(1<<20), u.CPU, u.FDs, u.Threads, u.Goroutines)
}

// Usage reads /proc, and the goroutines from /metrics.
func (p *Plugin) Usage() Usage {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatal("the plugin is not running")
	}
	u := ProcessUsage(p.t, p.cmd.Process.Pid)
	u.Goroutines = int(p.Metric("go_goroutines"))
	return u
}

// ProcessUsage reads /proc.
func ProcessUsage(t testing.TB, pid int) (u Usage) {
	t.Helper()
	for line := range strings.Lines(string(proc(t, pid, "status"))) {
		key, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "VmRSS":
			u.RSS = n << 10
		case "VmHWM":
			u.PeakRSS = n << 10
		case "Threads":
			u.Threads = int(n)
		}
	}
	f := stat(t, pid)
	user, err1 := strconv.Atoi(f[13])
	system, err2 := strconv.Atoi(f[14])
	entries, err3 := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err := errors.Join(err1, err2, err3); err != nil || u.RSS == 0 {
		t.Fatalf("process %d's use of resources is not to be had: %v", pid, err)
	}
	u.CPU = time.Duration(user+system) * (time.Second / 100) // USER_HZ is 100 everywhere
	u.FDs = len(entries)
	return u
}

// Metric is the sum of the samples of that name at /metrics.
func (p *Plugin) Metric(name string) (sum float64) {
	p.t.Helper()
	resp, err := get("http://" + p.Address + "/metrics")
	if err != nil {
		p.t.Fatalf("get metrics: %v", err)
	}
	defer resp.Body.Close()
	found := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		sample, value, _ := strings.Cut(lines.Text(), " ")
		if labels := strings.IndexByte(sample, '{'); labels >= 0 {
			_, value, _ = strings.Cut(lines.Text()[labels:], "} ")
			sample = sample[:labels]
		}
		if sample != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatalf("metric %q: %v", lines.Text(), err)
		}
		sum, found = sum+v, true
	}
	if err := lines.Err(); err != nil || !found {
		p.t.Fatalf("there is no metric %q: %s %v", name, resp.Status, err)
	}
	return sum
}

// get uses a connection of its own, which would otherwise count among what the plugin
// holds.
func get(url string) (*http.Response, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return client.Get(url)
}

func proc(t testing.TB, pid int, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stat is the fields of /proc/PID/stat, counted from 0.
func stat(t testing.TB, pid int) []string {
	t.Helper()
	b := proc(t, pid, "stat")
	name := bytes.LastIndexByte(b, ')') // it may hold spaces
	return append([]string{"", ""}, strings.Fields(string(b[name+1:]))...)
}

// ended: the process is a zombie that nobody has waited for.
func (p *Plugin) ended() bool { return stat(p.t, p.cmd.Process.Pid)[2] == "Z" }

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// program is the driver as this test process has built it. Its folder goes when the
// write end of the keeper's stdin does, which the kernel closes however the process
// ends.
var program struct {
	once  sync.Once
	path  string
	err   error
	stdin io.WriteCloser // kept, or the garbage collector would close it
}

func build() (path string, err error) {
	program.once.Do(func() { program.path, program.err = buildOnce() })
	return program.path, program.err
}

func buildOnce() (string, error) {
	dir, err := os.MkdirTemp("", "azureblob-docker-")
	if err != nil {
		return "", err
	}
	keeper := exec.Command("/bin/sh", "-c", `trap '' INT TERM HUP; cat; rm -rf "$1"`, "keeper", dir)
	if program.stdin, err = keeper.StdinPipe(); err != nil {
		return "", err
	}
	if err := keeper.Start(); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "azureblob-docker")
	args := []string{"build", "-o", path}
	if RaceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/liveblob/azureblob/dockerdriver")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if RaceDetector {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}
