package flbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Props are the keys of one [OUTPUT] section.
type Props map[string]string

// HostConfig says how the host flushes. The zero value is good.
type HostConfig struct {
	Library string            // "": the plugin, built by the test
	Workers int               // of each instance, as the key workers; 0: the main thread flushes
	Stack   int               // of a flush, in bytes; 0: SmallStack
	Env     map[string]string // what the process gets; nothing is inherited
	Mute    bool              // nobody reads stderr
}

// What a flush has for a stack, by Fluent Bit's version.
const (
	SmallStack = 24 << 10 // before July 2026
	BigStack   = 64 << 10
)

// Host is a process that drives the library as Fluent Bit does. It ends with the test.
// A process that ends by itself, a data race, a panic and the account's key in its
// output fail the test.
//
// Flush and Go may be called from many goroutines; the rest belongs to the test's.
type Host struct {
	Ready string // the name and description that were registered

	t     testing.TB
	cfg   HostConfig
	cmd   *exec.Cmd
	said  string // the file that stderr goes to
	keys  []string
	dead  chan struct{} // closed when nothing more comes from the process
	lines chan string   // what is no flush's answer
	ended bool          // the test has ended it

	mu       sync.Mutex // guards what follows, and each command on its way
	in       *bufio.Writer
	last     int
	flushing map[int]chan Answer
}

// Answer is what became of a flush.
type Answer struct {
	Result string        // OK, RETRY, ERROR, or "" if the process ended before
	Took   time.Duration // in the library
	Depth  int           // of the stack, in bytes
}

// StartHost starts the process, which registers the library.
func StartHost(t testing.TB, cfg HostConfig) *Host {
	t.Helper()
	if cfg.Library == "" {
		cfg.Library = Library(t)
	}
	if cfg.Stack == 0 {
		cfg.Stack = SmallStack
	}
	program, err := builtHost()
	if err != nil {
		t.Fatalf("build the host: %v", err)
	}
	h := &Host{
		t: t, cfg: cfg, said: filepath.Join(t.TempDir(), "stderr"),
		dead: make(chan struct{}), lines: make(chan string, 16), flushing: map[int]chan Answer{},
	}
	said, err := os.Create(h.said)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	h.cmd = exec.Command(program, cfg.Library)
	h.cmd.Env = []string{"GORACE=halt_on_error=0"}
	for k, v := range cfg.Env {
		h.cmd.Env = append(h.cmd.Env, k+"="+v)
	}
	h.cmd.Stderr = said
	if cfg.Mute {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		defer w.Close()
		h.cmd.Stderr = w
	}
	// It dies with the thread that starts it, which the runtime keeps.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err1 := h.cmd.StdinPipe()
	out, err2 := h.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, h.cmd.Start()); err != nil {
		t.Fatalf("start the host: %v", err)
	}
	h.in = bufio.NewWriter(in)
	go h.read(out)
	t.Cleanup(h.close)
	h.Ready = h.answer("ready ")
	return h
}

// Start is StartHost, and an instance for each of the props, which must all start.
func Start(t testing.TB, cfg HostConfig, props ...Props) *Host {
	t.Helper()
	h := StartHost(t, cfg)
	for _, p := range props {
		if _, ok := h.Init(p); !ok {
			t.Fatalf("the output does not start:\n%s", h.Stderr())
		}
	}
	return h
}

// Init starts an instance and gives its number, counted from 0; false: it did not start.
func (h *Host) Init(p Props) (instance int, ok bool) {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "init %d %d %d\n", h.cfg.Workers, h.cfg.Stack, len(p))
	for k, v := range p {
		fmt.Fprintf(&b, "%s %s\n", k, v)
		for _, secret := range []string{"shared_key", "sas_token", "client_secret"} {
			if k == secret && v != "" {
				h.keys = append(h.keys, v)
			}
		}
		if _, key, ok := strings.Cut(v, "AccountKey="); ok && k == "connection_string" {
			key, _, _ = strings.Cut(key, ";")
			h.keys = append(h.keys, key)
		}
	}
	h.send(b.String())
	instance, err := strconv.Atoi(h.answer("init "))
	return instance, err == nil
}

// Flush flushes a chunk and waits for the answer.
func (h *Host) Flush(instance int, tag string, chunk []byte) Answer {
	return <-h.Go(instance, tag, chunk)
}

// Go flushes a chunk and does not wait; the channel gets the answer.
func (h *Host) Go(instance int, tag string, chunk []byte) <-chan Answer {
	answer := make(chan Answer, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.dead:
		close(answer)
		return answer
	default:
	}
	h.last++
	h.flushing[h.last] = answer
	fmt.Fprintf(h.in, "flush %d %d %d %d\n%s", h.last, instance, len(tag), len(chunk), tag)
	h.in.Write(chunk)
	h.in.Flush() // if the process is gone, the reader will find out
	return answer
}

// Exit ends an instance, when its flushes are done.
func (h *Host) Exit(instance int) {
	h.t.Helper()
	h.send(fmt.Sprintf("exit %d\n", instance))
	h.answer("exit ")
}

// Reload is what a hot reload does between the exits of the old instances and the
// starts of the new ones.
func (h *Host) Reload() {
	h.t.Helper()
	h.send("reload\n")
	h.answer("ready ")
}

// Fork goes on in a child of the process, as Fluent Bit does with -d.
func (h *Host) Fork() {
	h.t.Helper()
	h.send("fork\n")
	h.answer("forked")
}

// Bulk is what many flushes together took. CPU is the host's share too, which is small.
type Bulk struct {
	OK, Failed int
	Bytes      int64 // of chunks
	Wall, CPU  time.Duration
}

// Bulk flushes all of file (see BulkFile) that many times, as fast as the workers can.
func (h *Host) Bulk(instance int, file string, times int) Bulk {
	h.t.Helper()
	h.send(fmt.Sprintf("bulk %d %d %s\n", instance, times, file))
	var b Bulk
	var wall, cpu int64
	if _, err := fmt.Sscan(h.answer("bulk "), &b.OK, &b.Failed, &b.Bytes, &wall, &cpu); err != nil {
		h.t.Fatalf("read the host's answer: %v", err)
	}
	b.Wall, b.CPU = time.Duration(wall)*time.Microsecond, time.Duration(cpu)*time.Microsecond
	return b
}

// Stop exits those instances, and has the process end by itself.
func (h *Host) Stop(instances ...int) {
	h.t.Helper()
	for _, i := range instances {
		h.Exit(i)
	}
	h.ended = true
	h.send("quit\n")
	<-h.dead
	if err := h.cmd.Wait(); err != nil {
		h.t.Errorf("the host was to end and did with: %v", err)
	}
}

// Kill is kill -9. Flushes that are under way get the Answer{}.
func (h *Host) Kill() {
	h.t.Helper()
	h.ended = true
	h.cmd.Process.Kill()
	<-h.dead
	h.cmd.Wait()
	if status := h.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		h.t.Errorf("the host was killed and ended with: %v", h.cmd.ProcessState)
	}
}

// Died waits until the process has ended by itself, which is what the test wants.
func (h *Host) Died() {
	h.t.Helper()
	<-h.dead
	h.ended = true
	if err := h.cmd.Wait(); err == nil {
		h.t.Error("the host has ended well")
	}
}

// Stderr is what the library has written.
func (h *Host) Stderr() string {
	b, err := os.ReadFile(h.said)
	if err != nil {
		h.t.Error(err)
	}
	return string(b)
}

// Usage is what the process takes at the moment.
func (h *Host) Usage() Usage {
	h.t.Helper()
	u, err := UsageOf(h.Pid())
	if err != nil {
		h.t.Fatalf("read what the host takes: %v", err)
	}
	return u
}

// Pid is the process's.
func (h *Host) Pid() int { return h.cmd.Process.Pid }

func (h *Host) send(command string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in.WriteString(command)
	h.in.Flush()
}

// answer is the rest of the next line, which must begin so.
func (h *Host) answer(begin string) string {
	h.t.Helper()
	select {
	case line := <-h.lines:
		rest, ok := strings.CutPrefix(line, begin)
		if !ok {
			h.t.Fatalf("the host answered %q, not %s…", line, begin)
		}
		return rest
	case <-h.dead:
		h.t.Fatalf("the host has ended:\n%s", h.Stderr())
	case <-time.After(2 * time.Minute):
		h.t.Fatal("the host does not answer")
	}
	panic("unreachable")
}

// read hands out answers until the process ends.
func (h *Host) read(out io.Reader) {
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		close(h.dead)
		for _, answer := range h.flushing {
			close(answer)
		}
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 5 || f[0] != "flush" {
			h.lines <- lines.Text()
			continue
		}
		id, _ := strconv.Atoi(f[1])
		took, _ := strconv.ParseInt(f[3], 10, 64)
		depth, _ := strconv.Atoi(f[4])
		h.mu.Lock()
		answer := h.flushing[id]
		delete(h.flushing, id)
		h.mu.Unlock()
		answer <- Answer{f[2], time.Duration(took) * time.Microsecond, depth}
	}
}

// close is the end of the test.
func (h *Host) close() {
	if !h.ended {
		select {
		case <-h.dead:
			h.t.Errorf("the host ended by itself: %v", h.cmd.Wait())
		default:
			h.Kill()
		}
	}
	said := h.Stderr()
	bad := []string{"DATA RACE", "fatal error:", "goroutine ", "SIGSEGV", "panic"}
	for _, bad := range append(bad, h.keys...) {
		if i := strings.Index(said, bad); i >= 0 {
			h.t.Errorf("%q is in the output\n%.4000s", bad, said[max(0, i-200):])
		}
	}
	if h.t.Failed() {
		h.t.Logf("the host's output:\n%s", said[max(0, len(said)-8_000):])
	}
}
