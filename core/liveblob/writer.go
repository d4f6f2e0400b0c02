package liveblob

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Config says which blob a Writer writes, and as whom.
type Config struct {
	Container Container
	// Name is the blob's name, at most 1,024 bytes.
	Name string
	// Stream says who the log belongs to (a container ID, host and tag, …). A
	// blob of another stream is never written to.
	Stream string

	// Fork: when Name is taken by another stream, write to Name with
	// "-<8 hex digits of the stream's hash>" before its extension, where the same
	// stream finds its blob again. Off: ErrTaken.
	Fork bool
	// Fresh: the stream is new, so do not ask for an earlier blob of it first; a
	// name that exists is then found out by the first commit, and is ErrTaken or
	// ErrFenced. It saves a request at the start.
	Fresh bool

	ContentType     string // "": application/octet-stream
	ContentEncoding string
	CacheControl    string            // "": no-store, so that browsers see the log live
	Metadata        map[string]string // the user's own: names are identifiers, see the package comment for those in use
	Tags            map[string]string // blob index tags
	CompleteTier    string            // access tier that the completing commit sets; "": as the account has it

	MaxSize   int64 // bytes after which the log goes on in another blob; 0: never
	MaxBlocks int   // blocks after which it does; 0: 45,000 (the service's limit is 50,000)

	Budget *Budget // memory for tails; nil: one that the process shares
	Retry  Retry
	Log    *slog.Logger // nil: silent
}

const defaultMaxBlocks = 45_000

// Writer appends to one log, one commit at a time. It is not safe for concurrent
// use; it starts no goroutine that outlives a call, and needs no Close.
type Writer struct {
	cfg     Config
	nonce   [6]byte
	counter uint64 // of block IDs
	budget  *Budget
	resumed bool  // the fields below are what the service has
	broken  error // set once another writer has the blob

	// The blob as of the last commit.
	name      string // base, or a later one after a roll-over
	base      string // Config.Name, or its fork
	client    *blockblob.Client
	etag      azcore.ETag // "": the blob does not exist yet
	origin    string
	size      int64
	whole     bool     // made by Put Blob: it has no block list
	sealed    []string // block IDs before the tail
	tail      tail
	cache     *cached // the tail's bytes
	rate      int64   // bytes a second that the last larger block was staged at; 0: not known
	seq       uint64
	planned   uint64 // the last seq given to an attempt; none is given twice
	cursor    string
	complete  bool
	committed int64 // commits by this writer to this blob

	owed *attempt // begun and not yet known to be done
}

// NewWriter checks cfg; it does no I/O.
func NewWriter(cfg Config) (*Writer, error) {
	if cfg.Name == "" || len(cfg.Name) > maxName {
		return nil, fmt.Errorf("write blob %q: a name has 1 to %d bytes", cfg.Name, maxName)
	}
	if cfg.Stream == "" {
		return nil, fmt.Errorf("write blob %q: no stream is set", cfg.Name)
	}
	if err := cfg.check(cfg.Metadata); err != nil {
		return nil, err
	}
	for what, v := range map[string]string{"content type": cfg.ContentType, "content encoding": cfg.ContentEncoding, "cache control": cfg.CacheControl} {
		if escape(v) != v {
			return nil, fmt.Errorf("write blob %q: %s %q has a character that a header cannot carry", cfg.Name, what, v)
		}
	}
	cfg.MaxBlocks = cmp.Or(cfg.MaxBlocks, defaultMaxBlocks)
	cfg.CacheControl = cmp.Or(cfg.CacheControl, "no-store")
	cfg.ContentType = cmp.Or(cfg.ContentType, "application/octet-stream")
	w := &Writer{cfg: cfg, budget: cmp.Or(cfg.Budget, &shared), cache: new(cached), resumed: cfg.Fresh}
	w.cfg.Retry.Log = cmp.Or(cfg.Retry.Log, cfg.Log)
	rand.Read(w.nonce[:])
	if err := w.aim(cfg.Name); err != nil {
		return nil, err
	}
	w.base = cfg.Name
	return w, nil
}

// check refuses user metadata that the service would refuse.
func (c *Config) check(user map[string]string) error {
	if err := CheckMetadata(user); err != nil {
		return fmt.Errorf("write blob %q: metadata: %w", c.Name, err)
	}
	// A cursor at its longest, the stream, and the name that the log rolls over to.
	if n := metadata(user).size() + maxCursor + len(escape(c.Stream)) + len(escape(c.Name)) + 200; n > maxMetadata {
		return fmt.Errorf("write blob %q: metadata: with the log's own it takes up to %d bytes, and the service keeps %d: give less of it", c.Name, n, maxMetadata)
	}
	return nil
}

// SetMetadata replaces the user's metadata from the next commit on, such as by the
// time at which the source has ended. An owed commit keeps what it was made with.
func (w *Writer) SetMetadata(m map[string]string) error {
	if err := w.cfg.check(m); err != nil {
		return err
	}
	w.cfg.Metadata = maps.Clone(m)
	return nil
}

// State is what a Writer knows of its log.
type State struct {
	Blob     string // name of the blob that is written now
	Size     int64  // bytes in it
	Blocks   int    // committed blocks
	Cursor   string // the host's position after the last commit; "" for a new log
	Exists   bool   // the blob is there
	Complete bool   // and marked as complete
	Retries  int64  // tries that failed, in all
}

// State returns the state as of the last commit or Resume.
func (w *Writer) State() State {
	return State{
		Blob: w.name, Size: w.size, Blocks: len(w.sealed) + len(w.tail.blocks), Cursor: w.cursor,
		Exists: w.etag != "", Complete: w.complete, Retries: w.cfg.Retry.Retries,
	}
}

// Commit appends data and stores cursor (see CheckCursor) with it. It returns nil
// only when both are readable in the blob. Storage errors that may pass are
// retried until ctx ends.
//
// After an error it may be that the data has landed, or still will. It is owed:
// the data must stay as it is, and the next call must be given the same data and
// cursor, which settles it without writing anything twice. Only ErrFenced and
// ErrTaken end a Writer.
//
// Empty data stores the cursor alone; it makes the blob if there is none.
func (w *Writer) Commit(ctx context.Context, data []byte, cursor string) error {
	return w.write(ctx, data, cursor, false)
}

// Complete is a Commit that also marks the blob as complete: the source has
// ended. A later Commit takes the mark away.
func (w *Writer) Complete(ctx context.Context, data []byte, cursor string) error {
	return w.write(ctx, data, cursor, true)
}

func (w *Writer) write(ctx context.Context, data []byte, cursor string, complete bool) error {
	if w.broken != nil {
		return w.broken
	}
	if err := CheckCursor(cursor); err != nil {
		return fmt.Errorf("commit %s: %w", w.path(), err)
	}
	if err := w.Resume(ctx); err != nil {
		return err
	}
	if a := w.owed; a != nil && a.purpose == toAppend && !a.is(data, cursor, complete) {
		return fmt.Errorf("commit %s: an earlier commit is not settled: call again with its data and cursor", w.path())
	}
	for swept := false; ; {
		if w.owed == nil {
			a, err := w.next(ctx, data, cursor, complete)
			if err != nil {
				return err
			}
			w.owed = a
		}
		a := w.owed
		err := w.run(ctx, a)
		switch {
		case err == nil:
			w.owed = nil
			switch a.purpose {
			case toAppend:
				return nil
			case toRoll:
				if err := w.aim(a.next); err != nil {
					return err
				}
			}
		case errors.Is(err, errForeignBlocks) && !swept:
			swept = true
			w.owed = w.plan(nil, w.cursor, false, toSweep)
		case errors.Is(err, errGone):
			w.warn("the blob was deleted by somebody else; going on in a new one of the same name")
			w.forget()
			w.owed = nil
		case errors.Is(err, ErrTaken) && (w.mayFork() || w.name != w.base):
			// Another stream was quicker: at the name itself, which is then forked,
			// or at the one that this log was to go on in.
			w.owed, w.resumed = nil, false
			if err := w.Resume(ctx); err != nil {
				return err
			}
		case errors.Is(err, ErrFenced), errors.Is(err, ErrTaken):
			w.broken = err
			return err
		default:
			return err
		}
	}
}

// next is the attempt to make now: the caller's, or the roll-over that must come
// before it.
func (w *Writer) next(ctx context.Context, data []byte, cursor string, complete bool) (*attempt, error) {
	if !w.full(len(data)) {
		return w.plan(data, cursor, complete, toAppend), nil
	}
	name, err := w.nextName(ctx)
	if err != nil {
		return nil, err
	}
	a := w.plan(nil, w.cursor, false, toRoll)
	a.next = name
	return a, nil
}

// aim points the writer at a blob that it knows nothing of.
func (w *Writer) aim(name string) error {
	c, err := w.cfg.Container.Client(name)
	if err != nil {
		return wrap("write", w.cfg.Container.Name+"/"+name, err)
	}
	w.name, w.client = name, c
	w.forget()
	return nil
}

// forget makes the blob one that does not exist. The cursor stays: it is the
// log's, not the blob's.
func (w *Writer) forget() {
	w.budget.borrow(w.cache)
	w.etag, w.size, w.whole, w.sealed, w.tail, w.complete, w.committed = "", 0, false, nil, tail{}, false, 0
	w.origin = rand.Text()[:10]
}

func (w *Writer) path() string { return w.cfg.Container.Name + "/" + w.name }

func (w *Writer) warn(msg string) {
	if w.cfg.Log != nil {
		w.cfg.Log.Warn(msg, "blob", w.path())
	}
}

// purpose is why an attempt is made.
type purpose uint8

const (
	toAppend purpose = iota // what the caller asked for
	toRoll                  // to say where the log goes on
	toSweep                 // to discard blocks that somebody else has staged
)

// attempt is one planned commit. It does not change once made, whatever becomes
// of its requests.
type attempt struct {
	purpose  purpose
	data     []byte // the caller's
	cursor   string
	complete bool
	next     string
	seq      uint64
	user     map[string]string // metadata

	whole  bool     // by Put Blob
	keep   int      // blocks of the tail that stay
	from   int64    // where in the tail's bytes the merged ones begin
	level  uint8    // of the new block
	sealed bool     // the new blocks never merge again
	ids    []string // the new blocks, usually one; none where only metadata changes

	sent     bool // a commit was sent whose outcome is not known
	everSent bool // a commit was sent at all: it may still arrive late
	staged   bool // all of ids are staged, as far as is known
}

func (a *attempt) is(data []byte, cursor string, complete bool) bool {
	return a.cursor == cursor && a.complete == complete && bytes.Equal(a.data, data)
}

func (w *Writer) plan(data []byte, cursor string, complete bool, why purpose) *attempt {
	n := int64(len(data))
	w.planned = max(w.planned, w.seq) + 1
	a := &attempt{purpose: why, data: data, cursor: cursor, complete: complete, seq: w.planned, user: w.cfg.Metadata, keep: len(w.tail.blocks), from: w.tail.size}
	absent := w.etag == ""
	switch {
	case absent && why == toSweep: // by an empty block list, which discards whatever is staged
		return a
	case (absent || w.whole) && w.size+n <= wholeMax:
		a.whole, a.keep, a.from = true, 0, 0
		return a
	case n == 0:
		return a
	case w.whole: // its bytes become the beginning of the first block
		a.keep, a.from, a.level = 0, 0, 1
		a.sealed = w.size+n >= minWindow
	default:
		window := window(a.seq, w.rate)
		w.sealed = append(w.sealed, w.tail.shed(window)...)
		a.keep, a.from, a.level, a.sealed = w.tail.join(n, window)
		if n <= splitMin && w.budget.crowded(w.tail.size-a.from) {
			// The merge can wait, the flush cannot.
			a.keep, a.from, a.level, a.sealed = len(w.tail.blocks), w.tail.size, 0, false
		}
	}
	parts := 1
	if n > splitMin {
		parts = int((w.tail.size - a.from + n + partSize - 1) / partSize)
	}
	a.ids = make([]string, parts)
	for i := range a.ids {
		w.counter++
		a.ids[i] = blockID(w.nonce, w.counter)
	}
	return a
}

// landed takes over what a's commit made of the blob. old are the tail's bytes,
// as far as they are at hand.
func (w *Writer) landed(a *attempt, etag azcore.ETag, old rope) {
	n := int64(len(a.data))
	w.etag, w.seq, w.cursor, w.complete = etag, a.seq, a.cursor, a.complete
	w.size += n
	w.committed++
	kept := old
	switch {
	case a.whole:
		w.whole = true
		w.tail.size = w.size
		kept.append(a.data)
	case len(a.ids) == 0: // no bytes are new
	case a.sealed:
		w.whole = false
		w.sealed = append(w.sealed, a.ids...)
		w.tail = tail{blocks: w.tail.blocks[:0]}
		kept = rope{}
	default:
		w.whole = false
		w.tail.blocks = append(w.tail.blocks[:a.keep], block{id: a.ids[0], level: a.level, size: w.tail.size - a.from + n})
		w.tail.size += n
		kept.append(a.data)
	}
	if kept.size > w.tail.size {
		kept.drop(w.tail.size)
	}
	if !a.complete { // what comes after the end, if anything, may read it back
		w.budget.keep(w.cache, kept)
	}
}
