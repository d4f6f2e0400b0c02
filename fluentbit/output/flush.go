package output

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// batch is what one chunk has for one blob.
type batch struct {
	name     string      // of the blob
	tag      string      // of the chunk
	first    chunk.Event // its slices are the chunk's, which Flush waits for
	mark     mark        // of the chunk
	data     []byte      // records
	deadline time.Time

	// Set before done.
	as   mark // what the blob's cursor has the chunk under, if it is there
	kept bool // a request may still be sending data
	err  error

	done *sync.WaitGroup
}

// settle tells the flush what became of the batch.
func (b *batch) settle(err error) {
	b.err = err
	b.done.Done()
}

// flush is the scratch of one call of Flush, used again by the next.
type flush struct {
	decoder chunk.Decoder
	encoder chunk.Encoder
	batches []*batch
	byName  map[string]*batch // beyond a few
	done    sync.WaitGroup
}

// Flush writes the records of a chunk, and returns when all of them are readable or
// when that has failed. data is not kept. The answer for a damaged chunk is Error,
// once what could be decoded of it is written.
func (o *Output) Flush(tag string, data []byte) Result {
	f, _ := o.flushes.Get().(*flush)
	if f == nil {
		f = &flush{encoder: o.set.Encoder, byName: make(map[string]*batch)}
	}
	r := o.flush(f, tag, data)
	f.reset() // and not after a panic: streams may have some of the batches
	o.flushes.Put(f)
	return r
}

func (o *Output) flush(f *flush, tag string, data []byte) Result {
	f.decoder.Reset(data)
	var e chunk.Event
	if f.decoder.Next(&e) {
		o.submit(f, tag, data, &e)
		f.done.Wait()
	}
	if f.failed() {
		for _, b := range f.batches {
			for told := b.err != nil; !told; { // the stream may be gone by now, and the blob is not
				told = o.streamOf(b).comesAgain(b.as)
			}
		}
		return Retry
	}
	if d := f.decoder.Damage(); d != nil {
		o.damaged(tag, data, d)
		return Error
	}
	return OK
}

// submit encodes the chunk's records, of which e is the first, and queues them.
func (o *Output) submit(f *flush, tag string, data []byte, e *chunk.Event) {
	p := o.order.enter(tag, e.Time)
	defer o.order.leave(p)
	f.encode(o, tag, data, e)
	o.order.wait(p)
	f.done.Add(len(f.batches))
	for _, b := range f.batches {
		for queued := false; !queued; {
			queued = o.streamOf(b).add(b)
		}
	}
}

// failed reports whether any batch could not be written.
func (f *flush) failed() bool {
	return slices.ContainsFunc(f.batches, func(b *batch) bool { return b.err != nil })
}

func (f *flush) encode(o *Output, tag string, data []byte, e *chunk.Event) {
	// Fluent Bit's memory, which is gone when the flush is: the tag is kept with streams.
	tag = strings.Clone(tag)
	namer := o.set.Path.Namer(tag)
	mark, deadline := markOf(o.kind, tag, data), time.Now().Add(o.set.FlushTimeout+allowance(len(data)))
	var b *batch
	hint := 0
	if o.set.Path.OfTag() { // there is one blob: growing by and by would copy all of it again
		hint = len(data) + len(data)/4
	}
	for more := true; more; more = f.decoder.Next(e) {
		if name, same := namer.Name(e); !same || b == nil {
			if b = f.find(name); b == nil {
				b = &batch{name: name, tag: tag, first: *e, mark: mark, data: buffers.get(hint), deadline: deadline, done: &f.done}
				f.add(b)
			}
		}
		b.data = f.encoder.Append(b.data, e)
	}
	o.missing(tag, namer.Missing())
}

// allowance is what so many bytes may take on the slowest link that is worth waiting for.
func allowance(n int) time.Duration {
	const perSecond = 128 << 10
	return time.Duration(n) * time.Second / perSecond
}

// few is how many blobs a chunk has records for before a map is quicker than a look
// at each.
const few = 8

func (f *flush) find(name string) *batch {
	if len(f.batches) > few {
		return f.byName[name]
	}
	for _, b := range f.batches {
		if b.name == name {
			return b
		}
	}
	return nil
}

func (f *flush) add(b *batch) {
	f.batches = append(f.batches, b)
	switch {
	case len(f.batches) == few+1:
		for _, b := range f.batches {
			f.byName[b.name] = b
		}
	case len(f.batches) > few:
		f.byName[b.name] = b
	}
}

// reset gives back what the batches hold. After a failure a request may still be
// sending a batch's bytes.
func (f *flush) reset() {
	for i, b := range f.batches {
		if b.err == nil && !b.kept {
			buffers.put(b.data)
		}
		f.batches[i] = nil
	}
	f.batches = f.batches[:0]
	clear(f.byName)
	f.decoder.Reset(nil)
}

// pack is the bytes of one commit.
type pack struct {
	data []byte
	own  bool // data is the pack's and no batch's
}

// pack joins the records of a group, and compresses them.
func (s *stream) pack(group []*batch) pack {
	p := pack{data: group[0].data}
	if len(group) > 1 {
		size := 0
		for _, b := range group {
			size += len(b.data)
		}
		p = pack{data: buffers.get(size), own: true}
		for _, b := range group {
			p.data = append(p.data, b.data...)
		}
	}
	if s.o.compress != nil && len(p.data) > 0 {
		packed := pack{data: s.o.compress.Append(buffers.get(len(p.data)/8), p.data), own: true}
		p.recycle()
		p = packed
	}
	return p
}

func (p pack) recycle() {
	if p.own {
		buffers.put(p.data)
	}
}
