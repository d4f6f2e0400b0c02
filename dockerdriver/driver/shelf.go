package driver

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// shelf has the folders of stopped containers whose logs are in their blobs. They
// only save docker logs the way to storage, so the oldest go when there are too many
// or too large.
type shelf struct {
	dir   string
	limit int64 // bytes
	log   *slog.Logger

	mu    sync.Mutex
	books []book // by the time they were put here
	total int64
}

// shelved is how many folders there may be, however small.
const shelved = 100

// A folder is renamed before it is removed, so that half of one is never found.
const goneSuffix = ".gone"

type book struct {
	id      string
	bytes   int64
	stopped time.Time
}

// put adds a folder that nobody uses.
func (s *shelf) put(id string, bytes int64, stopped time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.books, stopped, func(b book, t time.Time) int { return b.stopped.Compare(t) })
	s.books = slices.Insert(s.books, i, book{id, bytes, stopped})
	s.total += bytes
	for len(s.books) > shelved || s.total > s.limit && len(s.books) > 0 {
		b := s.books[0]
		s.books = slices.Delete(s.books, 0, 1)
		s.total -= b.bytes
		// Under mu: take must not hand out a folder that is being removed.
		if err := remove(filepath.Join(s.dir, b.id)); err != nil {
			s.log.Error("the folder of an old log cannot be removed", "err", err)
		}
	}
}

// take removes a folder from the shelf, to be used again.
func (s *shelf) take(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.books, func(b book) bool { return b.id == id }); i >= 0 {
		s.total -= s.books[i].bytes
		s.books = slices.Delete(s.books, i, i+1)
	}
}

// remove deletes a log's folder.
func remove(dir string) error {
	gone := dir + goneSuffix
	if err := os.Rename(dir, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}
