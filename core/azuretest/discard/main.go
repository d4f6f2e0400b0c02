// Command discard is a blob service that forgets: it keeps the block lists, lengths and
// ETags that writers depend on, and of their data only how many lines there are. It
// takes next to no memory or time of its own, and is a process of its own, so that what
// a writer takes can be measured beside it. It serves block blobs and append blobs,
// checks no signature, and prints its address. GET /lines is how many lines are in all
// blobs.
//
// It ends when its standard input does.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// size is what is left of a block, or of a blob.
type size struct{ bytes, lines int64 }

func (s *size) add(o size) { s.bytes += o.bytes; s.lines += o.lines }

type blob struct {
	whole     size
	exists    bool
	etag      string
	order     []string // committed blocks
	committed map[string]size
	staged    map[string]size
	meta      http.Header
}

type service struct {
	mu    sync.Mutex
	blobs map[string]*blob
	ticks int
}

func main() {
	log.SetFlags(0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, &service{blobs: map[string]*blob{}}))
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// count reads a body to its end.
func count(body io.Reader) (s size) {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := body.Read(buf[:])
		s.add(size{int64(n), int64(bytes.Count(buf[:n], []byte("\n")))})
		if err != nil {
			return s
		}
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/lines" {
		s.mu.Lock()
		defer s.mu.Unlock()
		var all size
		for _, b := range s.blobs {
			all.add(b.whole)
		}
		fmt.Fprint(w, all.lines)
		return
	}
	query := r.URL.Query()
	if query.Get("restype") != "" {
		w.WriteHeader(map[bool]int{true: http.StatusCreated, false: http.StatusOK}[r.Method == http.MethodPut])
		return
	}
	var data size
	var list []string
	if query.Get("comp") == "blocklist" && r.Method == http.MethodPut {
		list = parse(r.Body)
	} else {
		data = count(r.Body)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blobs[r.URL.Path]
	if b == nil {
		b = &blob{committed: map[string]size{}, staged: map[string]size{}}
		s.blobs[r.URL.Path] = b
	}
	status := http.StatusCreated
	switch op := r.Method + " " + query.Get("comp"); op {
	case "PUT ": // a whole block blob, or an empty append blob
		b.whole, b.order = data, nil
		s.touch(b, r)
	case "PUT appendblock":
		b.whole.add(data)
		s.touch(b, r)
	case "PUT block":
		b.staged[query.Get("blockid")] = data
	case "PUT blocklist":
		if err := b.commit(list); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.touch(b, r)
	case "HEAD ", "GET ":
		status = http.StatusOK
		if !b.exists {
			w.Header().Set("x-ms-error-code", "BlobNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		for name := range b.meta {
			w.Header()[name] = b.meta[name]
		}
		w.Header().Set("x-ms-blob-type", "BlockBlob")
		w.Header().Set("Content-Length", fmt.Sprint(b.whole.bytes))
	default:
		http.Error(w, op+" is not served here", http.StatusNotImplemented)
		return
	}
	if b.etag != "" {
		w.Header().Set("ETag", b.etag)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	}
	w.WriteHeader(status)
}

func (s *service) touch(b *blob, r *http.Request) {
	s.ticks++
	b.exists, b.etag, b.meta = true, fmt.Sprintf(`"0x%X"`, s.ticks), http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Ms-Meta-") {
			b.meta[name] = values
		}
	}
}

func (b *blob) commit(list []string) error {
	next := map[string]size{}
	b.whole = size{}
	for _, id := range list {
		block, ok := b.staged[id]
		if !ok {
			block, ok = b.committed[id]
		}
		if !ok {
			return fmt.Errorf("there is no block %q", id)
		}
		next[id] = block
		b.whole.add(block)
	}
	b.order, b.committed, b.staged = list, next, map[string]size{}
	return nil
}

// parse gives the IDs of a block list, whichever of its elements they are in.
func parse(body io.Reader) (ids []string) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil
	}
	for element := range strings.SplitSeq(string(text), "<") {
		switch name, id, _ := strings.Cut(element, ">"); name {
		case "Latest", "Committed", "Uncommitted":
			ids = append(ids, id)
		}
	}
	return ids
}
