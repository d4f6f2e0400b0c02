package flbtest

import (
	"bufio"
	"encoding/binary"
	"os"
	"testing"
)

// BulkFile is a file of flushes for Host.Bulk.
type BulkFile struct {
	Path string

	t testing.TB
	f *os.File
	w *bufio.Writer
}

// NewBulkFile makes one that goes with the test.
func NewBulkFile(t testing.TB) *BulkFile {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "bulk")
	if err != nil {
		t.Fatal(err)
	}
	return &BulkFile{Path: f.Name(), t: t, f: f, w: bufio.NewWriter(f)}
}

// Add adds one flush.
func (b *BulkFile) Add(tag string, chunk []byte) {
	var lengths []byte
	lengths = binary.NativeEndian.AppendUint32(lengths, uint32(len(tag)))
	lengths = binary.NativeEndian.AppendUint32(lengths, uint32(len(chunk)))
	b.w.Write(lengths)
	b.w.WriteString(tag)
	b.w.Write(chunk)
}

// Close must be called when all are added.
func (b *BulkFile) Close() {
	b.t.Helper()
	err := b.w.Flush()
	if e := b.f.Close(); err == nil {
		err = e
	}
	if err != nil {
		b.t.Fatalf("write %s: %v", b.Path, err)
	}
}
