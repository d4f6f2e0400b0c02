package output

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	maxGroup = 64      // batches in one commit; a cursor has room for all their marks
	bigGroup = 8 << 20 // bytes at which no more is added to one

	// What Fluent Bit may give again is remembered for longer than it waits between two
	// tries (scheduler.cap, 2,000 s), and as much of it as it can have tasks.
	remember  = 2 * time.Hour
	comesBack = 2000 * time.Second
	maxMemory = 2048
)

var errPanic = errors.New("a panic, which is in the log")

// stream is the log in one blob. The first batch after a quiet time starts a goroutine,
// the only one that touches the Writer. It commits all that is queued together, and
// what comes meanwhile is queued for the next commit. An idle stream is its struct and
// what the Writer knows of the blob.
type stream struct {
	o              *Output
	account        *account
	name           string
	metadata, tags map[string]string

	mu      sync.Mutex
	queue   []*batch  // guarded by mu
	running bool      // the goroutine is there; guarded by mu
	gone    bool      // there is another stream for the blob, or none; guarded by mu
	used    time.Time // when the goroutine ended last; guarded by mu
	landed  []landed  // guarded by mu
	owing   []mark    // of chunks that could not be written yet; guarded by mu
	failed  time.Time // when the last of them was tried; guarded by mu

	// Owned by who has set running.
	writer *liveblob.Writer // nil: what the blob has must be looked up first
	recent recent           // of the blob, as far as it is known
	doubt  []mark           // of commits that failed: they may be in the blob, or still get there
}

// blob is the stream's blob, for messages.
func (s *stream) blob() string { return s.account.container.Name + "/" + s.name }

// add queues a batch. false: the stream is gone, ask for another.
func (s *stream) add(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.queue = append(s.queue, b)
	if !s.running {
		s.running = true
		s.o.writing.Go(s.run)
	}
	return true
}

func (s *stream) run() {
	for group := s.take(); group != nil; group = s.take() {
		s.write(group)
	}
}

// take is the next group of batches, in their order; nil: there is none, and the
// goroutine must end.
func (s *stream) take() []*batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.queue) && n < maxGroup && (n == 0 || size+len(s.queue[n].data) <= bigGroup) {
		size += len(s.queue[n].data)
		n++
	}
	if n == 0 {
		s.running, s.used, s.queue = false, time.Now(), nil
		return nil
	}
	group := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	return group
}

// write settles a group. Its time is up when that of its oldest batch is, or later for
// what the others bring.
func (s *stream) write(group []*batch) {
	deadline := group[0].deadline
	for _, b := range group[1:] {
		deadline = deadline.Add(allowance(len(b.data)))
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	defer func() { // one that ends this goroutine would end Fluent Bit
		if p := recover(); p != nil {
			s.o.log.Error(Panic(p).Error(), "blob", s.blob())
			for _, b := range group {
				s.settle(b, errPanic)
			}
		}
	}()
	err := s.account.enter(ctx)
	if err == nil {
		defer s.account.leave()
	}
	for pause := 20 * time.Millisecond; err == nil && len(group) > 0; pause = min(2*pause, time.Second) {
		group, err = s.try(ctx, group)
		if errors.Is(err, liveblob.ErrFenced) && sleep(ctx, pause/2+rand.N(pause)) {
			s.fenced(err)
			err = nil // look again, and go on behind what the other has written
		}
	}
	if err == nil {
		s.account.outage.succeeded()
	} else {
		s.account.outage.failedOn(s.blob(), err)
	}
	for _, b := range group {
		s.settle(b, err)
	}
}

// settle tells the flush what became of its batch, and remembers whether it will come
// again.
func (s *stream) settle(b *batch, err error) {
	s.mu.Lock()
	i := slices.Index(s.owing, b.mark)
	switch {
	case err == nil && i >= 0:
		s.owing = slices.Delete(s.owing, i, i+1)
	case err != nil && i < 0:
		s.owing = append(s.owing, b.mark)
		s.owing = s.owing[max(0, len(s.owing)-maxMemory):]
	}
	if err != nil {
		s.failed = time.Now()
	}
	s.mu.Unlock()
	b.settle(err)
}

// try commits a group once, and returns the batches that are not settled.
func (s *stream) try(ctx context.Context, group []*batch) (left []*batch, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.lose(group)
			left, err = group, fmt.Errorf("write %s: %w", s.blob(), Panic(p))
		}
	}()
	if err := s.open(ctx); err != nil {
		return group, err
	}
	if group = s.acknowledge(group); len(group) == 0 {
		return nil, nil
	}
	next := slices.Clip(s.recent)
	now := time.Now()
	for _, b := range group {
		b.as = next.free(b.mark)
		next = append(next, marked{b.as, now})
	}
	s.mu.Lock()
	next = next.trim(now, s.landed)
	s.mu.Unlock()

	p := s.pack(group)
	retries := s.writer.State().Retries
	if err := s.writer.Commit(ctx, p.data, next.cursor(s.o.run)); err != nil {
		s.lose(group)
		return group, err
	}
	if s.writer.State().Retries == retries { // else a request that was given up may still be sending it
		p.recycle()
	} else {
		for _, b := range group {
			b.kept = true
		}
	}
	s.recent, s.doubt = next, nil
	for _, b := range group {
		s.settle(b, nil)
	}
	return nil, nil
}

// lose drops the Writer after a commit whose outcome may be open.
func (s *stream) lose(group []*batch) {
	s.writer = nil
	for _, b := range group {
		if !slices.Contains(s.doubt, b.as) {
			s.doubt = append(s.doubt, b.as)
		}
	}
	s.doubt = s.doubt[max(0, len(s.doubt)-maxMemory):]
}

// comesAgain takes note that a chunk which is in the blob will be given again. false:
// the stream is gone, tell another.
func (s *stream) comesAgain(m mark) bool { return s.note(landed{m, true}) }

func (s *stream) note(l landed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	if i := slices.IndexFunc(s.landed, func(have landed) bool { return have.mark == l.mark }); i >= 0 {
		s.landed[i].sure = s.landed[i].sure || l.sure
		return true
	}
	s.landed = append(s.landed, l)
	s.landed = s.landed[max(0, len(s.landed)-maxMemory):]
	return true
}

// open makes sure that there is a Writer, and finds out what the blob has.
func (s *stream) open(ctx context.Context) error {
	if s.writer != nil {
		return nil
	}
	w, err := s.newWriter()
	if err != nil {
		return err
	}
	if err := w.Resume(ctx); err != nil {
		return err
	}
	s.found(w.State().Cursor)
	s.writer = w
	return nil
}

func (s *stream) newWriter() (*liveblob.Writer, error) {
	set := s.o.set
	cfg := liveblob.Config{
		Container: s.account.container, Name: s.name, Stream: set.Hostname, Fork: true,
		ContentType: s.o.contentType, Metadata: s.metadata, Tags: s.tags,
		CompleteTier: set.Core.TierOnComplete, MaxSize: int64(set.Core.MaxSize),
		Budget: &tails,
		Retry:  liveblob.Retry{Base: 100 * time.Millisecond, Max: 2 * time.Second, Try: max(set.FlushTimeout/2, time.Second)},
		Log:    nil, // outage tells of trouble, once for all streams
	}
	if s.o.compress != nil {
		cfg.ContentEncoding = s.o.compress.Encoding()
	}
	w, err := liveblob.NewWriter(cfg)
	if err != nil && len(s.metadata) > 0 {
		// What records bring may be too much. That is no reason to lose them.
		s.o.log.Warn("the blob is written without metadata", "blob", s.blob(), "err", err)
		s.metadata, cfg.Metadata = nil, nil
		w, err = liveblob.NewWriter(cfg)
	}
	return w, err
}

// found takes over the marks of the blob's cursor. What is told there of chunks whose
// fate was not known is told to those that wait for it.
func (s *stream) found(cursor string) {
	run, marks := parseCursor(cursor)
	now := time.Now()
	there := make(recent, 0, len(marks))
	for _, m := range marks {
		e := marked{m, now}
		doubtful := slices.Index(s.doubt, m)
		known := slices.IndexFunc(s.recent, func(e marked) bool { return e.mark == m })
		switch {
		case doubtful >= 0:
			s.doubt = slices.Delete(s.doubt, doubtful, doubtful+1)
			s.comesAgain(m)
		case known >= 0:
			e.at = s.recent[known].at
		case run != s.o.run: // before our time
			s.note(landed{m, false})
		}
		there = append(there, e)
	}
	s.recent = there
}

// acknowledge settles the batches of chunks that are in the blob already, each once.
func (s *stream) acknowledge(group []*batch) []*batch {
	return slices.DeleteFunc(group, func(b *batch) bool {
		if !s.has(b) {
			return false
		}
		s.recent = s.recent.renew(b.as, time.Now())
		s.settle(b, nil)
		return true
	})
}

// has reports whether the chunk has landed, which counts once.
func (s *stream) has(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.landed, func(l landed) bool { return l.mark-b.mark < maxMarks+maxGroup })
	if i < 0 {
		return false
	}
	b.as = s.landed[i].mark
	s.landed = slices.Delete(s.landed, i, i+1)
	return true
}

// fenced tells, once, that somebody else writes to the blob. That the last commit of a
// predecessor has landed late is nothing to tell.
func (s *stream) fenced(err error) {
	var f *liveblob.FencedError
	if errors.As(err, &f) && f.First {
		return
	}
	s.o.shared.Do(func() {
		s.o.log.Warn("another Fluent Bit writes to this blob under the same hostname; both go on, at the cost of more requests: give each a hostname or a path of its own",
			"blob", s.blob(), "hostname", s.o.set.Hostname)
	})
}

// idleFor is how long nothing was written; 0: something is being written now.
func (s *stream) idleFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.gone {
		return 0
	}
	return time.Since(s.used)
}

// end marks the blob as complete, if mark says so, and gives the stream up unless a chunk
// may come again. What comes meanwhile waits, and goes on in the blob. A log of which a
// chunk is still to come has not ended.
func (s *stream) end(ctx context.Context, mark bool) {
	s.mu.Lock()
	if s.running || s.gone || len(s.owing) > 0 && time.Since(s.failed) < comesBack {
		s.mu.Unlock()
		return
	}
	s.running = true
	s.mu.Unlock()

	var err error
	if mark {
		err = s.complete(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.queue) > 0:
		s.o.writing.Go(s.run) // which may go on for long
	case err != nil:
		s.running, s.used = false, time.Now()
	default:
		s.running = false
		if len(s.landed)+len(s.doubt) == 0 || time.Since(s.used) >= remember {
			s.gone = true
			s.o.forget(s)
		}
	}
}

// complete marks the blob as complete. A failure is told by outage; it is tried again
// when the stream has been idle for as long again.
func (s *stream) complete(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("complete %s: %w", s.blob(), Panic(p))
		}
		if err != nil {
			s.writer = nil
			s.account.outage.failedOn(s.blob(), err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.o.set.FlushTimeout)
	defer cancel()
	if err := s.account.outage.enter(ctx); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	if st := s.writer.State(); !st.Exists || st.Complete {
		return nil
	}
	err = s.writer.Complete(ctx, nil, s.recent.cursor(s.o.run))
	if errors.Is(err, liveblob.ErrFenced) {
		s.writer = nil
		return nil // somebody else goes on with it
	}
	if err == nil {
		s.doubt = nil // what may be under way is refused from now on
		s.account.outage.succeeded()
	}
	return err
}

// sleep waits for d, or until ctx ends; it reports whether d went by.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
