package output

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// What a process has committed and Fluent Bit gives its successor again is written once.
func TestReplay(t *testing.T) {
	for _, n := range []int{1, 16, 80, 180} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.lines.AnyOrder = true
			var chunks [][]byte
			for range n {
				chunk := b.lines.Chunk("a", 20)
				chunks = append(chunks, chunk)
				b.deliver("a", chunk)
			}
			b.start()
			b.send("a", 3) // what is new comes first, and moves the others on in the cursor
			for _, chunk := range chunks {
				b.deliver("a", chunk)
			}
			b.check()
			// Each is looked for once: the same bytes again are another chunk.
			b.deliver("a", chunks[0])
			if got, want := len(b.content("json")), b.lines.Made("a")+20; got != want {
				t.Errorf("%d lines, want %d", got, want)
			}
		})
	}
}

// A chunk with records for many blobs, of which some could not be written, is written
// once into each.
func TestOneOfManyBlobsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "path=$to.log")
		var events []flbtest.Event
		for i := range 60 {
			tag := fmt.Sprintf("t%d", i%20)
			events = append(events, flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "to", Value: tag}, {Key: "log", Value: b.lines.Lines(tag, 1)[0]}}))
		}
		failing := true
		b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
			if failing && (r.Blob == "t3.log" || r.Blob == "t7.log") {
				return azuretest.Fault{Kind: azuretest.Denied}
			}
			return azuretest.Fault{}
		})
		chunk := flbtest.Chunk(events...)
		if r := b.o.Flush("any", chunk); r != Retry {
			t.Fatalf("%v, want RETRY", r)
		}
		if n := len(b.server.Blobs("logs")); n != 18 {
			t.Errorf("%d blobs", n)
		}
		failing = false
		b.deliver("any", chunk)
		b.check()
	})
}

// Flushes that come while a commit is under way are one commit together.
func TestFlushesShareACommit(t *testing.T) {
	b := newBed(t, "flush_timeout=60s")
	b.lines.AnyOrder = true
	b.send("a", 1000)
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.server.SetFault(func(r azuretest.Request) (f azuretest.Fault) {
		once.Do(func() {
			f.Hold = hold
			close(held)
		})
		return f
	})
	var flushes sync.WaitGroup
	flushes.Go(func() { b.send("a", 10) })
	<-held
	for range 20 {
		flushes.Go(func() { b.send("a", 10) })
	}
	b.o.mu.Lock()
	s := b.o.streams["a.log"]
	b.o.mu.Unlock()
	for waiting := 0; waiting < 20; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = len(s.queue)
		s.mu.Unlock()
	}
	b.server.ResetLog()
	close(hold)
	flushes.Wait()
	b.check()
	if n := len(b.server.Log()); n > 4 {
		t.Errorf("%d requests for 21 flushes: %v", n, b.requests())
	}
}

func TestRequestsOfAFlush(t *testing.T) {
	b := newBed(t)
	count := func(want string, what string) {
		t.Helper()
		var ops []string
		for _, e := range b.server.Log() {
			ops = append(ops, string(e.Op))
		}
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		b.server.ResetLog()
	}
	b.send("a", 1)
	count("HeadBlob HeadBlob PutBlob", "the first flush")
	b.send("a", 1)
	count("PutBlob", "a small blob")
	b.send("a", 2000)
	count("PutBlock PutBlockList", "a larger one")
	b.send("a", 1)
	count("PutBlock PutBlockList", "and then")
	b.start()
	b.send("a", 1)
	count("HeadBlob GetBlockList PutBlock PutBlockList", "after a restart")
	b.check()
}

// Storage that does not answer holds a worker for one flush's time, and then for two
// seconds at most; what was queued is settled soon, and nothing is lost.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.lines.AnyOrder = true
		b.send("a", 1)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
		flush := func(tag string) (Result, time.Duration) {
			start := time.Now()
			chunk := b.lines.Chunk(tag, 1)
			defer func() { go b.deliver(tag, chunk) }()
			return b.o.Flush(tag, chunk), time.Since(start)
		}
		if r, d := flush("a"); r != Retry || d > 11*time.Second {
			t.Errorf("the first: %v after %v", r, d)
		}
		synctest.Wait()
		// Sixty tasks are queued at two workers.
		start := time.Now()
		var workers sync.WaitGroup
		for range 2 {
			workers.Go(func() {
				for i := range 30 {
					if r, d := flush(fmt.Sprint("t", i)); r != Retry || d > 3*time.Second {
						t.Errorf("a later one: %v after %v", r, d)
					}
				}
			})
		}
		workers.Wait()
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("the queue took %v", d)
		}
		time.Sleep(30 * time.Second)
		b.server.SetFault(nil)
		time.Sleep(time.Minute) // the deliveries above end
		b.check()
		if n := strings.Count(b.log.String(), "storage is back"); n != 1 {
			t.Errorf("told %d times that storage is back:\n%s", n, b.log)
		}
		if n := strings.Count(b.log.String(), "\n"); n > 8 {
			t.Errorf("%d lines of log:\n%s", n, b.log)
		}
	})
}

func TestDamagedChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		good := b.lines.Chunk("a", 10)
		damaged := append(bytes.Clone(good), 0x92, 0xc1, 1, 2, 3)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
		if r := b.o.Flush("a", damaged); r != Retry { // what can be written is not yet
			t.Errorf("%v", r)
		}
		b.server.SetFault(nil)
		if r := b.o.Flush("a", damaged); r != Error {
			t.Errorf("%v", r)
		}
		b.check()
		if !strings.Contains(b.log.String(), "undecoded_bytes=5") || !strings.Contains(b.log.String(), "tag=a") {
			t.Errorf("not told:\n%s", b.log)
		}
		if r := b.o.Flush("a", []byte{0xc1}); r != Error {
			t.Errorf("rubbish: %v", r)
		}
		if r := b.o.Flush("a", nil); r != OK {
			t.Errorf("nothing: %v", r)
		}
	})
}

// Two processes that say they are the same go on side by side.
func TestTwoOfOneName(t *testing.T) {
	b := newBed(t)
	b.lines.AnyOrder = true
	two, err := b.another()
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	var both sync.WaitGroup
	both.Go(func() {
		for range 30 {
			b.send("a", 5)
		}
	})
	both.Go(func() {
		for range 30 {
			chunk := b.lines.Chunk("a", 5)
			for two.Flush("a", chunk) != OK {
			}
		}
	})
	both.Wait()
	b.check()
	if n := strings.Count(b.log.String(), "another Fluent Bit"); n > 2 {
		t.Errorf("told %d times", n)
	}
	if names := b.server.Blobs("logs"); len(names) != 1 {
		t.Errorf("blobs %q", names)
	}
}

// Two hosts with one path have a blob each.
func TestTwoHosts(t *testing.T) {
	b := newBed(t)
	two, err := b.another("hostname=node2")
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	for range 3 {
		b.send("a", 2)
		if r := two.Flush("a", flbtest.LogChunk(time.Now(), "x")); r != OK {
			t.Fatal(r)
		}
	}
	names := b.server.Blobs("logs")
	if len(names) != 2 {
		t.Fatalf("blobs %q", names)
	}
	if err := b.lines.Check(b.content("json", "a.log")); err != nil {
		t.Error(err)
	}
}

// Two outputs that write the same chunks to one blob in different forms both do.
func TestTwoForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		two, err := b.another("format=raw")
		if err != nil {
			t.Fatal(err)
		}
		defer two.Close()
		chunk := b.lines.Chunk("a", 3)
		for range 2 { // the second time, as after a restart
			if one, two := b.o.Flush("a", chunk), two.Flush("a", chunk); one != OK || two != OK {
				t.Fatal(one, two)
			}
			b.start()
			again, err := b.another("format=raw")
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			two = again
		}
		if n := len(b.content("raw")); n != 6 {
			t.Errorf("%d lines, want 3 of each form", n)
		}
	})
}

func TestRollOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "max_size=10k")
		b.lines.Size = 100
		var chunks [][]byte
		for range 20 {
			chunks = append(chunks, b.lines.Chunk("a", 20))
			b.deliver("a", chunks[len(chunks)-1])
		}
		b.start()
		for _, c := range chunks[10:] {
			b.deliver("a", c)
		}
		b.send("a", 1)
		b.check()
		if n := len(b.server.Blobs("logs")); n < 5 {
			t.Errorf("%d blobs", n)
		}
	})
}

func TestMetadataAndTags(t *testing.T) {
	b := newBed(t, "metadata=team=shop,pod=$kubernetes['pod_name']", "tags=app=$kubernetes['app'],env=test", "path=$kubernetes['pod_name'].log")
	event := func(pod, app, line string) flbtest.Event {
		return flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "log", Value: line}, {Key: "kubernetes", Value: flbtest.Map{{Key: "pod_name", Value: pod}, {Key: "app", Value: app}}}})
	}
	b.deliver("k", flbtest.Chunk(event("one", "web", "1"), event("two", "a#b\x00é", "2"), event("three", "", "3"), event("one", "web", "4")))
	for name, want := range map[string][2]string{"one": {"one", "web"}, "two": {"two", ""}, "three": {"three", ""}} {
		blob, _ := b.server.Blob("logs", name+".log")
		if blob.Metadata["team"] != "shop" || blob.Metadata["pod"] != want[0] || blob.Metadata["stream"] != "node1" {
			t.Errorf("%s: metadata %v", name, blob.Metadata)
		}
		if blob.Tags["env"] != "test" || want[1] != "" && blob.Tags["app"] != want[1] {
			t.Errorf("%s: tags %v", name, blob.Tags)
		}
	}
}

// What records bring for metadata may be more than a blob takes.
func TestTooMuchMetadata(t *testing.T) {
	b := newBed(t, "metadata=x=$x")
	b.deliver("a", flbtest.Chunk(flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "log", Value: "1"}, {Key: "x", Value: strings.Repeat("x", 10_000)}})))
	if len(b.content("json")) != 1 || len(b.meta("a.log")["x"]) < 1000 || b.log.String() != "" {
		t.Errorf("%d bytes of metadata; %s", len(b.meta("a.log")["x"]), b.log)
	}
}

func TestMissingField(t *testing.T) {
	b := newBed(t, "path=$pod/$TAG.log")
	for range 3 {
		b.send("a", 2)
	}
	b.check()
	if names := fmt.Sprint(b.server.Blobs("logs")); names != "[unknown/a.log]" {
		t.Error(names)
	}
	if n := strings.Count(b.log.String(), "no such field"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add("RUNRUNRU")
	f.Add("RUNRUNRUAAAAAAAAAAA")
	f.Add("RUNRUNRU\n\n\n\nAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		run, marks := parseCursor(s)
		var r recent
		for _, m := range marks {
			r = append(r, marked{mark: m})
		}
		if len(marks) > 0 && len(r.cursor(run)) != len(s) {
			t.Errorf("%q becomes %q", s, r.cursor(run))
		}
	})
}
