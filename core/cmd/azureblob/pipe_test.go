package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

func TestPipe(t *testing.T) {
	b := newBench(t)
	text := strings.Repeat("one line\n", 100_000)
	r := b.ok(b.run(text, "pipe", "logs/dir/a.log", "--metadata", "team=web", "--metadata", "env=test"))
	b.holds("dir/a.log", text, true)
	blob := b.blob("dir/a.log")
	if blob.ContentType != "text/plain; charset=utf-8" || blob.Metadata["team"] != "web" || blob.Metadata["env"] != "test" || !strings.HasPrefix(blob.Metadata["stream"], "pipe:") {
		t.Errorf("%q %v", blob.ContentType, blob.Metadata)
	}
	if want := b.url + "/logs/dir/a.log: complete, 900000 bytes in "; r.stdout != "" || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
	if r := b.ok(b.run("x", "pipe", "-q", "logs/b.log")); r.stderr != "" {
		t.Errorf("with -q: %q", r.stderr)
	}
}

func TestPipeEmpty(t *testing.T) {
	for _, flags := range [][]string{nil, {"--compress", "gzip"}, {"--format", "json"}, {"--append"}, {"--tee"}} {
		b := newBench(t)
		b.ok(b.run("", append([]string{"pipe", "logs/empty"}, flags...)...))
		b.holds("empty", "", true)
	}
}

func TestPipeTee(t *testing.T) {
	b := newBench(t)
	text := strings.Repeat("to both\n", 50_000)
	if r := b.ok(b.run(text, "pipe", "--tee", "--compress", "zstd", "logs/a")); r.stdout != text {
		t.Errorf("stdout has %d bytes, want %d", len(r.stdout), len(text))
	}
	if r := b.ok(b.run("", "cat", "logs/a")); r.stdout != text {
		t.Errorf("the log has %d bytes, want %d", len(r.stdout), len(text))
	}
}

func TestPipeTemplate(t *testing.T) {
	b := newBench(t)
	b.env["AZUREBLOB_TEST_BUILD"] = "42/../%Y"
	b.ok(b.run("x", "pipe", `logs/{{env "AZUREBLOB_TEST_BUILD"}}-%Y.log`))
	if names := b.server.Blobs("logs"); len(names) != 1 || !strings.HasPrefix(names[0], "42/%2E%2E/%25Y-20") {
		t.Errorf("%q", names)
	}
}

func TestPipeFormats(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("one\ntwo", "pipe", "--format", "text", "logs/text"))
	lines := strings.Split(string(b.blob("text").Content), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "Z stdout F one") || !strings.HasSuffix(lines[1], "Z stdout F two") || lines[2] != "" {
		t.Errorf("%q", lines)
	}
	b.ok(b.run("one\n\xff", "pipe", "--format", "json", "logs/json"))
	blob := b.blob("json")
	lines = strings.Split(string(blob.Content), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `{"log":"one\n","stream":"stdout","time":"2`) || blob.ContentType != "application/x-ndjson" {
		t.Errorf("%q %s", lines, blob.ContentType)
	}
}

// A name that exists belongs to somebody: nothing in it changes.
func TestPipeTaken(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("mine\n", "pipe", "logs/live"))
	b.server.Put("logs", "foreign", []byte("not a log"), nil)

	b.fails(b.run("x\n", "pipe", "logs/live"), exitFailed, "taken by another log", "choose another name, or go on with that log by --append")
	b.fails(b.run("x\n", "pipe", "logs/foreign"), exitFailed, "not a live log", "choose another name")
	b.fails(b.run("x\n", "pipe", "--append", "logs/foreign"), exitFailed, "not a live log", "choose another name")
	b.fails(b.run("x\n", "pipe", "--append", "--compress", "gzip", "logs/live"), exitFailed, "--compress none")
	b.holds("live", "mine\n", true)
	b.holds("foreign", "not a log", false)
}

// The producer is told at once, not at its next line.
func TestPipeTakenWhileQuiet(t *testing.T) {
	b := newBench(t)
	b.server.Put("logs", "foreign", []byte("not a log"), nil)
	p := b.start(nil, "pipe", "logs/foreign")
	io.WriteString(p.in, "x\n") // and stdin stays open
	b.fails(p.end(), exitFailed, "not a live log")
}

func TestPipeAppend(t *testing.T) {
	b := newBench(t)
	for _, compress := range []string{"none", "gzip"} {
		name := "logs/" + compress
		for _, part := range []string{"one\n", "", "two\n", strings.Repeat("three\n", 30_000)} {
			b.ok(b.run(part, "pipe", "--append", "--compress", compress, name))
		}
		if r := b.ok(b.run("", "cat", name)); r.stdout != "one\ntwo\n"+strings.Repeat("three\n", 30_000) {
			t.Errorf("%s holds %d bytes: %.40q", name, len(r.stdout), r.stdout)
		}
	}
	b.fails(b.run("x", "pipe", "--append", "logs/gzip"), exitFailed, "add that")

	// Another host's log keeps its owner and its cursor.
	b.server.Put("logs", "docker", []byte("a\n"), map[string]string{"stream": "web%C3%A9", "cursor": "17"})
	b.ok(b.run("b\n", "pipe", "--append", "logs/docker"))
	b.holds("docker", "a\nb\n", true)
	if m := b.blob("docker").Metadata; m["stream"] != "web%C3%A9" || m["cursor"] != "17" {
		t.Errorf("%v", m)
	}
}

func TestPipeMaxSize(t *testing.T) {
	b := newBench(t)
	text := strings.Repeat("0123456789abcde\n", 8<<10)
	p := b.start(nil, "pipe", "--max-size", "200K", "--flush-interval", "0", "logs/a")
	io.WriteString(p.in, text)
	b.until("the first part is committed", b.has("a", text))
	io.WriteString(p.in, text)
	p.in.Close()
	b.ok(p.end())
	text += text
	if len(b.server.Blobs("logs")) != 2 {
		t.Errorf("no roll-over: %q", b.server.Blobs("logs"))
	}
	if r := b.ok(b.run("", "cat", "logs/a")); r.stdout != text {
		t.Errorf("%d bytes, want %d", len(r.stdout), len(text))
	}
}

// What was committed before storage went away stays; the error says how much.
func TestPipeGivesUp(t *testing.T) {
	b := newBench(t)
	p := b.start(nil, "pipe", "--give-up-after", "50ms", "logs/a")
	io.WriteString(p.in, "kept\n")
	b.until("the first line is committed", b.has("a", "kept\n"))
	b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Busy} })
	io.WriteString(p.in, "lost\n")
	r := p.end() // though stdin is still open
	if r.code != exitFailed || !strings.Contains(r.stderr, "503 ServerBusy: 5 of 10 bytes are committed, the blob is not marked complete") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	b.holds("a", "kept\n", false)
}

// With --tee a build outlives its log.
func TestPipeTeeOutlivesStorage(t *testing.T) {
	b := newBench(t)
	b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
	text := strings.Repeat("line\n", 400_000)
	p := b.start(nil, "pipe", "--tee", "logs/a")
	io.WriteString(p.in, text)
	b.until("the failure is told", func() bool { return strings.Contains(p.stderr.String(), "passed on") })
	io.WriteString(p.in, text)
	text += text
	p.in.Close()
	r := p.end()
	if r.code != exitFailed || r.stdout != text {
		t.Errorf("exit code %d, %d bytes passed on, want %d", r.code, len(r.stdout), len(text))
	}
	for _, want := range []string{"stdin is still passed on\n", "0 of ", "account key or SAS token is wrong"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("%q is not in %q", want, r.stderr)
		}
	}
}

// A trouble that passes costs nothing.
func TestPipeRidesOutFaults(t *testing.T) {
	for _, kind := range []azuretest.FaultKind{azuretest.LostAnswer, azuretest.CutBefore, azuretest.Busy, azuretest.Effect500} {
		b := newBench(t)
		var n atomic.Int32
		b.server.SetFault(func(azuretest.Request) azuretest.Fault {
			if n.Add(1) <= 2 {
				return azuretest.Fault{Kind: kind}
			}
			return azuretest.Fault{}
		})
		r := b.ok(b.run("a\nb\n", "pipe", "logs/a"))
		b.holds("a", "a\nb\n", true)
		if !strings.Contains(r.stderr, "; trying again: ") || !strings.Contains(r.stderr, "storage is back") {
			t.Errorf("%v: %q", kind, r.stderr)
		}
	}
}

// While storage takes nothing, the producer is held back, and nothing is dropped.
func TestPipeHoldsProducerBack(t *testing.T) {
	b := newBench(t)
	hold := make(chan struct{})
	b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Hold: hold} })
	p := b.start(nil, "pipe", "logs/a")
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	sent := 0
	// A deadline that passes for another reason makes the figure smaller only.
	p.in.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for {
		n, err := p.in.Write(chunk)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sent > 32<<20 {
			t.Fatal("32 MiB were taken while storage took nothing")
		}
	}
	if most := 2*4<<20 + pipeSize + 2*readSize; sent > most {
		t.Errorf("%d bytes were taken, want at most %d", sent, most)
	}
	close(hold)
	p.in.SetWriteDeadline(time.Time{})
	p.in.Write([]byte("end"))
	p.in.Close()
	b.ok(p.end())
	b.holds("a", strings.Repeat("x", sent)+"end", true)
}

// A signal ends the log, not what is in the pipe.
func TestPipeSignal(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) { // by nohup, which pipe heeds
			continue
		}
		// The stream takes 4 MiB of records, the pipe 1 MiB of lines.
		for format, n := range map[string]int{"raw": 310_000, "text": 130_000} {
			b := newBench(t)
			hold := make(chan struct{})
			p := b.start(nil, "pipe", "--format", format, "logs/a")
			io.WriteString(p.in, "first\n")
			b.until("the first line is committed", func() bool { _, ok := b.server.Blob("logs", "a"); return ok })
			// The loop stands still, so that the pipe fills up behind it.
			b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Hold: hold} })
			text := strings.Repeat("0123456789abcde\n", n)
			p.in.SetWriteDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.WriteString(p.in, text); err != nil {
				t.Fatal(err)
			}
			p.signal(s)
			close(hold)
			r := b.ok(p.end()) // stdin is still open
			if format == "raw" {
				b.holds("a", "first\n"+text, true)
				continue
			}
			if blob := b.blob("a"); bytes.Count(blob.Content, []byte("abcde\n")) != n || blob.Metadata["complete"] != "1" {
				t.Errorf("%v: %d bytes, %v: %s", s, len(blob.Content), blob.Metadata, r.stderr)
			}
		}
	}
}

func TestPipeSecondSignal(t *testing.T) {
	b := newBench(t)
	hold := make(chan struct{})
	defer close(hold)
	var waiting atomic.Bool
	b.server.SetFault(func(azuretest.Request) azuretest.Fault { waiting.Store(true); return azuretest.Fault{Hold: hold} })
	p := b.start(nil, "pipe", "logs/a")
	io.WriteString(p.in, "never\n")
	b.until("a commit is under way", waiting.Load)
	b.until("signals end it", func() bool {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	b.fails(p.end(), exitFailed, "stopped by a second signal: 0 of 6 bytes are committed")
}

// Ctrl-C on a large file does not upload the rest of it.
func TestPipeSignalFile(t *testing.T) {
	f, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, err := newInput(f)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	buf := make([]byte, 10)
	if n, err := in.read(buf, -1); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	in.stop()
	if n, err := in.read(buf, -1); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestInput(t *testing.T) {
	r, w, _ := os.Pipe()
	defer r.Close()
	defer w.Close()
	in, err := newInput(r)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	buf := make([]byte, 8)
	if n, err := in.read(buf, 0); n != 0 || !errors.Is(err, errIdle) {
		t.Errorf("nothing there: %d, %v", n, err)
	}
	io.WriteString(w, "0123456789abcdef012")
	if n, err := in.read(buf, -1); n != 8 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	in.stop()
	var got []byte
	for {
		n, err := in.read(buf, -1)
		got = append(got, buf[:n]...)
		io.WriteString(w, "x") // written after the signal: not ours to wait for
		if err != nil {
			break
		}
	}
	if string(got) != "89abcdef012" {
		t.Errorf("%q", got)
	}

	dir, _ := os.Open(t.TempDir())
	defer dir.Close()
	bad, err := newInput(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.close()
	if _, err := bad.read(buf, -1); err == nil || err == io.EOF {
		t.Errorf("reading a folder: %v", err)
	}
}

// stdin that fails is not a log that has ended.
func TestPipeBrokenStdin(t *testing.T) {
	b := newBench(t)
	dir, _ := os.Open(t.TempDir())
	defer dir.Close()
	var stdout, stderr buffer
	code := run(t.Context(), []string{"pipe", "logs/a"}, b.lookup, dir, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "read stdin: is a directory") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// A reader of stdout that leaves ends neither the upload nor the build.
func TestPipeTeeClosed(t *testing.T) {
	b := newBench(t)
	r, w, _ := os.Pipe()
	r.Close()
	p := b.start(w, "pipe", "--tee", "logs/a")
	w.Close()
	text := strings.Repeat("line\n", 200_000)
	if _, err := io.WriteString(p.in, text); err != nil {
		t.Error(err)
	}
	p.in.Close()
	b.ok(p.end())
	b.holds("a", text, true)
}

func TestPipeTeeFull(t *testing.T) {
	b := newBench(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	p := b.start(full, "pipe", "-q", "--tee", "logs/a")
	io.WriteString(p.in, "line\n")
	p.in.Close()
	b.fails(p.end(), exitFailed, "write to stdout: no space left on device", "the upload goes on")
	b.holds("a", "line\n", true)
}

// A record can be many times its line; what is read at once must not be written
// at once.
func TestPipeStampsBitByBit(t *testing.T) {
	b := newBench(t)
	b.ok(b.run(strings.Repeat("\n", 2<<20), "pipe", "--format", "text", "--flush-interval", "0", "logs/blank"))
	for _, block := range b.blob("blank").Blocks {
		if block.Size > 9<<20 {
			t.Errorf("one commit had a block of %d bytes", block.Size)
		}
	}
	if n := strings.Count(string(b.blob("blank").Content), " stdout F \n"); n != 2<<20 {
		t.Errorf("%d lines, want %d", n, 2<<20)
	}
}

func TestPipeAppendsNoOtherFormat(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("one\n", "pipe", "--format", "json", "logs/a"))
	before := string(b.blob("a").Content)
	b.fails(b.run("two\n", "pipe", "--append", "logs/a"), exitFailed, "append to logs/a", "application/x-ndjson", "--format")
	b.holds("a", before, true)
	b.ok(b.run("two\n", "pipe", "--append", "--format", "json", "logs/a"))
}

// tail -f ends when whoever reads it has gone, though the log is silent.
func TestTailEndsWithItsReader(t *testing.T) {
	b := newBench(t)
	b.server.Put("logs", "quiet", []byte("one\n"), map[string]string{"stream": "s"})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := b.start(w, "tail", "-f", "-n", "all", "logs/quiet")
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := p.end(); got.code != exitFailed || got.stderr != "" {
		t.Errorf("exit code %d, %q", got.code, got.stderr)
	}
}

func TestDurationsOfFlags(t *testing.T) {
	b := newBench(t)
	b.ok(b.run("x", "pipe", "--give-up-after", "1d", "--flush-interval", "2", "logs/a"))
	b.fails(b.run("x", "pipe", "--give-up-after", "-5s", "logs/b"), exitUsage, "--give-up-after -5s")
	b.fails(b.run("x", "pipe", "--give-up-after", "soon", "logs/b"), exitUsage, "--give-up-after", "not a duration")
}

func TestPipeNamesNoUnsetVariable(t *testing.T) {
	b := newBench(t)
	b.fails(b.run("x", "pipe", `logs/{{env "AZUREBLOB_TEST_UNSET"}}.log`), exitUsage, "AZUREBLOB_TEST_UNSET is not set")
	if names := b.server.Blobs("logs"); len(names) > 0 {
		t.Errorf("%q", names)
	}
}
