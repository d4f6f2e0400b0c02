package liveblob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Retry is the one retry loop of the project: exponential backoff with jitter,
// Retry-After, and a deadline for each try that grows with the body. The zero
// value is ready to use. A Retry belongs to one caller at a time.
type Retry struct {
	// Base is the pause after the first failure (200 ms); it doubles up to Max
	// (15 s). Half of each pause is random.
	Base, Max time.Duration

	// GiveUp ends the loop when this long went by without a success; 0: never. A
	// try that is under way then is cut short, but is given a second.
	GiveUp time.Duration

	// Denied keeps trying, at Max's pace, after answers that only a person can
	// change (a wrong key, a missing role): a host that holds the data safely
	// would rather wait for the key to be rotated than drop a line.
	Denied bool

	// Try is the least time that one try is given (15 s), to which a second is
	// added for every 128 KiB of body.
	Try time.Duration

	// Log hears of a new error and of the recovery, not of every try. nil: silent.
	Log *slog.Logger

	// Retries counts the tries that failed and are followed by another. Read it
	// only from the goroutine that calls Do.
	Retries int64
	// Tally counts them as well, while Do runs and for many Retrys together. nil: not.
	Tally *atomic.Int64

	trouble string    // the error last logged; "" while all is well
	since   time.Time // when the trouble began
}

const slowestLink = 128 << 10 // bytes a second that a try's deadline allows for

// errTryDeadline is the cause of the context that one try runs under.
var errTryDeadline = errors.New("no answer in time")

// Do calls try until it succeeds, fails for good, or ctx ends. op and blob
// ("container/name") name the work in the error and the log; size is the body's
// length in bytes.
func (r *Retry) Do(ctx context.Context, op, blob string, size int64, try func(context.Context) error) error {
	pause := cmp.Or(r.Base, 200*time.Millisecond)
	limit := cmp.Or(r.Max, 15*time.Second)
	deadline := cmp.Or(r.Try, 15*time.Second) + time.Duration(size)*time.Second/slowestLink
	begun := time.Now()
	var last error // of the tries so far
	ended := func() error {
		err := context.Cause(ctx)
		if last != nil {
			err = fmt.Errorf("%w while trying again after: %w", err, last)
		}
		return &Error{Op: op, Blob: blob, Err: err}
	}
	for {
		if r.GiveUp > 0 {
			deadline = min(deadline, max(r.GiveUp-time.Since(begun), time.Second))
		}
		tryCtx, cancel := context.WithTimeoutCause(ctx, deadline, errTryDeadline)
		err := try(tryCtx)
		if err != nil && tryCtx.Err() != nil && ctx.Err() == nil {
			err = context.Cause(tryCtx)
		}
		cancel()
		if err == nil {
			r.recovered(blob)
			return nil
		}
		if ctx.Err() != nil {
			return ended()
		}
		kind, code := classify(err)
		failed := wrap(op, blob, err)
		if isVerdict(err) || (kind != transient && kind != ambiguous && !r.Denied) {
			return failed
		}
		left := r.GiveUp - time.Since(begun)
		if r.GiveUp > 0 && left <= 0 {
			return failed
		}
		r.report(failed, code)

		wait := pause/2 + rand.N(pause/2+1)
		if kind != transient && kind != ambiguous || code == "ContainerBeingDeleted" {
			wait = limit
		}
		wait = max(wait, min(retryAfter(err), 5*time.Minute))
		if r.GiveUp > 0 {
			wait = min(wait, left) // and one last try
		}
		last = failed.Err
		r.Retries++
		if r.Tally != nil {
			r.Tally.Add(1)
		}
		if !sleep(ctx, wait) {
			return ended()
		}
		pause = min(2*pause, limit)
	}
}

// isVerdict reports errors that are this package's own conclusion rather than
// an answer: no retry changes them, whatever Denied says.
func isVerdict(err error) bool {
	for _, v := range []error{ErrFenced, ErrTaken, ErrReplaced, ErrNotFound, errForeignBlocks, errGone} {
		if errors.Is(err, v) {
			return true
		}
	}
	return false
}

func (r *Retry) report(err error, code string) {
	text := cmp.Or(code, err.Error())
	if text == r.trouble {
		return
	}
	if r.trouble == "" {
		r.since = time.Now()
	}
	r.trouble = text
	if r.Log == nil {
		return
	}
	msg := "storage cannot be reached; trying again"
	if code != "" {
		msg = "storage refuses for now; trying again"
	}
	r.Log.Warn(msg, "err", err)
}

func (r *Retry) recovered(blob string) {
	if r.trouble == "" {
		return
	}
	r.trouble = ""
	if r.Log != nil {
		r.Log.Info("storage is back", "blob", blob, "after", time.Since(r.since).Round(time.Millisecond))
	}
}

// retryAfter is the pause that the service asked for, or 0.
func retryAfter(err error) time.Duration {
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.RawResponse == nil {
		return 0
	}
	h := re.RawResponse.Header
	for _, k := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.Atoi(h.Get(k)); err == nil && ms > 0 {
			return time.Duration(ms) * time.Millisecond
		}
	}
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// sleep waits for d, or until ctx ends; it reports whether d went by.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
