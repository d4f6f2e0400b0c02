package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// pipeline is a real Fluent Bit that follows files and makes live blobs of them: the
// lines of in/TAG.log are in the blob TAG.log.
type pipeline struct {
	*flbtest.FluentBit
	t       testing.TB
	s       *azuretest.Server
	lines   flbtest.Numbered
	written atomic.Int64 // lines of all tags
}

// settings are what a test has in place of the usual.
type settings struct {
	service, input, output []string // "key value"
	more                   string   // sections
}

const serviceSection = `
[SERVICE]
    Flush           0.2
    Grace           5
    HTTP_Server     on
    HTTP_Listen     127.0.0.1
    HTTP_Port       ${HTTP_PORT}
    Hot_Reload      on
    scheduler.base  1
    scheduler.cap   2
    storage.path    storage
`

const tailSection = `
[INPUT]
    Name            tail
    Path            in/*.log
    Tag_Regex       (?<name>[^/]+)\.log$
    Tag             <name>
    DB              tail.db
    Read_from_Head  on
    Refresh_Interval  1
    storage.type    filesystem
`

const outputSection = `
[OUTPUT]
    Name            azureblob
    Match           *
    connection_string  ${CONNECTION}
    container_name  logs
    path            $TAG.log
    log_key         log
    flush_timeout   2s
    workers         2
    Retry_Limit     no_limits
`

func (s settings) String() string {
	return with(serviceSection, s.service) + with(tailSection, s.input) + with(outputSection, s.output) + s.more
}

// with is the section with those keys in place of its own.
func with(section string, keys []string) string {
	for _, key := range keys {
		name, _, _ := strings.Cut(key, " ")
		section = regexp.MustCompile(`(?m)^ +`+regexp.QuoteMeta(name)+` .*\n`).ReplaceAllString(section, "")
		section += "    " + key + "\n"
	}
	return section
}

// startPipeline starts one on an account of its own.
func startPipeline(t testing.TB, set settings) *pipeline {
	t.Helper()
	flbtest.FindFluentBit(t)
	s := azuretest.New()
	s.NoLog = true
	return startPipelineOn(t, s, s.Start(t), set)
}

func startPipelineOn(t testing.TB, s *azuretest.Server, endpoint string, set settings) *pipeline {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := &pipeline{t: t, s: s, lines: flbtest.Numbered{AnyOrder: true, Size: 60}}
	p.FluentBit = flbtest.StartFluentBit(t, flbtest.FluentBitConfig{
		Conf:    set.String(),
		Library: flbtest.Library(t),
		Env:     map[string]string{"CONNECTION": s.ConnectionString(endpoint)},
		Dir:     dir,
	})
	return p
}

// write appends the next lines of tag to its file.
func (p *pipeline) write(tag string, count int) {
	p.t.Helper()
	file, err := os.OpenFile(filepath.Join(p.Dir, "in", tag+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strings.Join(p.lines.Lines(tag, count), "\n") + "\n"); err != nil {
		p.t.Fatal(err)
	}
	p.written.Add(int64(count))
}

// taken waits until Fluent Bit has read all that was written, since it started, but
// for the lines it had read before. Its own disk has it then: what it forgets when it
// is killed between reading a line and noting that it has, is not the plugin's.
func (p *pipeline) taken(before int64) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, "Fluent Bit has read all lines", func() error {
		if n := int64(p.Counts("tail.0").Records); n != p.written.Load()-before {
			return fmt.Errorf("it has read %d of %d", n, p.written.Load()-before)
		}
		return nil
	})
}

// readable waits until every line of every tag is in its blob, once.
func (p *pipeline) readable() {
	p.t.Helper()
	eventually(p.t, 30*time.Second, "all lines are readable", func() error {
		if p.Revive() {
			p.t.Log("Fluent Bit crashed, and was started again")
		}
		var n int64
		for _, tag := range p.lines.Tags() {
			blob, _ := p.s.Blob("logs", tag+".log")
			n += int64(bytes.Count(blob.Content, []byte("\n")))
		}
		if n < p.written.Load() {
			return fmt.Errorf("%d of %d lines are readable", n, p.written.Load())
		}
		return nil
	})
	p.check("logs", "")
}

// check holds the blobs of a container to what was written.
func (p *pipeline) check(container, prefix string) {
	p.t.Helper()
	want := p.lines.Tags()
	for i, tag := range want {
		want[i] = prefix + tag + ".log"
	}
	if got := p.s.Blobs(container); !slices.Equal(got, want) {
		p.t.Errorf("the blobs are %q, want %q", got, want)
	}
	for _, tag := range p.lines.Tags() {
		blob, _ := p.s.Blob(container, prefix+tag+".log")
		lines, err := flbtest.BlobLines(blob, "raw")
		if err == nil {
			err = p.lines.Check(lines, tag)
		}
		if err != nil {
			p.t.Errorf("blob %s: %v", prefix+tag+".log", err)
		}
	}
}

// during has faults until it is called back.
func (p *pipeline) during(fault func(azuretest.Request) azuretest.Fault) (over func()) {
	p.s.SetFault(fault)
	return func() { p.s.SetFault(nil) }
}

// always is a fault of every request.
func always(kind azuretest.FaultKind) func(azuretest.Request) azuretest.Fault {
	return func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} }
}

// commits reports requests that make data readable.
func commits(r azuretest.Request) bool {
	return r.Op == azuretest.PutBlob || r.Op == azuretest.PutBlockList
}

// eventually polls until ready has no error.
func eventually(t testing.TB, limit time.Duration, what string, ready func() error) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("wait until %s: %v", what, err)
		}
	}
}

// saidOnce holds Fluent Bit's output to one line that matches.
func saidOnce(t *testing.T, output, pattern string) {
	t.Helper()
	if n := len(regexp.MustCompile(`(?m)`+pattern).FindAllString(output, -1)); n != 1 {
		t.Errorf("%d lines match %q, want one, of:\n%s", n, pattern, output)
	}
}

// A line is readable within two seconds of its write, while Fluent Bit runs.
func TestFluentBitTail(t *testing.T) {
	t.Parallel()
	flbtest.FindFluentBit(t)
	for _, b := range azuretest.Backends(t) {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			container := b.NewContainer(t)
			p := &pipeline{t: t, lines: flbtest.Numbered{Size: 60}}
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "in"), 0o700); err != nil {
				t.Fatal(err)
			}
			p.FluentBit = flbtest.StartFluentBit(t, flbtest.FluentBitConfig{
				Conf:    settings{service: []string{"Flush 1"}, output: []string{"container_name " + container}}.String(),
				Library: flbtest.Library(t),
				Env:     map[string]string{"CONNECTION": b.ConnectionString},
				Dir:     dir,
			})
			read := func() []byte {
				answer, err := b.Client(container, "app.log").DownloadStream(context.Background(), nil)
				if err != nil {
					return nil
				}
				defer answer.Body.Close()
				content, _ := io.ReadAll(answer.Body)
				return content
			}
			p.write("app", 1) // a new file is found by looking for it from time to time
			eventually(t, 10*time.Second, "the first line is readable", func() error {
				if len(read()) == 0 {
					return fmt.Errorf("there is nothing")
				}
				return nil
			})
			for range 5 {
				p.write("app", 1)
				eventually(t, 2*time.Second, "a line is readable", func() error {
					if n := bytes.Count(read(), []byte("\n")); n < p.lines.Made("app") {
						return fmt.Errorf("of %d lines %d are", p.lines.Made("app"), n)
					}
					return nil
				})
			}
			p.write("app", 100_000)
			eventually(t, 30*time.Second, "all lines are readable", func() error {
				lines, err := flbtest.BlobLines(azuretest.Blob{Content: read()}, "raw")
				if err == nil {
					err = p.lines.Check(lines, "app")
				}
				return err
			})
			p.Stop()
		})
	}
}

// An outage that outlasts a flush, by every fault: what Fluent Bit gives again is
// written once.
func TestFluentBitRetries(t *testing.T) {
	t.Parallel()
	for _, kind := range azuretest.Faults() {
		switch kind {
		case azuretest.OtherWriter, azuretest.ContainerGone, azuretest.DropUncommitted:
			continue // no outage: the first is a fork, and the others mend at once
		}
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			p := startPipeline(t, settings{})
			p.write("a", 10)
			p.readable()

			over := p.during(func(r azuretest.Request) azuretest.Fault {
				return azuretest.Fault{Kind: kind, Delay: map[bool]time.Duration{true: 500 * time.Millisecond}[kind == azuretest.Late]}
			})
			for range 10 {
				p.write("a", 10)
				p.write("b", 10)
				time.Sleep(100 * time.Millisecond) // lines come while it lasts
			}
			if kind != azuretest.CutBody { // it is none for a writer that has no need to read
				eventually(t, 30*time.Second, "Fluent Bit tries again", func() error {
					if p.Counts("azureblob.0").Retries < 3 {
						return fmt.Errorf("it has not")
					}
					return nil
				})
			}
			over()
			p.readable()
			p.Stop()
			p.check("logs", "")
		})
	}
}

// Two outputs in one process write the same lines to two places.
func TestFluentBitInstances(t *testing.T) {
	t.Parallel()
	p := startPipeline(t, settings{more: with(outputSection, []string{"container_name copies", "path copy/$TAG.log", "workers 1"})})
	for i := range 20 {
		p.write(fmt.Sprint("tag", i%4), 50)
	}
	p.readable()
	p.Stop()
	p.check("logs", "")
	p.check("copies", "copy/")
}

// The lines of a tag stay in order, those of one worker also when chunks queue up for a
// slow store. Several take what has queued up in an order of their own.
func TestFluentBitOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		workers, flush string
		delay          time.Duration
		burst          int
	}{
		{"1", "0.2", 200 * time.Millisecond, 100_000},
		{"4", "1", 50 * time.Millisecond, 1},
	} {
		t.Run("workers "+c.workers, func(t *testing.T) {
			t.Parallel()
			p := startPipeline(t, settings{service: []string{"Flush " + c.flush}, output: []string{"workers " + c.workers, "flush_timeout 10s"}})
			p.lines.AnyOrder = false
			over := p.during(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: c.delay} })
			for range 60 {
				for _, tag := range []string{"a", "b", "c"} {
					p.write(tag, 3)
				}
				time.Sleep(50 * time.Millisecond) // they come in many chunks
			}
			p.write("a", c.burst) // and these in several at once
			over()
			p.readable()
			p.Stop()
		})
	}
}

// A store that hangs holds up neither the inputs nor another output.
func TestFluentBitStuckStore(t *testing.T) {
	t.Parallel()
	p := startPipeline(t, settings{output: []string{"flush_timeout 30s"}, more: "\n[OUTPUT]\n    Name file\n    Match *\n    Path out\n    File all\n    Mkdir on\n"})
	p.write("a", 10)
	p.readable()

	hold := make(chan struct{})
	over := p.during(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Hold: hold} })
	stuck := time.Now()
	for time.Since(stuck) < 30*time.Second { // Fluent Bit itself waits when there are storage.max_chunks_up chunks, 128
		for _, tag := range []string{"a", "b", "c"} {
			p.write(tag, 1)
		}
		written := time.Now()
		eventually(t, 3*time.Second, "another output has the lines", func() error {
			content, err := os.ReadFile(filepath.Join(p.Dir, "out", "all"))
			if n := int64(bytes.Count(content, []byte("\n"))); err == nil && n < p.written.Load() {
				err = fmt.Errorf("it has %d of %d", n, p.written.Load())
			}
			return err
		})
		time.Sleep(time.Until(written.Add(time.Second)))
	}
	if n := p.Counts("azureblob.0").Written; n > 10 {
		t.Errorf("the store was stuck, and %d lines are said to be written", n)
	}
	over()
	close(hold)
	p.readable()
	p.Stop()
}
