package liveblob

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// snapshot is what one answer says of a blob.
type snapshot struct {
	name                  string // set by a Writer that follows a log
	etag                  azcore.ETag
	size                  int64
	contentType, encoding string
	meta                  metadata
}

func (s *snapshot) stream() string { return s.meta[metaStream] }
func (s *snapshot) origin() string { return s.meta[metaOrigin] }
func (s *snapshot) writer() string { return s.meta[metaWriter] }
func (s *snapshot) next() string   { return s.meta[metaNext] }
func (s *snapshot) complete() bool { return s.meta[metaComplete] == "1" }
func (s *snapshot) seq() uint64    { n, _ := strconv.ParseUint(s.meta[metaSeq], 10, 64); return n }

func newSnapshot(etag *azcore.ETag, size int64, meta map[string]*string, contentType, encoding *string) snapshot {
	return snapshot{
		etag: etagOf(etag), size: size, meta: readMetadata(meta),
		contentType: *cmp.Or(contentType, new(string)), encoding: *cmp.Or(encoding, new(string)),
	}
}

func etagOf(e *azcore.ETag) azcore.ETag { return *cmp.Or(e, new(azcore.ETag)) }

// head asks for a snapshot alone. A blob of another type than ours is nobody's
// log, whatever its metadata says.
func head(ctx context.Context, c *blockblob.Client) (snapshot, error) {
	p, err := c.GetProperties(ctx, nil)
	if err != nil {
		return snapshot{}, cut(err)
	}
	if p.ContentLength == nil {
		return snapshot{}, errors.New("the answer has no length: is a proxy in between?")
	}
	s := newSnapshot(p.ETag, *p.ContentLength, p.Metadata, p.ContentType, p.ContentEncoding)
	if p.BlobType != nil && *p.BlobType != blob.BlobTypeBlockBlob {
		delete(s.meta, metaStream)
	}
	return s, nil
}

// Info is what can be told of a blob without reading it.
type Info struct {
	Size            int64
	Stream          string // whose log it is; "": it is no live log
	Complete        bool   // the source has ended
	Next            string // the blob that the log goes on in; "": none
	ContentType     string
	ContentEncoding string
}

// Look asks for a blob's Info. The error for a blob or container that is not
// there is ErrNotFound.
func Look(ctx context.Context, c Container, name string, retry Retry) (Info, error) {
	path := c.Name + "/" + name
	client, err := c.Client(name)
	if err != nil {
		return Info{}, wrap("look at", path, err)
	}
	var s snapshot
	err = retry.Do(ctx, "look at", path, 0, func(ctx context.Context) error {
		if s, err = head(ctx, client); err != nil {
			return refused(path, err, false)
		}
		return nil
	})
	return Info{
		Size: s.size, Stream: s.stream(), Complete: s.complete(), Next: s.next(),
		ContentType: s.contentType, ContentEncoding: s.encoding,
	}, err
}
