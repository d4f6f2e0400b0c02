package output

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
)

// account is what the blobs of one storage account have in common. Those of another
// one do not wait when it is away.
type account struct {
	*core.Account
	container liveblob.Container
	outage    outage
	places    chan struct{} // one for each stream that may write at the moment
}

// maxWriting is how many blobs of an account are written to at once. A chunk may have
// records for thousands, each of which would take a connection.
const maxWriting = 64

func newAccount(at *core.Account, several bool, flushTimeout time.Duration, log *slog.Logger) *account {
	if several {
		log = log.With("account", at.Name())
	}
	a := &account{Account: at, container: at.Container(), places: make(chan struct{}, maxWriting)}
	a.outage.log, a.outage.ask, a.outage.askFor = log, a.answers, min(askFor, flushTimeout/2)
	a.outage.said = make(map[string]time.Time)
	return a
}

// accountOf is where the blob of that name is.
func (o *Output) accountOf(name string) *account {
	at := o.store.Account(name)
	return o.accounts[slices.IndexFunc(o.accounts, func(a *account) bool { return a.Account == at })]
}

// enter waits for a place to write from. What had no time left to try says nothing of
// storage.
func (a *account) enter(ctx context.Context) error {
	if err := a.outage.enter(ctx); err != nil {
		return err
	}
	select {
	case a.places <- struct{}{}:
	case <-ctx.Done():
		return errLate
	}
	if ctx.Err() != nil {
		a.leave()
		return errLate
	}
	return nil
}

func (a *account) leave() { <-a.places }

// probeAll asks all accounts at once. The error is that of the first that has one.
func (o *Output) probeAll(ctx context.Context) error {
	errs := make([]error, len(o.accounts))
	var asking sync.WaitGroup
	for i, a := range o.accounts {
		asking.Go(func() { errs[i] = o.probe(ctx, a) })
	}
	asking.Wait()
	return cmp.Or(errs...)
}
