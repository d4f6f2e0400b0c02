package liveblob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

const (
	maxName = 1024  // characters of a blob's name
	maxRoll = 99999 // blobs that one log can roll over to
)

// look asks for a blob's snapshot; nil: there is none.
func (w *Writer) look(ctx context.Context, c *blockblob.Client) (*snapshot, error) {
	s, err := head(ctx, c)
	// That the container is missing says nothing of a blob that was there: it may
	// be on its way back.
	if kind, _ := classify(err); err != nil && (kind == absent || kind == missing && w.etag == "") {
		return nil, nil
	}
	return &s, err
}

// Resume finds what this stream has written so far, so that State tells the
// cursor to go on from. The first Commit does it where the host did not. It
// changes nothing in storage.
func (w *Writer) Resume(ctx context.Context) error {
	if w.resumed {
		return nil
	}
	err := w.seek(ctx, w.cfg.Name)
	// The log is under its fork's name where the wanted one is another stream's, or
	// was when the log began.
	if w.cfg.Fork && (errors.Is(err, ErrTaken) || err == nil && w.etag == "" && w.cursor == "") {
		taken := err != nil
		err = w.seek(ctx, ForkName(w.cfg.Name, w.cfg.Stream))
		if nothing := err == nil && w.etag == "" && w.cursor == ""; !taken && (nothing || errors.Is(err, ErrTaken)) {
			err = w.aim(w.cfg.Name)
			w.base = w.cfg.Name
		}
	}
	w.resumed = err == nil
	return err
}

func (w *Writer) mayFork() bool { return w.cfg.Fork && w.name == w.cfg.Name }

// seek finds the log that begins in the blob of that name.
func (w *Writer) seek(ctx context.Context, base string) error {
	if err := w.aim(base); err != nil {
		return err
	}
	w.base = base
	return w.cfg.Retry.Do(ctx, "resume", w.path(), 0, w.find)
}

// find follows the log from its first blob to the one that is written now.
func (w *Writer) find(ctx context.Context) error {
	if err := w.aim(w.base); err != nil {
		return err
	}
	w.cursor, w.seq = "", 0
	var before *snapshot // of the blob that names this one as next
	for range maxRoll {
		h, err := w.look(ctx, w.client)
		if err != nil {
			return err
		}
		if h == nil {
			if h, err = w.rolledOn(ctx); err != nil || h == nil {
				return err
			}
		}
		if h.stream() != w.cfg.Stream {
			if before == nil {
				return w.taken(h)
			}
			// Another stream was quicker to take the name that this log was to go
			// on in: the last blob is the one before, and names another one next.
			if err := w.aim(before.name); err != nil {
				return err
			}
			return w.adopt(ctx, before)
		}
		h.name = w.name
		w.cursor, w.seq = h.meta[metaCursor], h.seq()
		next := h.next()
		if next == "" {
			return w.adopt(ctx, h)
		}
		before = h
		if err := w.aim(next); err != nil {
			return err
		}
	}
	return fmt.Errorf("the log goes on in more than %d blobs", maxRoll)
}

// rolledOn looks for later blobs of the log where one is missing, and aims at the
// last of them; nil: there is none.
func (w *Writer) rolledOn(ctx context.Context) (*snapshot, error) {
	if w.cfg.MaxSize == 0 || w.cfg.Container.List == nil {
		return nil, nil
	}
	names, err := w.cfg.Container.List(ctx, cutName(w.base, rollSuffix)+"-")
	if err != nil {
		// A SAS token may well write and not list; the log then begins anew.
		var re *azcore.ResponseError
		if errors.As(err, &re) && (re.StatusCode == http.StatusForbidden || re.StatusCode == http.StatusNotFound) {
			return nil, nil
		}
		return nil, err
	}
	here := w.name
	names = slices.DeleteFunc(names, func(name string) bool { return w.part(name) <= w.part(here) })
	slices.SortFunc(names, func(a, b string) int { return w.part(b) - w.part(a) })
	for _, name := range names {
		if err := w.aim(name); err != nil {
			return nil, err
		}
		if h, err := w.look(ctx, w.client); err != nil || h != nil && h.stream() == w.cfg.Stream {
			return h, err
		}
	}
	return nil, w.aim(here)
}

// adopt takes over a blob that an earlier writer of the stream has left.
func (w *Writer) adopt(ctx context.Context, h *snapshot) error {
	list, err := w.client.GetBlockList(ctx, blockblob.BlockListTypeCommitted, nil)
	if err != nil {
		return err
	}
	if etagOf(list.ETag) != h.etag {
		return errMoved // between the two requests; the retry looks again
	}
	w.etag, w.size, w.complete, w.origin = h.etag, h.size, h.complete(), h.origin()
	blocks := list.CommittedBlocks
	if len(blocks) == 0 {
		if h.size > wholeMax {
			return w.taken(h) // no writer of ours makes such a blob
		}
		w.whole, w.tail = true, tail{size: h.size}
		return nil
	}
	// The last blocks, as far as they are smaller than the window together, are a
	// tail that can be merged again.
	cut := len(blocks)
	w.tail = tail{}
	window, mean := window(h.seq(), 0), h.size/int64(max(h.seq(), 1))
	for cut > 0 && w.tail.size+*blocks[cut-1].Size < window {
		cut--
		w.tail.size += *blocks[cut].Size
	}
	w.sealed = make([]string, cut)
	for i, b := range blocks {
		if i < cut {
			w.sealed[i] = *b.Name
		} else {
			w.tail.blocks = append(w.tail.blocks, block{id: *b.Name, level: levelOf(*b.Size, mean), size: *b.Size})
		}
	}
	return nil
}

var errMoved = errors.New("the blob changed while it was looked at")

// full reports that n more bytes belong in another blob.
func (w *Writer) full(n int) bool {
	if w.etag == "" || n == 0 {
		return false
	}
	return len(w.sealed)+len(w.tail.blocks) >= w.cfg.MaxBlocks ||
		w.cfg.MaxSize > 0 && w.size > 0 && w.size+int64(n) > w.cfg.MaxSize
}

// nextName finds a free name for the log to go on in.
func (w *Writer) nextName(ctx context.Context) (string, error) {
	for part := w.part(w.name); part < maxRoll; {
		part++
		name := rollName(w.base, part)
		c, err := w.cfg.Container.Client(name)
		if err != nil {
			return "", wrap("roll over", w.path(), err)
		}
		var h *snapshot
		err = w.cfg.Retry.Do(ctx, "roll over", w.path(), 0, func(ctx context.Context) (err error) {
			h, err = w.look(ctx, c)
			return err
		})
		if err != nil {
			return "", err
		}
		if h == nil {
			return name, nil
		}
	}
	return "", &Error{Op: "roll over", Blob: w.path(), Err: errors.New("no free name is left"), Hint: "raise max_size, or choose another path"}
}

// part is the number of a blob that the log rolled over to; 0 for its first.
func (w *Writer) part(name string) int {
	s, ok := strings.CutPrefix(name, cutName(w.base, rollSuffix)+"-")
	if n, err := strconv.Atoi(s); ok && err == nil && n <= maxRoll && rollName(w.base, n) == name {
		return n
	}
	return 0
}

const rollSuffix = 6 // "-" and up to five digits

// rollName is where a log goes on: name-0001, name-0002, …
func rollName(base string, part int) string {
	return fmt.Sprintf("%s-%04d", cutName(base, rollSuffix), part)
}

// ForkName is the name that a stream uses where the one it wanted is taken.
func ForkName(name, stream string) string {
	sum := sha256.Sum256([]byte(stream))
	ext := forkExt(name)
	return cutName(strings.TrimSuffix(name, ext), forkSuffix+len(ext)) + "-" + hex.EncodeToString(sum[:4]) + ext
}

// cutName leaves room for n more bytes of a name.
func cutName(name string, n int) string {
	if len(name) <= maxName-n {
		return name
	}
	return strings.ToValidUTF8(name[:max(maxName-n, 0)], "")
}
