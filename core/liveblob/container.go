package liveblob

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Container is where blobs live: one container of one storage account, with
// whatever credentials its opener holds. The package never sees those.
type Container struct {
	// Name is the container's name, for messages.
	Name string

	// Client returns the SDK's client for one blob. The client must not retry
	// on its own (policy.RetryOptions{MaxRetries: -1}): a commit that landed
	// and is sent again answers 412, which hides that it landed.
	Client func(blob string) (*blockblob.Client, error)

	// List returns the names that begin with prefix. It is asked for logs that can
	// roll over (Config.MaxSize), when one of their blobs is missing: lifecycle
	// rules delete the oldest first. nil: such a log begins anew.
	List func(ctx context.Context, prefix string) ([]string, error)

	// Create makes the container when a write finds that it is missing.
	// nil: a missing container is an error.
	Create func(context.Context) error
}
