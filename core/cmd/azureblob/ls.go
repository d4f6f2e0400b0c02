package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	lsBatch    = 1000 // rows that share one table's widths
	lsParallel = 8    // block lists asked for at once
)

func (a *app) lsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [flags] [CONTAINER[/PREFIX] | URL]",
		Short: "List logs and their state, or containers",
		Long: `ls lists the blobs of a container whose names begin with PREFIX. STATE is live,
complete, rolled (the log goes on in another blob), or - for no live log.
Without an argument it lists the account's containers. Of several accounts it lists
what is in any.

` + noSecretFlags,
		Example: `  azureblob ls logs
  azureblob ls logs/web-
  azureblob ls --json logs | jq -r 'select(.state == "live").name'`,
		Args: atMostOneArg("CONTAINER[/PREFIX]"),
	}
	s := a.storageFlags(cmd, nil)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.RunE = a.command(func(ctx context.Context, args []string) error {
		store, _, at, err := s.openContainer(args, oneShotGiveUp)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return a.listContainers(ctx, store, asJSON)
		}
		return a.listBlobs(ctx, store, at.Name, asJSON)
	})
	return cmd
}

func (a *app) listContainers(ctx context.Context, store *core.Store, asJSON bool) error {
	for name, err := range store.Containers(ctx) {
		if err != nil {
			return err
		}
		if asJSON {
			err = a.printJSON(struct {
				Name string `json:"name"`
			}{name})
		} else {
			err = a.print("%s\n", printable(name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// row is a blob as ls shows it.
type row struct {
	Account    string    `json:"account,omitempty"` // "": there is but one
	Name       string    `json:"name"`
	Size       int64     `json:"size"`
	Blocks     *int      `json:"blocks"` // null: not known, or no live log
	State      string    `json:"state"`
	Next       string    `json:"next,omitempty"`
	Stream     string    `json:"stream,omitempty"`
	Encoding   string    `json:"encoding,omitempty"`
	LastCommit time.Time `json:"last_commit"`

	in *core.Account
}

func newRow(item core.Item) row {
	r := row{
		Name: item.Name, Size: item.Size, Encoding: item.ContentEncoding, LastCommit: item.LastModified.UTC(),
		State: "live", Stream: item.Metadata["stream"], Next: item.Metadata["next"], in: item.Account,
	}
	switch {
	case r.Stream == "":
		r.State = "-"
	case r.Next != "":
		r.State = "rolled"
	case item.Metadata["complete"] == "1":
		r.State = "complete"
	}
	return r
}

func (a *app) listBlobs(ctx context.Context, store *core.Store, prefix string, asJSON bool) error {
	rows := make([]row, 0, 64)
	first, several := true, len(store.Accounts()) > 1
	flush := func() error {
		if err := countBlocks(ctx, rows); err != nil {
			return err
		}
		err := a.printRows(rows, asJSON, first, several)
		rows, first = rows[:0], false
		return err
	}
	for item, err := range store.List(ctx, prefix) {
		if err != nil {
			return err
		}
		r := newRow(item)
		if several {
			r.Account = item.Account.Name()
		}
		if rows = append(rows, r); len(rows) == lsBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if first && len(rows) == 0 && !asJSON {
		if prefix == "" {
			a.console.say("there are no blobs in %s", store.Name())
		} else {
			a.console.say("no blob in %s has a name that begins with %q", store.Name(), prefix)
		}
		return nil
	}
	return flush()
}

// countBlocks asks for the blocks of live logs, which a listing does not tell.
// What is deleted meanwhile, or may be listed but not read, stays unknown.
func countBlocks(ctx context.Context, rows []row) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lsParallel)
	for i := range rows {
		r := &rows[i]
		if r.Stream == "" {
			continue
		}
		g.Go(func() error {
			blobs := r.in.Container()
			client, err := blobs.Client(r.Name)
			if err != nil {
				return err
			}
			retry := liveblob.Retry{GiveUp: oneShotGiveUp}
			return retry.Do(ctx, "count blocks of", blobs.Name+"/"+r.Name, 0, func(ctx context.Context) error {
				list, err := client.GetBlockList(ctx, blockblob.BlockListTypeCommitted, nil)
				if err == nil {
					n := len(list.CommittedBlocks)
					r.Blocks = &n
				}
				if re := (*azcore.ResponseError)(nil); errors.As(err, &re) && re.StatusCode < 500 && re.StatusCode != http.StatusTooManyRequests {
					return nil
				}
				return err
			})
		})
	}
	return g.Wait()
}

func (a *app) printRows(rows []row, asJSON, first, several bool) error {
	if asJSON {
		for i := range rows {
			if err := a.printJSON(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(output{a.stdout}, 0, 0, 2, ' ', 0)
	account := func(name string) {
		if several {
			fmt.Fprintf(w, "%s\t", name)
		}
	}
	if first {
		account("ACCOUNT")
		fmt.Fprintln(w, "NAME\tSIZE\tBLOCKS\tSTATE\tLAST COMMIT")
	}
	for _, r := range rows {
		blocks := "-"
		if r.Blocks != nil {
			blocks = strconv.Itoa(*r.Blocks)
		}
		account(r.Account)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(r.Name), units.BytesSize(float64(r.Size)), blocks, r.State, r.LastCommit.Format(time.RFC3339))
	}
	return w.Flush()
}

// printable is a name for a person: others may have put into it what a terminal
// acts on.
func printable(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}

func (a *app) printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.print("%s\n", line)
}
