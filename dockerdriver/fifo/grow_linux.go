package fifo

import (
	"slices"
	"sync"
	"time"
)

// grown are the pipes that this process has made larger. There are few, however many
// containers are busy: the kernel counts the pages of all pipes of a user, and when
// root's come to 64 MiB (fs.pipe-user-pages-soft), new pipes of every root process
// without CAP_SYS_RESOURCE, in other containers too, have 8 KiB.
var grown struct {
	mu    sync.Mutex
	pipes []*Pipe
}

const (
	maxGrown = 32
	quiet    = 10 * time.Second // after which a pipe has to give way to a busy one
)

// small is what the kernel gives a pipe.
const small = 64 << 10

// grow makes a busy pipe larger, so that its writer need not wait while this process
// naps. The system may refuse; it is asked once.
func (p *Pipe) grow() {
	p.busy.Store(time.Now().UnixNano())
	if p.refused || p.size.Load() >= batchSize {
		return
	}
	grown.mu.Lock()
	defer grown.mu.Unlock()
	if len(grown.pipes) >= maxGrown {
		i := quietest(grown.pipes)
		q := grown.pipes[i]
		if time.Since(time.Unix(0, q.busy.Load())) < quiet || !q.resize(small) {
			return
		}
		grown.pipes = slices.Delete(grown.pipes, i, i+1)
	}
	if p.refused = !p.resize(batchSize); !p.refused {
		grown.pipes = append(grown.pipes, p)
	}
}

func quietest(pipes []*Pipe) (at int) {
	for i, p := range pipes {
		if p.busy.Load() < pipes[at].busy.Load() {
			at = i
		}
	}
	return at
}

// resize reports whether the pipe has that size now. One that is too full for it, or
// closed, keeps its own.
func (p *Pipe) resize(size int) (done bool) {
	p.control(func(fd int) error {
		n := resize(fd, size)
		p.size.Store(int64(n))
		done = n == size
		return nil
	})
	return done
}

// adopt counts a pipe that an earlier process has made larger.
func (p *Pipe) adopt() {
	if p.size.Load() > small {
		grown.mu.Lock()
		defer grown.mu.Unlock()
		grown.pipes = append(grown.pipes, p)
	}
}

// leave takes a pipe that is closed off the list. It stays as large as it is: while
// this process is away, that is what the container can write.
func (p *Pipe) leave() {
	grown.mu.Lock()
	defer grown.mu.Unlock()
	if i := slices.Index(grown.pipes, p); i >= 0 {
		grown.pipes = slices.Delete(grown.pipes, i, i+1)
	}
}
