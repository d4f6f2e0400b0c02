package output

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
	"github.com/liveblob/azureblob/fluentbit/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a stand-in for the service, an Output on it, and a Fluent Bit that gives a
// chunk again until it is taken.
type bed struct {
	*testing.T
	server *azuretest.Server
	keys   map[string]string
	o      *Output
	lines  flbtest.Numbered
	log    *lockedBuffer
}

// newBed has its requests served in the goroutine that makes them, so that it can be
// used in a synctest bubble.
func newBed(t *testing.T, extra ...string) *bed {
	t.Helper()
	b := &bed{T: t, server: azuretest.New(), log: new(lockedBuffer)}
	b.server.MakeContainer("logs")
	b.keys = map[string]string{
		"connection_string": b.server.ConnectionString(azuretest.TransportEndpoint),
		"hostname":          "node1", "path": "$TAG.log", "startup_probe": "off",
	}
	for _, kv := range extra {
		k, v, _ := strings.Cut(kv, "=")
		b.keys[k] = v
	}
	b.start()
	t.Cleanup(func() { b.o.Close() })
	return b
}

func (b *bed) settings(extra ...string) *keys.Settings {
	b.Helper()
	all := maps.Clone(b.keys)
	for _, kv := range extra {
		k, v, _ := strings.Cut(kv, "=")
		all[k] = v
	}
	set, err := keys.Load(func(name string) string { return all[name] }, func(string) (string, bool) { return "", false })
	if err != nil {
		b.Fatal(err)
	}
	return set
}

// another is one more instance.
func (b *bed) another(extra ...string) (*Output, error) {
	return New(b.settings(extra...), Options{
		Transport: &http.Client{Transport: b.server.Transport()},
		Log:       slog.New(slog.NewTextHandler(b.log, nil)),
	})
}

// start makes a new instance, as a new process would, with no good-bye from the old one.
func (b *bed) start(extra ...string) {
	b.Helper()
	if b.o != nil {
		b.o.cancel()
		b.o.idling.Wait()
	}
	o, err := b.another(extra...)
	if err != nil {
		b.Fatal(err)
	}
	b.o = o
}

// deliver gives the chunk until it is taken, as Fluent Bit does without a limit.
func (b *bed) deliver(tag string, chunk []byte) {
	b.Helper()
	for range 100 {
		switch r := b.o.Flush(tag, bytes.Clone(chunk)); r {
		case OK:
			return
		case Error:
			b.Errorf("a chunk of %s is refused", tag)
			return
		}
		time.Sleep(time.Second)
	}
	b.Errorf("a chunk of %s was not taken in 100 tries:\n%s", tag, b.log)
}

// send makes n lines and delivers them.
func (b *bed) send(tag string, n int) {
	b.Helper()
	b.deliver(tag, b.lines.Chunk(tag, n))
}

// content is the lines of the blobs, one blob after the other.
func (b *bed) content(format string, names ...string) []string {
	b.Helper()
	if len(names) == 0 {
		names = b.server.Blobs("logs")
	}
	var all []string
	for _, name := range names {
		blob, ok := b.server.Blob("logs", name)
		if !ok {
			b.Fatalf("there is no blob %q among %q", name, b.server.Blobs("logs"))
		}
		lines, err := flbtest.BlobLines(blob, format)
		if err != nil {
			b.Fatalf("read %s: %v", name, err)
		}
		all = append(all, lines...)
	}
	return all
}

// check holds what the blobs have against what was made.
func (b *bed) check() {
	b.Helper()
	if err := b.lines.Check(b.content("json")); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) meta(name string) map[string]string {
	b.Helper()
	blob, ok := b.server.Blob("logs", name)
	if !ok {
		b.Fatalf("there is no blob %q among %q", name, b.server.Blobs("logs"))
	}
	return blob.Metadata
}

// streams is how many are kept.
func (b *bed) streams() int {
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	return len(b.o.streams)
}

// requests counts those since the last ResetLog, by operation.
func (b *bed) requests() string {
	return fmt.Sprint(b.server.Counts())
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
