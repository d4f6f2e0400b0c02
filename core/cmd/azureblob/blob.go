package main

import (
	"context"
	"errors"

	"github.com/liveblob/azureblob/core/liveblob"
)

// chain is the names of a log's blobs, from the given one on, and what is known
// of the last. It is empty when the first one does not exist; a next one that
// does not exist yet is left out.
func chain(ctx context.Context, c liveblob.Container, name string, retry liveblob.Retry) (names []string, last liveblob.Info, err error) {
	been := map[string]bool{}
	for name != "" && !been[name] {
		been[name] = true
		info, err := liveblob.Look(ctx, c, name, retry)
		if errors.Is(err, liveblob.ErrNotFound) || err == nil && len(names) > 0 && info.Stream != last.Stream {
			break
		}
		if err != nil {
			return nil, last, err
		}
		names, last = append(names, name), info
		name = info.Next
	}
	return names, last, nil
}
