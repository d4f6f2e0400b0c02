package record

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFlush compresses real logs by flushes of one second, as they would come
// at that many lines a second, and has the program of that compression do the same
// log as a whole. An iteration is one run of each: MB is the size of the
// compressed log, cpu-s the processor time for a pass over it, both of the same
// records.
//
// Every pass is the log from its beginning, to the program a file of its own: one
// long file of passes would let zstd find each in the one before.
func BenchmarkFlush(b *testing.B) {
	lines := realLogs(b, "loghub/*.log", "travis_log.txt")
	for _, peer := range []struct{ encoding, program, level string }{{"gzip", "gzip", "-6"}, {"zstd", "zstd", "-3"}} {
		for _, format := range []Format{JSON, Raw} {
			for _, rate := range []int{10, 100, 1000, 10_000} {
				b.Run(fmt.Sprintf("%s/%v/%d-lines-a-second", peer.encoding, format, rate), func(b *testing.B) {
					if _, err := exec.LookPath(peer.program); err != nil {
						b.Skipf("==== NOT MEASURED: %v: install %s ====", err, peer.program)
					}
					flushes := seconds(format, lines, rate)
					plain := slices.Concat(flushes...)
					passes := 64<<20/len(plain) + 1 // so long that the program's start does not count
					log := filepath.Join(b.TempDir(), "log")
					if err := os.WriteFile(log, plain, 0o600); err != nil {
						b.Fatal(err)
					}
					c := compressor(b, peer.encoding)
					checkBlob(b, c, flushes, plain)

					var ours, theirs cost
					for b.Loop() {
						ours.add(inFlushes(c, flushes, passes))
						theirs.add(asWhole(b, log, passes, peer.program, peer.level))
					}
					per := 1 / float64(b.N*passes)
					program := "@" + peer.program + peer.level
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(len(plain))/float64(len(flushes))/1e3, "plain-kB/flush")
					b.ReportMetric(float64(ours.bytes)*per/1e6, "MB@azureblob")
					b.ReportMetric(float64(theirs.bytes)*per/1e6, "MB"+program)
					b.ReportMetric(ours.cpu.Seconds()*per, "cpu-s@azureblob")
					b.ReportMetric(theirs.cpu.Seconds()*per, "cpu-s"+program)
				})
			}
		}
	}
}

// seconds are the records of lines at that rate, cut where a second ends. The
// gaps between lines are random, so that time stamps have digits like real ones.
func seconds(format Format, lines [][]byte, rate int) (flushes [][]byte) {
	rnd := rand.New(rand.NewPCG(1, 2))
	at, end := noon, noon
	for _, line := range lines {
		at = at.Add(time.Duration(rnd.ExpFloat64() * float64(time.Second) / float64(rate)))
		if !at.Before(end) {
			flushes, end = append(flushes, nil), at.Truncate(time.Second).Add(time.Second)
		}
		last := &flushes[len(flushes)-1]
		*last = format.Append(*last, &Record{Time: at, Line: line})
	}
	return flushes
}

// checkBlob reads a blob of the flushes back, so that no work is left out.
func checkBlob(b *testing.B, c Compressor, flushes [][]byte, plain []byte) {
	var blob []byte
	for _, flush := range flushes {
		blob = c.Append(blob, flush)
	}
	got, err := io.ReadAll(decoding(b, c.Encoding(), bytes.NewReader(blob)))
	if err != nil || !bytes.Equal(got, plain) {
		b.Fatalf("%d of %d bytes came back: %v", len(got), len(plain), err)
	}
}

type cost struct {
	bytes int64 // of compressed log
	cpu   time.Duration
}

func (c *cost) add(more cost) { c.bytes, c.cpu = c.bytes+more.bytes, c.cpu+more.cpu }

func inFlushes(c Compressor, flushes [][]byte, passes int) (sum cost) {
	runtime.GC() // what came before is not this run's
	var dst []byte
	start := ownCPU()
	for range passes {
		for _, flush := range flushes {
			dst = c.Append(dst[:0], flush)
			sum.bytes += int64(len(dst))
		}
	}
	sum.cpu = ownCPU() - start
	return sum
}

// ownCPU is the user and system time of this process so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // a bad argument, by its manual
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func asWhole(b *testing.B, log string, passes int, program, level string) cost {
	out, err := os.Create(filepath.Join(b.TempDir(), "compressed"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(b.Context(), program, append([]string{level, "-c", "-q"}, slices.Repeat([]string{log}, passes)...)...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("run %s: %v", program, err)
	}
	info, err := out.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return cost{bytes: info.Size(), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}
