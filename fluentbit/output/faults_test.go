package output

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// runOf is what a Fluent Bit does in the tests of faults: two tags, small flushes and
// large ones, so that blobs begin as one request and go on as blocks, and a chunk with
// records for three blobs.
func runOf(b *bed) {
	for round := range 6 {
		b.send("a", 3)
		b.send("b", 400*(round%2)+1)
	}
	var events []flbtest.Event
	for _, tag := range []string{"x", "y", "z", "x", "y", "z"} {
		line := b.lines.Lines(tag, 1)[0]
		events = append(events, flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "log", Value: line}, {Key: "to", Value: tag}}))
	}
	b.o.set.Path = b.settings("path=to-$to.log").Path
	b.deliver("many", flbtest.Chunk(events...))
	b.o.set.Path = b.settings().Path
}

// Every kind of fault, at every request of a run, one at a time.
func TestEveryFaultAtEveryRequest(t *testing.T) {
	run := func(t *testing.T, fault azuretest.Fault, at int) (requests int) {
		b := newBed(t)
		b.lines.Size = 300
		b.server.NoLog = true
		b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
			requests++
			if r.N == at {
				return fault
			}
			return azuretest.Fault{}
		})
		runOf(b)
		b.server.SetFault(nil)
		time.Sleep(time.Minute) // the bubble's: a late request has come by then
		b.check()
		return requests
	}
	var total int
	synctest.Test(t, func(t *testing.T) { total = run(t, azuretest.Fault{}, 0) })
	if total < 20 {
		t.Fatalf("the run has %d requests only", total)
	}
	for _, kind := range azuretest.Faults() {
		if kind == azuretest.OtherWriter { // takes records away: TestAnotherWriterAtEveryRequest
			continue
		}
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= total; at++ {
				synctest.Test(t, func(t *testing.T) {
					fault := azuretest.Fault{Kind: kind}
					if kind == azuretest.Late {
						fault.Delay = []time.Duration{time.Millisecond, 150 * time.Millisecond, 3 * time.Second, 15 * time.Second}[at%4]
					}
					run(t, fault, at)
					if t.Failed() {
						t.Fatalf("%v at request %d", kind, at)
					}
				})
			}
		})
	}
}

// Somebody else replaces a blob: what was in it is gone, by their doing, but nothing that
// comes after is lost, nor is theirs overwritten.
func TestAnotherWriterAtEveryRequest(t *testing.T) {
	for at := 1; at <= 20; at++ {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			hit := false
			b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
				if r.N == at && r.Blob != "" {
					hit = true
					return azuretest.Fault{Kind: azuretest.OtherWriter}
				}
				return azuretest.Fault{}
			})
			for !hit {
				b.send("a", 2)
			}
			before := b.lines.Made("a")
			b.send("a", 5)
			b.send("a", 5)
			all := b.content("raw")
			for i := before + 1; i <= before+10; i++ {
				found := 0
				for _, line := range all {
					if bytes.Contains([]byte(line), []byte(fmt.Sprintf(`"a %d `, i))) {
						found++
					}
				}
				if found != 1 {
					t.Fatalf("another writer at request %d: line %d is there %d times: %q", at, i, found, b.server.Blobs("logs"))
				}
			}
		})
	}
}

// Random faults, several at a time, several workers, and processes that die at any
// moment: what Fluent Bit has had no answer for, or has not noted yet, comes again.
func TestCrashesAmongFaults(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	kinds := azuretest.Faults()
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 4))
			compress := []string{"none", "gzip", "zstd"}[seed%3]
			b := newBed(t, "compress="+compress, "max_size="+[]string{"0", "20k"}[seed%2])
			b.lines.Size, b.lines.AnyOrder = 1+r.IntN(300), true
			b.server.NoLog = true
			faults := rand.New(rand.NewPCG(seed, 5)) // the server's own
			b.server.SetFault(func(azuretest.Request) azuretest.Fault {
				kind := kinds[faults.IntN(len(kinds))]
				if faults.IntN(5) > 0 || kind == azuretest.OtherWriter {
					return azuretest.Fault{}
				}
				return azuretest.Fault{Kind: kind, Delay: time.Duration(faults.IntN(3000)) * time.Millisecond}
			})
			type task struct {
				tag   string
				chunk []byte
			}
			var todo []task
			for i := range 60 {
				tag := []string{"a", "b", "c"}[i%3]
				todo = append(todo, task{tag, b.lines.Chunk(tag, 1+r.IntN(40))})
			}
			for lives := 0; len(todo) > 0; lives++ {
				if lives > 300 {
					t.Fatalf("seed %d: %d chunks are not taken:\n%.3000s", seed, len(todo), b.log)
				}
				// A life: four workers, until some of the chunks are done. Of the last
				// that were, Fluent Bit has not noted some before it died.
				part := todo[:min(len(todo), 1+r.IntN(12))]
				forgets := r.IntN(4)
				done := make([]bool, len(part))
				o := b.o
				var workers sync.WaitGroup
				for w := range 4 {
					workers.Go(func() {
						for i := w; i < len(part); i += 4 {
							done[i] = o.Flush(part[i].tag, bytes.Clone(part[i].chunk)) == OK
						}
					})
				}
				if r.IntN(2) == 0 {
					workers.Wait()
				} else {
					time.Sleep(time.Duration(r.IntN(20_000)) * time.Millisecond) // some are under way
				}
				b.start()
				workers.Wait()
				var left []task
				for i := len(part) - 1; i >= 0; i-- {
					if !done[i] || forgets > 0 {
						if done[i] {
							forgets--
						}
						left = append(left, part[i])
					}
				}
				todo = append(left, todo[len(part):]...)
				if r.IntN(2) == 0 {
					r.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
				}
			}
			b.server.SetFault(nil)
			time.Sleep(time.Minute)
			if err := b.lines.Check(b.content("json")); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		})
	}
}

// Chunks that are alike in every byte are all written, also when storage fails.
func TestAlikeChunks(t *testing.T) {
	for _, kind := range []azuretest.FaultKind{azuretest.None, azuretest.LostAnswer, azuretest.Effect500, azuretest.CutBefore, azuretest.Late} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			n := 0
			b.server.SetFault(func(r azuretest.Request) azuretest.Fault {
				if n++; n%7 == 0 && (r.Op == azuretest.PutBlob || r.Op == azuretest.PutBlockList) {
					return azuretest.Fault{Kind: kind, Delay: 12 * time.Second}
				}
				return azuretest.Fault{}
			})
			chunk := flbtest.LogChunk(time.Unix(1, 0), "tick")
			const many = 150
			for range many {
				b.deliver("a", chunk)
			}
			time.Sleep(time.Minute)
			if got := len(b.content("json")); got != many {
				t.Errorf("%v: %d of %d are there", kind, got, many)
			}
		})
	}
}
