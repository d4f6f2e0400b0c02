// Command streams keeps many logs live in one process, so that what they take can
// be measured there:
//
//	streams KIND N HEAD SECONDS
//
// N streams of KIND, azureblob (core.Stream) or naive (below), write HEAD bytes
// each and wait until they are readable. With SECONDS 0 they then fall silent;
// else each writes a line of 100 bytes a second, no two at the same time, for
// SECONDS after a while that does not count. It prints one line: the bytes of
// resident memory without streams and (at most) with them, the seconds of processor
// time and the commits for a second of writing.
//
// The account is taken from the environment.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	interval = time.Second // of the flushes, and of a stream's lines
	warmUp   = 3           // seconds
)

var line = append(bytes.Repeat([]byte("x"), 99), '\n')

// stream is what both kinds are.
type stream interface {
	io.Writer
	Sync(context.Context) error
}

func main() {
	log.SetFlags(0)
	kind := os.Args[1]
	var number [3]int
	for i, arg := range os.Args[2:] {
		n, err := strconv.Atoi(arg)
		if err != nil {
			log.Fatal(err)
		}
		number[i] = n
	}
	n, head, seconds := number[0], number[1], number[2]

	cfg, err := core.Load(core.Env(os.LookupEnv))
	if err != nil {
		log.Fatal(err)
	}
	store, err := core.Open(cfg, core.StoreOptions{})
	if err != nil {
		log.Fatal(err)
	}
	begin := func(name string) stream {
		blob := liveblob.Config{Container: store.Container(name), Name: name, Stream: kind, Fresh: true}
		first := bytes.Repeat(line, head/len(line)+1)[:head]
		var s stream
		var err error
		if kind == "naive" {
			s, err = newNaive(blob)
		} else {
			s, err = core.NewStream(core.StreamConfig{Blob: blob, FlushInterval: interval})
		}
		if err == nil {
			_, err = s.Write(first)
		}
		if err == nil {
			err = s.Sync(context.Background())
		}
		if err != nil {
			log.Fatal(err)
		}
		return s
	}
	// A few at a time, so that as few connections are left behind. A naive one
	// waits for its ticker.
	several := func(n int) []stream {
		all := make([]stream, n)
		var g errgroup.Group
		g.SetLimit(map[string]int{"azureblob": 4, "naive": n}[kind])
		begun := time.Now()
		for i := range all {
			time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Millisecond)))
			g.Go(func() error {
				all[i] = begin(fmt.Sprintf("host/stream-%d-of-%d.log", i, n))
				return nil
			})
		}
		g.Wait()
		return all
	}
	several(16) // for what belongs to the process: connections, threads, pools
	without := settled()
	all := several(n)

	cpu, with := 0.0, settled() // what the beginning took is gone
	rate := 0.0
	if seconds > 0 {
		write(all, warmUp)
		spent, made := used(), committed(all)
		with = write(all, seconds)
		cpu = (used() - spent).Seconds() / float64(seconds)
		rate = float64(committed(all)-made) / float64(seconds)
	}
	fmt.Println(without, with, cpu, rate)
}

func committed(all []stream) (n int64) {
	for _, s := range all {
		switch s := s.(type) {
		case *core.Stream:
			n += s.Stats().Commits
		case *naive:
			n += s.commits.Load()
		}
	}
	return n
}

// write gives each stream a line a second, and returns the most memory meanwhile.
func write(all []stream, seconds int) (most int64) {
	begun := time.Now()
	for i := range seconds * len(all) {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(len(all)))))
		if _, err := all[i%len(all)].Write(line); err != nil {
			log.Fatal(err)
		}
		if i%len(all) == 0 {
			most = max(most, resident())
		}
	}
	return max(most, resident())
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// settled is the memory once the garbage is gone, as after minutes of silence.
func settled() int64 {
	debug.FreeOSMemory()
	return resident()
}

// resident is this process's memory, in bytes.
func resident() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		log.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// naive is the stream that one would write first: a goroutine, a ticker and a
// buffer of 64 KiB each, over the same Writer.
type naive struct {
	w       *liveblob.Writer
	commits atomic.Int64

	mu      sync.Mutex
	room    sync.Cond
	buf     []byte
	pending bool // something is being committed
}

const naiveBuffer = 64 << 10

func newNaive(cfg liveblob.Config) (*naive, error) {
	w, err := liveblob.NewWriter(cfg)
	if err != nil {
		return nil, err
	}
	s := &naive{w: w, buf: make([]byte, 0, naiveBuffer)}
	s.room.L = &s.mu
	go s.run()
	return s, nil
}

func (s *naive) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) > 0 && len(s.buf)+len(p) > naiveBuffer { // but one write may be larger
		s.room.Wait()
	}
	s.buf = append(s.buf, p...)
	return len(p), nil
}

func (s *naive) run() {
	for range time.Tick(interval) {
		s.mu.Lock()
		data := bytes.Clone(s.buf)
		s.buf, s.pending = s.buf[:0:min(cap(s.buf), naiveBuffer)], true
		s.mu.Unlock()
		if len(data) > 0 {
			if err := s.w.Commit(context.Background(), data, ""); err != nil {
				log.Fatal(err)
			}
			s.commits.Add(1)
		}
		s.mu.Lock()
		s.pending = false
		s.room.Broadcast()
		s.mu.Unlock()
	}
}

func (s *naive) Sync(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) > 0 || s.pending {
		s.room.Wait()
	}
	return nil
}
