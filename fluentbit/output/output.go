package output

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/fluentbit/keys"
)

// Result is what a flush answers Fluent Bit.
type Result int

const (
	OK    Result = iota // every record is readable
	Retry               // give the same chunk again later
	Error               // the chunk, or a part of it, can never be written
)

func (r Result) String() string { return [...]string{"OK", "RETRY", "ERROR"}[r] }

// Options is what an Output needs besides its settings. The zero value is good.
type Options struct {
	Transport policy.Transporter // sends requests; nil: the pool that the process shares
	Log       *slog.Logger       // nil: silent
}

// Output is one [OUTPUT] section. Flush may be called from many goroutines at once.
type Output struct {
	set         *keys.Settings
	store       *core.Store
	accounts    []*account // of the store
	compress    record.Compressor
	contentType string
	log         *slog.Logger
	run         string // names this instance in cursors
	kind        string // of its records
	order       order

	ctx    context.Context // of the goroutine that ends idle streams
	cancel context.CancelFunc
	idling sync.WaitGroup

	writing sync.WaitGroup // goroutines of streams
	shared  sync.Once      // told that a blob has another writer

	flushes sync.Pool // of *flush

	mu      sync.Mutex
	streams map[string]*stream // by the blob's name
	lacking map[string]bool    // fields of the path that some record did not have
}

// tails bounds what the process keeps of its blobs' unsealed bytes; what it drops is
// read back when blocks are merged.
var tails liveblob.Budget

// New opens the store and, unless startup_probe is off, asks it whether it can be
// used. The error is one line for the user.
func New(set *keys.Settings, opts Options) (*Output, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	store, err := core.Open(set.Core, core.StoreOptions{Transport: opts.Transport, Log: opts.Log})
	if err != nil {
		return nil, err
	}
	compress, err := record.NewCompressor(set.Core.Compress)
	if err != nil {
		return nil, fmt.Errorf("set compress: %w", err)
	}
	e := &set.Encoder
	o := &Output{
		set: set, store: store, compress: compress,
		contentType: cmp.Or(set.Core.ContentType, set.Encoder.Format.ContentType()),
		log:         opts.Log,
		run:         rand.Text()[:runLength],
		kind:        fmt.Sprint(e.Format, e.LogKey, e.TimeKey, e.TimeFormat, e.MetadataKey, e.GroupKey),
		streams:     make(map[string]*stream),
		lacking:     make(map[string]bool),
	}
	for _, at := range store.Accounts() {
		o.accounts = append(o.accounts, newAccount(at, len(store.Accounts()) > 1, set.FlushTimeout, opts.Log))
	}
	o.order.changed.L = &o.order.mu
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if set.StartupProbe {
		if err := o.probeAll(o.ctx); err != nil {
			o.cancel()
			return nil, err
		}
	}
	o.idling.Go(o.watchIdle)
	return o, nil
}

// Close ends the instance; no Flush may be under way. All that Flush took is in the
// blobs already. With complete_on_exit it marks them as complete, in the time that
// one flush may take.
func (o *Output) Close() {
	o.cancel()
	o.idling.Wait()
	o.writing.Wait() // a stream's goroutine ends a moment after its last flush
	if o.set.CompleteOnExit {
		ctx, cancel := context.WithTimeout(context.Background(), o.set.FlushTimeout)
		defer cancel()
		o.endAll(ctx, 0, true)
	}
}

var errLate = errors.New("the time was up before it was this flush's turn")

// streamOf is the stream for a blob. first is a batch for it, which tells what
// metadata a new one gets.
func (o *Output) streamOf(first *batch) *stream {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.streams[first.name]
	if s == nil {
		s = &stream{
			o: o, account: o.accountOf(first.name), name: first.name, used: time.Now(),
			metadata: o.set.BlobMetadata(first.tag, &first.first), tags: o.set.BlobTags(first.tag, &first.first),
		}
		o.streams[first.name] = s
	}
	return s
}

// forget takes the stream out of the map if it is the one there.
func (o *Output) forget(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.streams[s.name] == s {
		delete(o.streams, s.name)
	}
}

// forgetful is how long a stream is remembered that is never marked as complete.
const forgetful = 10 * time.Minute

// watchIdle marks streams as complete that nothing has come for in idle_timeout.
func (o *Output) watchIdle() {
	idle := o.set.Core.IdleTimeout
	mark := idle > 0
	idle = cmp.Or(idle, forgetful)
	tick := time.NewTicker(max(min(idle/10, 30*time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			buffers.trim()
			o.endAll(o.ctx, idle, mark)
		case <-o.ctx.Done():
			return
		}
	}
}

// atOnce is how many blobs of an account are marked as complete side by side.
const atOnce = 16

// endAll ends the streams that were idle for so long, and returns when that is done.
func (o *Output) endAll(ctx context.Context, idle time.Duration, mark bool) {
	var working sync.WaitGroup
	for _, a := range o.accounts {
		working.Go(func() { o.endIn(ctx, a, idle, mark) })
	}
	working.Wait()
}

func (o *Output) endIn(ctx context.Context, a *account, idle time.Duration, mark bool) {
	o.mu.Lock()
	all := slices.Collect(maps.Values(o.streams))
	o.mu.Unlock()
	places := make(chan struct{}, atOnce)
	var working sync.WaitGroup
	for _, s := range all {
		if s.account != a || s.idleFor() < idle {
			continue
		}
		places <- struct{}{}
		working.Go(func() {
			defer func() { <-places }()
			s.end(ctx, mark)
		})
	}
	working.Wait()
}
