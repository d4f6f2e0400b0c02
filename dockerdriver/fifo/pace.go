package fifo

import "time"

// pace is how long to let a pipe be before the next look at it.
type pace struct {
	gap  time.Duration // from one look to the next
	last time.Time     // when the last look began
}

const (
	maxGap = 5 * time.Millisecond
	minGap = maxGap / 32
)

// nap returns when the next look is due: at once, if the last one is long ago.
func (p *pace) nap() {
	time.Sleep(time.Until(p.last.Add(p.gap)))
	p.last = time.Now()
}

// found makes naps shorter if a look has found n bytes in a pipe of this size, and
// its writer may soon have to wait, and longer again when little comes.
func (p *pace) found(n, size int) {
	switch {
	case n >= size/2:
		p.gap = max(p.gap/2, minGap)
	case n < size/8:
		p.gap = min(p.gap*2, maxGap)
	}
}
