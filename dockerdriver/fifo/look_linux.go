package fifo

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// What a look finds at the head of the pipe.
type finding int

const (
	nothing finding = iota
	part            // of a frame
	junk            // which was dropped
	frames          // which were taken
)

// look sees to what is at the head of the pipe. ended says that there was no writer
// any more before it.
func (p *Pipe) look(ended bool, take func(frames []byte) error) (finding, error) {
	if p.big != nil {
		return p.collect(take)
	}
	s, err := borrow()
	if err != nil {
		return nothing, p.errorf("read", err)
	}
	defer s.giveBack()
	var seen []byte
	err = p.control(func(fd int) (err error) { seen, err = s.see(fd); return err })
	p.begun = err != io.EOF
	switch {
	case err == io.EOF:
		return nothing, err
	case err != nil:
		return nothing, p.errorf("read", err)
	case len(seen) == 0:
		return nothing, nil
	}
	p.pace.found(len(seen), int(p.size.Load()))
	if len(seen) >= 32<<10 {
		p.grow()
	}

	if p.lost {
		if n := frame.Resync(seen); n > 0 {
			return p.drop(s, n, frame.ErrGarbled)
		}
	}
	if n := whole(seen); n > 0 {
		if err := take(seen[:n]); err != nil {
			return nothing, err
		}
		p.lost = false
		return frames, p.takeOut(s, n)
	}

	const certain = 12 // bytes that frame.Resync needs to be sure of a frame
	size, err := frame.Size(seen)
	if err == nil && size > p.room(s) {
		p.grow()
	}
	switch big := size > p.room(s); {
	case err != nil, big && frame.Resync(seen) > 0: // a large one must be beyond doubt
		p.lost = true
		return p.drop(s, frame.Resync(seen), frame.ErrGarbled)
	case big && len(seen) >= certain:
		p.big = make([]byte, 0, size)
		return p.collect(take)
	case ended:
		return p.drop(s, len(seen), io.ErrUnexpectedEOF)
	}
	return part, nil
}

// whole is how many bytes of b are whole frames.
func whole(b []byte) (n int) {
	for {
		size, err := frame.Size(b[n:])
		if err != nil || size == 0 || size > len(b)-n {
			return n
		}
		n += size
	}
}

// room is the size of the largest frame that a look is sure to see as a whole. The
// pages of a pipe may be little more than half full, as a write of less than a page
// fills up the last one only if all of it fits there.
func (p *Pipe) room(s *scratch) int {
	const page = 4096
	return min(int(p.size.Load()), s.size)/2 - page
}

// takeOut removes n bytes that were seen.
func (p *Pipe) takeOut(s *scratch, n int) error {
	if err := p.control(func(fd int) error { return s.takeOut(fd, n) }); err != nil {
		return p.errorf("read", err)
	}
	return nil
}

// drop removes n bytes that are no frame.
func (p *Pipe) drop(s *scratch, n int, why error) (finding, error) {
	if err := p.takeOut(s, n); err != nil {
		return nothing, err
	}
	p.dropped(n, why)
	return junk, nil
}

func (p *Pipe) dropped(n int, why error) {
	if p.Dropped != nil {
		p.Dropped(n, why)
	}
}

// collect reads more of a frame that the pipe cannot hold, and hands it over when it
// is whole.
func (p *Pipe) collect(take func(frames []byte) error) (finding, error) {
	for len(p.big) < cap(p.big) {
		var n int
		err := p.control(func(fd int) (err error) {
			n, err = again(func() (int, error) { return unix.Read(fd, p.big[len(p.big):cap(p.big)]) })
			return err
		})
		switch {
		case err == unix.EAGAIN:
			return part, nil
		case err != nil:
			return nothing, p.errorf("read", err)
		case n == 0:
			n, p.big = len(p.big), nil
			p.dropped(n, io.ErrUnexpectedEOF)
			return junk, nil
		}
		p.big = p.big[:len(p.big)+n]
	}
	for len(p.big) > 0 {
		n := min(len(p.big), batchSize)
		if err := take(p.big[:n]); err != nil {
			return nothing, err
		}
		p.big = p.big[n:] // and its capacity as well, so it stays whole
	}
	p.big = nil
	return frames, nil
}
