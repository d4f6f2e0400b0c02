package liveblob

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func ropeOf(pieces ...string) (r rope) {
	for _, p := range pieces {
		r.pieces = append(r.pieces, []byte(p))
		r.size += int64(len(p))
	}
	return r
}

func (r rope) String() string { return string(bytes.Join(r.pieces, nil)) }

func TestRope(t *testing.T) {
	var r rope
	var want []byte
	for i := range 2_000 {
		p := []byte(fmt.Sprint(i, "-"))
		r.append(p)
		want = append(want, p...)
	}
	big := bytes.Repeat([]byte("x"), 3*maxPiece)
	r.append(big)
	want = append(want, big...)
	r.prepend([]byte("front"))
	want = append([]byte("front"), want...)
	if r.String() != string(want) || r.size != int64(len(want)) {
		t.Fatalf("the rope has %d bytes, want %d", r.size, len(want))
	}
	if n := len(r.pieces); n > 50 {
		t.Errorf("it has %d pieces", n)
	}
	if most := r.size*5/4 + 50*pieceSize; r.room() > most {
		t.Errorf("it takes %d bytes for %d", r.room(), r.size)
	}
	for _, n := range []int64{r.size, 5 * maxPiece, 3 * maxPiece, 100, 1} {
		before := r.size
		r.drop(n)
		if r.size != min(n, before) || r.String() != string(want[int64(len(want))-r.size:]) {
			t.Fatalf("after drop(%d) of %d, %d bytes are left", n, before, r.size)
		}
	}
}

// What a request still reads never changes, whatever becomes of the rope.
func TestRopeNeverChangesItsBytes(t *testing.T) {
	var r rope
	var want []byte
	type reading struct {
		body *body
		want string
	}
	var all []reading
	for range 300 {
		p := bytes.Repeat([]byte{byte(rand.IntN(256))}, rand.IntN(700))
		all = append(all, reading{newBody(r, r.size, p), string(append(bytes.Clone(want), p...))})
		r.append(p)
		want = append(want, p...)
		if rand.IntN(20) == 0 {
			r.drop(r.size / 2)
			want = want[int64(len(want))-r.size:]
		}
	}
	for i, reading := range all {
		if got, _ := io.ReadAll(reading.body); string(got) != reading.want {
			t.Fatalf("body %d has changed", i)
		}
	}
}

func TestBodyIsAReadSeeker(t *testing.T) {
	old, data := ropeOf("the ", "", "tail's bytes", ", "), []byte("and the new ones")
	for n := range old.size + 1 {
		all := old.String()[old.size-n:] + string(data)
		b := newBody(old, n, data)
		if b.size != int64(len(all)) {
			t.Fatalf("the size is %d, want %d", b.size, len(all))
		}
		if err := iotest.TestReader(b, []byte(all)); err != nil {
			t.Fatalf("the last %d bytes: %v", n, err)
		}
		for lo := range len(all) {
			for hi := lo; hi <= len(all); hi++ {
				if err := iotest.TestReader(b.cut(int64(lo), int64(hi)), []byte(all[lo:hi])); err != nil {
					t.Fatalf("bytes %d to %d: %v", lo, hi, err)
				}
			}
		}
	}
}
