package dockertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fakePlugin is a log plugin that keeps all in memory and does as it is told.
type fakePlugin struct {
	socket string
	hold   chan struct{} // FIFOs are read when it is closed; nil: at once
	rest   string        // ReadLogs sends it after the frames

	mu      sync.Mutex
	calls   []string // method, Accept and body
	infos   []Info   // of StartLogging
	streams []*stream
	answer  string // to StartLogging and StopLogging
	status  int
	cut     int // so many calls are read and then break off
}

// stream is one FIFO as the plugin sees it, complete when done is closed.
type stream struct {
	data []byte
	done chan struct{}
}

func newFakePlugin(t testing.TB) *fakePlugin {
	dir, err := os.MkdirTemp("", "fake-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &fakePlugin{socket: filepath.Join(dir, "s"), answer: "{}", status: http.StatusOK}
}

// serve begins to listen. The daemon must be made after it, and so die before it.
func (p *fakePlugin) serve(t testing.TB) *fakePlugin {
	l, err := net.Listen("unix", p.socket)
	must(t, err)
	server := &http.Server{Handler: p}
	served := make(chan struct{})
	go func() {
		server.Serve(l)
		close(served)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return p
}

func (p *fakePlugin) set(answer string, status, cut int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.status, p.cut = answer, status, cut
}

func (p *fakePlugin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req struct {
		File   string
		Info   Info
		Config ReadConfig
	}
	json.Unmarshal(body, &req)
	method := strings.TrimPrefix(r.URL.Path, "/")
	p.mu.Lock()
	p.calls = append(p.calls, strings.TrimSpace(method+" "+r.Header.Get("Accept")+" "+string(body)))
	answer, status := p.answer, p.status
	p.cut--
	cut := p.cut >= 0
	p.mu.Unlock()
	if cut {
		panic(http.ErrAbortHandler)
	}
	switch method {
	case "Plugin.Activate":
		answer = `{"Implements":["LogDriver"]}`
	case "LogDriver.Capabilities":
		answer = `{"Cap":{"ReadLogs":true},"Err":""}`
	case "LogDriver.StartLogging":
		if f, err := os.OpenFile(req.File, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
			s := &stream{done: make(chan struct{})}
			go func() {
				if p.hold != nil {
					<-p.hold
				}
				s.data, _ = io.ReadAll(f)
				f.Close()
				close(s.done)
			}()
			p.mu.Lock()
			p.infos, p.streams = append(p.infos, req.Info), append(p.streams, s)
			p.mu.Unlock()
		}
	case "LogDriver.ReadLogs":
		<-p.streams[0].done
		for _, e := range entries(p.streams[0].data) {
			e.Line = append(slices.Clone(e.Line), '\n')
			w.Write(frame.Append(nil, &e))
		}
		io.WriteString(w, p.rest)
		w.(http.Flusher).Flush()
		if req.Config.Follow {
			<-r.Context().Done()
		}
		return
	}
	w.WriteHeader(status)
	io.WriteString(w, answer+"\n")
}

// entries is the frames in b.
func entries(b []byte) (all []frame.Entry) {
	for len(b) > 0 {
		n, err := frame.Size(b)
		if err != nil || n == 0 || n > len(b) {
			panic(fmt.Sprintf("no frame of %d bytes, %v: %.40q", n, err, b))
		}
		var e frame.Entry
		if err := e.Decode(b[:n]); err != nil {
			panic(err)
		}
		all, b = append(all, e), b[n:]
	}
	return all
}

// quick is a dockerd that does not wait for long.
func quick(t testing.TB, p *fakePlugin) *Daemon {
	return NewDaemon(t, DaemonConfig{Socket: p.socket, Backoff: 5 * time.Millisecond, Retry: 5 * time.Second})
}

func TestProtocol(t *testing.T) {
	p := newFakePlugin(t).serve(t)
	d := quick(t, p)
	implements, err := d.Activate()
	must(t, err)
	if !slices.Equal(implements, []string{"LogDriver"}) {
		t.Errorf("it implements %q", implements)
	}
	c := d.Start(t, Spec{
		Name: "web", Image: "nginx", Command: []string{"nginx", "-g", "daemon off;"},
		Opts: map[string]string{"tag": "{{.Name}}"}, Env: []string{"A=1"}, Labels: map[string]string{"l": "2"},
		Created: time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC),
	})
	fifo := c.FIFO()
	info, err := os.Stat(fifo)
	must(t, err)
	if info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%s is %v", fifo, info.Mode())
	}
	if got := d.FIFOs(); !slices.Equal(got, []string{fifo}) {
		t.Errorf("FIFOs %q", got)
	}
	var want []frame.Entry
	for i := range 1000 {
		e := frame.Entry{Source: []string{"stdout", "stderr"}[i%2], Time: int64(i + 1), Line: []byte(strings.Repeat("x", i*17))}
		if i%10 == 3 {
			e.Partial, e.ID, e.Ordinal, e.Last = true, "id", int32(i), i%20 == 3
		}
		want = append(want, e)
		must(t, c.WriteEntry(&e))
	}
	took, err := c.Stop()
	must(t, err)
	if took <= 0 {
		t.Errorf("StopLogging took %v", took)
	}
	<-p.streams[0].done
	if got := entries(p.streams[0].data); !reflect.DeepEqual(got, normal(want)) {
		t.Errorf("%d frames came, %d were sent, or they differ", len(got), len(want))
	}

	const accept = " application/vnd.docker.plugins.v1.2+json"
	config := `{"Config":{"tag":"{{.Name}}"},"ContainerID":"` + c.Info.ContainerID + `","ContainerName":"/web",` +
		`"ContainerEntrypoint":"nginx","ContainerArgs":["-g","daemon off;"],"ContainerImageID":"` + c.Info.ContainerImageID + `",` +
		`"ContainerImageName":"nginx","ContainerCreated":"2026-11-23T01:02:03.000000004Z","ContainerEnv":["A=1"],` +
		`"ContainerLabels":{"l":"2"},"LogPath":"","DaemonName":"docker"}`
	if got, want := p.calls, []string{
		"Plugin.Activate" + accept,
		"LogDriver.Capabilities" + accept,
		"LogDriver.StartLogging" + accept + ` {"File":"` + fifo + `","Info":` + config + "}",
		"LogDriver.StopLogging" + accept + ` {"File":"` + fifo + `"}`,
	}; !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	noFIFO(t, d)
	if err := c.Write("stdout", "late"); !errors.Is(err, errNotRunning) {
		t.Errorf("a write after the end: %v", err)
	}
	if _, err := c.Stop(); !errors.Is(err, errNotRunning) {
		t.Errorf("a second stop: %v", err)
	}
}

// normal is what decoding gives for what is empty.
func normal(all []frame.Entry) []frame.Entry {
	for i := range all {
		if len(all[i].Line) == 0 {
			all[i].Line = nil
		}
	}
	return all
}

// noFIFO checks that no FIFO is left, and none is open.
func noFIFO(t *testing.T, d *Daemon) {
	t.Helper()
	if left := d.FIFOs(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, d.cfg.Dir) {
			t.Errorf("still open: %s", to)
		}
	}
}

func TestManyContainers(t *testing.T) {
	p := newFakePlugin(t).serve(t)
	d := quick(t, p)
	var g sync.WaitGroup
	for i := range 100 {
		g.Go(func() {
			c, err := d.Run(Spec{})
			if err == nil {
				err = c.Write("stdout", fmt.Sprint(i))
			}
			if err == nil {
				_, err = c.Stop()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	for _, s := range p.streams {
		<-s.done
		if n := len(entries(s.data)); n != 1 {
			t.Errorf("%d frames", n)
		}
	}
	noFIFO(t, d)
}

func TestRetries(t *testing.T) {
	p := newFakePlugin(t)
	impatient := NewDaemon(t, DaemonConfig{Socket: p.socket, Backoff: time.Millisecond, Retry: 20 * time.Millisecond})
	if c, err := impatient.Run(Spec{}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no plugin: %v, %v", c, err)
	}

	d := quick(t, p)
	started := make(chan error)
	var c *Container
	go func() {
		var err error
		c, err = d.Run(Spec{})
		started <- err
	}()
	select {
	case err := <-started:
		t.Fatalf("started without a plugin: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	p.serve(t)
	must(t, <-started)

	// A call that broke off once its body was sent comes again, without it.
	p.set("{}", http.StatusOK, 1)
	before := len(p.calls)
	_, err := c.Stop()
	must(t, err)
	if calls := p.calls[before:]; len(calls) != 2 || !strings.Contains(calls[0], `{"File":`) || strings.Contains(calls[1], "{") {
		t.Errorf("calls %q", calls)
	}
	d.Crash()
	<-p.streams[len(p.streams)-1].done
}

func TestRefused(t *testing.T) {
	p := newFakePlugin(t).serve(t)
	d := quick(t, p)
	for _, status := range []int{http.StatusOK, http.StatusInternalServerError} {
		p.set(`{"Err":"no such account"}`, status, 0)
		_, err := d.Run(Spec{})
		if err == nil || !strings.HasPrefix(err.Error(), "error creating logger: ") || !strings.HasSuffix(err.Error(), "no such account") {
			t.Errorf("status %d: %v", status, err)
		}
	}
	p.set("not JSON", http.StatusBadRequest, 0)
	if _, err := d.Run(Spec{}); err == nil || !strings.HasSuffix(err.Error(), "LogDriver.StartLogging: not JSON") {
		t.Errorf("%v", err)
	}

	// A refused stop leaks the FIFO, which still works.
	p.set("{}", http.StatusOK, 0)
	c := d.Start(t, Spec{})
	p.set(`{"Err":"busy"}`, http.StatusOK, 0)
	if _, err := c.Stop(); err == nil || err.Error() != "busy" {
		t.Errorf("stop: %v", err)
	}
	must(t, c.Write("stdout", "still there"))
	p.set("{}", http.StatusOK, 0)
	_, err := c.Stop()
	must(t, err)
	for _, s := range p.streams {
		<-s.done
	}
	if n := len(entries(p.streams[len(p.streams)-1].data)); n != 1 {
		t.Errorf("%d frames", n)
	}
	if left := d.FIFOs(); len(left) != 3 {
		t.Errorf("%d FIFOs are left of the starts that failed: dockerd leaves all 3", len(left))
	}
}
