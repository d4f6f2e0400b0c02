package fifo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// attach is how a process takes up the work of one that died.
func attach(path string) (*Pipe, *spool.Spool, bool, error) {
	s, err := spool.Open(path+".spool", spool.Config{})
	if err != nil {
		return nil, nil, false, err
	}
	p, err := Open(path)
	if err != nil {
		return nil, nil, false, err
	}
	last, err := s.LastBytes(int(s.End() - s.LastAppend()))
	if err != nil {
		return nil, nil, false, err
	}
	skipped, err := p.Skip(last)
	return p, s, skipped, err
}

// copyToSpool is a child that copies a pipe to a spool until it is killed, or kills
// itself at the point that it was told.
func copyToSpool(path string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p, s, skipped, err := attach(path)
	if err != nil {
		fail(err)
	}
	fmt.Println(skipped)
	p.Dropped = func(n int, why error) { fail(fmt.Errorf("%d bytes dropped: %w", n, why)) }
	where, count, _ := strings.Cut(os.Getenv("FIFO_TEST_DIE"), " ")
	n, _ := strconv.Atoi(count)
	die := func(here string) {
		if here == where && n == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	for ; ; n-- {
		err := p.Next(func(frames []byte) error {
			die("looked")
			_, err := s.Append(frames)
			die("appended")
			return err
		})
		die("taken")
		if err != nil {
			fail(err)
		}
	}
}

// TestKill: whenever the reader is killed, every frame is in the spool, once and in
// order, when the next ones have gone on.
func TestKill(t *testing.T) {
	path, w := fifo(t)
	var stop atomic.Bool
	written := make(chan int)
	go func() {
		i := 0
		for ; !stop.Load(); i++ {
			if _, err := w.Write(numbered(i)); err != nil {
				t.Error(err)
				break
			}
			if i%50 == 0 {
				time.Sleep(time.Millisecond) // some looks find little
			}
		}
		written <- i
	}()

	var plan []string
	for n := range 10 {
		plan = append(plan, fmt.Sprint("looked ", n), fmt.Sprint("appended ", n), fmt.Sprint("taken ", n), "", "")
	}
	rand.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	skips, before := 0, ""
	attached := func(before string, skipped bool) {
		if skipped {
			skips++
		}
		before, _, _ = strings.Cut(before, " ")
		if before == "appended" && !skipped || (before == "looked" || before == "taken") && skipped {
			t.Errorf("killed when it had %s: skipped %v", before, skipped)
		}
	}
	for _, where := range plan {
		cmd := child("copy", path, "FIFO_TEST_DIE="+where)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		said, _ := bufio.NewReader(out).ReadString('\n')
		hung := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		if where == "" {
			time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
			cmd.Process.Kill()
		}
		err = cmd.Wait()
		if !hung.Stop() {
			t.Fatalf("%q: the reader came to no end", where)
		}
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
			t.Fatalf("%q: the reader was not killed: %v", where, err)
		}
		attached(before, said == "true\n")
		before = where
	}

	stop.Store(true)
	p, s, skipped, err := attach(path)
	must(t, err)
	attached(before, skipped)
	defer p.Close()
	defer s.Close()
	p.Dropped = func(n int, why error) { t.Errorf("%d bytes dropped: %v", n, why) }
	appendTo := func(frames []byte) error { _, err := s.Append(frames); return err }
	var count int
	for done := false; !done; {
		must(t, p.Drain(appendTo))
		select {
		case count = <-written:
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	must(t, p.Drain(appendTo))

	r := s.Reader(0)
	defer r.Close()
	got, err := io.ReadAll(r)
	must(t, err)
	for i := range count {
		want := numbered(i)
		if !bytes.HasPrefix(got, want) {
			var e frame.Entry
			if n := whole(got[:min(len(got), 64<<10)]); n > 0 {
				size, _ := frame.Size(got)
				must(t, e.Decode(got[:size]))
				t.Fatalf("frame %d is where %d of %d should be", binary.BigEndian.Uint64(e.Line), i, count)
			}
			t.Fatalf("no frame is where %d of %d should be", i, count)
		}
		got = got[len(want):]
	}
	if len(got) > 0 {
		t.Fatalf("%d bytes more than were written", len(got))
	}
	t.Logf("%d kills, %d batches skipped, %d frames", len(plan), skips, count)
}

// exhaust makes as many pipes as this user may have without privileges.
func exhaust() (release func(), err error) {
	var all []int
	release = func() {
		for _, fd := range all {
			unix.Close(fd)
		}
	}
	var pages int
	soft, err := os.ReadFile("/proc/sys/fs/pipe-user-pages-soft")
	if err == nil {
		_, err = fmt.Sscan(string(soft), &pages)
	}
	for range pages/16 + 1 {
		var fds [2]int
		if err == nil {
			err = unix.Pipe2(fds[:], unix.O_CLOEXEC)
			all = append(all, fds[:]...)
		}
	}
	return release, err
}

// readPoorly is a child for which the system has no large pipes any more. It says
// how large its pipes are, and copies what Skip leaves to stdout. Its stdin is the
// batch to skip.
func readPoorly(path string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	batch, err := io.ReadAll(os.Stdin)
	check(err)
	_, err = exhaust()
	check(err)
	p, err := Open(path)
	check(err)
	p.Dropped = func(n int, why error) { check(fmt.Errorf("%d bytes dropped: %w", n, why)) }
	skipped, err := p.Skip(batch)
	check(err)
	p.grow()
	s, err := borrow()
	check(err)
	s.giveBack()
	fmt.Println(skipped, p.size.Load(), s.size)
	for {
		err := p.Next(func(frames []byte) error { _, err := os.Stdout.Write(frames); return err })
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
	}
}

// TestPoor: a process that may not have large pipes sees less at a time, and gets all.
func TestPoor(t *testing.T) {
	path, w := fifo(t)
	must(t, os.Chmod(path, 0o666))
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	var batch, rest []byte
	for i := 0; len(batch) < 30_000; i++ {
		batch = append(batch, numbered(i)...)
	}
	for i := range 500 {
		rest = append(rest, numbered(1000+i)...)
	}
	write(t, w, batch)
	release, err := exhaust() // the pipe counts as this user's
	must(t, err)
	defer release()
	cmd := child("poor", path)
	cmd.Stdin = bytes.NewReader(batch)
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	defer time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }).Stop() // it hangs
	in := bufio.NewReader(out)
	said, err := in.ReadString('\n')
	must(t, err)
	var skipped bool
	var size, scratch int
	_, err = fmt.Sscan(said, &skipped, &size, &scratch)
	must(t, err)
	if !skipped || size >= batchSize || scratch >= size {
		t.Errorf("skipped %v, a pipe of %d bytes, a scratch pipe of %d", skipped, size, scratch)
	}
	go func() {
		for b := range slices.Chunk(rest, 9000) {
			w.Write(b)
		}
		w.Close()
	}()
	got, err := io.ReadAll(in)
	must(t, err)
	if !bytes.Equal(got, rest) {
		t.Errorf("%d bytes, want %d", len(got), len(rest))
	}
}
