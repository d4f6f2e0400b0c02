package driver

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a host whose driver may come and go, with a store.
type machine struct {
	*azuretest.Server
	t      testing.TB
	dir    string
	env    map[string]string
	driver *Driver
	logged journal
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newMachine(t testing.TB) *machine {
	s := azuretest.New()
	s.MakeContainer("logs")
	m := &machine{Server: s, t: t, dir: t.TempDir(), env: map[string]string{
		"AZURE_STORAGE_CONNECTION_STRING": s.ConnectionString(azuretest.TransportEndpoint),
		"AZUREBLOB_FLUSH_INTERVAL":        "0",
	}}
	m.boot()
	t.Cleanup(func() {
		m.halt(0)
		if t.Failed() {
			t.Logf("the driver said:\n%s", m.logged.String())
		}
	})
	return m
}

func (m *machine) boot() {
	m.t.Helper()
	m.create()
	m.driver.Recover()
}

// create makes a driver that has not taken over anything yet.
func (m *machine) create() {
	m.t.Helper()
	d, err := New(Config{
		Dir: filepath.Join(m.dir, "state"), CacheTotal: 1 << 30, Transport: &http.Client{Transport: m.Server.Transport()}, Orphan: 100 * time.Millisecond,
		Log:  slog.New(slog.NewTextHandler(&m.logged, nil)),
		Host: &logopt.Host{Lookup: func(name string) (string, bool) { v, ok := m.env[name]; return v, ok }, Hostname: "host1", ProfileDir: m.dir},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.driver = d
}

// halt ends the driver; with no grace it stops in the middle of whatever it does.
func (m *machine) halt(grace time.Duration) {
	if m.driver == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	m.driver.Close(ctx)
	m.driver = nil
}

// pipe is dockerd's end of one.
type pipe struct {
	m    *machine
	path string
	file *os.File
}

func (m *machine) run(info *logopt.Info) *pipe {
	m.t.Helper()
	p := m.mkpipe()
	if err := m.driver.Start(p.path, info); err != nil {
		m.t.Fatal(err)
	}
	return p
}

var pipes atomic.Int64

func (m *machine) mkpipe() *pipe {
	m.t.Helper()
	path := filepath.Join(m.dir, fmt.Sprint("pipe", pipes.Add(1)))
	if err := unix.Mkfifo(path, 0o600); err != nil {
		m.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { f.Close() })
	return &pipe{m: m, path: path, file: f}
}

func (p *pipe) write(entries ...frame.Entry) {
	p.m.t.Helper()
	for _, e := range entries {
		if _, err := p.file.Write(frame.Append(nil, &e)); err != nil {
			p.m.t.Fatal(err)
		}
	}
}

// stop does what dockerd does when a container stops.
func (p *pipe) stop() {
	p.m.driver.Stop(p.path)
	p.file.Close()
	os.Remove(p.path)
}

func info(name string, opts ...string) *logopt.Info {
	i := &logopt.Info{
		ContainerID: strings.Repeat(fmt.Sprintf("%x", name), 64)[:64], ContainerName: "/" + name,
		ContainerImageName: "busybox", ContainerCreated: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC),
		Config: map[string]string{"azureblob-path": "{{.Name}}.log"},
	}
	for o := range len(opts) / 2 {
		i.Config[opts[2*o]] = opts[2*o+1]
	}
	return i
}

// until waits for a condition that will come about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

func (m *machine) complete(name string) azuretest.Blob {
	m.t.Helper()
	var b azuretest.Blob
	until(m.t, name+" is complete", func() bool {
		b, _ = m.Blob("logs", name)
		return b.Metadata["complete"] == "1"
	})
	return b
}

func (m *machine) folders() []string {
	entries, err := os.ReadDir(m.driver.shelf.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// settled waits until no log is in memory.
func (m *machine) settled() {
	m.t.Helper()
	until(m.t, "all logs are settled", func() bool {
		m.driver.mu.Lock()
		defer m.driver.mu.Unlock()
		return len(m.driver.containers) == 0
	})
}

// container is one in memory.
func (m *machine) container(name string) *container {
	m.driver.mu.Lock()
	defer m.driver.mu.Unlock()
	return m.driver.containers[info(name).ContainerID]
}

// reboot makes a spool one of an earlier boot of the machine.
func (m *machine) reboot(id string) {
	dir := filepath.Join(m.dir, "state", "containers", id, "spool")
	patch := func(path string, at, boot, crc int) {
		b, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		if len(b) < at+crc+4 {
			return
		}
		b[at+boot] ^= 1
		binary.BigEndian.PutUint32(b[at+crc:], crc32.Checksum(b[at:at+crc], crc32.MakeTable(crc32.Castagnoli)))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	for _, path := range segments {
		patch(path, 0, 32, 44)
	}
	patch(filepath.Join(dir, "state"), 0, 16, 48)
	patch(filepath.Join(dir, "state"), 512, 16, 48)
}

func entry(at int, text string) frame.Entry {
	return frame.Entry{Source: "stdout", Time: int64(at), Line: []byte(text)}
}
