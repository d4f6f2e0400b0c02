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

// lines reads the lines of the blob's log.
type lines struct {
	l    *reading
	in   *bufio.Reader
	long []byte // room for lines that are longer than in's buffer
}

// open begins to read the blob's log. The error is an *unreadable if the blob is what
// is wrong.
func (l *reading) open(ctx context.Context) (*lines, error) {
	container, name, err := l.Blob.Open()
	if err != nil {
		return nil, &unreadable{err}
	}
	src, err := l.answers(ctx, container, name)
	if fork := liveblob.ForkName(name, l.Blob.Stream); errors.Is(err, liveblob.ErrNotFound) || errors.Is(err, errForeign) {
		src, err = l.answers(ctx, container, fork)
	}
	if err != nil {
		return nil, err
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
	ctx   context.Context
	l     *reading
	r     *liveblob.Reader
	limit time.Duration // for the next answer
	data  []byte        // that was not read yet
	err   error         // what ended it
}

// errForeign: another log has the name.
var errForeign = errors.New("the blob is not this container's log")

// answers gives the log in a blob after its first answer.
func (l *reading) answers(ctx context.Context, c liveblob.Container, name string) (*answers, error) {
	a := &answers{ctx: ctx, l: l, limit: firstAnswer, r: liveblob.NewReader(liveblob.ReaderConfig{
		Container: c,
		Name:      name,
		Retry:     liveblob.Retry{Try: laterAnswer, GiveUp: laterAnswer},
	})}
	a.ask()
	switch {
	case a.err != nil && a.err != io.EOF:
		return nil, l.why(ctx, a.err)
	case a.r.Status().Stream != l.Blob.Stream:
		return nil, &unreadable{errForeign}
	}
	return a, nil
}

// ask gets the next answer.
func (a *answers) ask() {
	if a.err = a.l.waits(); a.err != nil {
		a.l.gone = a.err
		return
	}
	ctx, cancel := context.WithTimeoutCause(a.ctx, a.limit, fmt.Errorf("no answer within %v", a.limit))
	defer cancel()
	a.data, a.err = a.r.Next(ctx)
	a.limit = laterAnswer
}

func (a *answers) Read(p []byte) (int, error) {
	if len(a.data) == 0 && a.err == nil {
		a.ask()
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
