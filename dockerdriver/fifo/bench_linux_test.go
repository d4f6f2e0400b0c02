package fifo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

const benchFrames = 1_000_000

func benchFrame(i int) []byte {
	return frame.Append(nil, &frame.Entry{Source: "stdout", Time: 1795401505743042951 + int64(i), Line: bytes.Repeat([]byte("x"), 104)})
}

// write is a child that writes as dockerd does, each frame by one write(2), as fast
// as it can.
func writeMillion(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	e := frame.Entry{Source: "stdout", Time: 1795401505743042951, Line: bytes.Repeat([]byte("x"), 104)}
	var b []byte
	for range benchFrames {
		e.Time++
		b = frame.Append(b[:0], &e)
		if _, err := f.Write(b); err != nil {
			panic(err)
		}
	}
}

// BenchmarkPipe has a million frames go through a pipe, into a spool and, for
// comparison, nowhere.
func BenchmarkPipe(b *testing.B) {
	total := benchFrames * len(benchFrame(0))
	run := func(name string, read func(b *testing.B, path string) (looks int)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(total))
			var cpu time.Duration
			looks := 0
			for b.Loop() {
				b.StopTimer()
				path := filepath.Join(b.TempDir(), "fifo")
				if err := syscall.Mkfifo(path, 0o600); err != nil {
					b.Fatal(err)
				}
				cmd := child("write", path)
				in, _ := cmd.StdinPipe()
				out, _ := cmd.StdoutPipe()
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				bufio.NewReader(out).ReadString('\n')
				before := cpuTime()
				b.StartTimer()
				in.Close()
				looks += read(b, path)
				b.StopTimer()
				cpu += cpuTime() - before
				if err := cmd.Wait(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(looks)/float64(b.N), "looks/op")
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
		})
	}
	run("discard", func(b *testing.B, path string) (looks int) {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, 64<<10)
		for got := 0; got < total; looks++ {
			n, err := f.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
		return looks
	})
	through := func(b *testing.B, path string, take func([]byte) error) (looks int) {
		p, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		got := 0
		for {
			err := p.Next(func(frames []byte) error { looks++; got += len(frames); return take(frames) })
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if got != total {
			b.Fatalf("%d bytes, want %d", got, total)
		}
		return looks
	}
	run("pipe", func(b *testing.B, path string) int {
		return through(b, path, func([]byte) error { return nil })
	})
	run("spool", func(b *testing.B, path string) int {
		s, err := spool.Open(filepath.Join(filepath.Dir(path), "spool"), spool.Config{})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		return through(b, path, func(frames []byte) error { _, err := s.Append(frames); return err })
	})
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
