package fifo

import (
	"testing"
	"time"
)

// TestRingsForWhoWaits: writes wake nobody up but a Next that has found the pipe empty.
func TestRingsForWhoWaits(t *testing.T) {
	path, w := fifo(t)
	r := open(t, path)
	rings := func() (rings bool) {
		r.bell.conn.Control(func(fd uintptr) { rings, _ = poll(int(fd)) })
		return rings
	}
	write := func() {
		_, err := w.Write(sized(100))
		must(t, err)
	}
	for round := range 3 {
		got := len(r.taken)
		time.AfterFunc(20*time.Millisecond, write)
		if r.until(got + 1); rings() { // it has waited
			t.Errorf("round %d: it rings when the wait is over", round)
		}
		if write(); rings() {
			t.Errorf("round %d: it rings, and nobody waits", round)
		}
		r.until(got + 200)
	}
}

// TestRingsAlways: what comes while a wait begins or ends is not missed.
func TestRingsAlways(t *testing.T) {
	path, w := fifo(t)
	f, err := openUnpolled(path)
	must(t, err)
	defer f.Close()
	b, err := newBell(int(f.Fd()))
	must(t, err)
	defer b.close()
	hung := time.AfterFunc(20*time.Second, b.interrupt)
	defer hung.Stop()
	const rounds = 50_000
	taken := make(chan struct{}, 1)
	go func() {
		for i := range rounds {
			for range i % 200 { // somewhere in the reader's way back to its wait
				time.Now()
			}
			w.Write([]byte{1})
			<-taken
		}
	}()
	for round := range rounds {
		err := b.wait(func() (bool, error) {
			ready, _ := poll(b.pipe)
			return ready, nil
		})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err := f.Read(make([]byte, 10)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		taken <- struct{}{}
	}
}
