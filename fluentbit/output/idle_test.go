package output

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

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
