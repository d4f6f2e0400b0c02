package flbtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FluentBitConfig says what a real Fluent Bit is started with.
type FluentBitConfig struct {
	// Conf is its configuration, a whole file. ${HTTP_PORT} in it is the port that
	// Counts, Healthy and Reload ask; its HTTP server must be on.
	Conf string
	YAML bool // that is what Conf is

	Library string            // the plugin; "": none is given on the command line
	Env     map[string]string // what else it gets; nothing is inherited but PATH
	Dir     string            // where it runs, and finds relative paths; "": a temporary folder
}

// FluentBit is a real Fluent Bit in a process of its own. Its methods belong to the
// test's goroutine. A process that ends by itself fails the test.
type FluentBit struct {
	Dir string

	t    testing.TB
	cfg  FluentBitConfig
	port string
	cmd  *exec.Cmd // nil: it is not running

	mayCrash bool
}

// FindFluentBit is the program that FLUENT_BIT names, or that is in PATH. Without one
// the test is left out, and says so.
func FindFluentBit(t testing.TB) string {
	t.Helper()
	name := os.Getenv("FLUENT_BIT")
	if name == "" {
		name = "fluent-bit"
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		path, err = filepath.Abs(path)
	case os.Getenv("FLUENT_BIT") == "":
		t.Skip("==== NOT TESTED WITH A REAL FLUENT BIT: there is no fluent-bit in PATH, and FLUENT_BIT names none ====")
	}
	if err != nil {
		t.Fatalf("find Fluent Bit: %v: FLUENT_BIT must name its program", err)
	}
	return path
}

// StartFluentBit starts it, and returns when it runs. It ends with the test.
func StartFluentBit(t testing.TB, cfg FluentBitConfig) *FluentBit {
	t.Helper()
	f := newFluentBit(t, cfg)
	f.Start()
	return f
}

// RunFluentBit runs it until it ends by itself, as it does with --dry-run and with
// settings that are refused, and returns what it said.
func RunFluentBit(t testing.TB, cfg FluentBitConfig, args ...string) (output string, err error) {
	t.Helper()
	f := newFluentBit(t, cfg)
	cmd := f.command(args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Fluent Bit: %v", err)
	}
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err = cmd.Wait()
	return said.String(), err
}

func newFluentBit(t testing.TB, cfg FluentBitConfig) *FluentBit {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	f := &FluentBit{Dir: cfg.Dir, t: t, cfg: cfg, port: FreePort(t)}
	f.Configure(cfg.Conf)
	t.Cleanup(f.close)
	return f
}

// Configure replaces its configuration, for the next Start or Reload.
func (f *FluentBit) Configure(conf string) {
	f.t.Helper()
	if err := os.WriteFile(f.conf(), []byte(conf), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *FluentBit) conf() string {
	if f.cfg.YAML {
		return filepath.Join(f.Dir, "fluent-bit.yaml")
	}
	return filepath.Join(f.Dir, "fluent-bit.conf")
}

func (f *FluentBit) said() string { return filepath.Join(f.Dir, "output") }

func (f *FluentBit) command(args ...string) *exec.Cmd {
	if f.cfg.Library != "" {
		args = append(args, "-e", f.cfg.Library)
	}
	cmd := exec.Command(FindFluentBit(f.t), append(args, "-c", f.conf())...)
	cmd.Dir = f.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HTTP_PORT=" + f.port}
	for k, v := range f.cfg.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	// It dies with the thread that starts it. The runtime keeps its threads, but for
	// those of goroutines that end while they are locked to one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Start starts it again after Stop or Kill.
func (f *FluentBit) Start() {
	f.t.Helper()
	if f.cmd != nil {
		f.t.Fatal("Fluent Bit is running")
	}
	out, err := os.OpenFile(f.said(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer out.Close()
	cmd := f.command()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		f.t.Fatalf("start Fluent Bit: %v", err)
	}
	f.cmd = cmd
	f.await("starts", func() error { _, err := f.uptime(); return err })
}

// Stop is SIGTERM. It gives the time that it took to end, and the processor's time that
// the process has taken in all, its own and the system's for it.
func (f *FluentBit) Stop() (took, cpu time.Duration) {
	f.t.Helper()
	start := time.Now()
	cmd := f.cmd
	f.cmd = nil
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil && !f.mayCrash {
		f.t.Errorf("Fluent Bit got SIGTERM and ended with: %v", err)
	}
	return time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// Kill is kill -9.
func (f *FluentBit) Kill() {
	f.t.Helper()
	cmd := f.cmd
	f.cmd = nil
	cmd.Process.Kill()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		f.t.Errorf("Fluent Bit was killed and ended with: %v", cmd.ProcessState)
	}
}

// Reload is SIGHUP, and returns when the reload is over. The configuration must turn
// Hot_Reload on.
func (f *FluentBit) Reload() {
	f.t.Helper()
	before, err := f.reloads()
	if err == nil {
		err = f.cmd.Process.Signal(syscall.SIGHUP)
	}
	if err != nil {
		f.t.Fatalf("reload Fluent Bit: %v", err)
	}
	f.await("reloads", func() error {
		n, err := f.reloads()
		if err == nil && n == before {
			err = errors.New("it still has its old configuration")
		}
		if f.crashed() {
			err = nil
		}
		return err
	})
}

// MayCrash: Fluent Bit may crash after a Reload, in which Revive looks for it. Since
// version 2.2 it makes the workers of an output in Go twice; those that it has forgotten
// go on when their output is gone.
func (f *FluentBit) MayCrash() { f.mayCrash = true }

// Revive starts it again if it has crashed, and reports that.
func (f *FluentBit) Revive() bool {
	f.t.Helper()
	if f.cmd == nil || !f.crashed() {
		return false
	}
	f.cmd.Wait()
	f.cmd = nil
	f.Start()
	return true
}

func (f *FluentBit) crashed() bool {
	return f.mayCrash && f.ended() && strings.Contains(f.Output(), crash)
}

const crash = "caught signal (SIGSEGV"

func (f *FluentBit) reloads() (n int, err error) {
	var answer struct {
		Count int `json:"hot_reload_count"`
	}
	err = f.get("/api/v2/reload", &answer)
	return answer.Count, err
}

func (f *FluentBit) uptime() (seconds int, err error) {
	var answer struct {
		Seconds int `json:"uptime_sec"`
	}
	err = f.get("/api/v1/uptime", &answer)
	return answer.Seconds, err
}

// Counts is what one input or output has done, or all of one kind of plugin.
type Counts struct {
	Records int `json:"records"`      // an input's
	Written int `json:"proc_records"` // an output's, like all that follow
	Errors  int `json:"errors"`
	Retries int `json:"retries"`
	Dropped int `json:"dropped_records"`
}

// Counts is the numbers of that instance, as Fluent Bit names it (tail.0, azureblob.0).
func (f *FluentBit) Counts(instance string) Counts {
	f.t.Helper()
	var answer struct{ Input, Output map[string]Counts }
	// There are none in the first second.
	if err := f.get("/api/v1/metrics", &answer); err != nil && !errors.Is(err, errNotFound) {
		f.t.Fatalf("get Fluent Bit's metrics: %v", err)
	}
	if c, ok := answer.Input[instance]; ok {
		return c
	}
	return answer.Output[instance]
}

// Healthy asks its health check, which must be on.
func (f *FluentBit) Healthy() bool {
	f.t.Helper()
	status, _, err := f.ask("/api/v1/health")
	if err != nil {
		f.t.Fatalf("get Fluent Bit's health: %v", err)
	}
	return status == http.StatusOK
}

func (f *FluentBit) get(path string, answer any) error {
	status, body, err := f.ask(path)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return errNotFound
	case status != http.StatusOK:
		return errors.New(http.StatusText(status))
	}
	return json.Unmarshal(body, answer)
}

var errNotFound = errors.New("404 Not Found")

func (f *FluentBit) ask(path string) (status int, body []byte, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://127.0.0.1:" + f.port + path)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// await polls until ready has no error.
func (f *FluentBit) await(what string, ready func() error) {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if f.ended() {
			f.t.Fatalf("Fluent Bit has ended")
		}
		if time.Now().After(end) {
			f.t.Fatalf("wait until Fluent Bit %s: %v", what, err)
		}
	}
}

// ended reports that the process is no more, or a zombie.
func (f *FluentBit) ended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		return true
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] == 'Z'
}

// Output is all that it has written to stdout and stderr, in all its lives.
func (f *FluentBit) Output() string {
	b, err := os.ReadFile(f.said())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Error(err)
	}
	return string(b)
}

// close is the end of the test.
func (f *FluentBit) close() {
	if f.cmd != nil {
		if f.ended() {
			f.t.Error("Fluent Bit ended by itself")
		}
		f.cmd.Process.Kill()
		f.cmd.Wait()
		f.cmd = nil
	}
	said := f.Output()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", crash} {
		if i := strings.Index(said, bad); i >= 0 && !(f.mayCrash && bad == crash) {
			f.t.Errorf("Fluent Bit had a %s\n%.4000s", bad, said[max(0, i-200):])
		}
	}
	if f.t.Failed() {
		f.t.Logf("Fluent Bit's output:\n%s", said[max(0, len(said)-8_000):])
	}
}

// Usage is what the process takes at the moment.
func (f *FluentBit) Usage() Usage {
	f.t.Helper()
	u, err := UsageOf(f.cmd.Process.Pid)
	if err != nil {
		f.t.Fatalf("read what Fluent Bit takes: %v", err)
	}
	return u
}

// FreePort is a port of 127.0.0.1 that nobody listens on at the moment.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
