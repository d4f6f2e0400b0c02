package driver

import (
	"fmt"
	"strconv"
	"strings"
)

// sources are the streams that dockerd reads a container's output from. Each has
// its lines cut into parts on its own.
var sources = [...]string{"stdout", "stderr"}

func sourceIndex(name string) int {
	if name == sources[1] {
		return 1
	}
	return 0
}

// cursor is how far a blob has got in a container's spool. It is stored in the
// blob's metadata by the commit that it belongs to:
//
//	<spool's ID> <offset> <held stdout> <held stderr>      offsets in decimal, - for none
//
// Everything before offset is in the blob, but for the parts of lines that had not
// ended yet: those of a source are held from its held offset on, and all frames of
// that source from there to offset are parts of the one line.
type cursor struct {
	spool  string
	offset int64
	held   [len(sources)]int64 // -1: none
}

func cursorAt(spool string, offset int64) cursor {
	return cursor{spool: spool, offset: offset, held: [...]int64{-1, -1}}
}

// low is the offset before which nothing is needed any more.
func (c *cursor) low() int64 {
	low := c.offset
	for _, h := range c.held {
		if h >= 0 {
			low = min(low, h)
		}
	}
	return low
}

// has reports that a frame is in the blob.
func (c *cursor) has(source string, at int64) bool {
	h := c.held[sourceIndex(source)]
	return at < c.offset && (h < 0 || at < h)
}

func (c cursor) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d", c.spool, c.offset)
	for _, h := range c.held {
		if h < 0 {
			b.WriteString(" -")
		} else {
			fmt.Fprintf(&b, " %d", h)
		}
	}
	return b.String()
}

// parseCursor reads what String wrote.
func parseCursor(s string) (cursor, error) {
	bad := fmt.Errorf("the cursor %q is not one of a container's log", s)
	fields := strings.Fields(s)
	if len(fields) != 2+len(sources) {
		return cursor{}, bad
	}
	c := cursorAt(fields[0], 0)
	for i, dst := range []*int64{&c.offset, &c.held[0], &c.held[1]} {
		f := fields[1+i]
		if f == "-" && i > 0 {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n < 0 {
			return cursor{}, bad
		}
		*dst = n
	}
	return c, nil
}
