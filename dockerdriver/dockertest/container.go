package dockertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// Spec is what docker run is told, with defaults for all of it.
type Spec struct {
	Name    string // without the slash; "": dockerd makes one up
	ID      string // 64 hex digits
	Image   string
	Command []string
	Opts    map[string]string // --log-opt
	Env     []string
	Labels  map[string]string
	Created time.Time
}

// Info is what StartLogging and ReadLogs are told about a container.
type Info struct {
	Config              map[string]string
	ContainerID         string
	ContainerName       string
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerEnv        []string
	ContainerLabels     map[string]string
	LogPath             string
	DaemonName          string
}

func (s Spec) info() Info {
	info := Info{
		Config:             s.Opts,
		ContainerID:        s.ID,
		ContainerImageID:   "sha256:" + strings.Repeat("ca5e", 16),
		ContainerImageName: s.Image,
		ContainerCreated:   s.Created,
		ContainerEnv:       s.Env,
		ContainerLabels:    s.Labels,
		DaemonName:         "docker",
	}
	if s.ID == "" {
		info.ContainerID = randomID()
	}
	if s.Name == "" {
		s.Name = "quirky_" + info.ContainerID[:8]
	}
	info.ContainerName = "/" + s.Name
	if s.Image == "" {
		info.ContainerImageName = "busybox:test"
	}
	if s.Created.IsZero() {
		info.ContainerCreated = time.Now().UTC()
	}
	if len(s.Command) == 0 {
		s.Command = []string{"sh", "-c", "true"}
	}
	info.ContainerEntrypoint, info.ContainerArgs = s.Command[0], s.Command[1:]
	return info
}

func randomID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// errNotRunning is what a container without a logger answers.
var errNotRunning = errors.New("the container is not running")

// Container is one container, from docker run on.
type Container struct {
	Info Info

	daemon *Daemon

	mu      sync.Mutex
	adapter *adapter // nil: it is not running
}

// Start is docker run.
func (d *Daemon) Start(t testing.TB, s Spec) *Container {
	t.Helper()
	c, err := d.Run(s)
	if err != nil {
		t.Fatalf("start container: %v", err)
	}
	return c
}

// Run is Start where it may fail, or is called beside the test's goroutine.
func (d *Daemon) Run(s Spec) (*Container, error) {
	c := &Container{Info: s.info(), daemon: d}
	return c, c.Restart()
}

// Restart is docker restart or docker start and, after a Crash, what dockerd does
// with live-restore: the same container on a new FIFO.
func (c *Container) Restart() error {
	if _, err := c.Stop(); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	a, err := c.daemon.startLogging(c.Info)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adapter = a
	return nil
}

// Stop is the container's end; it gives the time that StopLogging took. It waits
// for a Write that is under way, as dockerd does: for ever, if nobody reads.
func (c *Container) Stop() (took time.Duration, err error) {
	a, err := c.running()
	if err != nil {
		return 0, err
	}
	if took, err = a.stop(); err != nil {
		return took, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adapter = nil
	return took, nil
}

// Crash is Daemon.Crash for this container alone.
func (c *Container) Crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.adapter != nil {
		c.adapter.close()
		c.adapter = nil
	}
}

// FIFO is the path of the FIFO, "" if the container is not running.
func (c *Container) FIFO() string {
	a, err := c.running()
	if err != nil {
		return ""
	}
	return a.path
}

func (c *Container) running() (*adapter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.adapter == nil {
		return nil, errNotRunning
	}
	return c.adapter, nil
}

// Write logs one line, given without its newline, as one frame.
func (c *Container) Write(source, line string) error {
	return c.WriteEntry(&frame.Entry{Source: source, Time: time.Now().UnixNano(), Line: []byte(line)})
}

// WriteEntry writes a frame by one write(2), which blocks while the FIFO is full.
// As in dockerd, the kernel may take a frame of more than 4 KiB in pieces.
func (c *Container) WriteEntry(e *frame.Entry) error {
	a, err := c.running()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buf = frame.Append(a.buf[:0], e)
	_, err = a.fifo.Write(a.buf)
	return err
}

// WriteBytes writes to the FIFO what dockerd never would.
func (c *Container) WriteBytes(p []byte) error {
	a, err := c.running()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err = a.fifo.Write(p)
	return err
}

// Output logs what a program writes, until it ends; nil: it does not write there.
func (c *Container) Output(stdout, stderr io.Reader) error {
	var g errgroup.Group
	for source, r := range map[string]io.Reader{"stdout": stdout, "stderr": stderr} {
		if r != nil {
			g.Go(func() error { return c.copy(source, r) })
		}
	}
	return g.Wait()
}

const (
	copyLine = 16 << 10 // a longer line is split
	copyRead = 2 << 10  // at a time
)

// copy makes entries of lines as dockerd's copier does: what fills the buffer
// without a newline is a part. The parts of a line have the time of the first, and
// the newline makes the last one, which may be empty. The end of the output does
// not: a line that lacks its newline is a part that is not the last.
func (c *Container) copy(source string, r io.Reader) error {
	buf := make([]byte, 0, copyLine)
	var part frame.Entry // of the line under way; ID "": it has no parts yet
	for {
		n, err := r.Read(buf[len(buf):min(len(buf)+copyRead, copyLine)])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			if !found {
				break
			}
			e := frame.Entry{Source: source, Time: time.Now().UnixNano(), Line: line}
			if part.ID != "" {
				e.Partial, e.Last, e.ID, e.Ordinal, e.Time = true, true, part.ID, part.Ordinal+1, part.Time
				part = frame.Entry{}
			}
			if err := c.WriteEntry(&e); err != nil {
				return err
			}
			rest = after
		}
		if len(rest) > 0 && (err != nil || len(rest) == copyLine) {
			if part.ID == "" {
				part = frame.Entry{Source: source, Time: time.Now().UnixNano(), Partial: true, ID: randomID()}
			}
			part.Ordinal++
			part.Line = rest
			if err := c.WriteEntry(&part); err != nil {
				return err
			}
			rest = nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the container's %s: %w", source, err)
		}
		buf = buf[:copy(buf[:copyLine], rest)]
	}
}

// ReadConfig is the options of docker logs.
type ReadConfig struct {
	Since, Until time.Time // zero: no bound
	Tail         int       // < 0: all
	Follow       bool
}

// All is docker logs without options.
var All = ReadConfig{Tail: -1}

// Logs is what docker logs printed.
type Logs struct {
	Entries []frame.Entry // each Line with its newline, if it has one

	// Filtered is how many entries the plugin gave outside of Since and Until, for
	// dockerd to drop.
	Filtered int
}

// Text is what was printed of a source, of all sources together if it is "".
func (l *Logs) Text(source string) string {
	var b strings.Builder
	for _, e := range l.Entries {
		if source == "" || source == e.Source {
			b.Write(e.Line)
		}
	}
	return b.String()
}

// Timestamps is Text as docker logs -t prints it.
func (l *Logs) Timestamps(source string) string {
	var b strings.Builder
	for _, e := range l.Entries {
		if source == "" || source == e.Source {
			b.WriteString(time.Unix(0, e.Time).UTC().Format("2006-01-02T15:04:05.000000000Z07:00 "))
			b.Write(e.Line)
		}
	}
	return b.String()
}

// Logs is docker logs to its end. The error may come with what was there before it.
func (c *Container) Logs(ctx context.Context, cfg ReadConfig) (*Logs, error) {
	var l Logs
	var err error
	l.Filtered, err = c.Follow(ctx, cfg, func(e frame.Entry) error {
		l.Entries = append(l.Entries, e)
		return nil
	})
	return &l, err
}

// Follow hands docker logs' output to each as it comes, which may keep it, until an
// end, an error of each or the end of ctx. For a container that does not run, a
// logger is started and stopped, and Follow is off, as dockerd does.
func (c *Container) Follow(ctx context.Context, cfg ReadConfig, each func(frame.Entry) error) (filtered int, err error) {
	if _, gone := c.running(); gone != nil {
		a, startErr := c.daemon.startLogging(c.Info)
		if startErr != nil {
			return 0, startErr
		}
		defer func() {
			if _, stopErr := a.stop(); err == nil {
				err = stopErr
			}
		}()
		cfg.Follow = false
	}
	body, err := c.daemon.post(ctx, "LogDriver.ReadLogs", struct {
		Info   Info
		Config ReadConfig
	}{c.Info, cfg})
	if err != nil {
		return 0, err
	}
	defer body.Close()
	in := bufio.NewReaderSize(body, 64<<10)
	for {
		var header [4]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			if err == io.EOF {
				return filtered, nil
			}
			return filtered, fmt.Errorf("read the log: %w", err)
		}
		size := binary.BigEndian.Uint32(header[:])
		if size > frame.MaxSize {
			return filtered, fmt.Errorf("read the log: a frame of %d bytes", size)
		}
		whole := append(make([]byte, 0, 4+size), header[:]...)[:4+size]
		if _, err := io.ReadFull(in, whole[4:]); err != nil {
			return filtered, fmt.Errorf("read the log: within a frame: %w", err)
		}
		var e frame.Entry
		if err := e.Decode(whole); err != nil {
			return filtered, fmt.Errorf("read the log: %w", err)
		}
		at := time.Unix(0, e.Time)
		if !cfg.Until.IsZero() && at.After(cfg.Until) {
			return filtered + 1, nil
		}
		if !cfg.Since.IsZero() && at.Before(cfg.Since) {
			filtered++
			continue
		}
		if err := each(e); err != nil {
			return filtered, err
		}
	}
}

// adapter is one FIFO between StartLogging and StopLogging.
type adapter struct {
	daemon *Daemon
	path   string
	fifo   *os.File

	mu  sync.Mutex // a write and StopLogging wait for each other
	buf []byte     // guarded by mu
}

func (d *Daemon) startLogging(info Info) (*adapter, error) {
	d.Capabilities() // dockerd goes on without, too
	a := &adapter{daemon: d, path: filepath.Join(d.cfg.Dir, randomID())}
	if err := unix.Mkfifo(a.path, 0o700); err != nil {
		return nil, fmt.Errorf("make FIFO %q: %w", a.path, err)
	}
	var err error
	if a.fifo, err = os.OpenFile(a.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.open[a] = struct{}{}
	d.mu.Unlock()
	err = d.logging("StartLogging", struct {
		File string
		Info Info
	}{a.path, info})
	if err != nil {
		a.close() // in dockerd, the garbage collector does it; the file stays
		return nil, fmt.Errorf("error creating logger: %w", err)
	}
	return a, nil
}

func (a *adapter) stop() (time.Duration, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	start := time.Now()
	err := a.daemon.logging("StopLogging", struct{ File string }{a.path})
	took := time.Since(start)
	if err != nil {
		return took, err
	}
	a.close()
	if err := os.Remove(a.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return took, err
	}
	return took, nil
}

// close ends a write that blocks.
func (a *adapter) close() {
	a.fifo.Close()
	a.daemon.mu.Lock()
	defer a.daemon.mu.Unlock()
	delete(a.daemon.open, a)
}
