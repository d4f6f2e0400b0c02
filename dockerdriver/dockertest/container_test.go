package dockertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// TestCopier has the splits of dockerd's copier: bytes a line, p a part, P the last.
func TestCopier(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct{ output, want string }{
		{"", ""},
		{"a\n\nb\n", "1 0 1"},
		{"\n", "0"},
		{"a\r\n", "2"},
		{"a", "1p1"},
		{"a\nb", "1 1p1"},
		{x(16383) + "\n", "16383"},
		{x(16384) + "\n", "16384p1 0P2"},
		{x(16385) + "\nb\n", "16384p1 1P2 1"},
		{x(40000), "16384p1 16384p2 7232p3"},
		{x(40000) + "\n" + x(16384) + "\nb", "16384p1 16384p2 7232P3 16384p1 0P2 1p1"},
		{x(32768), "16384p1 16384p2"},
		{"ab\n" + x(16384) + "\n", "2 16384p1 0P2"},
	} {
		for name, reader := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
		} {
			got := copied(t, reader(strings.NewReader(test.output)), nil)
			var text []string
			ids := map[string]int64{}
			for i, e := range got {
				s := fmt.Sprint(len(e.Line))
				if e.Partial {
					s += map[bool]string{false: "p", true: "P"}[e.Last] + fmt.Sprint(e.Ordinal)
					if at, ok := ids[e.ID]; ok && at != e.Time || len(e.ID) != 64 || !ok && e.Ordinal != 1 {
						t.Errorf("%s: entry %d has the ID %q and the time %d", name, i, e.ID, e.Time)
					}
					ids[e.ID] = e.Time
				}
				text = append(text, s)
			}
			if got := strings.Join(text, " "); got != test.want {
				t.Errorf("%s: %d bytes give %s, want %s", name, len(test.output), got, test.want)
			}
		}
	}
}

// TestOutput sends both sources at once and puts the lines together again.
func TestOutput(t *testing.T) {
	var output [2]bytes.Buffer
	for i := range output {
		for range 200 {
			n := rand.IntN(100)
			if rand.IntN(10) == 0 {
				n = rand.IntN(50_000)
			}
			for range n {
				output[i].WriteByte(byte(rand.IntN(256)))
			}
			output[i].WriteByte('\n')
		}
	}
	got := copied(t, bytes.NewReader(output[0].Bytes()), bytes.NewReader(output[1].Bytes()))
	for i, source := range []string{"stdout", "stderr"} {
		var joined []byte
		for _, e := range got {
			if e.Source == source {
				joined = append(joined, e.Line...)
				if !e.Partial || e.Last {
					joined = append(joined, '\n')
				}
			}
		}
		if !bytes.Equal(joined, output[i].Bytes()) {
			t.Errorf("%s: %d bytes, want %d", source, len(joined), output[i].Len())
		}
	}
}

func copied(t *testing.T, stdout, stderr io.Reader) []frame.Entry {
	t.Helper()
	p := newFakePlugin(t).serve(t)
	c := quick(t, p).Start(t, Spec{})
	must(t, c.Output(stdout, stderr))
	_, err := c.Stop()
	must(t, err)
	<-p.streams[0].done
	return entries(p.streams[0].data)
}

// TestFull fills a FIFO that nobody reads: the write waits, and so does the stop.
func TestFull(t *testing.T) {
	p := newFakePlugin(t)
	p.hold = make(chan struct{})
	p.serve(t)
	d := quick(t, p)
	c := d.Start(t, Spec{})
	const lines = 200
	var count atomic.Int64
	wrote := make(chan error, 1)
	go func() {
		for range lines {
			if err := c.Write("stdout", strings.Repeat("x", 1000)); err != nil {
				wrote <- err
				return
			}
			count.Add(1)
		}
		wrote <- nil
	}()
	full(t, c)
	if n := count.Load(); n < 16 || n > 64 {
		t.Errorf("%d lines of 1 KB fit into a pipe of 64 KiB", n)
	}
	stopped := make(chan error, 1)
	go func() {
		_, err := c.Stop()
		stopped <- err
	}()
	select {
	case err := <-wrote:
		t.Fatalf("the write did not wait: %v", err)
	case err := <-stopped:
		t.Fatalf("the stop did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(p.hold)
	must(t, <-stopped)
	if err := <-wrote; err != nil && !errors.Is(err, errNotRunning) && !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	<-p.streams[0].done
	if n := len(entries(p.streams[0].data)); int64(n) != count.Load() {
		t.Errorf("%d of %d lines came", n, count.Load())
	}
	noFIFO(t, d)
}

// full waits until a write to c's FIFO would.
func full(t *testing.T, c *Container) {
	t.Helper()
	f, err := os.OpenFile(c.FIFO(), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer f.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		must(t, err)
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the FIFO does not fill up")
		}
	}
}

// TestCrash is dockerd's death with a write under way, and live-restore after it.
func TestCrash(t *testing.T) {
	p := newFakePlugin(t)
	p.hold = make(chan struct{})
	p.serve(t)
	d := quick(t, p)
	c := d.Start(t, Spec{ID: strings.Repeat("ab", 32)})
	old := c.FIFO()
	count := 0
	wrote := make(chan error, 1)
	go func() {
		for {
			if err := c.Write("stdout", strings.Repeat("x", 1000)); err != nil {
				wrote <- err
				return
			}
			count++
		}
	}()
	full(t, c)
	c.Crash()
	if err := <-wrote; !errors.Is(err, os.ErrClosed) && !errors.Is(err, errNotRunning) {
		t.Errorf("the write ended with %v", err)
	}
	must(t, c.Restart())
	must(t, c.Write("stderr", "again"))
	d.Crash()
	close(p.hold)
	if len(p.infos) != 2 || p.infos[0].ContainerID != p.infos[1].ContainerID {
		t.Fatalf("started %+v", p.infos)
	}
	for i, want := range []int{count, 1} {
		<-p.streams[i].done // the FIFO's end was seen
		if n := len(entries(p.streams[i].data)); n != want {
			t.Errorf("%d frames in FIFO %d, want %d", n, i, want)
		}
	}
	if left := d.FIFOs(); len(left) != 2 {
		t.Errorf("FIFOs %q, want both, %s among them", left, old)
	}
	for _, call := range p.calls {
		if strings.Contains(call, "StopLogging") {
			t.Errorf("called %s", call)
		}
	}
}

func TestLogs(t *testing.T) {
	p := newFakePlugin(t).serve(t)
	d := quick(t, p)
	c := d.Start(t, Spec{})
	at := time.Unix(1_700_000_000, 0)
	for i, source := range []string{"stdout", "stderr", "stdout", "stdout"} {
		must(t, c.WriteEntry(&frame.Entry{Source: source, Time: at.Add(time.Duration(i) * time.Second).UnixNano(), Line: []byte{'a' + byte(i)}}))
	}
	_, err := c.Stop()
	must(t, err)
	before := len(p.calls)
	l, err := c.Logs(t.Context(), ReadConfig{Tail: -1, Follow: true})
	must(t, err)
	if got := l.Text("") + "|" + l.Text("stdout") + "|" + l.Text("stderr"); got != "a\nb\nc\nd\n|a\nc\nd\n|b\n" {
		t.Errorf("%q", got)
	}
	if got := l.Timestamps("stderr"); got != "2023-11-14T22:13:21.000000000Z b\n" {
		t.Errorf("%q", got)
	}
	var methods []string
	for _, call := range p.calls[before:] {
		method, _, _ := strings.Cut(call, " ")
		methods = append(methods, strings.TrimPrefix(method, "LogDriver."))
	}
	if got := strings.Join(methods, " "); got != "Capabilities StartLogging ReadLogs StopLogging" {
		t.Errorf("logs of a stopped container called %s", got)
	}
	if read := p.calls[before+2]; !strings.HasSuffix(read, `"Config":{"Since":"0001-01-01T00:00:00Z","Until":"0001-01-01T00:00:00Z","Tail":-1,"Follow":false}}`) {
		t.Errorf("ReadLogs %s", read)
	}
	<-p.streams[1].done
	noFIFO(t, d)

	l, err = c.Logs(t.Context(), ReadConfig{Tail: -1, Since: at.Add(time.Second), Until: at.Add(2 * time.Second)})
	must(t, err)
	if l.Text("") != "b\nc\n" || l.Filtered != 2 {
		t.Errorf("%q, %d filtered", l.Text(""), l.Filtered)
	}

	// Frames that break off, and ones that are none.
	whole := string(frame.Append(nil, &frame.Entry{Source: "stdout", Time: 1, Line: []byte("x\n")}))
	for _, p.rest = range []string{whole[:3], whole[:len(whole)-1], "\xff\xff\xff\xff", "\x00\x00\x00\x02\xff\xff"} {
		if l, err := c.Logs(t.Context(), All); err == nil || l.Text("") != "a\nb\nc\nd\n" {
			t.Errorf("%q at the end: %v, %q", p.rest, err, l.Text(""))
		}
	}
	p.rest = ""

	// A logger that cannot be started is told.
	p.set(`{"Err":"busy"}`, http.StatusOK, 0)
	if _, err := c.Logs(t.Context(), All); err == nil || !strings.HasSuffix(err.Error(), "busy") {
		t.Errorf("%v", err)
	}
	p.set("{}", http.StatusOK, 0)

	// A running container is followed until its reader has enough.
	must(t, c.Restart())
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err = c.Follow(ctx, ReadConfig{Tail: -1, Follow: true}, func(e frame.Entry) error {
		if n++; n == 4 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n != 4 {
		t.Errorf("%d entries, then %v", n, err)
	}
	enough := errors.New("enough")
	if _, err = c.Follow(t.Context(), ReadConfig{Tail: -1, Follow: true}, func(frame.Entry) error { return enough }); err != enough {
		t.Errorf("%v", err)
	}
	d.Crash()
	for _, s := range p.streams {
		<-s.done
	}
}
