package azuretest

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	maxBlocks      = 50_000
	maxUncommitted = 100_000
	maxBlockID     = 64 // bytes, decoded
	maxMetadata    = 8 << 10
)

type container struct {
	blobs    map[string]*storedBlob
	etag     string
	modified time.Time
}

// block is immutable. A Put Blob's content is one block whose ID is "", which no
// block list can name.
type block struct {
	id   string // as sent, base64
	data []byte
}

// storedBlob is a blob, or the place of one that has only uncommitted blocks so
// far. Guarded by Server.mu.
type storedBlob struct {
	properties
	committed []*block
	size      int64
	staged    map[string]*block // uncommitted, by ID
	idLength  int               // of the staged IDs, decoded

	commits  int // 0: nothing was committed, so nothing can be read
	etag     string
	created  time.Time
	modified time.Time
}

// properties are what each commit sets anew; only the tier outlives one.
type properties struct {
	meta map[string]string // names in lower case
	tags map[string]string
	tier string // "": the account's default
	head map[string]string
}

// find is the committed blob of that name, or nil. mu is held.
func (s *Server) find(container, name string) *storedBlob {
	b := s.place(container, name)
	if b == nil || b.commits == 0 {
		return nil
	}
	return b
}

// place is find, with blobs that have only uncommitted blocks.
func (s *Server) place(container, name string) *storedBlob {
	if c := s.containers[container]; c != nil {
		return c.blobs[name]
	}
	return nil
}

func (s *Server) newETag() string {
	s.ticks++
	return `"0x8D` + strings.ToUpper(hex12(0xC00000000000+s.ticks)) + `"`
}

// touch gives b a new ETag; each commit and each Set Metadata does.
func (s *Server) touch(b *storedBlob, at time.Time) {
	b.etag = s.newETag()
	b.modified = at.UTC().Truncate(time.Second)
}

// commit makes blocks the content of b. All uncommitted blocks are gone then.
func (s *Server) commit(b *storedBlob, blocks []*block, p properties, at time.Time) {
	if p.tier == "" {
		p.tier = b.tier
	}
	b.properties, b.committed, b.staged = p, blocks, nil
	b.size = 0
	for _, x := range blocks {
		b.size += int64(len(x.data))
	}
	if b.commits == 0 {
		b.created = at.UTC().Truncate(time.Second)
	}
	b.commits++
	s.touch(b, at)
}

// stage adds an uncommitted block.
func (b *storedBlob) stage(id string, data []byte) *problem {
	raw, err := base64.StdEncoding.DecodeString(id)
	switch {
	case err != nil || len(raw) == 0:
		return refuse("InvalidQueryParameterValue")
	case len(raw) > maxBlockID:
		return refuse("OutOfRangeInput")
	case len(b.staged) > 0 && len(raw) != b.idLength:
		return refuse("InvalidBlobOrBlock")
	}
	if _, again := b.staged[id]; !again && len(b.staged) >= maxUncommitted {
		return refuse("BlockCountExceedsLimit")
	}
	if b.staged == nil {
		b.staged = map[string]*block{}
	}
	b.idLength = len(raw)
	b.staged[id] = &block{id, data}
	return nil
}

// assemble finds the blocks that list names; false if one is not there. A list
// mostly repeats the last one's beginning, so that is where it looks first, and
// builds an index only for a list that does not.
func (b *storedBlob) assemble(list []entry) ([]*block, bool) {
	next := make([]*block, 0, len(list))
	var index map[string]int
	for i, e := range list {
		if e.id == "" {
			return nil, false
		}
		if e.where != "Committed" {
			if staged, ok := b.staged[e.id]; ok {
				next = append(next, staged)
				continue
			}
		}
		if e.where == "Uncommitted" {
			return nil, false
		}
		if i < len(b.committed) && b.committed[i].id == e.id {
			next = append(next, b.committed[i])
			continue
		}
		if index == nil {
			index = make(map[string]int, len(b.committed))
			for j, x := range b.committed {
				index[x.id] = j
			}
		}
		j, ok := index[e.id]
		if !ok {
			return nil, false
		}
		next = append(next, b.committed[j])
	}
	return next, true
}

// slice is the content from offset on, n bytes of it, without a copy.
func (b *storedBlob) slice(offset, n int64) [][]byte {
	var parts [][]byte
	for _, x := range b.committed {
		data := x.data
		if offset >= int64(len(data)) {
			offset -= int64(len(data))
			continue
		}
		data = data[offset:]
		offset = 0
		data = data[:min(n, int64(len(data)))]
		if n -= int64(len(data)); len(data) > 0 {
			parts = append(parts, data)
		}
		if n == 0 {
			break
		}
	}
	return parts
}

// Block is one block of a blob.
type Block struct {
	ID   string // as sent, base64
	Size int64
}

// Blob is a copy of what a blob holds.
type Blob struct {
	Content         []byte
	ETag            string
	LastModified    time.Time
	Metadata        map[string]string // names in lower case
	Tags            map[string]string
	ContentType     string
	ContentEncoding string
	CacheControl    string
	Tier            string // "" if it was never set
	Blocks          []Block
	Uncommitted     []Block // by ID
	Commits         int     // 0: only uncommitted blocks are there
}

// Blob looks at a blob behind the protocol's back; false if there is none, not
// even one with only uncommitted blocks.
func (s *Server) Blob(container, name string) (Blob, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.place(container, name)
	if b == nil {
		return Blob{}, false
	}
	out := Blob{
		Content:         slices.Concat(b.slice(0, b.size)...),
		ETag:            b.etag,
		LastModified:    b.modified,
		Metadata:        maps.Clone(b.meta),
		Tags:            maps.Clone(b.tags),
		ContentType:     b.head["Content-Type"],
		ContentEncoding: b.head["Content-Encoding"],
		CacheControl:    b.head["Cache-Control"],
		Tier:            b.tier,
		Commits:         b.commits,
	}
	for _, x := range b.committed {
		if x.id != "" {
			out.Blocks = append(out.Blocks, Block{x.id, int64(len(x.data))})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.staged)) {
		out.Uncommitted = append(out.Uncommitted, Block{id, int64(len(b.staged[id].data))})
	}
	return out, true
}

// Blobs is the names of a container's committed blobs, sorted.
func (s *Server) Blobs(container string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names(container)
}

func (s *Server) names(container string) []string {
	var names []string
	if c := s.containers[container]; c != nil {
		for name, b := range c.blobs {
			if b.commits > 0 {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// MakeContainer creates a container if there is none of that name.
func (s *Server) MakeContainer(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeContainer(name, s.now())
}

func (s *Server) makeContainer(name string, at time.Time) *container {
	c := s.containers[name]
	if c == nil {
		c = &container{blobs: map[string]*storedBlob{}, etag: s.newETag(), modified: at.UTC().Truncate(time.Second)}
		s.containers[name] = c
	}
	return c
}

// Put writes a whole blob as another writer's Put Blob would. The container is
// created if it is missing.
func (s *Server) Put(container, name string, content []byte, metadata map[string]string) {
	p := properties{meta: map[string]string{}, head: map[string]string{"Content-Type": "application/octet-stream"}}
	for k, v := range metadata {
		p.meta[strings.ToLower(k)] = v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.now()
	s.commit(s.makeContainer(container, at).open(name), []*block{{data: slices.Clone(content)}}, p, at)
}

// open is the place of a blob, made if need be.
func (c *container) open(name string) *storedBlob {
	b := c.blobs[name]
	if b == nil {
		b = &storedBlob{}
		c.blobs[name] = b
	}
	return b
}

// dropUncommitted discards a blob's uncommitted blocks, as the service does after
// a week.
func (s *Server) dropUncommitted(container, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.place(container, name)
	if b == nil {
		return
	}
	b.staged = nil
	if b.commits == 0 {
		delete(s.containers[container].blobs, name)
	}
}
