package output

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
)

// probeFor is how long the start of Fluent Bit waits for storage.
const probeFor = 5 * time.Second

// probeName is a blob that is not there.
const probeName = ".azureblob-startup-probe"

// probe asks for a blob that is not there, which takes the right that the first flush
// needs too, and makes the container if it is missing. What may mend itself is told,
// and no error: a Fluent Bit that does not start collects nothing.
func (o *Output) probe(ctx context.Context, a *account) error {
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	const hint = "; startup_probe off starts without this check"
	_, err := liveblob.Look(ctx, a.container, probeName, liveblob.Retry{GiveUp: probeFor})
	var e *liveblob.Error
	switch {
	case err == nil:
	case noHost(err):
		return fmt.Errorf("%s: there is no such host: check account_name, endpoint and DNS%s", a.URL(), hint)
	case errors.As(err, &e) && e.Code == "ContainerNotFound":
		if !o.set.Core.AutoCreateContainer {
			return fmt.Errorf("%s has no container %q: create it, or set auto_create_container on", a.URL(), o.store.Name())
		}
		if err := a.CreateContainer(ctx); err != nil && !passing(err) {
			return fmt.Errorf("%w%s", err, hint)
		}
	case errors.Is(err, liveblob.ErrNotFound):
	case passing(err):
		o.log.Warn("storage does not answer; going on, with what it does not take kept by Fluent Bit",
			"container", a.URL(), "login", o.store.Kind(), "err", err)
	default:
		return fmt.Errorf("%s cannot be used with this login (%s): %w%s", a.URL(), o.store.Kind(), err, hint)
	}
	return nil
}

// noHost reports that the name of the host, and so the account's, is wrong.
func noHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// passing reports errors that go by when storage, or the network, is up again: there
// was no answer, or one that says later.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var e *liveblob.Error
	if errors.Is(err, liveblob.ErrNotFound) || !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "", "ServerBusy", "TooManyRequests", "InternalError", "OperationTimedOut", "ContainerBeingDeleted":
		return true
	}
	return false
}

// answers asks storage, until ctx ends, whether it is there. Any answer will do but one
// that says later.
func (a *account) answers(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Panic(p)
		}
	}()
	if _, err = liveblob.Look(ctx, a.container, probeName, liveblob.Retry{}); ctx.Err() == nil {
		err = nil
	}
	return err
}
