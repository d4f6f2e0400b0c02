package liveblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrCompressed: lines were asked for of a blob whose bytes are not text.
var ErrCompressed = errors.New("the blob is compressed")

// firstRange and lastRange bound the growing ranges that LastLines reads.
const (
	firstRange = 4 << 10
	lastRange  = 1 << 20
)

// LastLines returns where the last n lines of a blob begin, as it was when the
// first answer came: all of it (0) where it has no more than n lines or n < 0, its
// end where n = 0. A last line that has no newline yet counts as one.
//
// It reads backwards from that end, only as far as it must. The blob may grow and
// its blocks may be merged meanwhile: neither touches the bytes before the end,
// so the ranges need no If-Match and still fit together, as long as the blob is
// the same one ([ErrReplaced] if not). Compressed blobs answer [ErrCompressed].
func LastLines(ctx context.Context, c Container, name string, n int, retry Retry) (int64, error) {
	if n < 0 {
		return 0, nil
	}
	path := c.Name + "/" + name
	client, err := c.Client(name)
	if err != nil {
		return 0, wrap("read", path, err)
	}
	var first snapshot
	err = retry.Do(ctx, "read", path, 0, func(ctx context.Context) error {
		if first, err = head(ctx, client); err != nil {
			return refused(path, err, false)
		}
		return nil
	})
	if err != nil || n == 0 {
		return first.size, err
	}
	if first.encoding != "" {
		return 0, &Error{Op: "find lines in", Blob: path, Err: fmt.Errorf("%w (%s)", ErrCompressed, first.encoding), Hint: "read all of it"}
	}

	var buf []byte
	for end, size := first.size, int64(firstRange); end > 0; size = min(4*size, lastRange) {
		begin := max(0, end-size)
		err := retry.Do(ctx, "read", path, end-begin, func(ctx context.Context) error {
			a, err := get(ctx, client, begin, end-begin, nil)
			if errors.Is(err, errNoRange) {
				return replaced(path, "it shrank")
			}
			if err != nil {
				return refused(path, err, true)
			}
			defer a.body.Close()
			if a.stream() != first.stream() || a.origin() != first.origin() || a.size < first.size {
				return replaced(path, "it was written anew while it was read")
			}
			if _, err := io.CopyN(io.Discard, a.body, begin-a.from); err != nil {
				return cut(err)
			}
			buf = make([]byte, end-begin)
			_, err = io.ReadFull(a.body, buf)
			return cut(err)
		})
		if err != nil {
			return 0, err
		}
		text := buf
		if end == first.size {
			// The newline at the very end closes the last line and begins none.
			text = bytes.TrimSuffix(text, []byte{'\n'})
		}
		for i := bytes.LastIndexByte(text, '\n'); i >= 0; i = bytes.LastIndexByte(text[:i], '\n') {
			if n--; n == 0 {
				return begin + int64(i) + 1, nil
			}
		}
		end = begin
	}
	return 0, nil
}
