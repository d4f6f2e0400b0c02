package output

import (
	"strings"

	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// missing tells, once, which fields of the path a record did not have.
func (o *Output) missing(tag string, fields []string) {
	for _, f := range fields {
		o.mu.Lock()
		told := o.lacking[f]
		o.lacking[f] = true
		o.mu.Unlock()
		if !told {
			o.log.Warn("a record has no such field: the blob's name says \"unknown\" in its place", "field", f, "path", o.set.Path.String(), "tag", tag)
		}
	}
}

// damaged tells what is lost of a chunk.
func (o *Output) damaged(tag string, data []byte, d *chunk.Damage) {
	o.log.Error("a chunk is damaged: what could be decoded is written, the rest is not; storage.keep.rejected on keeps such chunks",
		"tag", strings.Clone(tag), "bytes", len(data), "undecoded_bytes", d.Bytes, "skipped_events", d.Events, "err", d.Err)
}
