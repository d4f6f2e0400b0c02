package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// child is this test program started again, to be killed. It goes on with the
// numbered records in the spool and says on stdout how far it got. It commits what
// its parent has seen, so that segments go away as well.
func child(dir string) {
	seen, _ := strconv.ParseInt(os.Getenv("SPOOL_TEST_SEEN"), 10, 64)
	next, _ := strconv.ParseUint(os.Getenv("SPOOL_TEST_NEXT"), 10, 64)
	s, err := Open(dir, Config{Segment: 200 << 10, Cache: 100 << 10, boot: testBoot})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	committed := s.Stats().First
	for ; ; next++ {
		_, err := s.Append(numbered(next))
		if err == nil && committed < seen && next%8 == 0 {
			committed = min(committed+50<<10, seen)
			err = s.Commit(committed)
		}
		if err == nil {
			_, err = os.Stdout.Write(binary.BigEndian.AppendUint64(nil, next+1))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// numbered is a record of 16 bytes to 40 KiB: its size, its number, filler.
func numbered(i uint64) []byte {
	rnd := rand.New(rand.NewPCG(i, 1))
	size := 16 + rnd.IntN(400)
	if i%17 == 0 {
		size += rnd.IntN(40 << 10)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(size))
	b = binary.BigEndian.AppendUint64(b, i)
	return append(b, bytes.Repeat([]byte{byte(i)}, size-16)...)
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	seen, next, torn := int64(0), uint64(0), 0
	for range 50 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "SPOOL_TEST_CHILD="+dir, fmt.Sprint("SPOOL_TEST_SEEN=", seen), fmt.Sprint("SPOOL_TEST_NEXT=", next))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		in := bufio.NewReader(out)
		in.Peek(8) // it is at work
		time.AfterFunc(time.Duration(rand.IntN(30_000))*time.Microsecond, func() { cmd.Process.Kill() })
		acks, err := io.ReadAll(in)
		must(t, err)
		cmd.Wait()
		if len(acks) < 8 {
			t.Fatal("the child did nothing")
		}
		acked := binary.BigEndian.Uint64(acks[len(acks)/8*8-8:])

		before := folderSize(t, dir)
		s := open(t, dir, Config{Segment: 200 << 10, Cache: 1 << 40})
		if folderSize(t, dir) < before {
			torn++
		}
		st := s.Stats()
		if st.First > seen || st.Committed > seen {
			t.Fatalf("%+v, but only %d was committed", st, seen)
		}
		got, gaps := readAll(t, s, st.First)
		if gaps != nil {
			t.Fatalf("gaps %v", gaps)
		}
		at := st.First
		var number uint64
		for first := true; len(got) > 0; first = false {
			if first {
				number = binary.BigEndian.Uint64(got[8:])
			}
			want := numbered(number)
			if !bytes.HasPrefix(got, want) {
				t.Fatalf("record %d at %d is not there", number, at)
			}
			if at == seen && number != next {
				t.Fatalf("record %d is where %d should be", number, next)
			}
			got = got[len(want):]
			at += int64(len(want))
			number++
		}
		if number < acked || number > acked+1 {
			t.Fatalf("%d records acknowledged, %d there", acked, number)
		}
		seen, next = st.End, number
		must(t, s.state.Close()) // left as the kill left it
		s.closed = true
	}
	t.Logf("%d records, %d bytes, %d torn ends", next, seen, torn)
}

func folderSize(t *testing.T, dir string) (size int64) {
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		size += info.Size()
	}
	return size
}

// TestFileTooLarge has writes that end in the middle, by the limit of this process
// on the size of a file. It is no parallel test, so nothing else writes meanwhile.
func TestFileTooLarge(t *testing.T) {
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	dir := t.TempDir()
	s := open(t, dir, Config{})
	var want []byte
	for i := range 20 {
		want = append(want, batch(i, 1000)...)
		appendTo(t, s, batch(i, 1000))
	}
	for _, room := range []int64{0, 1, recordHeader - 1, recordHeader, recordHeader + 1, 999} {
		lim := old
		lim.Cur = uint64(s.Stats().Disk + room)
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lim))
		_, err := s.Append(batch(50, 1000))
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
		if !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("room for %d: %v", room, err)
		}
		if got, gaps := readAll(t, s, 0); !bytes.Equal(got, want) || gaps != nil {
			t.Fatalf("room for %d: %d bytes, gaps %v", room, len(got), gaps)
		}
		want = append(want, batch(51, 100)...)
		appendTo(t, s, batch(51, 100))
	}
	must(t, s.Close())
	s = open(t, dir, Config{})
	if got, gaps := readAll(t, s, 0); !bytes.Equal(got, want) || gaps != nil {
		t.Fatalf("%d bytes, gaps %v", len(got), gaps)
	}
}

// TestDiskFull needs a small disk of its own, which root can mount.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("spool-test", disk, "tmpfs", 0, "size=600k"); err != nil {
		t.Skipf("mount: %v: TestFileTooLarge stands in", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, 0)) })
	dir := filepath.Join(disk, "spool")
	s := open(t, dir, Config{Segment: 100 << 10})
	t.Cleanup(func() { s.Close() })
	var want []byte
	failed := 0
	for i := 0; failed < 50; i++ {
		p := batch(i, 1+i*37%9000)
		if _, err := s.Append(p); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			failed++
			continue
		}
		want = append(want, p...)
	}
	must(t, s.Commit(20_000)) // takes no room
	if got, gaps := readAll(t, s, 0); !bytes.Equal(got, want) || gaps != nil {
		t.Fatalf("%d bytes, gaps %v", len(got), gaps)
	}
	if _, _, err := s.DropOldest(150_000); err != nil {
		t.Fatal(err)
	}
	first := s.Stats().First
	for i := range 20 {
		want = append(want, batch(i, 5000)...)
		appendTo(t, s, batch(i, 5000))
	}
	must(t, s.Close())
	s = open(t, dir, Config{Segment: 100 << 10})
	if got, gaps := readAll(t, s, first); !bytes.Equal(got, want[first:]) || gaps != nil {
		t.Fatalf("%d bytes, gaps %v", len(got), gaps)
	}
	must(t, s.Close())
}
