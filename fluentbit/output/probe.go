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
func (o *Output) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	const hint = "; startup_probe off starts without this check"
	_, err := liveblob.Look(ctx, o.container, probeName, liveblob.Retry{GiveUp: probeFor})
	var e *liveblob.Error
	switch {
	case err == nil:
	case errors.As(err, &e) && e.Code == "ContainerNotFound":
		if !o.set.Core.AutoCreateContainer {
			return fmt.Errorf("%s has no container %q: create it, or set auto_create_container on", o.store.URL(), o.store.Name())
		}
		if err := o.store.CreateContainer(ctx); err != nil && !passing(err) {
			return fmt.Errorf("%w%s", err, hint)
		}
	case errors.Is(err, liveblob.ErrNotFound):
	case passing(err):
		o.log.Warn("storage does not answer; going on, with what it does not take kept by Fluent Bit", "container", o.store.URL(), "err", err)
	default:
		return fmt.Errorf("%s cannot be used with this login (%s): %w%s", o.store.URL(), o.store.Kind(), err, hint)
	}
	return nil
}

// passing reports errors that go by when storage, or the network, is up again. That
// there is no such host is none: the account's name is wrong.
func passing(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return false
	}
	var e *liveblob.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && transientCodes(e.Code)
}

// transientCodes are the service's words for later; none is no answer at all.
func transientCodes(code string) bool {
	switch code {
	case "", "ServerBusy", "InternalError", "OperationTimedOut", "ContainerBeingDeleted":
		return true
	}
	return false
}

// answers asks storage, until ctx ends, whether it is there. Any answer will do but one
// that says later.
func (o *Output) answers(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if _, err = liveblob.Look(ctx, o.container, probeName, liveblob.Retry{}); ctx.Err() == nil {
		err = nil
	}
	return err
}
