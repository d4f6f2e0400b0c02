package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/record"
)

// lastOf is what tail -n prints, the plain way.
func lastOf(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// The same lines come out whether the log is plain, compressed, or in many blobs.
func TestTailLines(t *testing.T) {
	b := newBench(t)
	for name, text := range map[string]string{
		"long": numbered(60_000), "short": "a\nb\nc\n", "open": "a\nb\nc", "blank": "\n\n\n", "empty": "", "huge": "a\n" + strings.Repeat("x", 300_000) + "\nb\n",
	} {
		for _, flags := range []string{"", "--compress=gzip", "--compress=zstd", "--max-size=100K --flush-interval=0", "--compress=gzip --max-size=1K --flush-interval=0"} {
			at := "logs/" + name + strings.ReplaceAll(flags, " ", "")
			b.ok(b.run(text, append([]string{"pipe", at}, strings.Fields(flags)...)...))
			for _, n := range []int{0, 1, 2, 3, 10, 30_000, 100_000} {
				if got := b.ok(b.run("", "tail", "-n", fmt.Sprint(n), at)).stdout; got != lastOf(text, n) {
					t.Errorf("%s -n %d: %d bytes %.30q, want %d %.30q", at, n, len(got), got, len(lastOf(text, n)), lastOf(text, n))
				}
			}
			for _, all := range [][]string{{"cat"}, {"tail", "-n", "all"}, {"tail", "-n", "all", "-f"}} {
				if got := b.ok(b.run("", append(all, at)...)).stdout; got != text {
					t.Errorf("%q %s: %d bytes, want %d", all, at, len(got), len(text))
				}
			}
			if got := b.ok(b.run("", "tail", "-f", at)).stdout; got != lastOf(text, 10) {
				t.Errorf("tail -f %s: %.60q", at, got)
			}
		}
	}
}

// A log that rolls over, its last part shorter than what is asked for.
func TestTailOverParts(t *testing.T) {
	b := newBench(t)
	live := map[string]string{"stream": "s"}
	part := func(name, text, next string) {
		m := map[string]string{"next": next}
		for k, v := range live {
			m[k] = v
		}
		b.server.Put("logs", name, []byte(text), m)
	}
	part("a", numbered(100), "b")
	part("b", "b1\nb2", "c")
	part("c", " goes on\nc1\n", "not-there-yet")
	all := numbered(100) + "b1\nb2 goes on\nc1\n"
	for n := range 8 {
		if got := b.ok(b.run("", "tail", "-n", fmt.Sprint(n), "logs/a")).stdout; got != lastOf(all, n) {
			t.Errorf("-n %d: %q, want %q", n, got, lastOf(all, n))
		}
	}
}

// follow runs tail -f until it ends by itself.
func (b *bench) follow(args ...string) (stdout, stderr *buffer, code chan int) {
	stdout, stderr, code = new(buffer), new(buffer), make(chan int, 1)
	go func() {
		code <- run(b.t.Context(), append([]string{"tail", "-f", "--poll", "5ms"}, args...), b.lookup, nil, stdout, stderr)
	}()
	return stdout, stderr, code
}

func TestTailFollow(t *testing.T) {
	for _, compress := range []string{"none", "gzip", "zstd"} {
		b := newBench(t)
		stdout, stderr, code := b.follow("logs/a")
		b.until("tail waits", func() bool { return stderr.String() == "azureblob: waiting for logs/a\n" })
		p := b.start(nil, "pipe", "--compress", compress, "--flush-interval", "0", "logs/a")
		want := ""
		for i := range 20 {
			line := fmt.Sprintf("line %d\n", i)
			want += line
			io.WriteString(p.in, line)
			b.until("the line is there", func() bool { return stdout.String() == want })
		}
		p.in.Close()
		if got := <-code; got != 0 {
			t.Errorf("%s: exit code %d: %s", compress, got, stderr.String())
		}
		b.ok(p.end())
	}
}

// Lines that had to be searched for, and then what comes after them.
func TestTailFollowAfterLines(t *testing.T) {
	for _, compress := range []string{"none", "gzip"} {
		b := newBench(t)
		p := b.start(nil, "pipe", "--compress", compress, "--flush-interval", "0", "logs/a")
		io.WriteString(p.in, "one\ntwo\nthree\n")
		b.until("it is committed", func() bool { _, ok := b.server.Blob("logs", "a"); return ok })
		stdout, stderr, code := b.follow("-n", "2", "logs/a")
		b.until("two lines are there", func() bool { return stdout.String() == "two\nthree\n" })
		io.WriteString(p.in, "four\n")
		b.until("the next one is", func() bool { return stdout.String() == "two\nthree\nfour\n" })
		p.in.Close()
		if got := <-code; got != 0 {
			t.Errorf("%s: exit code %d: %s", compress, got, stderr.String())
		}
		b.ok(p.end())
	}
}

func TestCatRaw(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("text", "pipe", "--compress", "gzip", "logs/a"))
	raw := b.ok(b.run("", "cat", "--raw", "logs/a")).stdout
	if raw != string(b.blob("a").Content) || !strings.HasPrefix(raw, "\x1f\x8b") {
		t.Errorf("%q", raw)
	}
}

func TestReadURL(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("text\n", "pipe", "logs/a b"))
	secret := b.server.SAS("r", time.Now().Add(time.Hour))
	at := b.url + "/logs/a%20b"
	for _, env := range []map[string]string{nil, b.env, {"AZURE_STORAGE_ACCOUNT": "another", "AZURE_STORAGE_KEY": "SECRETMARKER"}} {
		c := &bench{t, b.server, b.url, env}
		if got := c.ok(c.run("", "tail", at+"?"+secret)).stdout; got != "text\n" {
			t.Errorf("%q", got)
		}
	}
	b.ok(b.run("", "cat", at)) // by the configured key
	other := &bench{t, b.server, b.url, nil}
	other.fails(other.run("", "cat", at), exitFailed, "set a key, a SAS token or an identity")

	// The token may not write, and no error shows it.
	for _, args := range [][]string{{"pipe", b.url + "/logs/new?" + secret}, {"tail", b.url + "/logs/none?" + secret}, {"ls", b.url + "/logs?" + secret}, {"tail", at + "?" + strings.Replace(secret, "sp=r", "sp=rw", 1)}, {"tail", "x" + at + "?" + secret}, {at + "?" + secret}} {
		r := b.run("x", args...)
		if r.code == 0 || strings.Contains(r.stderr, "sig=") && !strings.Contains(r.stderr, "sig=[redacted]") || strings.Contains(r.stderr, secret) {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	}
}

// A full disk on this side: the log stays as it is.
func TestTailFullDisk(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("text\n", "pipe", "logs/a"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"tail", "logs/a"}, {"cat", "logs/a"}, {"ls"}, {"ls", "logs"}, {"doctor"}} {
		b.fails(b.start(full, args...).end(), exitFailed, "write to stdout: no space left on device: make room")
	}
	b.holds("a", "text\n", true)
}

// A reader that leaves needs no word, as with tail(1).
func TestTailClosedPipe(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("text\n", "pipe", "logs/a"))
	r, w, _ := os.Pipe()
	r.Close()
	defer w.Close()
	for _, args := range [][]string{{"tail", "logs/a"}, {"tail", "-f", "logs/a"}, {"cat", "logs/a"}, {"ls", "logs"}} {
		if r := b.start(w, args...).end(); r.code != exitFailed || r.stderr != "" {
			t.Errorf("%q: exit code %d, %q", args, r.code, r.stderr)
		}
	}
}

func TestBrokenEncoding(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("text\n", "pipe", "--compress", "gzip", "logs/a"))
	blob := b.blob("a")
	client := b.client("a")
	upload := func(content []byte, encoding string) {
		b.upload(client, content, encoding)
	}
	upload(blob.Content[:len(blob.Content)-3], "gzip")
	r := b.run("", "cat", "logs/a")
	if r.stdout != "text\n" {
		t.Errorf("%q", r.stdout)
	}
	b.fails(r, exitFailed, "read logs/a", "cut off")
	upload([]byte("plain"), "gzip")
	b.fails(b.run("", "cat", "logs/a"), exitFailed, "read logs/a")
	upload([]byte("plain"), "br")
	b.fails(b.run("", "cat", "logs/a"), exitFailed, `"br"`, "cat --raw")
	if r := b.ok(b.run("", "cat", "--raw", "logs/a")); r.stdout != "plain" {
		t.Errorf("%q", r.stdout)
	}
}

func TestLs(t *testing.T) {
	b := newBench(t)
	b.server.MakeContainer("other")
	if got := b.ok(b.run("", "ls")).stdout; got != "logs\nother\n" {
		t.Errorf("%q", got)
	}
	b.ok(b.run(strings.Repeat("x", 100_000), "pipe", "logs/done"))
	b.server.Put("logs", "evil\u009b2J", nil, nil)
	b.server.Put("logs", "going", []byte("abc"), map[string]string{"stream": "s"})
	b.server.Put("logs", "rolled", []byte("abc"), map[string]string{"stream": "s", "next": "going"})
	got := b.ok(b.run("", "ls", "logs")).stdout
	var rows [][]string
	for line := range strings.Lines(got) {
		rows = append(rows, strings.Fields(line))
	}
	want := [][]string{{"NAME", "SIZE", "BLOCKS", "STATE"}, {"done", "97.66KiB", "1", "complete"}, {`"evil\u009b2J"`, "0B", "-", "-"}, {"going", "3B", "0", "live"}, {"rolled", "3B", "0", "rolled"}}
	if len(rows) != len(want) {
		t.Fatalf("%s", got)
	}
	for i := range want {
		if strings.Join(rows[i][:4], " ") != strings.Join(want[i], " ") {
			t.Errorf("%q, want %q", rows[i], want[i])
		}
	}
	got = b.ok(b.run("", "ls", "--json", "logs/do")).stdout
	var one struct {
		Name, State string
		Size        int64
		Blocks      int
		LastCommit  time.Time `json:"last_commit"`
	}
	if err := json.Unmarshal([]byte(got), &one); err != nil || one.Name != "done" || one.State != "complete" || one.Size != 100_000 || one.Blocks != 1 || time.Since(one.LastCommit) > time.Hour {
		t.Errorf("%s: %v", got, err)
	}
	if got := b.ok(b.run("", "ls", "--json")).stdout; got != `{"name":"logs"}`+"\n"+`{"name":"other"}`+"\n" {
		t.Errorf("%q", got)
	}
	b.fails(b.run("", "ls", "nothere"), exitFailed, "404 ContainerNotFound")

	// What may not be read has no count, but is listed.
	b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Op == azuretest.GetBlockList {
			return azuretest.Fault{Kind: azuretest.Denied}
		}
		return azuretest.Fault{}
	})
	if got := b.ok(b.run("", "ls", "logs/done")).stdout; !strings.Contains(got, "97.66KiB  -       complete") {
		t.Errorf("%s", got)
	}
}

func TestStamper(t *testing.T) {
	now := time.Unix(0, 0)
	long := strings.Repeat("é", maxLine) // twice the limit, in bytes
	for _, input := range []string{"", "a", "a\n", "\n\n", "a\nb\nc", "a\r\nb\x00\n", "x" + long, long + "\ny\n"} {
		for _, step := range []int{1, 2, 3, 7, 4096, 1 << 20} {
			if step < 7 && len(input) > 100 {
				continue
			}
			s := &stamper{format: record.Raw}
			var got []byte
			for rest := []byte(input); len(rest) > 0; rest = rest[min(step, len(rest)):] {
				got = append(got, s.lines(rest[:min(step, len(rest))], now)...)
			}
			got = append(got, s.end(now)...)
			want := input
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			if string(got) != want {
				t.Errorf("%d bytes %.20q in steps of %d: %d bytes %.40q", len(input), input, step, len(got), got)
			}
			s = &stamper{format: record.JSON}
			got = got[:0]
			for rest := []byte(input); len(rest) > 0; rest = rest[min(step, len(rest)):] {
				got = append(got, s.lines(rest[:min(step, len(rest))], now)...)
			}
			if bytes.Contains(append(got, s.end(now)...), []byte("\ufffd")) {
				t.Errorf("a character was cut in two, in steps of %d", step)
			}
		}
	}
}

func TestStamperAllocates(t *testing.T) {
	for _, f := range []record.Format{record.JSON, record.Text} {
		s := &stamper{format: f}
		chunk := []byte(strings.Repeat("an ordinary line of a log\n", 1000) + "a part")
		now := time.Now()
		s.lines(chunk, now)
		if n := testing.AllocsPerRun(20, func() { s.lines(chunk, now) }); n > 0 {
			t.Errorf("%v: %v allocations for 1000 lines", f, n)
		}
	}
}

func TestLastLines(t *testing.T) {
	text := numbered(40_000) + strings.Repeat("y", 200_000) + "\nend"
	for _, n := range []int{0, 1, 2, 3, 1000, 50_000} {
		for _, step := range []int{1000, keepChunk, 1 << 20} {
			l := &lastLines{n: n}
			for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
				io.WriteString(writerOnly{l}, rest[:min(step, len(rest))])
			}
			if got := string(l.bytes()); got != lastOf(text, n) {
				t.Errorf("n %d, step %d: %d bytes, want %d", n, step, len(got), len(lastOf(text, n)))
			}
			if n < 10 && l.size > 200_000+3*keepChunk || l.cut {
				t.Errorf("n %d, step %d: %d bytes are kept, cut %v", n, step, l.size, l.cut)
			}
		}
	}
	l := &lastLines{n: 5}
	for range keepMax/keepChunk + 10 {
		l.Write(bytes.Repeat([]byte("z"), keepChunk))
	}
	if !l.cut || l.size > keepMax {
		t.Errorf("endless line: %d bytes are kept, cut %v", l.size, l.cut)
	}
}

type writerOnly struct{ io.Writer }

// terminal opens a pseudo-terminal; what is written to tty comes out in screen.
func terminal(t *testing.T) (tty *os.File, screen *buffer) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(filepath.Join("/dev/pts", fmt.Sprint(n)), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		ptmx.Close()
		t.Fatal("no pseudo-terminal:", err)
	}
	screen = new(buffer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(screen, ptmx) // ends with EIO once the other side is closed
	}()
	t.Cleanup(func() {
		tty.Close()
		<-done
		ptmx.Close()
	})
	return tty, screen
}

func TestTerminal(t *testing.T) {
	for _, c := range []struct {
		term string
		want bool
	}{{"xterm", true}, {"dumb", false}} {
		b := newBench(t)
		tty, screen := terminal(t)
		b.env["TERM"] = c.term
		r, w, _ := os.Pipe()
		defer r.Close()
		code := make(chan int)
		go func() {
			code <- run(t.Context(), []string{"pipe", "logs/a"}, b.lookup, r, io.Discard, tty)
		}()
		io.WriteString(w, "line\n")
		if c.want {
			b.until("progress is shown", func() bool { return strings.Contains(screen.String(), "5B committed in 1 commit, 0B pending") })
		} else {
			b.until("the line is committed", b.has("a", "line\n"))
		}
		w.Close()
		if got := <-code; got != 0 {
			t.Errorf("exit code %d", got)
		}
		b.until("the summary is shown", func() bool { return strings.Contains(screen.String(), "complete, 5 bytes in 2 commits") })
		if got := strings.Contains(screen.String(), "\x1b"); got != c.want {
			t.Errorf("TERM=%s: %q", c.term, screen.String())
		}

		b.server.Put("logs", "live", []byte("x\n"), map[string]string{"stream": "s"})
		run(t.Context(), []string{"tail", "logs/live"}, b.lookup, r, io.Discard, tty)
		b.until("it says that the log is live", func() bool { return strings.Contains(screen.String(), "logs/live is still live: -f follows it") })
	}
}

func TestColour(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{{map[string]string{"TERM": "xterm"}, true}, {map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false}, {map[string]string{"TERM": "dumb"}, false}} {
		b := newBench(t)
		for k, v := range c.env {
			b.env[k] = v
		}
		tty, screen := terminal(t)
		if code := run(context.Background(), []string{"doctor"}, b.lookup, nil, tty, io.Discard); code != 0 {
			t.Errorf("exit code %d", code)
		}
		b.until("the report ends", func() bool { return strings.Contains(screen.String(), "soft delete: off") })
		if got := strings.Contains(screen.String(), "\x1b["); got != c.want {
			t.Errorf("%v: %q", c.env, screen.String())
		}
	}
}
