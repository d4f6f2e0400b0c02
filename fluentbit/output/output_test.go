package output

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
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

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=10m")
		chunk := b.lines.Chunk("a", 5)
		b.deliver("a", chunk)
		time.Sleep(9 * time.Minute)
		if b.meta("a.log")["complete"] != "" {
			t.Error("complete too early")
		}
		time.Sleep(3 * time.Minute)
		if b.meta("a.log")["complete"] != "1" {
			t.Error("not complete when idle")
		}
		if n := b.streams(); n != 0 {
			t.Errorf("%d streams are kept", n)
		}
		b.send("a", 5)
		if b.meta("a.log")["complete"] != "" {
			t.Error("complete, and goes on")
		}
		b.check()
		// The same bytes again are a new chunk, for this process knows of no doubt.
		time.Sleep(time.Hour)
		b.deliver("a", chunk)
		if n := len(b.content("json")); n != 15 {
			t.Errorf("%d lines", n)
		}
		if names := b.server.Blobs("logs"); len(names) != 1 {
			t.Errorf("blobs %q", names)
		}
	})
}

// A log of which a chunk is still to come has not ended.
func TestIdleWhileAChunkWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=1m")
		b.send("a", 5)
		late := b.lines.Chunk("a", 5)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
		if r := b.o.Flush("a", late); r != Retry {
			t.Fatal(r)
		}
		b.server.SetFault(nil)
		time.Sleep(20 * time.Minute)
		if b.meta("a.log")["complete"] != "" {
			t.Error("complete, and a chunk is still to come")
		}
		b.deliver("a", late)
		time.Sleep(3 * time.Minute)
		if b.meta("a.log")["complete"] != "1" {
			t.Error("not complete")
		}
		b.check()

		// Fluent Bit gives a chunk up in the end.
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
		b.o.Flush("a", flbtest.LogChunk(time.Now(), "given up"))
		b.server.SetFault(nil)
		b.send("a", 1)
		time.Sleep(time.Hour)
		if b.meta("a.log")["complete"] != "1" {
			t.Error("not complete an hour after a chunk was given up")
		}
	})
}

// Storage is away when a stream becomes idle: the mark comes later.
func TestIdleInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=1m")
		b.send("a", 5)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Busy} })
		time.Sleep(5 * time.Minute)
		b.server.SetFault(nil)
		time.Sleep(3 * time.Minute)
		if b.meta("a.log")["complete"] != "1" {
			t.Error("not complete")
		}
		b.check()
	})
}

func TestIdleNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "idle_timeout=0")
		b.send("a", 5)
		time.Sleep(time.Hour)
		if b.meta("a.log")["complete"] != "" {
			t.Error("complete")
		}
		if n := b.streams(); n != 0 {
			t.Errorf("%d streams are kept", n)
		}
		b.send("a", 5)
		b.check()
	})
}

func TestCompleteOnExit(t *testing.T) {
	for _, on := range []string{"on", "off"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, "complete_on_exit="+on)
			for i := range 40 {
				b.send(fmt.Sprint("t", i), 3)
			}
			b.o.Close()
			for i := range 40 {
				if got := b.meta(fmt.Sprintf("t%d.log", i))["complete"] == "1"; got != (on == "on") {
					t.Fatalf("complete_on_exit %s: t%d is complete: %v", on, i, got)
				}
			}
			b.check()
		})
	}
}

// An exit while storage is away takes no longer than a flush.
func TestExitInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "complete_on_exit=on")
		for i := range 100 {
			b.send(fmt.Sprint("t", i), 3)
		}
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
		start := time.Now()
		b.o.Close()
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("the exit took %v", d)
		}
	})
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

// A tag's flushes that come at the same moment pass in the order of their events.
func TestOrderOfATag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		const n = 8
		var chunks [n][]byte
		for round := range 20 {
			at := time.Unix(int64(round), 0)
			for i := range chunks {
				chunks[i] = flbtest.LogChunk(at.Add(time.Duration(i)*time.Millisecond), b.lines.Lines("a", 50)...)
			}
			var flushes sync.WaitGroup
			for i := n - 1; i >= 0; i-- {
				flushes.Go(func() { b.deliver("a", chunks[i]) })
				synctest.Wait() // it is waiting for earlier ones
			}
			flushes.Wait()
		}
		b.check()
	})
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		o.changed.L = &o.mu
		var got []int
		var mu sync.Mutex
		places := make([]*place, 6)
		for i, at := range []int{5, 3, 4, 1, 2, 1} {
			places[i] = o.enter("a", time.Unix(int64(at), 0))
		}
		other := o.enter("b", time.Unix(0, 0))
		for i, p := range places {
			go func() {
				o.wait(p)
				mu.Lock()
				got = append(got, i)
				mu.Unlock()
				o.leave(p)
			}()
		}
		time.Sleep(moment)
		synctest.Wait()
		o.leave(other)
		if s := fmt.Sprint(got); s != "[3 5 4 1 2 0]" {
			t.Error(s)
		}
		if len(o.waiting) != 0 {
			t.Error("places are left")
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

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		keys   []string
		fault  azuretest.Fault
		fails  string // what the error must say; "": it starts
		logged string
	}{
		{name: "fine"},
		{name: "no container", keys: []string{"container_name=nothere", "auto_create_container=off"}, fails: `no container "nothere": create it, or set auto_create_container on`},
		{name: "container is made", keys: []string{"container_name=nothere"}},
		{name: "denied", fault: azuretest.Fault{Kind: azuretest.Denied}, fails: "AuthenticationFailed"},
		{name: "no permission", fault: azuretest.Fault{Kind: azuretest.Denied, Code: "AuthorizationPermissionMismatch"}, fails: "Storage Blob Data Contributor"},
		{name: "busy", fault: azuretest.Fault{Kind: azuretest.Busy}, logged: "storage does not answer"},
		{name: "black hole", fault: azuretest.Fault{Kind: azuretest.BlackHole}, logged: "storage does not answer"},
		{name: "off", keys: []string{"startup_probe=off"}, fault: azuretest.Fault{Kind: azuretest.Denied}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.server.SetFault(func(azuretest.Request) azuretest.Fault { return c.fault })
				start := time.Now()
				o, err := b.another(append([]string{"startup_probe=on"}, c.keys...)...)
				if d := time.Since(start); d > 7*time.Second {
					t.Errorf("it took %v", d)
				}
				if err == nil {
					o.Close()
				}
				switch {
				case c.fails == "" && err != nil:
					t.Error(err)
				case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "\n")):
					t.Errorf("the error is %v, want one line with %q", err, c.fails)
				}
				if !strings.Contains(b.log.String(), c.logged) || c.logged == "" && b.log.String() != "" {
					t.Errorf("logged %s", b.log)
				}
			})
		})
	}
}

// A host that does not exist is a wrong name, not an outage.
func TestNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newBed(t).settings("startup_probe=on")
		_, err := New(set, Options{Transport: noDNS{}})
		if err == nil || !strings.Contains(err.Error(), "there is no such host: check account_name") || strings.Contains(err.Error(), "\n") {
			t.Error(err)
		}
	})
}

type noDNS struct{}

func (noDNS) Do(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add("RUNRUNRU")
	f.Add("RUNRUNRUAAAAAAAAAAA")
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
