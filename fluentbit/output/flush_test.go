package output

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// A flush is not queued before one of its tag with earlier events that has come.
func TestFlushWaitsForAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		earlier := b.o.order.enter("a", time.Unix(0, 0))
		var flush sync.WaitGroup
		flush.Go(func() { b.send("a", 1) })
		b.send("b", 1) // of another tag
		time.Sleep(time.Second)
		if names := fmt.Sprint(b.server.Blobs("logs")); names != "[b.log]" {
			t.Errorf("blobs %s", names)
		}
		b.o.order.leave(earlier)
		flush.Wait()
		b.check()
	})
}

// Chunks with records for more blobs than are looked for one by one, one after the other.
func TestChunksOfManyBlobs(t *testing.T) {
	b := newBed(t, "path=$to.log")
	for range 5 {
		var events []flbtest.Event
		for i := range 60 {
			tag := fmt.Sprint("t", i%20)
			events = append(events, flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "to", Value: tag}, {Key: "log", Value: b.lines.Lines(tag, 1)[0]}}))
		}
		b.deliver("any", flbtest.Chunk(events...))
	}
	b.check()
	if n := b.server.Counts()[azuretest.PutBlob]; n != 100 {
		t.Errorf("%d commits for 5 chunks of 20 blobs", n)
	}
	for i := range 20 {
		if _, marks := parseCursor(b.meta(fmt.Sprintf("t%d.log", i))["cursor"]); len(marks) != 5 {
			t.Errorf("%d marks of 5 chunks", len(marks))
		}
	}
}

// A large chunk has the time that it takes on a slow link.
func TestTimeOfALargeChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "flush_timeout=20s")
		b.send("a", 1)
		b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 12 * time.Second} })
		b.lines.Size = 2 << 20
		if r := b.o.Flush("a", b.lines.Chunk("a", 1)); r != OK {
			t.Error(r)
		}
	})
}

// Tag and chunk are Fluent Bit's memory, which it uses again.
func TestMemoryIsNotKept(t *testing.T) {
	b := newBed(t, "metadata=tag=$TAG,line=$log", "idle_timeout=1h")
	memory := make([]byte, 3)
	for _, tag := range []string{"one", "two", "one", "two", "one"} {
		copy(memory, tag)
		chunk := b.lines.Chunk(tag, 3)
		if r := b.o.Flush(unsafe.String(&memory[0], len(memory)), chunk); r != OK {
			t.Fatal(r)
		}
		clear(chunk)
	}
	if names := fmt.Sprint(b.server.Blobs("logs")); names != "[one.log two.log]" || b.streams() != 2 {
		t.Errorf("%s of %d streams", names, b.streams())
	}
	for _, tag := range []string{"one", "two"} {
		if meta := b.meta(tag + ".log"); meta["tag"] != tag || !strings.HasPrefix(meta["line"], tag+" 1") {
			t.Errorf("metadata of %s: %v", tag, meta)
		}
	}
	b.check()
}
