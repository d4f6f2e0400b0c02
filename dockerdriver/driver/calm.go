package driver

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// calm is a slog.Handler for what all containers may say at once: that storage is
// away, that it is back. One of each is passed on in calmFor; the next one after that
// tells how many there were besides.
type calm struct {
	slog.Handler
	said *said
}

const calmFor = 10 * time.Second

type said struct {
	mu   sync.Mutex
	last map[string]*saying // by message
}

type saying struct {
	at   time.Time
	more int
}

func newCalm(log *slog.Logger) *slog.Logger {
	return slog.New(calm{log.Handler(), &said{last: make(map[string]*saying)}})
}

func (c calm) Handle(ctx context.Context, r slog.Record) error {
	c.said.mu.Lock()
	last := c.said.last[r.Message]
	if last == nil {
		last = new(saying)
		c.said.last[r.Message] = last
	}
	if r.Time.Sub(last.at) < calmFor {
		last.more++
		c.said.mu.Unlock()
		return nil
	}
	if last.more > 0 {
		r.AddAttrs(slog.Int("before_from_others", last.more))
	}
	*last = saying{at: r.Time}
	c.said.mu.Unlock()
	return c.Handler.Handle(ctx, r)
}

func (c calm) WithAttrs(a []slog.Attr) slog.Handler { return calm{c.Handler.WithAttrs(a), c.said} }
func (c calm) WithGroup(name string) slog.Handler   { return calm{c.Handler.WithGroup(name), c.said} }
