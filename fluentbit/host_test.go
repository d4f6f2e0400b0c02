package main_test

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// keysFor are the keys that lead to a container of b.
func keysFor(b azuretest.Backend, container string) flbtest.Props {
	return flbtest.Props{
		"connection_string": b.ConnectionString,
		"container_name":    container,
		"hostname":          "node",
	}
}

// standIn is an account of the test's own, and the keys that lead to it.
func standIn(t *testing.T) (*azuretest.Server, flbtest.Props) {
	t.Helper()
	s := azuretest.New()
	s.NoLog = true
	return s, keysFor(azuretest.StandIn(s, s.Start(t), nil), "logs")
}

// linesOf is all lines of a container of the stand-in.
func linesOf(t *testing.T, s *azuretest.Server, container string) []string {
	t.Helper()
	var all []string
	for _, name := range s.Blobs(container) {
		b, _ := s.Blob(container, name)
		lines, err := flbtest.BlobLines(b, "json")
		if err != nil {
			t.Fatalf("blob %q: %v", name, err)
		}
		all = append(all, lines...)
	}
	return all
}

func check(t *testing.T, n *flbtest.Numbered, lines []string, tags ...string) {
	t.Helper()
	if err := n.Check(lines, tags...); err != nil {
		t.Error(err)
	}
}

// ok waits for flushes, which must all have been written.
func ok(t *testing.T, flushes ...<-chan flbtest.Answer) (deepest int) {
	t.Helper()
	for _, f := range flushes {
		a := <-f
		if a.Result != "OK" {
			t.Errorf("a flush was answered %q", a.Result)
		}
		deepest = max(deepest, a.Depth)
	}
	return deepest
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// What Fluent Bit looks for, and how the library has to be linked.
func TestLibrary(t *testing.T) {
	f, err := elf.Open(flbtest.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	for _, s := range symbols {
		defined[s.Name] = s.Section != elf.SHN_UNDEF
	}
	for _, name := range []string{
		"FLBPluginRegister", "FLBPluginInit", "FLBPluginFlushCtx", "FLBPluginExitCtx", "FLBPluginExit", "FLBPluginUnregister",
	} {
		if !defined[name] {
			t.Errorf("%s is not exported", name)
		}
	}
	for _, name := range []string{"azureblob_pipe", "azureblob_answer", "FLBPluginFlush"} {
		if defined[name] {
			t.Errorf("%s is exported", name)
		}
	}
	flags, err := f.DynValue(elf.DT_FLAGS_1)
	if err != nil || len(flags) != 1 {
		t.Fatalf("DT_FLAGS_1: %v, %v", flags, err)
	}
	if f1 := elf.DynFlag1(flags[0]); f1&elf.DF_1_NODELETE == 0 || f1&elf.DF_1_NOW == 0 {
		t.Errorf("the library is linked with %v; it must stay when it is closed, and bind its symbols when it is loaded", f1)
	}
}

func TestBackends(t *testing.T) {
	for _, b := range azuretest.Backends(t) {
		t.Run(b.Name, func(t *testing.T) {
			container := b.NewContainer(t)
			h := flbtest.Start(t, flbtest.HostConfig{Workers: 2}, keysFor(b, container))
			if !strings.HasPrefix(h.Ready, "azureblob Azure Blob Storage") {
				t.Errorf("the library is registered as %q", h.Ready)
			}
			n := &flbtest.Numbered{Size: 100}
			tags := []string{"app", "kube.var.log.containers.web"}
			for range 20 { // beyond what one request writes
				for _, tag := range tags {
					if a := h.Flush(0, tag, n.Chunk(tag, 100)); a.Result != "OK" {
						t.Fatalf("a flush was answered %q", a.Result)
					}
					lines := download(t, b, container, "node/"+tag+".log")
					check(t, n, lines, tag) // OK means that all of it is readable
				}
			}
			h.Stop(0)
		})
	}
}

func download(t *testing.T, b azuretest.Backend, container, name string) []string {
	t.Helper()
	resp, err := b.Client(container, name).DownloadStream(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := flbtest.BlobLines(azuretest.Blob{Content: content}, "json")
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// A flush uses next to nothing of the coroutine's stack, whoever runs it.
func TestStacks(t *testing.T) {
	for _, stack := range []int{flbtest.SmallStack, flbtest.BigStack} {
		for _, workers := range []int{0, 1, 4} {
			t.Run(fmt.Sprintf("%dKiB, workers %d", stack>>10, workers), func(t *testing.T) {
				s, props := standIn(t)
				h := flbtest.Start(t, flbtest.HostConfig{Workers: workers, Stack: stack}, props)
				n := &flbtest.Numbered{AnyOrder: workers > 1} // for these overtake each other
				var flushes []<-chan flbtest.Answer
				for i := range 40 {
					flushes = append(flushes, h.Go(0, "app", n.Chunk("app", 1+i*20)))
				}
				deepest := ok(t, flushes...)
				t.Logf("the deepest of %d flushes used %d bytes", len(flushes), deepest)
				if deepest > 4<<10 {
					t.Errorf("a flush used %d bytes of its stack", deepest)
				}
				h.Stop(0)
				check(t, n, linesOf(t, s, "logs"))
			})
		}
	}
}

// Each of a thousand threads waits for a flush of its own.
func TestThousandAtOnce(t *testing.T) {
	const flushes, tags = 1000, 50
	s, props := standIn(t)
	h := flbtest.Start(t, flbtest.HostConfig{Workers: flushes}, props)
	held := make(chan struct{})
	s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Hold: held} })
	n := &flbtest.Numbered{Size: 60, AnyOrder: true}
	var all []<-chan flbtest.Answer
	for i := range flushes {
		tag := fmt.Sprintf("tag%d", i%tags)
		all = append(all, h.Go(0, tag, n.Chunk(tag, 10)))
	}
	await(t, "a request for each tag is under way", func() bool {
		total := 0
		for _, c := range s.Counts() {
			total += c
		}
		return total >= tags
	})
	s.SetFault(nil)
	close(held)
	ok(t, all...)
	h.Stop(0)
	check(t, n, linesOf(t, s, "logs"))
}

func TestInstances(t *testing.T) {
	s, props := standIn(t)
	other := flbtest.Props{}
	for k, v := range props {
		other[strings.ToUpper(k)] = v // Fluent Bit does not mind
	}
	other["CONTAINER_NAME"], other["log_key"] = "others", "log"
	h := flbtest.Start(t, flbtest.HostConfig{Workers: 1}, props, other)
	n := &flbtest.Numbered{}
	first, second := n.Lines("app", 10), n.Lines("app", 10)
	for i := range 2 {
		ok(t, h.Go(i, "app", flbtest.LogChunk(time.Now(), first...)))
	}
	h.Exit(0)
	ok(t, h.Go(1, "app", flbtest.LogChunk(time.Now(), second...)))
	h.Stop(1)
	if got := linesOf(t, s, "logs"); !slices.Equal(got, first) {
		t.Errorf("the first output wrote %q", got)
	}
	b, _ := s.Blob("others", "node/app.log")
	if got, want := string(b.Content), strings.Join(slices.Concat(first, second), "\n")+"\n"; got != want {
		t.Errorf("the second output wrote %q, want %q", got, want)
	}
}

// A section that cannot work is one line, whatever is wrong, and others can start.
func TestWrongKeys(t *testing.T) {
	s, good := standIn(t)
	with := func(key, value string) flbtest.Props {
		p := flbtest.Props{}
		for k, v := range good {
			p[k] = v
		}
		p[key] = value
		return p
	}
	h := flbtest.StartHost(t, flbtest.HostConfig{})
	before := 0
	for _, c := range []struct {
		props flbtest.Props
		want  string
	}{
		{flbtest.Props{}, "account_name"},
		{with("path", "$TAG[x"), "path"},
		{with("compress", "rar"), "compress"},
		{with("flush_timeout", "soon"), "flush_timeout"},
		{flbtest.Props{"account_name": "standin", "shared_key": "bm90IHRoZSBrZXk=", "endpoint": endpoint(good)}, "account key"},
	} {
		if i, ok := h.Init(c.props); ok {
			t.Fatalf("instance %d starts without a good %s", i, c.want)
		}
		said := h.Stderr()[before:]
		before += len(said)
		if strings.Count(said, "\n") != 1 || !strings.Contains(said, "] [error] [output:azureblob] ") || !strings.Contains(said, c.want) {
			t.Errorf("without a good %s it says %q", c.want, said)
		}
	}
	i, started := h.Init(good)
	if !started {
		t.Fatal("a good output does not start after bad ones")
	}
	n := &flbtest.Numbered{}
	ok(t, h.Go(i, "app", n.Chunk("app", 5)))
	h.Stop(i)
	check(t, n, linesOf(t, s, "logs"))
}

func endpoint(p flbtest.Props) string {
	_, after, _ := strings.Cut(p["connection_string"], "BlobEndpoint=")
	return after
}

// Odd tags and chunks, of which nothing is read that is not there: the chunk ends where
// the memory does.
func TestOddFlushes(t *testing.T) {
	s, props := standIn(t)
	h := flbtest.Start(t, flbtest.HostConfig{Workers: 1}, props)
	size := 20 << 20
	if flbtest.RaceDetector {
		size = 2 << 20
	}
	big := strings.Repeat("x", size)
	for _, c := range []struct {
		name, tag string
		chunk     []byte
		want      string
	}{
		{"an empty chunk", "app", nil, "OK"},
		{"MiBs in a line", "big", flbtest.LogChunk(time.Now(), big), "OK"},
		{"no tag", "", flbtest.LogChunk(time.Now(), "a"), "OK"},
		{"a long tag", strings.Repeat("t", 300), flbtest.LogChunk(time.Now(), "a"), "OK"},
		{"a tag that is no text", "\xff\n/../x", flbtest.LogChunk(time.Now(), "a"), "OK"},
		{"half an event", "half", flbtest.LogChunk(time.Now(), "abc")[:20], "ERROR"},
		{"noise", "noise", bytes.Repeat([]byte{0xc1}, 5000), "ERROR"},
		{"a list without an end", "list", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}, "ERROR"},
	} {
		if a := h.Flush(0, c.tag, c.chunk); a.Result != c.want {
			t.Errorf("%s: %q, want %s", c.name, a.Result, c.want)
		}
	}
	h.Stop(0)
	b, _ := s.Blob("logs", "node/big.log")
	if lines, err := flbtest.BlobLines(b, "json"); err != nil || len(lines) != 1 || lines[0] != big {
		t.Errorf("of a line of %d bytes a blob of %d is there: %v", size, len(b.Content), err)
	}
}

// What storage does not take comes again, and is there once.
func TestOutage(t *testing.T) {
	s, props := standIn(t)
	props["flush_timeout"] = "1s"
	h := flbtest.Start(t, flbtest.HostConfig{Workers: 4}, props)
	n := &flbtest.Numbered{AnyOrder: true}
	var mu sync.Mutex
	asked := 0
	s.SetFault(func(r azuretest.Request) azuretest.Fault {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return []azuretest.Fault{
			{Kind: azuretest.LostAnswer}, {Kind: azuretest.BlackHole}, {Kind: azuretest.Busy}, {Kind: azuretest.Effect500},
		}[asked%4]
	})
	chunks := make([][]byte, 8)
	for i := range chunks {
		chunks[i] = n.Chunk("app", 20)
	}
	written := make([]bool, len(chunks))
	round := func() (left int) {
		flushes := map[int]<-chan flbtest.Answer{}
		for i := range chunks {
			if !written[i] {
				flushes[i] = h.Go(0, "app", chunks[i])
			}
		}
		for i, f := range flushes {
			switch a := <-f; a.Result {
			case "OK":
				written[i] = true
			case "RETRY":
				left++
			default:
				t.Fatalf("a flush was answered %q", a.Result)
			}
		}
		return left
	}
	round()
	s.SetFault(nil)
	await(t, "all is written", func() bool { return round() == 0 })
	h.Stop(0)
	check(t, n, linesOf(t, s, "logs"))
}

// Exit comes when the workers have ended, so all is written; with complete_on_exit,
// readers learn that it was the end.
func TestExit(t *testing.T) {
	for _, complete := range []string{"off", "on"} {
		t.Run("complete_on_exit "+complete, func(t *testing.T) {
			s, props := standIn(t)
			props["complete_on_exit"] = complete
			h := flbtest.Start(t, flbtest.HostConfig{Workers: 2}, props)
			s.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 20 * time.Millisecond} })
			n := &flbtest.Numbered{AnyOrder: true}
			var flushes []<-chan flbtest.Answer
			for i := range 30 {
				tag := fmt.Sprint("t", i%3)
				flushes = append(flushes, h.Go(0, tag, n.Chunk(tag, 5)))
			}
			h.Stop(0)
			ok(t, flushes...)
			check(t, n, linesOf(t, s, "logs"))
			for _, name := range s.Blobs("logs") {
				b, _ := s.Blob("logs", name)
				if got := b.Metadata["complete"]; (got == "1") != (complete == "on") {
					t.Errorf("blob %q has complete=%q", name, got)
				}
			}
		})
	}
}

// A host that is killed in the middle of flushes is given the chunks again that it had
// not answered, as Fluent Bit does with storage.type filesystem. What it had sent may
// take effect, at once or when its successor is at work.
func TestKill(t *testing.T) {
	for _, fault := range []azuretest.Fault{
		{},
		{Kind: azuretest.BlackHole},
		{Kind: azuretest.LostAnswer},
		{Kind: azuretest.Late, Delay: 5 * time.Millisecond},
	} {
		for _, at := range []int{1, 2, 5, 9} {
			t.Run(fmt.Sprintf("%v at write %d", fault.Kind, at), func(t *testing.T) { kill(t, fault, at) })
		}
	}
}

func kill(t *testing.T, fault azuretest.Fault, at int) {
	s, props := standIn(t)
	h := flbtest.Start(t, flbtest.HostConfig{Workers: 4}, props)
	n := &flbtest.Numbered{Size: 2000, AnyOrder: true} // so that blobs have block lists soon
	type flush struct {
		tag    string
		chunk  []byte
		answer <-chan flbtest.Answer
	}
	flushes := make([]flush, 60)
	for i := range flushes {
		tag := fmt.Sprint("t", i%2)
		flushes[i] = flush{tag: tag, chunk: n.Chunk(tag, 5)}
	}
	arrived, writes := make(chan struct{}), 0
	s.SetFault(func(r azuretest.Request) azuretest.Fault {
		switch r.Op {
		case azuretest.PutBlob, azuretest.PutBlock, azuretest.PutBlockList:
			if writes++; writes == at {
				close(arrived)
				return fault
			}
		}
		return azuretest.Fault{}
	})
	for i := range flushes {
		flushes[i].answer = h.Go(0, flushes[i].tag, flushes[i].chunk)
	}
	<-arrived
	h.Kill()

	h = flbtest.Start(t, flbtest.HostConfig{Workers: 4}, props)
	var again []flush
	for _, f := range flushes {
		if a := <-f.answer; a.Result != "OK" {
			again = append(again, f)
		}
	}
	t.Logf("%d of %d flushes come again", len(again), len(flushes))
	await(t, "all is written", func() bool {
		for i := range again {
			again[i].answer = h.Go(0, again[i].tag, again[i].chunk)
		}
		var left []flush
		for _, f := range again {
			if a := <-f.answer; a.Result != "OK" {
				left = append(left, f)
			}
		}
		again = left
		return len(again) == 0
	})
	h.Stop(0)
	check(t, n, linesOf(t, s, "logs"))
}

// A hot reload leaves nothing behind but what fluent-bit-go keeps of an instance.
func TestReloads(t *testing.T) {
	s, props := standIn(t)
	h := flbtest.StartHost(t, flbtest.HostConfig{Workers: 2})
	n := &flbtest.Numbered{}
	round := func() {
		i, started := h.Init(props)
		if !started {
			t.Fatal("an output does not start")
		}
		ok(t, h.Go(i, "app", n.Chunk("app", 3)))
		h.Exit(i)
		h.Reload()
	}
	rounds := 100
	if flbtest.RaceDetector {
		rounds = 30
	}
	for range 10 {
		round()
	}
	before := h.Usage()
	for range rounds {
		round()
	}
	after := h.Usage()
	t.Logf("after 10 reloads: %v; after %d more: %v", before, rounds, after)
	if after.FDs > before.FDs+2 || after.Threads > before.Threads+4 {
		t.Errorf("%d reloads leave %d fds and %d threads, before them there were %d and %d",
			rounds, after.FDs, after.Threads, before.FDs, before.Threads)
	}
	if grown := after.RSS - before.RSS; grown > 8<<20 && !flbtest.RaceDetector {
		t.Errorf("%d reloads leave %d KiB", rounds, grown>>10)
	}
	h.Stop()
	check(t, n, linesOf(t, s, "logs"))
}

// Fluent Bit's -d forks after plugins were loaded. No Go library outlives that; it must
// not hang, either.
func TestFork(t *testing.T) {
	s, props := standIn(t)
	h := flbtest.StartHost(t, flbtest.HostConfig{})
	h.Fork()
	if _, started := h.Init(props); started {
		t.Error("an output starts in a process without the library's threads")
	}
	h.Stop()
	if len(s.Counts()) > 0 {
		t.Errorf("there were requests: %v", s.Counts())
	}
}

// Nobody reads Fluent Bit's messages any more.
func TestStderrGone(t *testing.T) {
	s, props := standIn(t)
	h := flbtest.StartHost(t, flbtest.HostConfig{Workers: 1, Mute: true})
	if _, started := h.Init(flbtest.Props{}); started {
		t.Fatal("an output without an account starts")
	}
	i, _ := h.Init(props)
	n := &flbtest.Numbered{}
	ok(t, h.Go(i, "app", n.Chunk("app", 3)))
	h.Stop(i)
	check(t, n, linesOf(t, s, "logs"))
}

// Signals that a thread gets while it waits for a flush do not end the wait.
func TestSignals(t *testing.T) {
	s, props := standIn(t)
	h := flbtest.Start(t, flbtest.HostConfig{}, props) // the main thread flushes, and gets the signals
	n := &flbtest.Numbered{}
	ok(t, h.Go(0, "app", n.Chunk("app", 3)))
	held, arrived := make(chan struct{}), make(chan struct{}, 100)
	s.SetFault(func(azuretest.Request) azuretest.Fault {
		arrived <- struct{}{}
		return azuretest.Fault{Hold: held}
	})
	flush := h.Go(0, "app", n.Chunk("app", 3))
	<-arrived
	for i := range 50 {
		if err := syscall.Kill(h.Pid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		await(t, "the signal was handled", func() bool { return strings.Count(h.Stderr(), "signal\n") > i })
	}
	select {
	case a := <-flush:
		t.Errorf("the flush was answered %q before storage did", a.Result)
	default:
	}
	close(held)
	ok(t, flush)
	h.Stop(0)
	check(t, n, linesOf(t, s, "logs"))
}
