package output

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	askFor   = 2 * time.Second // how long storage may take to say that it is back, at most
	askEvery = time.Second     // how long a question that had no answer counts
	sayEvery = time.Minute     // how often an error is told again
	sayOther = sayEvery / 6    // how soon another one is
)

var errAway = errors.New("storage does not answer")

// outage keeps flushes from waiting in line for a storage that is away. Once a commit
// has had no answer for as long as a flush may take, those after it ask first, together
// and with a small request. Fluent Bit's threads are free to end, which it does not do
// before every queued flush has had its answer.
//
// It also tells of trouble: the first time, when it changes, and when it is over.
type outage struct {
	log    *slog.Logger
	ask    func(context.Context) error // nil: there was an answer
	askFor time.Duration               // for each question; a flush that has not as much time left asks none

	mu     sync.Mutex
	away   bool          // the last commit, or question, had no answer
	asking chan struct{} // closed when the question that is under way has an answer; nil: none is
	asked  time.Time     // when the last one ended that had none

	said   map[string]time.Time // errors told in the last minute; there are few, see sayOther
	last   string               // the one told last
	told   time.Time            // when
	open   bool                 // its end is not told yet
	failed int                  // commits since the last that passed
	since  time.Time            // of the first of them
}

// enter returns at once while storage answers, and errAway when it does not.
func (g *outage) enter(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.away {
		return nil
	}
	if g.asking != nil {
		asking := g.asking
		g.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
		}
		g.mu.Lock()
	} else if until, ok := ctx.Deadline(); (!ok || time.Until(until) >= g.askFor) && time.Since(g.asked) >= askEvery {
		g.question(ctx)
	}
	if g.away {
		return errAway
	}
	return nil
}

// question asks storage. It is called with mu held, and gives it up meanwhile.
func (g *outage) question(ctx context.Context) {
	done := make(chan struct{})
	g.asking = done
	g.mu.Unlock()
	tryCtx, cancel := context.WithTimeout(ctx, g.askFor)
	err := g.ask(tryCtx)
	cancel()
	g.mu.Lock()
	g.asking = nil
	switch {
	case err == nil:
		g.away = false
	case ctx.Err() == nil: // else it was cut short
		g.asked = time.Now()
	}
	close(done)
}

// succeeded takes note of a commit.
func (g *outage) succeeded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	failed := g.failed
	g.away, g.failed = false, 0
	if !g.open {
		return
	}
	g.open = false
	g.log.Info("storage is back: what Fluent Bit has kept is written as it comes again",
		"after", time.Since(g.since).Round(time.Second), "failed", failed)
}

// failedOn takes note of a commit to that blob that failed.
func (g *outage) failedOn(blob string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return // by Close
	}
	now := time.Now()
	if errors.Is(err, context.DeadlineExceeded) {
		g.away = true // as far as is known: who comes next asks, for it may be this blob alone
	}
	if g.failed == 0 {
		g.since = now
	}
	g.failed++
	var e *liveblob.Error
	text := err.Error()
	if errors.As(err, &e) {
		text = cmp.Or(e.Code, e.Err.Error())
	}
	if errors.Is(err, errAway) || errors.Is(err, errLate) {
		text = cmp.Or(g.last, text) // is what it comes of
	}
	// Errors of several blobs take turns, and some have a port number in them.
	if now.Sub(g.told) < sayOther || now.Sub(g.said[text]) < sayEvery {
		return
	}
	maps.DeleteFunc(g.said, func(_ string, told time.Time) bool { return now.Sub(told) >= sayEvery })
	g.said[text] = now
	g.last, g.told, g.open = text, now, true
	g.log.Warn("not written: Fluent Bit keeps the chunk and tries again, as its Retry_Limit allows", "blob", blob, "err", err)
}
