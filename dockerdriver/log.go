package main

import (
	"context"
	"log/slog"
	"os"
)

// logHandler writes to standard output what is only to be known, and to standard error
// what somebody should look at: dockerd puts a plugin's lines into its own log, at the
// level of the stream that they came on.
type logHandler struct{ info, alarm slog.Handler }

func newLogHandler(level slog.Level) slog.Handler {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{} // dockerd and the journal write their own
		}
		return a
	}}
	return logHandler{slog.NewTextHandler(os.Stdout, opts), slog.NewTextHandler(os.Stderr, opts)}
}

func (h logHandler) of(level slog.Level) slog.Handler {
	if level >= slog.LevelWarn {
		return h.alarm
	}
	return h.info
}

func (h logHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.of(l).Enabled(ctx, l) }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

func (h logHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return logHandler{h.info.WithAttrs(a), h.alarm.WithAttrs(a)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.info.WithGroup(name), h.alarm.WithGroup(name)}
}
