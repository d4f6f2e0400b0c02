package driver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

func TestLifeOfALog(t *testing.T) {
	m := newMachine(t)
	p := m.run(info("web"))
	if n := len(m.Blobs("logs")); n != 0 {
		t.Errorf("a container that has written nothing has %d blobs", n)
	}
	p.write(frame.Entry{Source: "stdout", Time: 1, Line: []byte("one")})
	until(t, "the line is readable", func() bool {
		b, _ := m.Blob("logs", "web.log")
		return bytes.Contains(b.Content, []byte(`{"log":"one\n","stream":"stdout"`)) && b.Metadata["complete"] == ""
	})
	p.write(frame.Entry{Source: "stderr", Time: 2, Line: []byte("two")})
	before := time.Now()
	p.stop()
	b := m.complete("web.log")
	for k, v := range map[string]string{"container_name": "web", "image": "busybox", "host": "host1", "stream": info("web").ContainerID} {
		if b.Metadata[k] != v {
			t.Errorf("metadata %s is %q, not %q", k, b.Metadata[k], v)
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, b.Metadata["stopped"]); err != nil || at.Before(before) || time.Since(at) > time.Minute {
		t.Errorf("it is said to have stopped at %q (%v)", b.Metadata["stopped"], err)
	}

	// docker restart goes on in the same blob, which is not complete meanwhile.
	p = m.run(info("web"))
	p.write(frame.Entry{Source: "stdout", Time: 3, Line: []byte("three")})
	until(t, "the restart is seen", func() bool {
		b, _ := m.Blob("logs", "web.log")
		return b.Metadata["complete"] == "" && b.Metadata["stopped"] == "" && bytes.Count(b.Content, []byte("\n")) == 3
	})
	p.stop()
	if b := m.complete("web.log"); bytes.Count(b.Content, []byte("\n")) != 3 {
		t.Errorf("after a restart the blob is %q", b.Content)
	}
}

// docker logs of a stopped container starts and stops a log that gets no bytes; a
// container that writes nothing does so too. Neither makes or touches a blob, or
// leaves a folder.
func TestNothingWritten(t *testing.T) {
	m := newMachine(t)
	m.run(info("silent")).stop()
	until(t, "the folder is gone", func() bool { return len(m.folders()) == 0 })

	p := m.run(info("web"))
	p.write(frame.Entry{Source: "stdout", Time: 1, Line: []byte("one")})
	p.stop()
	was := m.complete("web.log")
	m.settled()
	m.run(info("web")).stop()
	m.settled()
	if is, _ := m.Blob("logs", "web.log"); is.ETag != was.ETag {
		t.Error("a start and a stop without a byte have changed the blob")
	}
	if names := m.Blobs("logs"); len(names) != 1 {
		t.Errorf("there are blobs %q", names)
	}
	m.halt(time.Second)
	m.boot()
	if is, _ := m.Blob("logs", "web.log"); is.ETag != was.ETag {
		t.Error("a restart of the process has changed a complete blob")
	}
}

// The process dies over and over, requests fail in every way, the parts of long lines
// of both streams are mixed: each line is in the blob once, whole, and in order.
func TestManyLives(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			r := rand.New(rand.NewPCG(seed, 7))
			var faults atomic.Bool
			kinds := []azuretest.FaultKind{azuretest.LostAnswer, azuretest.CutBefore, azuretest.Busy, azuretest.Internal,
				azuretest.Effect500, azuretest.DropUncommitted}
			fault := rand.New(rand.NewPCG(seed, 8))
			var mu sync.Mutex
			m.SetFault(func(azuretest.Request) azuretest.Fault {
				mu.Lock()
				defer mu.Unlock()
				if !faults.Load() || fault.IntN(30) > 0 {
					return azuretest.Fault{}
				}
				return azuretest.Fault{Kind: kinds[fault.IntN(len(kinds))]}
			})
			faults.Store(true)
			m.env["AZUREBLOB_MAX_SIZE"] = []string{"0", "20K"}[seed%2]

			in := info("web")
			p := m.run(in)
			var want [2][]string
			var open [2]*frame.Entry
			for i := range 2000 {
				src := r.IntN(2)
				text := fmt.Sprintf("%s %d %s", sources[src], i, strings.Repeat("x", r.IntN(300)))
				switch o := open[src]; {
				case o != nil:
					o.Line, o.Ordinal, o.Last = []byte(text), o.Ordinal+1, r.IntN(3) == 0
					want[src][len(want[src])-1] += text
					p.write(*o)
					if o.Last {
						open[src] = nil
					}
				case r.IntN(5) == 0:
					open[src] = &frame.Entry{Source: sources[src], Time: int64(i + 1), Line: []byte(text), Partial: true, ID: fmt.Sprint(i), Ordinal: 1}
					want[src] = append(want[src], text)
					p.write(*open[src])
				default:
					want[src] = append(want[src], text)
					p.write(frame.Entry{Source: sources[src], Time: int64(i + 1), Line: []byte(text)})
				}
				if r.IntN(100) == 0 {
					m.halt(time.Duration(r.IntN(2)) * 20 * time.Millisecond)
					m.boot()
				}
			}
			faults.Store(false)
			p.stop()
			var got [2][]string
			for name := "web.log"; name != ""; {
				var b azuretest.Blob
				until(t, name+" has ended", func() bool {
					b, _ = m.Blob("logs", name)
					return b.Metadata["next"] != "" || b.Metadata["complete"] == "1"
				})
				name = b.Metadata["next"]
				for dec := json.NewDecoder(bytes.NewReader(b.Content)); ; {
					var line struct{ Log, Stream string }
					if err := dec.Decode(&line); err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					i := sourceIndex(line.Stream)
					got[i] = append(got[i], strings.TrimSuffix(line.Log, "\n"))
				}
			}
			for i, source := range sources {
				if g, w := strings.Join(got[i], "\n"), strings.Join(want[i], "\n"); g != w {
					at := 0
					for at < min(len(g), len(w)) && g[at] == w[at] {
						at++
					}
					t.Errorf("%s: the log is not what was written, from byte %d on:\n%.300q\nand not\n%.300q", source, at, g[max(0, at-50):], w[max(0, at-50):])
				}
			}
		})
	}
}

// A log goes on in the format and compression in which it was begun, whatever is set
// meanwhile: by a restart of the plugin, of the container, or when its folder is gone.
func TestFormatStays(t *testing.T) {
	m := newMachine(t)
	m.env["AZUREBLOB_COMPRESS"], m.env["AZUREBLOB_FORMAT"] = "zstd", "text"
	in := info("web")
	p := m.run(in)
	p.write(frame.Entry{Source: "stdout", Time: 1, Line: []byte("one")})
	until(t, "the line is readable", func() bool { return len(m.Blobs("logs")) > 0 })

	m.env["AZUREBLOB_COMPRESS"], m.env["AZUREBLOB_FORMAT"] = "none", "json"
	m.halt(time.Second)
	m.boot()
	p.write(frame.Entry{Source: "stdout", Time: 2, Line: []byte("two")})
	p.stop()
	m.complete("web.log")
	p = m.run(in)
	p.write(frame.Entry{Source: "stdout", Time: 3, Line: []byte("three")})
	p.stop()
	m.settled()
	m.driver.shelf.clear()
	p = m.run(in)
	p.write(frame.Entry{Source: "stdout", Time: 4, Line: []byte("four")})
	p.stop()
	m.settled()

	b := m.complete("web.log")
	plain, err := record.NewDecoder("zstd", bytes.NewReader(b.Content))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(plain)
	want := "1970-01-01T00:00:00.000000001Z stdout F one\n1970-01-01T00:00:00.000000002Z stdout F two\n" +
		"1970-01-01T00:00:00.000000003Z stdout F three\n1970-01-01T00:00:00.000000004Z stdout F four\n"
	if err != nil || string(got) != want {
		t.Errorf("the log is\n%s%v", got, err)
	}
	if b.ContentEncoding != "zstd" {
		t.Errorf("its encoding is %q", b.ContentEncoding)
	}
}
