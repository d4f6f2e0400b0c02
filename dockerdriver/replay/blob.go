package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
)

// How long docker logs waits for storage.
const (
	firstAnswer = 1500 * time.Millisecond
	laterAnswer = 5 * time.Second
)

// maxRecord bounds what is kept of a blob that has no line ends. The uploader makes
// lines of up to 32 MiB, and JSON may take six bytes for one.
const maxRecord = 200 << 20

// place is where in the blob's log to begin.
type place struct {
	container liveblob.Container
	name      string // of the blob
	offset    int64
}

// errForeign: another log has the name.
var errForeign = errors.New("the blob is not this container's log")

// find asks where the log is. The error is an *unreadable if storage is what is wrong.
func (l *reading) find(ctx context.Context) (at place, err error) {
	if err := l.waits(); err != nil {
		return at, err
	}
	if at.container, at.name, err = l.Blob.Open(); err != nil {
		return at, &unreadable{err}
	}
	first, cancel := within(ctx, firstAnswer)
	defer cancel()
	info, err := l.ask(first, at)
	if errors.Is(err, liveblob.ErrNotFound) || err == errForeign {
		at.name = liveblob.ForkName(at.name, l.Blob.Stream)
		info, err = l.ask(first, at)
	}
	if err != nil {
		return at, l.why(ctx, err)
	}
	if l.Spool == nil && l.Tail > 0 { // then the end of the blob is the end of the log
		return l.lastLines(ctx, at, info), nil
	}
	return at, nil
}

// ask asks for the head of a blob of the log.
func (l *reading) ask(ctx context.Context, at place) (liveblob.Info, error) {
	info, err := liveblob.Look(ctx, at.container, at.name, liveblob.Retry{})
	if err == nil && info.Stream != l.Blob.Stream {
		err = errForeign
	}
	return info, err
}

// lastLines is where the last lines begin, as many as entries are wanted or more, or
// the log's beginning: compressed blobs are read forwards only.
func (l *reading) lastLines(ctx context.Context, first place, info liveblob.Info) place {
	ctx, cancel := within(ctx, laterAnswer)
	defer cancel()
	at, err := first, error(nil)
	for info.Next != "" && info.Next != at.name {
		at.name = info.Next
		if info, err = l.ask(ctx, at); err != nil {
			return first
		}
	}
	at.offset, err = liveblob.LastLines(ctx, at.container, at.name, l.Tail, liveblob.Retry{})
	if err != nil || at.offset == 0 { // it is compressed, or has not enough of them
		return first
	}
	return at
}

// within bounds the wait for storage.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
}

// lines reads the lines of the blob's log.
type lines struct {
	l    *reading
	in   *bufio.Reader
	long []byte // room for lines that are longer than in's buffer
}

// open begins to read the blob's log. The error is an *unreadable if the blob is what
// is wrong.
func (l *reading) open(ctx context.Context, at place) (*lines, error) {
	src := &answers{ctx: ctx, l: l, r: liveblob.NewReader(liveblob.ReaderConfig{
		Container: at.container, Name: at.name, Offset: at.offset,
	})}
	src.next()
	if src.err != nil && src.err != io.EOF {
		return nil, l.why(ctx, src.err)
	}
	plain, err := record.NewDecoder(src.r.Status().ContentEncoding, src)
	if err != nil {
		return nil, &unreadable{err}
	}
	return &lines{l: l, in: bufio.NewReaderSize(plain, 64<<10)}, nil
}

// next gives the next line, valid until the next call, with its newline.
func (b *lines) next(ctx context.Context) ([]byte, error) {
	if cap(b.long) > 1<<20 {
		b.long = nil
	}
	text, err := b.in.ReadSlice('\n')
	if err == nil {
		return text, nil
	}
	b.long = append(b.long[:0], text...)
	for err == bufio.ErrBufferFull {
		if len(b.long) > maxRecord {
			return nil, &unreadable{fmt.Errorf("a line has more than %d MiB", maxRecord>>20)}
		}
		text, err = b.in.ReadSlice('\n')
		b.long = append(b.long, text...)
	}
	switch {
	case err == nil, err == io.EOF && len(b.long) > 0:
		return b.long, nil
	case err == io.EOF:
		return nil, err
	case err == io.ErrUnexpectedEOF: // the decoder's
		err = errors.New("its last compressed part is cut off")
	}
	return nil, b.l.why(ctx, err)
}

// answers is the blob's log as it is stored, as storage answers.
type answers struct {
	ctx  context.Context
	l    *reading
	r    *liveblob.Reader
	data []byte // that was not read yet
	err  error  // what ended it
}

func (a *answers) next() {
	if a.err = a.l.waits(); a.err != nil {
		return
	}
	ctx, cancel := within(a.ctx, laterAnswer)
	defer cancel()
	a.data, a.err = a.r.Next(ctx)
}

func (a *answers) Read(p []byte) (int, error) {
	if len(a.data) == 0 && a.err == nil {
		a.next()
	}
	if len(a.data) == 0 {
		return 0, a.err
	}
	n := copy(p, a.data)
	a.data = a.data[n:]
	return n, nil
}

// why tells an error of the blob from the end of the one who reads.
func (l *reading) why(ctx context.Context, err error) error {
	switch {
	case l.gone != nil:
		return l.gone
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &unreadable{err}
}
