package replay

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

// Config says what of which log to read.
type Config struct {
	Spool *spool.Spool // nil: nothing is held here any more
	Blob  *Blob        // nil: the spool has all there is
	// Earlier: the blob may have lines from before the spool was made, so it is read
	// although the spool has its own beginning.
	Earlier bool

	Since, Until time.Time // zero: no bound
	Tail         int       // entries of the end; < 0: all; 0: only what comes with Follow
	Follow       bool
	Ended        <-chan struct{} // closed when the log has ended and all of it is in the spool; nil: it never does

	// Waiting is called before Read waits, for storage or for more to come. nil:
	// nobody wants to know.
	Waiting func() error
}

// Blob is where the whole log is.
type Blob struct {
	Where  string // for people: a URL, or container/name
	Stream string // whose log it is; liveblob.Config
	Format record.Format
	// Open says in which blob the log begins. Where another stream's log has that
	// name, it is the fork that a Writer makes then.
	Open func() (c liveblob.Container, name string, err error)
}

// lateness is how long after Until an entry from before it may come: it was on its
// way from the container to the spool.
const lateness = time.Second

// errPast: the entries are behind Until.
var errPast = errors.New("past the end of what is wanted")

// Read hands over the log's entries, oldest first, as the package comment says. An
// entry is valid until entry returns; it has its parts' fields but, if it is read from
// the blob, no ID.
//
// It returns nil at the end of the log, the first error of entry or Waiting as it is,
// or the cause of ctx's end.
func Read(ctx context.Context, cfg Config, entry func(*frame.Entry) error) error {
	l := &reading{Config: cfg, entry: entry, long: map[string]long{}}
	if err := l.read(ctx); err != errPast {
		return err
	}
	return nil
}

// reading is one Read.
type reading struct {
	Config
	entry func(*frame.Entry) error
	skip  int // entries to leave out yet, for Tail

	// Of the spool: where to begin, and where it ended when Read was called.
	from, end int64

	// Of the blob; older.go.
	seam seam
	long map[string]long // the last one of each stream
	part frame.Entry
	gone error // what Waiting has returned
}

func (l *reading) read(ctx context.Context) error {
	older := l.Blob != nil && l.Tail != 0
	if l.Spool != nil {
		st := l.Spool.Stats()
		l.from, l.end = st.First, st.End
		older = older && (l.from > 0 || l.Earlier)
	}
	if l.Spool != nil && l.Tail == 0 {
		l.from = l.end
	}
	if l.Spool != nil && l.Tail > 0 {
		enough, err := l.tail(ctx)
		if err != nil {
			return err
		}
		older = older && !enough
	}
	if older {
		if err := l.older(ctx); err != nil {
			return err
		}
	}
	if l.Spool == nil {
		return nil
	}
	return l.held(ctx)
}

// tail finds where the last entries begin, and how many to skip from there. If there
// are not enough in the spool, that is its beginning.
func (l *reading) tail(ctx context.Context) (enough bool, err error) {
	st := l.Spool.Stats()
	for n := int64(64 << 10); n < st.Disk; n *= 2 {
		from := l.Spool.Tail(n)
		held, err := l.count(ctx, from, l.end)
		if err != nil {
			return false, err
		}
		if held >= l.Tail {
			l.from, l.skip = from, held-l.Tail
			return true, nil
		}
	}
	held, err := l.count(ctx, l.from, l.end)
	l.skip = max(0, held-l.Tail)
	return held >= l.Tail, err
}

// count counts the entries that held would hand over.
func (l *reading) count(ctx context.Context, from, end int64) (n int, err error) {
	if l.Spool == nil {
		return 0, nil
	}
	f := l.frames(ctx, from, end)
	defer f.close()
	for {
		e, err := f.next()
		switch {
		case err == io.EOF:
			return n, nil
		case errors.As(err, new(*hole)):
		case err != nil:
			return n, err
		case !l.shown(e):
			n++
		}
	}
}

// held hands over what the spool has, and what it gets.
func (l *reading) held(ctx context.Context) error {
	end, over := l.end, true
	var past <-chan time.Time
	if l.Follow {
		end, over = math.MaxInt64, false
		if !l.Until.IsZero() {
			t := time.NewTimer(time.Until(l.Until.Add(lateness)))
			defer t.Stop()
			past = t.C
		}
	}
	f := l.frames(ctx, l.from, end)
	defer f.close()
	for {
		e, err := f.next()
		switch {
		case err == nil && l.shown(e):
		case err == nil:
			err = l.give(e)
		case err == io.EOF && over:
			return nil
		case err == io.EOF:
			if err = l.waits(); err != nil {
				return err
			}
			select {
			case <-f.changed():
			case <-l.Ended:
				over = true
			case <-past:
				over = true
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		default:
			err = l.sayMissing(f.entry.Time, err)
		}
		if err != nil {
			return err
		}
	}
}

func (l *reading) waits() error {
	if l.Waiting != nil {
		l.gone = l.Waiting()
	}
	return l.gone
}

// give hands over an entry if it is wanted.
func (l *reading) give(e *frame.Entry) error {
	switch {
	case l.skip > 0:
		l.skip--
		return nil
	case l.early(e.Time):
		return nil
	case l.late(e.Time):
		return errPast
	}
	return l.entry(e)
}

func (l *reading) early(at int64) bool {
	return !l.Since.IsZero() && time.Unix(0, at).Before(l.Since)
}

func (l *reading) late(at int64) bool {
	return !l.Until.IsZero() && time.Unix(0, at).After(l.Until)
}

// sayMissing takes an error of frames: a hole is said in the log, where it is wanted.
func (l *reading) sayMissing(at int64, err error) error {
	switch {
	case !errors.As(err, new(*hole)):
		return err
	case l.skip > 0, l.early(at):
		return nil
	case errors.Is(err, spool.ErrEvicted) && l.Blob != nil:
		return l.say(at, "lines are left out here: they were removed before docker logs came to them, and are in "+l.Blob.Where)
	}
	return l.say(at, err.Error())
}

// say hands over a line of our own, with a time at which it is wanted.
func (l *reading) say(at int64, text string) error {
	if at == 0 {
		at = time.Now().UnixNano()
	}
	if l.early(at) {
		at = l.Since.UnixNano()
	}
	if l.late(at) {
		at = l.Until.UnixNano()
	}
	return l.entry(&frame.Entry{Source: "stderr", Time: at, Line: []byte("azureblob: " + text)})
}
