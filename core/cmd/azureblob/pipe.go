package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
)

// memoryLimit is soft: what is alive is a handful of large buffers, and without
// it the collector would wait until the garbage of filling them is as large again.
const memoryLimit = 28 << 20

// pipe is one run of azureblob pipe: a loop that reads, passes on, and gives to
// the stream. All waiting for storage is the stream's: once it has too much
// pending, the loop stands still, the pipe fills up, and the producer waits.
type pipe struct {
	a *app

	tee, resume, quiet bool
	giveUp             time.Duration

	in     *input
	stream *core.Stream
	cursor string   // of the log that is resumed; a pipe has none of its own
	stamp  *stamper // nil: bytes as they are
	failed error    // the upload is over; only passing on is left to do
	broken error    // stdout is over, other than by a reader that left
	url    string
}

func (a *app) pipeCommand() *cobra.Command {
	p := &pipe{a: a}
	cmd := &cobra.Command{
		Use:   "pipe [flags] CONTAINER/NAME",
		Short: "Write stdin to a live blob",
		Long: `pipe writes what comes on stdin to a blob that can be read while it grows. It
exits with 0 only when all of it is committed and the blob is marked complete.

NAME may be a template: {{hostname}}, {{env "BUILD_ID"}}, %Y-%m-%d (then write
%% for a percent sign). Every run is a log of its own; a name that exists is
refused, unless --append goes on with the log that is there.

While storage is slow or away, pipe keeps up to 8 MiB and then holds the
producer back; nothing is dropped. When nothing got through for --give-up-after,
it exits with 1 and says how much is committed. With --tee, stdin is still passed
on then, so that a build does not die of its log.

SIGINT, SIGTERM and SIGHUP end the log: what the producer has written by then is
committed, the blob is marked complete, and pipe exits with 0. A second signal
gives up at once.

` + noSecretFlags,
		Example: `  make 2>&1 | azureblob pipe --tee logs/build.log
  journalctl -f | azureblob pipe --compress zstd 'logs/{{hostname}}/%F.log'
  ./server 2>&1 | azureblob pipe --format json --append logs/server.json`,
		Args: oneArg("CONTAINER/NAME"),
	}
	s := a.storageFlags(cmd, core.Map{"format": "raw"}, writing...)
	f := cmd.Flags()
	f.BoolVar(&p.tee, "tee", false, "pass stdin on to stdout as well")
	f.BoolVar(&p.resume, "append", false, "go on with the log that has this name; make it if there is none")
	f.BoolVarP(&p.quiet, "quiet", "q", false, "no progress and no summary on stderr")
	durationVar(f, &p.giveUp, "give-up-after", 10*time.Minute, "exit with 1 when storage takes nothing for so long; 0: never")
	cmd.RunE = a.command(func(ctx context.Context, args []string) error { return p.run(ctx, s, args[0]) })
	return cmd
}

// run sets everything up; the first bytes make the first request.
func (p *pipe) run(ctx context.Context, s *storage, arg string) error {
	if err := notNegative("give-up-after", p.giveUp); err != nil {
		return err
	}
	if _, set := p.a.env("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(memoryLimit)
	}
	at, err := p.blobToWrite(arg)
	if err != nil {
		return &usageError{err}
	}
	cfg, err := s.load()
	if err != nil {
		return err
	}
	store, err := s.open(cfg, at, p.giveUp)
	if err != nil {
		return err
	}
	p.url = store.BlobURL(at.Name)
	if err := p.open(ctx, store, cfg, at.Name); err != nil {
		return err
	}
	if p.in, err = newInput(p.a.stdin); err != nil {
		return err
	}
	defer p.in.close()
	defer context.AfterFunc(ctx, p.in.stop)()
	defer p.onSignal()()

	c := p.a.console
	if c.rewrite && !p.quiet && !(p.tee && isTerminal(p.a.stdout)) {
		defer c.progress(p.progress)()
	}
	return p.copy(ctx)
}

// blobToWrite reads the argument; NAME may be a template.
func (p *pipe) blobToWrite(arg string) (core.Location, error) {
	at, err := core.ParseLocation(arg)
	if err != nil {
		return at, err
	}
	if at.Endpoint == "" {
		if at.Name, err = expandName(at.Name, p.a.env, time.Now()); err != nil {
			return at, err
		}
	}
	return at, core.CheckBlobName(at.Name)
}

// open makes the stream.
func (p *pipe) open(ctx context.Context, store *core.Store, cfg *core.Config, name string) error {
	format, err := record.ParseFormat(cfg.Format)
	if err != nil {
		return &usageError{err}
	}
	if format != record.Raw {
		p.stamp = &stamper{format: format}
	}
	compress, err := record.NewCompressor(cfg.Compress)
	if err != nil {
		return &usageError{err}
	}
	blob := liveblob.Config{
		Container:   store.Container(name),
		Name:        name,
		Stream:      newIdentity(),
		Fresh:       true,
		ContentType: cmp.Or(cfg.ContentType, format.ContentType()),
		Metadata:    cfg.Metadata,
		Tags:        cfg.Tags,
		MaxSize:     int64(cfg.MaxSize),
		Retry:       p.a.retry(p.giveUp),
		Log:         p.a.console.log(),
	}
	if t := cfg.TierOnComplete; t != "" {
		blob.CompleteTier = strings.ToUpper(t[:1]) + t[1:] // the service's spelling
	}
	if p.resume {
		if err := p.join(ctx, &blob, compress, cfg.ContentType != ""); err != nil {
			return err
		}
	}
	p.stream, err = core.NewStream(core.StreamConfig{Blob: blob, FlushInterval: cfg.FlushInterval, Compress: compress})
	if err != nil {
		return &usageError{err}
	}
	if p.resume {
		state, err := p.stream.Resume(ctx)
		if err != nil {
			return p.explain(err)
		}
		p.cursor = state.Cursor
	}
	return nil
}

// newIdentity says whose log it is: this run's, and nobody else's.
func newIdentity() string {
	host, _ := os.Hostname()
	var id [8]byte
	rand.Read(id[:])
	return "pipe:" + host + ":" + hex.EncodeToString(id[:])
}

// join makes the blob's own stream the identity, so that the log that is there is
// gone on with. chosen: the user set the content type, whatever the format's is.
func (p *pipe) join(ctx context.Context, blob *liveblob.Config, compress record.Compressor, chosen bool) error {
	blob.Fresh = false
	have, err := liveblob.Look(ctx, blob.Container, blob.Name, p.a.retry(p.giveUp))
	if errors.Is(err, liveblob.ErrNotFound) {
		return nil // it is made
	}
	if err != nil {
		return err
	}
	if have.Stream == "" {
		return fmt.Errorf("append to %s/%s: it is not a live log, so nothing is added to it: choose another name", blob.Container.Name, blob.Name)
	}
	encoding := "none"
	if compress != nil {
		encoding = compress.Encoding()
	}
	if was := cmp.Or(have.ContentEncoding, "none"); was != encoding {
		return fmt.Errorf("append to %s/%s: it is written with --compress %s: add that, or choose another name", blob.Container.Name, blob.Name, was)
	}
	if !chosen {
		if json := record.JSON.ContentType(); (have.ContentType == json) != (blob.ContentType == json) {
			return fmt.Errorf("append to %s/%s: it holds %s and this would be %s: give the --format that it was begun with, or set --content-type", blob.Container.Name, blob.Name, have.ContentType, blob.ContentType)
		}
		blob.ContentType = have.ContentType
	}
	blob.Stream = have.Stream
	return nil
}
