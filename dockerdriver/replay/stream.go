package replay

import (
	"context"
	"io"
	"net/http"

	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// batch is how many bytes go out at once while there is more to read.
const batch = 64 << 10

// Stream writes the log as dockerd wants the answer to ReadLogs: frames, of which it
// takes the source, the time and the line. So a line has its newline with it, unless
// the rest of it follows in another frame. What is there is sent before Read waits.
func Stream(ctx context.Context, cfg Config, w io.Writer) error {
	s := &stream{w: w}
	s.flusher, _ = w.(http.Flusher)
	cfg.Waiting = s.flush
	if err := Read(ctx, cfg, s.add); err != nil {
		return err
	}
	return s.flush()
}

// stream collects frames.
type stream struct {
	w       io.Writer
	flusher http.Flusher // nil: w sends at once
	buf     []byte
	line    []byte // room for one
}

func (s *stream) add(e *frame.Entry) error {
	out := frame.Entry{Source: e.Source, Time: e.Time, Line: e.Line}
	if !e.Partial || e.Last {
		s.line = append(append(s.line[:0], e.Line...), '\n')
		out.Line = s.line
	}
	s.buf = frame.Append(s.buf, &out)
	if len(s.buf) < batch {
		return nil
	}
	return s.write()
}

func (s *stream) write() error {
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// flush sends all that there is, and the answer's head if there is nothing yet.
func (s *stream) flush() error {
	if len(s.buf) > 0 {
		if err := s.write(); err != nil {
			return err
		}
	}
	s.buf, s.line = nil, nil
	if s.flusher != nil {
		s.flusher.Flush()
	}
	return nil
}
