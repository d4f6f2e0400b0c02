package liveblob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// maxRange is the most that one request asks for, the overlapping byte included.
const maxRange = 4 << 20

// ReaderConfig says what to read and how eagerly.
type ReaderConfig struct {
	Container Container
	Name      string
	Offset    int64 // bytes of the first blob to skip

	// Follow goes on until the log is complete and waits for a blob that is not
	// there yet. Without it, reading ends at what is committed when it gets there.
	Follow bool

	// Poll is the quickest poll (250 ms). The pause grows to an eighth of the time
	// since the last new bytes, up to MaxPoll (5 s): a busy log is seen at once,
	// a quiet one costs little.
	Poll, MaxPoll time.Duration

	Retry Retry

	// Waiting is called once, when Follow finds that there is no blob yet. It may
	// be nil.
	Waiting func()
}

// A Reader reads a log from its blob, through its roll-overs, while it grows.
//
// One answer of the service is a snapshot: its bytes, its size and its metadata
// belong together. The Reader acts on the last answer alone: when all of its size
// has been handed over, it says whether the log is complete, goes on in another
// blob, or may still grow. Merged blocks change the ETag and not the bytes, so
// the ETag only serves to save a transfer (If-None-Match); it never decides.
// That the blob is still the same one is seen from its stream, its size and the
// one byte by which each request overlaps what was handed over.
//
// What Next returns is therefore the log from Offset on, each byte once and in
// order, or an error. After an error other than [ErrReplaced], calling Next again
// goes on where it was.
//
// A Reader owns no goroutine and, while it waits, no buffer. It belongs to one
// goroutine at a time.
type Reader struct {
	cfg   ReaderConfig
	at    place
	heard bool            // the last answer has not been acted on yet
	been  map[string]bool // blobs that are read to their end, against going in circles

	buf   []byte    // what Next returned last; nil while waiting
	asked time.Time // when the last request was begun
	news  time.Time // when bytes last came

	requests, fetched int64
}

// place is how far a Reader has come in one blob.
type place struct {
	name   string
	client *blockblob.Client // nil until the first request
	pos    int64             // bytes handed over or skipped
	last   int               // the byte before pos; -1: not known
	bound  bool              // stream is known
	stream string            // whose blob it must be
	seen   bool              // an answer has come, and now is what it said
	now    snapshot
}

// caughtUp reports that all of the last answer's size has been handed over.
func (p *place) caughtUp() bool { return p.seen && p.pos == p.now.size }

// NewReader returns a Reader at cfg.Offset. It does no I/O.
func NewReader(cfg ReaderConfig) *Reader {
	cfg.Poll = cmp.Or(cfg.Poll, 250*time.Millisecond)
	cfg.MaxPoll = max(cmp.Or(cfg.MaxPoll, 5*time.Second), cfg.Poll)
	return &Reader{cfg: cfg, at: place{name: cfg.Name, pos: max(0, cfg.Offset), last: -1}}
}

// Next returns the next committed bytes, at least one, valid until the next call.
// It waits for them if the Reader follows. The error is io.EOF itself where the
// log ends: it is complete or, without Follow, all that is there has been read.
// A log can be taken up again; Next after io.EOF asks once more.
func (r *Reader) Next(ctx context.Context) ([]byte, error) {
	if r.news.IsZero() {
		r.news = time.Now()
	}
	for {
		if !r.heard || !r.at.caughtUp() {
			data, err := r.ask(ctx, &r.at)
			r.heard = err == nil
			if errors.Is(err, ErrNotFound) && r.cfg.Follow && !r.at.seen {
				if r.cfg.Waiting != nil {
					r.cfg.Waiting()
					r.cfg.Waiting = nil
				}
				if err := r.pause(ctx); err != nil {
					return nil, err
				}
				continue
			}
			if err != nil || len(data) > 0 {
				return data, err
			}
			continue
		}

		r.heard = false
		if next := r.at.now.next(); next != "" {
			data, entered, err := r.enter(ctx, next)
			if err != nil || len(data) > 0 {
				return data, err
			}
			if entered {
				continue
			}
		}
		if r.at.now.complete() || !r.cfg.Follow {
			return nil, io.EOF
		}
		if err := r.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// enter goes on in the blob that the log was rolled over to, if it is there and
// of the same stream. If not, the Reader stays where it is and polls both: the
// writer may yet make that blob, name another one, or end the log.
func (r *Reader) enter(ctx context.Context, name string) (data []byte, entered bool, err error) {
	if r.been[name] || name == r.at.name {
		return nil, false, &Error{Op: "read", Blob: r.path(r.at.name), Err: fmt.Errorf("its metadata next=%q leads in a circle", name)}
	}
	next := place{name: name, last: -1, bound: true, stream: r.at.stream}
	data, err = r.ask(ctx, &next)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrReplaced) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if r.been == nil {
		r.been = map[string]bool{}
	}
	r.been[r.at.name] = true
	r.at, r.heard, r.news = next, true, time.Now()
	return data, true, nil
}

// pause waits until the next poll is due.
func (r *Reader) pause(ctx context.Context) error {
	r.buf = nil
	quiet := r.asked.Sub(r.news)
	due := r.asked.Add(min(max(quiet/8, r.cfg.Poll), r.cfg.MaxPoll))
	if !sleep(ctx, time.Until(due)) {
		return wrap("read", r.path(r.at.name), context.Cause(ctx))
	}
	return nil
}

// ask makes one request that is answered, and takes what is new at p.
func (r *Reader) ask(ctx context.Context, p *place) (data []byte, err error) {
	if p.client == nil {
		if p.client, err = r.cfg.Container.Client(p.name); err != nil {
			return nil, wrap("read", r.path(p.name), err)
		}
	}
	r.asked = time.Now()
	// A try that runs out of time keeps the bytes that came, so its deadline need
	// only allow for those that are known to be there.
	size := min(max(0, p.now.size-p.pos), maxRange)
	err = r.cfg.Retry.Do(ctx, "read", r.path(p.name), size, func(ctx context.Context) error {
		data, err = r.try(ctx, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(data) > 0 {
		r.news = time.Now()
	}
	return data, nil
}

// try is one request; p changes only if it succeeds.
func (r *Reader) try(ctx context.Context, p *place) ([]byte, error) {
	from := max(0, p.pos-1)
	var unless *blob.ModifiedAccessConditions
	if p.caughtUp() {
		unless = &blob.ModifiedAccessConditions{IfNoneMatch: &p.now.etag}
	}
	r.requests++
	a, err := get(ctx, p.client, from, maxRange, unless)
	if errors.Is(err, errNoRange) {
		// Empty, shrunk or replaced: the refusal does not say which.
		r.requests++
		a.snapshot, err = head(ctx, p.client)
		if err == nil && a.size > p.pos {
			err = errors.New("no bytes came though there are some") // it grew in between: ask again
		}
	}
	path := r.path(p.name)
	if err != nil {
		return nil, refused(path, err, p.seen)
	}
	if a.body != nil {
		defer a.body.Close()
	}
	if a.unchanged {
		return nil, nil
	}
	switch {
	case p.bound && a.stream() != p.stream:
		return nil, replaced(path, fmt.Sprintf("its stream is %q, not %q", a.stream(), p.stream))
	case p.seen && a.origin() != p.now.origin():
		return nil, replaced(path, "it was deleted and made anew")
	case a.size < p.pos:
		return nil, replaced(path, fmt.Sprintf("it holds %d bytes, fewer than the %d read or skipped before", a.size, p.pos))
	}

	pos, last, data := p.pos, p.last, []byte(nil)
	if a.body != nil {
		if skip := from - a.from; skip > 0 { // the range was ignored
			n, err := io.CopyN(io.Discard, a.body, skip)
			r.fetched += n
			if err != nil {
				return nil, cut(err)
			}
			a.length -= skip
		}
		buf := r.room(min(a.length, maxRange))
		n, err := io.ReadFull(a.body, buf)
		r.fetched += int64(n)
		overlap := int(p.pos - from)
		// Bytes that came before a cut are as good as any. None at all is a failure,
		// so that the pause between tries grows.
		if n < len(buf) && n <= overlap {
			return nil, cut(err)
		}
		if overlap == 1 && n > 0 && p.last >= 0 && int(buf[0]) != p.last {
			return nil, replaced(path, fmt.Sprintf("the byte at %d differs from the one already read", from))
		}
		if n > 0 {
			pos, last, data = from+int64(n), int(buf[n-1]), buf[min(n, overlap):n]
		}
	}
	p.now, p.seen, p.stream, p.bound = a.snapshot, true, a.stream(), true
	p.pos, p.last = pos, last
	return data, nil
}

// room is the one buffer, made to fit n bytes.
func (r *Reader) room(n int64) []byte {
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	return r.buf[:n]
}

func (r *Reader) path(name string) string { return r.cfg.Container.Name + "/" + name }

// replaced is the error for a blob that is not the one that was read before.
func replaced(path, how string) error {
	return &Error{Op: "read", Blob: path, Err: fmt.Errorf("%w: %s", ErrReplaced, how), Hint: "read it again from its beginning"}
}

// refused makes an answer that there is no blob ErrNotFound, and leaves other
// errors to Retry. seen: an earlier answer knew the blob.
func refused(path string, err error, seen bool) error {
	kind, code := classify(err)
	e := &Error{Op: "read", Blob: path, Code: code, Err: ErrNotFound, Hint: "check the name, or follow the log to wait for it"}
	switch {
	case kind != absent && kind != missing:
		return err
	case seen:
		e.Err, e.Hint = fmt.Errorf("%w: it was deleted while it was read", ErrNotFound), ""
	case kind == missing:
		e.Err = fmt.Errorf("%w: its container does not exist", ErrNotFound)
	}
	return e
}

// Status is where a Reader is and what it cost to get there.
type Status struct {
	Blob            string // the blob's name; it changes with a roll-over
	Offset, Size    int64  // bytes of that blob: handed over or skipped, and at the last answer
	Stream          string // whose log it is
	ContentType     string
	ContentEncoding string // "gzip", "zstd" or "": what the bytes are coded in
	Complete        bool   // at the last answer; a log can be taken up again
	Requests        int64  // sent so far, retries included
	Fetched         int64  // bytes of bodies received so far
}

// Status needs no request: all but the name and Offset is empty before the first
// Next.
func (r *Reader) Status() Status {
	s := r.at.now
	return Status{
		Blob: r.at.name, Offset: r.at.pos, Size: s.size,
		Stream: r.at.stream, ContentType: s.contentType, ContentEncoding: s.encoding, Complete: s.complete(),
		Requests: r.requests, Fetched: r.fetched,
	}
}

// Reader returns an io.Reader of what Next returns. The Reader must not be used
// otherwise meanwhile.
func (r *Reader) Reader(ctx context.Context) io.Reader { return &byteReader{ctx: ctx, r: r} }

type byteReader struct {
	ctx  context.Context
	r    *Reader
	rest []byte
}

func (b *byteReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.rest) == 0 {
		var err error
		if b.rest, err = b.r.Next(b.ctx); err != nil {
			b.rest = nil
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// answer is a snapshot and, after a GET, a part of its bytes.
type answer struct {
	snapshot
	unchanged    bool          // the blob still has the known ETag; nothing else is set
	body         io.ReadCloser // nil after a HEAD
	from, length int64         // of the body: where it begins, how long it is to be
}

// errNoRange: the service has no bytes for the range.
var errNoRange = errors.New("no bytes in that range")

// get asks for at most count bytes from an offset on, if cond holds; nil: always.
func get(ctx context.Context, c *blockblob.Client, from, count int64, cond *blob.ModifiedAccessConditions) (answer, error) {
	// net/http would ask for gzip by itself, and then decompress a blob that is
	// stored with that encoding: its offsets and its end would be lost. It leaves
	// requests with a Range header alone, but the SDK's is called x-ms-range.
	ctx = policy.WithHTTPHeader(ctx, http.Header{"Accept-Encoding": {"identity"}})
	o := &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: from, Count: count}}
	if cond != nil {
		o.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: cond}
	}
	resp, err := c.DownloadStream(ctx, o)
	var re *azcore.ResponseError
	switch {
	case errors.As(err, &re) && re.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return answer{}, errNoRange
	case err != nil:
		return answer{}, cut(err)
	case resp.Body == nil: // 304: the SDK gives no error and no body
		return answer{unchanged: true}, nil
	}
	a := answer{body: resp.Body}
	var size int64
	if resp.ContentRange == nil { // the range was ignored: all of the blob
		if resp.ContentLength == nil {
			resp.Body.Close()
			return answer{}, errors.New("the answer has no length: is a proxy in between?")
		}
		size, a.length = *resp.ContentLength, *resp.ContentLength
	} else {
		var to int64
		if !parseRange(*resp.ContentRange, &a.from, &to, &size) || a.from != from || to-from >= count {
			resp.Body.Close()
			return answer{}, errNoRange // an emulator's 206 for an empty blob
		}
		a.length = to - a.from + 1
	}
	a.snapshot = newSnapshot(resp.ETag, size, resp.Metadata, resp.ContentType, resp.ContentEncoding)
	return a, nil
}

// parseRange takes "bytes 0-99/1000" apart and reports whether it makes sense.
func parseRange(s string, from, to, size *int64) bool {
	_, err := fmt.Sscanf(s, "bytes %d-%d/%d", from, to, size)
	return err == nil && 0 <= *from && *from <= *to && *to < *size
}

// cut keeps a connection that ended early from looking like the end of the log.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
