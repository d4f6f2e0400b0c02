//go:build cgo

package main

import (
	"log/slog"
	"os"

	"github.com/liveblob/azureblob/fluentbit/keys"
	"github.com/liveblob/azureblob/fluentbit/output"
)

// instance is one [OUTPUT] section. Fluent Bit keeps it from Init to Exit, and flushes
// only in between.
type instance struct {
	log *slog.Logger
	out *output.Output // nil once it was stopped, for the instance itself is never freed
}

// start reads the section's keys and opens the output; nil: it has said why that failed.
func start(log *slog.Logger, key func(name string) string) *instance {
	return safely(log, "start", nil, func() *instance {
		set, err := keys.Load(key, os.LookupEnv)
		if err != nil {
			log.Error(err.Error())
			return nil
		}
		for _, note := range set.Notes {
			log.Info(note)
		}
		for _, warning := range set.Warnings {
			log.Warn(warning)
		}
		out, err := output.New(set, output.Options{Log: log})
		if err != nil {
			log.Error(err.Error())
			return nil
		}
		log.Info("started", "version", version, "container", set.Core.ContainerName, "path", set.Path.String())
		return &instance{log: log, out: out}
	})
}

// flush blocks until the chunk is readable or has failed.
func (in *instance) flush(tag string, chunk []byte) output.Result {
	return safely(in.log, "flush", output.Retry, func() output.Result {
		return in.out.Flush(tag, chunk)
	})
}

// stop closes the output, after its last flush.
func (in *instance) stop() {
	safely(in.log, "exit", struct{}{}, func() struct{} {
		defer func() { in.out = nil }()
		in.out.Close()
		return struct{}{}
	})
}

// safely calls f. If it panics, that is a line in the log, and the result is failed.
func safely[T any](log *slog.Logger, doing string, failed T, f func() T) (result T) {
	defer func() {
		if p := recover(); p != nil {
			log.Error(output.Panic(p).Error(), "in", doing)
			result = failed
		}
	}()
	return f()
}
