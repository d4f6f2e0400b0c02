package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
)

// oneShotGiveUp is for commands that somebody waits for.
const oneShotGiveUp = 30 * time.Second

// view is one run of tail or cat.
type view struct {
	a      *app
	follow bool
	lines  lineCount
	raw    bool
	poll   time.Duration
	giveUp time.Duration
	blob   liveblob.Container
	name   string
}

// lineCount is the flag -n: a number, or all (-1).
type lineCount int

func (n *lineCount) String() string {
	if *n < 0 {
		return "all"
	}
	return strconv.Itoa(int(*n))
}

func (n *lineCount) Set(s string) error {
	if s == "all" {
		*n = -1
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 0 {
		return errors.New("write a number of lines, or all")
	}
	*n = lineCount(v)
	return nil
}

func (n *lineCount) Type() string { return "LINES|all" }

func (a *app) tailCommand() *cobra.Command {
	v := &view{a: a, lines: 10}
	cmd := &cobra.Command{
		Use:   "tail [-f] [flags] CONTAINER/NAME | URL",
		Short: "Print the end of a log, and follow it",
		Long: `tail prints the last lines of a log, compressed or not, through its roll-overs.
With -f it goes on until the log is complete, and waits for one that is not
there yet. A URL may carry a SAS token; without one, the configured credentials
are used only if the URL is that of their own account.

` + noSecretFlags,
		Example: `  azureblob tail -f logs/build.log
  azureblob tail -n 100 logs/server.json | jq -r .log
  azureblob tail -f 'https://account.blob.core.windows.net/logs/x.log?sv=…'`,
		Args: oneArg("CONTAINER/NAME or URL"),
	}
	s := a.storageFlags(cmd, nil)
	f := cmd.Flags()
	f.BoolVarP(&v.follow, "follow", "f", false, "go on until the log is complete")
	f.VarP(&v.lines, "lines", "n", "how many of the last lines to begin with")
	durationVar(f, &v.poll, "poll", 250*time.Millisecond, "with -f: quickest look for new bytes; a quiet log is asked less often")
	durationVar(f, &v.giveUp, "give-up-after", 0, "exit with 1 when storage does not answer for so long; 0: 30s, with -f never")
	cmd.RunE = a.command(func(ctx context.Context, args []string) error {
		if err := notNegative("give-up-after", v.giveUp); err != nil {
			return err
		}
		if v.poll <= 0 {
			return usagef("--poll %v: write a time above 0", v.poll)
		}
		return v.run(ctx, s, args[0])
	})
	return cmd
}

func (a *app) catCommand() *cobra.Command {
	v := &view{a: a, lines: -1}
	cmd := &cobra.Command{
		Use:   "cat [flags] CONTAINER/NAME | URL",
		Short: "Print all of a log",
		Long: `cat prints all that is committed of a log, through its roll-overs, decompressed.
It does not wait for more; tail -n all -f does.

` + noSecretFlags,
		Example: `  azureblob cat logs/build.log | less -R
  azureblob cat --raw logs/build.log > build.log.gz`,
		Args: oneArg("CONTAINER/NAME or URL"),
	}
	s := a.storageFlags(cmd, nil)
	cmd.Flags().BoolVar(&v.raw, "raw", false, "print compressed bytes as they are stored")
	cmd.RunE = a.command(func(ctx context.Context, args []string) error { return v.run(ctx, s, args[0]) })
	return cmd
}

func (v *view) run(ctx context.Context, s *storage, arg string) error {
	store, at, err := s.place(arg)
	if err != nil {
		return err
	}
	if v.giveUp == 0 && !v.follow {
		v.giveUp = oneShotGiveUp
	}
	v.blob, v.name = store.Container(at.Name), at.Name
	from, err := v.begin(ctx)
	if err != nil {
		return err
	}
	if v.follow {
		var stop func()
		ctx, stop = untilUnread(ctx, v.a.stdout)
		defer stop()
	}
	end, err := v.copy(ctx, output{v.a.stdout}, from, v.follow)
	if errors.Is(err, errUnread) {
		return errSilent
	}
	if err != nil {
		return err
	}
	if c := v.a.console; !v.raw && !v.follow && v.lines >= 0 && c.screen && end.Stream != "" && !end.Complete {
		c.say("%s/%s is still live: -f follows it", v.blob.Name, end.Blob)
	}
	return nil
}

// mark is a place in a log.
type mark struct {
	name   string
	offset int64
}

// begin finds where the last lines begin, and prints those for which it had to
// read the log from an earlier place.
func (v *view) begin(ctx context.Context) (mark, error) {
	all := mark{name: v.name}
	if v.lines < 0 {
		return all, nil
	}
	parts, last, err := chain(ctx, v.blob, v.name, v.a.retry(v.giveUp))
	if err != nil || len(parts) == 0 {
		return all, err // not there: reading says so, or waits
	}
	from := all
	if last.ContentEncoding == "" || v.lines == 0 {
		// From the last part backwards, to the one that has enough lines.
		for i := len(parts) - 1; i >= 0; i-- {
			from.name = parts[i]
			from.offset, err = liveblob.LastLines(ctx, v.blob, from.name, int(v.lines), v.a.retry(v.giveUp))
			if err != nil {
				return from, err
			}
			if from.offset > 0 || v.lines == 0 {
				break
			}
		}
		if from.name == parts[len(parts)-1] {
			return from, nil
		}
	}
	// The lines are counted from the end of what can only be read forwards.
	keep := &lastLines{n: int(v.lines)}
	end, err := v.copy(ctx, keep, from, false)
	if err != nil {
		return from, err
	}
	if keep.cut {
		v.a.console.say("the last %d lines are larger than %d MiB: these are the last of them", v.lines, keepMax>>20)
	}
	_, err = output{v.a.stdout}.Write(keep.bytes())
	return mark{end.Blob, end.Offset}, err
}

// copy writes the log to w, from a place on.
func (v *view) copy(ctx context.Context, w io.Writer, from mark, follow bool) (liveblob.Status, error) {
	r := liveblob.NewReader(liveblob.ReaderConfig{
		Container: v.blob,
		Name:      from.name,
		Offset:    from.offset,
		Follow:    follow,
		Poll:      v.poll,
		Retry:     v.a.retry(v.giveUp),
		Waiting:   func() { v.a.console.say("waiting for %s/%s", v.blob.Name, from.name) },
	})
	data, err := r.Next(ctx)
	if encoding := r.Status().ContentEncoding; err == nil && encoding != "" && !v.raw {
		src, err := record.NewDecoder(encoding, io.MultiReader(bytes.NewReader(data), r.Reader(ctx)))
		if err == nil {
			_, err = io.Copy(w, src)
		} else {
			err = fmt.Errorf("%w: azureblob cat --raw prints it as it is stored", err)
		}
		return r.Status(), v.in(err)
	}
	for ; err == nil; data, err = r.Next(ctx) {
		if _, err := w.Write(data); err != nil {
			return r.Status(), err
		}
	}
	if err == io.EOF {
		err = nil
	}
	return r.Status(), err
}

// in names the blob in a decoder's error.
func (v *view) in(err error) error {
	var ours *outputError
	var theirs *liveblob.Error
	switch {
	case err == nil, errors.Is(err, errSilent), errors.As(err, &ours), errors.As(err, &theirs):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("its last compressed part is cut off: it was not written by azureblob, or not to its end")
	}
	return fmt.Errorf("read %s/%s: %w", v.blob.Name, v.name, err)
}
