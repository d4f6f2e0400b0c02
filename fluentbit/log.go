//go:build cgo

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logHandler writes lines as Fluent Bit does:
//
//	[2026/11/23 02:08:25.743] [ warn] [output:azureblob] message key=value
type logHandler struct {
	line *line
	rest slog.Handler // writes the attributes into line
}

// line is the one that is being written.
type line struct {
	mu  sync.Mutex
	buf bytes.Buffer
	to  io.Writer // gets each line in one write
}

func newLogHandler(to io.Writer) slog.Handler {
	l := &line{to: to}
	return logHandler{l, slog.NewTextHandler(&l.buf, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.buf.Reset()
	fmt.Fprintf(&h.line.buf, "[%s] [%5s] [output:azureblob] %s ",
		r.Time.Local().Format("2006/01/02 15:04:05.000"), strings.ToLower(r.Level.String()),
		strings.Join(strings.Fields(r.Message), " ")) // an error of the SDK has several lines
	rest := slog.NewRecord(time.Time{}, r.Level, "", r.PC)
	r.Attrs(func(a slog.Attr) bool { rest.AddAttrs(a); return true })
	if err := h.rest.Handle(ctx, rest); err != nil {
		return err
	}
	_, err := h.line.to.Write(append(bytes.TrimRight(h.line.buf.Bytes(), " \n"), '\n'))
	return err
}

func (h logHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return logHandler{h.line, h.rest.WithAttrs(a)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.line, h.rest.WithGroup(name)}
}
