package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/spf13/cobra"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	doctorGiveUp = 10 * time.Second
	doctorDial   = 10 * time.Second
	skewWarn     = 5 * time.Minute
	skewFail     = 15 * time.Minute // the service refuses signatures from here on
)

// doctor is one run of azureblob doctor: a report that is written as the answers
// come.
type doctor struct {
	a      *app
	at     *core.Account // the one that is examined
	cfg    *core.Config
	colour bool
	failed bool
	broken error // stdout's
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [flags] [CONTAINER]",
		Short: "Check credentials, network, clock and permissions",
		Long: `doctor tries all that a log needs, step by step, and says what to do about what
does not work: credentials, name, network, clock, container, writing and reading
a small blob that it deletes again, listing, and settings of the account that
make live logs costly. Of several accounts it examines each. It exits with 1 when a step fails.

` + noSecretFlags,
		Example: `  azureblob doctor
  azureblob doctor logs --account-name myaccount --auth-type cli`,
		Args: atMostOneArg("CONTAINER"),
	}
	s := a.storageFlags(cmd, nil, "auto_create_container", "tags")
	cmd.RunE = a.command(func(ctx context.Context, args []string) error {
		store, cfg, _, err := s.openContainer(args, doctorGiveUp)
		if err != nil {
			return err
		}
		d := &doctor{a: a, cfg: cfg, colour: colourful(a.stdout, a.env)}
		d.ok("credentials: %s", store.Kind())
		all := store.Accounts()
		for _, d.at = range all {
			if len(all) > 1 {
				d.write("", "\naccount", d.at.Name()+", "+d.at.URL())
			}
			d.examine(ctx)
		}
		switch {
		case d.broken != nil:
			return d.broken
		case d.failed:
			return errSilent
		}
		return nil
	})
	return cmd
}

func (d *doctor) examine(ctx context.Context) {
	if !d.network(ctx) || !d.clock(ctx) || !d.container(ctx) {
		return
	}
	d.blob(ctx)
	d.list(ctx)
	d.service(ctx)
}

func (d *doctor) clock(ctx context.Context) bool {
	r, err := d.at.Reach(ctx)
	if err != nil {
		return d.bad(err, "")
	}
	d.ok("answer: in %v", r.Took.Round(time.Millisecond))
	off := r.Skew.Abs().Round(time.Second)
	direction := "ahead of"
	if r.Skew < 0 {
		direction = "behind"
	}
	switch {
	case r.Server.IsZero():
		d.warn("clock: the answer has no Date", "is a proxy in between?")
	case off >= skewFail:
		return d.bad(fmt.Errorf("clock: this machine is %v %s the service, which refuses more than 15m", off, direction), "set the clock, by NTP")
	case off >= skewWarn:
		d.warn(fmt.Sprintf("clock: this machine is %v %s the service", off, direction), "set the clock, by NTP: from 15m on, requests are refused")
	default:
		d.ok("clock: within %v of the service's", max(off, time.Second))
	}
	return true
}

func (d *doctor) container(ctx context.Context) bool {
	p, err := d.at.Properties(ctx)
	name := d.at.Container().Name
	switch {
	case bloberror.HasCode(err, bloberror.ContainerNotFound) && d.cfg.AutoCreateContainer:
		if err := d.at.CreateContainer(ctx); err != nil {
			return d.bad(err, "")
		}
		d.ok("container: %s was missing, and is made", name)
		return true
	case bloberror.HasCode(err, bloberror.ContainerNotFound):
		return d.bad(fmt.Errorf("container: %s does not exist", name), "create it, or turn on --auto-create-container")
	case forbidden(err):
		// A SAS for blobs alone cannot ask; writing tells.
		d.warn(fmt.Sprintf("container: these credentials may not look at %s", name), "fine, as long as it exists")
		return true
	case err != nil:
		return d.bad(err, "")
	}
	d.ok("container: %s is there", name)
	if p.Immutable || p.LegalHold {
		return d.bad(errors.New("container: an immutability policy or legal hold forbids changing blobs"), "log to a container without one")
	}
	if p.Public != "" {
		d.warn("container: everybody may read its "+p.Public+"s", "make it private, unless that is meant")
	}
	return true
}

// blob stages, commits, reads and deletes, as a log does.
func (d *doctor) blob(ctx context.Context) {
	const name = ".azureblob-doctor" // always the same: where it cannot be deleted, one is left and no more
	path := d.at.Container().Name + "/" + name
	client, err := d.at.Container().Client(name)
	if err != nil {
		d.bad(err, "")
		return
	}
	text := []byte("written by azureblob doctor\n")
	const id = "YXp1cmVibG9iIGRv" // 12 bytes
	var versioned bool
	err = d.try(ctx, "commit", path, func(ctx context.Context) error {
		if _, err := client.StageBlock(ctx, id, streaming.NopCloser(bytes.NewReader(text)), nil); err != nil {
			return err
		}
		resp, err := client.CommitBlockList(ctx, []string{id}, nil)
		versioned = resp.VersionID != nil
		return err
	})
	if err != nil {
		d.bad(err, "")
		return
	}
	d.ok("write: a block is staged and committed")
	defer d.remove(context.WithoutCancel(ctx), client, path)

	r := liveblob.NewReader(liveblob.ReaderConfig{Container: d.at.Container(), Name: name, Retry: liveblob.Retry{GiveUp: doctorGiveUp}})
	switch have, err := r.Next(ctx); {
	case err != nil:
		d.bad(err, "")
	case !bytes.Equal(have, text):
		d.bad(fmt.Errorf("read %s: %d bytes came back that are not those written", path, len(have)), "is a proxy in between that changes answers?")
	default:
		d.ok("read: the same bytes came back")
	}
	if versioned {
		d.warn("versioning: on; every commit, about one a second while a log is busy, leaves a copy behind", "switch it off, or log to an account without it")
	} else {
		d.ok("versioning: off")
	}
	if len(d.cfg.Tags) > 0 {
		err := d.try(ctx, "set tags of", path, func(ctx context.Context) error {
			_, err := client.CommitBlockList(ctx, []string{id}, &blockblob.CommitBlockListOptions{Tags: d.cfg.Tags})
			return err
		})
		if err != nil {
			d.bad(err, "unset tags, or allow them: the role Storage Blob Data Owner, or a SAS with permission t")
		} else {
			d.ok("tags: can be set")
		}
	}
}

func (d *doctor) remove(ctx context.Context, client *blockblob.Client, path string) {
	err := d.try(ctx, "delete", path, func(ctx context.Context) error {
		_, err := client.Delete(ctx, &blob.DeleteOptions{})
		return err
	})
	switch {
	case err == nil, bloberror.HasCode(err, bloberror.BlobNotFound): // by a try whose answer was lost
		d.ok("delete: the probe is gone")
	case forbidden(err):
		d.warn("delete: not permitted, so the probe "+path+" stays", "logs need no deleting; remove the probe by other means")
	default:
		d.bad(err, "remove the probe "+path+" by hand")
	}
}

func (d *doctor) list(ctx context.Context) {
	for _, err := range d.at.List(ctx, ".azureblob-doctor") {
		switch {
		case err == nil:
		case forbidden(err):
			d.warn("list: not permitted", "writing and tail work without; azureblob ls needs it (a SAS with permission l)")
			return
		default:
			d.bad(err, "")
			return
		}
	}
	d.ok("list: permitted")
}

func (d *doctor) service(ctx context.Context) {
	p, err := d.at.ServiceProperties(ctx)
	switch {
	case forbidden(err):
		d.warn("soft delete: these credentials may not ask", "see that soft delete for blobs is off: it keeps a copy for every commit")
	case err != nil:
		d.warn("soft delete: "+message(err), "see that it is off for blobs: it keeps a copy for every commit")
	case p.SoftDelete > 0:
		d.warn(fmt.Sprintf("soft delete: on; for %d days, every commit, about one a second while a log is busy, leaves a copy behind", p.SoftDelete),
			"switch it off for blobs, or log to an account without it")
	default:
		d.ok("soft delete: off")
	}
}

func (d *doctor) try(ctx context.Context, op, on string, try func(context.Context) error) error {
	retry := liveblob.Retry{GiveUp: doctorGiveUp}
	return retry.Do(ctx, op, on, 0, try)
}

// forbidden reports refusals for lack of a permission, other credentials being
// in order.
func forbidden(err error) bool {
	return bloberror.HasCode(err, bloberror.AuthorizationPermissionMismatch, bloberror.AuthorizationFailure,
		bloberror.AuthorizationResourceTypeMismatch, bloberror.AuthorizationServiceMismatch,
		bloberror.InsufficientAccountPermissions)
}

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
)

func (d *doctor) ok(format string, args ...any) { d.write(green, "✓", fmt.Sprintf(format, args...)) }

func (d *doctor) warn(what, todo string) {
	d.write(yellow, "!", what)
	d.write("", " ", "→ "+todo)
}

// bad reports a step that failed; it returns false. todo may be empty where the
// error says it.
func (d *doctor) bad(err error, todo string) bool {
	d.failed = true
	d.write(red, "✗", message(err))
	if todo != "" {
		d.write("", " ", "→ "+todo)
	}
	return false
}

func (d *doctor) write(colour, sign, text string) {
	if d.colour && colour != "" {
		sign = colour + sign + "\x1b[0m"
	}
	if err := d.a.print("%s %s\n", sign, clean(text)); err != nil && d.broken == nil {
		d.broken = err
	}
}
