package liveblob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"golang.org/x/sync/errgroup"
)

// Answers that change the plan. errForeignBlocks reaches the caller when sweeping
// did not help.
var (
	errForeignBlocks = errors.New("somebody else has staged blocks under this name")
	errGone          = errors.New("the blob is gone")
)

const parallelParts = 4

// run makes the attempt, try after try, until it has landed or cannot.
func (w *Writer) run(ctx context.Context, a *attempt) error {
	size := w.tail.size - a.from + int64(len(a.data))
	return w.cfg.Retry.Do(ctx, "commit", w.path(), size, func(ctx context.Context) error {
		err := w.try(ctx, a)
		if kind, _ := classify(err); err != nil && kind == missing && w.cfg.Container.Create != nil {
			if err := w.cfg.Container.Create(ctx); err != nil {
				return err
			}
			a.staged = false
			err = w.try(ctx, a)
		}
		return err
	})
}

// try stages and commits once. A commit whose answer is in doubt is settled
// before anything is sent again.
func (w *Writer) try(ctx context.Context, a *attempt) error {
	if a.sent {
		if landed, err := w.settle(ctx, a); landed || err != nil {
			return err
		}
	}
	end, err := w.budget.begin(ctx, w.tail.size-a.from)
	if err != nil {
		return err
	}
	defer end()
	old, err := w.load(ctx, a.from)
	if err != nil {
		return w.doubt(ctx, a, err)
	}
	if !a.staged {
		if err := w.stage(ctx, a, old); err != nil {
			w.budget.keep(w.cache, old)
			if kind, _ := classify(err); kind == stale && !a.everSent {
				return fmt.Errorf("%w: %w", errForeignBlocks, err)
			}
			return err
		}
		a.staged = true
	}
	a.sent, a.everSent = true, true
	etag, err := w.put(ctx, a, old)
	if err == nil {
		w.landed(a, etag, old)
		return nil
	}
	w.budget.keep(w.cache, old)
	return w.doubt(ctx, a, err)
}

// doubt says what err, the answer to a commit or to a conditional read, means.
func (w *Writer) doubt(ctx context.Context, a *attempt, err error) error {
	switch kind, code := classify(err); kind {
	case transient:
		// Turned away unserved, by a service that has too much to do already. Had it
		// landed all the same, the next try would meet another ETag than its
		// condition's, and be settled then.
		if code == "ServerBusy" || code == "TooManyRequests" {
			a.sent = false
		}
	case ambiguous, absent:
		landed, settleErr := w.settle(ctx, a)
		if landed || settleErr != nil {
			return settleErr
		}
	case permanent, missing: // refused, so it had no effect
		a.sent = false
	}
	return err
}

// settle asks the blob itself what became of a. false and no error: it did not
// land, and may be sent again.
func (w *Writer) settle(ctx context.Context, a *attempt) (landed bool, err error) {
	h, err := w.look(ctx, w.client)
	switch {
	case err != nil:
		return false, err
	case h == nil && w.etag != "":
		return false, errGone
	case h == nil, h.etag == w.etag:
	case h.writer() == w.writerID() && h.seq() == a.seq:
		w.landed(a, h.etag, w.budget.borrow(w.cache))
		return true, nil
	case h.writer() == w.writerID() && h.seq() == w.seq && h.size == w.size && w.committed > 0:
		w.etag = h.etag // somebody has changed a property: the content is still ours
	default:
		return false, w.foreign(h)
	}
	a.sent, a.staged = false, false
	return false, nil
}

// load borrows the tail's bytes from from on, and reads back those that the
// budget has dropped. There may be more of them, in front.
func (w *Writer) load(ctx context.Context, from int64) (rope, error) {
	have := w.budget.borrow(w.cache)
	missing := w.tail.size - from - have.size
	if missing <= 0 {
		return have, nil
	}
	back, err := w.readBack(ctx, w.size-(w.tail.size-from), missing)
	if err != nil {
		w.budget.keep(w.cache, have)
		return rope{}, err
	}
	have.prepend(back)
	return have, nil
}

// readBack returns n bytes of the committed blob from offset on.
func (w *Writer) readBack(ctx context.Context, offset, n int64) ([]byte, error) {
	a, err := get(ctx, w.client, offset, n, &blob.ModifiedAccessConditions{IfMatch: &w.etag})
	if err != nil {
		return nil, err
	}
	defer a.body.Close()
	if _, err := io.CopyN(io.Discard, a.body, offset-a.from); err != nil { // the range was ignored
		return nil, cut(err)
	}
	all := make([]byte, n)
	if _, err := io.ReadFull(a.body, all); err != nil {
		return nil, cut(err)
	}
	return all, nil
}

// stage uploads the attempt's blocks. Their IDs are new, so doing it twice is
// harmless.
func (w *Writer) stage(ctx context.Context, a *attempt, old rope) error {
	all := newBody(old, w.tail.size-a.from, a.data)
	if len(a.ids) == 1 {
		begun := time.Now()
		_, err := w.client.StageBlock(ctx, a.ids[0], all, nil)
		if took := time.Since(begun).Seconds(); err == nil && all.size >= wholeMax && took > 0 {
			w.rate = int64(float64(all.size) / took)
		}
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelParts)
	for i, id := range a.ids {
		part := all.cut(int64(i)*partSize, min(int64(i+1)*partSize, all.size))
		g.Go(func() error {
			_, err := w.client.StageBlock(ctx, id, part, nil)
			return err
		})
	}
	return g.Wait()
}

// put makes the attempt the blob.
func (w *Writer) put(ctx context.Context, a *attempt, old rope) (azcore.ETag, error) {
	var (
		headers = &blob.HTTPHeaders{BlobContentType: &w.cfg.ContentType, BlobCacheControl: &w.cfg.CacheControl}
		cond    = &blob.ModifiedAccessConditions{IfMatch: &w.etag}
		tier    *blob.AccessTier
	)
	if w.cfg.ContentEncoding != "" {
		headers.BlobContentEncoding = &w.cfg.ContentEncoding
	}
	if w.etag == "" {
		anyETag := azcore.ETagAny
		cond = &blob.ModifiedAccessConditions{IfNoneMatch: &anyETag}
	}
	if a.complete && w.cfg.CompleteTier != "" {
		t := blob.AccessTier(w.cfg.CompleteTier)
		tier = &t
	}
	if a.whole {
		r, err := w.client.Upload(ctx, newBody(old, old.size, a.data), &blockblob.UploadOptions{
			HTTPHeaders: headers, Metadata: w.metadata(a).header(), Tags: w.cfg.Tags, Tier: tier,
			AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: cond},
		})
		return etagOf(r.ETag), err
	}
	ids := w.sealed // appended to beyond its length: what a try writes there, the next may overwrite
	for _, b := range w.tail.blocks[:a.keep] {
		ids = append(ids, b.id)
	}
	r, err := w.client.CommitBlockList(ctx, append(ids, a.ids...), &blockblob.CommitBlockListOptions{
		HTTPHeaders: headers, Metadata: w.metadata(a).header(), Tags: w.cfg.Tags, Tier: tier,
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: cond},
	})
	return etagOf(r.ETag), err
}

func (w *Writer) writerID() string { return hex.EncodeToString(w.nonce[:]) }

func (w *Writer) metadata(a *attempt) metadata {
	m := make(metadata, len(a.user)+7)
	maps.Copy(m, a.user)
	m[metaStream], m[metaOrigin], m[metaWriter] = w.cfg.Stream, w.origin, w.writerID()
	m[metaSeq] = strconv.FormatUint(a.seq, 10)
	m[metaCursor], m[metaNext] = a.cursor, a.next
	if a.complete {
		m[metaComplete] = "1"
	}
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

// FencedError says who has the blob now. It is an ErrFenced.
type FencedError struct {
	Writer string // the other writer's nonce, or "" if it left none
	// First: this writer had not committed to the blob yet. Its predecessor's last
	// commit may have landed late, so a new Writer that resumes from the cursor
	// found there goes on; two live writers of one stream would fence each other
	// for ever that way, so do not do it twice.
	First bool
}

func (e *FencedError) Error() string {
	if e.Writer == "" {
		return "somebody else has overwritten the blob"
	}
	return fmt.Sprintf("another writer (%s) has taken over the blob", e.Writer)
}

func (e *FencedError) Unwrap() error { return ErrFenced }

// foreign is the verdict on a blob that another writer has changed or made.
func (w *Writer) foreign(h *snapshot) error {
	if w.etag == "" && h.stream() != w.cfg.Stream {
		return w.taken(h)
	}
	return &Error{
		Op: "commit", Blob: w.path(), Err: &FencedError{Writer: h.writer(), First: w.committed == 0},
		Hint: "this one stops, nothing is overwritten; give each writer a name of its own",
	}
}

// taken says whose the name is.
func (w *Writer) taken(h *snapshot) error {
	who := "a blob that is not a live log"
	if s := h.stream(); s != "" {
		who = fmt.Sprintf("the log of %q", s)
	}
	return &Error{Op: "write", Blob: w.path(), Err: fmt.Errorf("%w: it is %s", ErrTaken, who), Hint: "choose another name"}
}
