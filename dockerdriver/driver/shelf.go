package driver

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

	removed []string // the folders that were removed last
}

const (
	shelved    = 100  // folders there may be, however small
	remembered = 1000 // of those that were removed
)

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
	s.shrink(shelved, s.limit)
}

// restore puts a folder back that the last process has left, and reports whether it
// belongs here. The spool is not opened: that reads megabytes, and Start has to wait.
func (s *shelf) restore(id string) bool {
	dir := filepath.Join(s.dir, id)
	st, err := readState(filepath.Join(dir, stateName))
	if err != nil || !st.Settled {
		return false
	}
	files, err := os.ReadDir(filepath.Join(dir, "spool"))
	if err != nil {
		return false
	}
	var size int64
	for _, f := range files {
		if info, err := f.Info(); err == nil && strings.HasSuffix(f.Name(), ".seg") {
			size += info.Size()
		}
	}
	if size == 0 {
		return false // it goes when it is closed
	}
	s.put(id, size, st.Stopped)
	return true
}

// clear removes all, and gives their size.
func (s *shelf) clear() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	freed := s.total
	s.shrink(0, 0)
	return freed
}

// shrink removes the oldest folders until there are so many, of so many bytes, at most.
// mu is held.
func (s *shelf) shrink(books int, bytes int64) {
	for len(s.books) > books || s.total > bytes && len(s.books) > 0 {
		b := s.books[0]
		s.books = slices.Delete(s.books, 0, 1)
		s.total -= b.bytes
		// Under mu: take must not hand out a folder that is being removed.
		if err := remove(filepath.Join(s.dir, b.id)); err != nil {
			s.log.Error("the folder of an old log cannot be removed", "err", err)
		}
		s.removed = append(s.removed, b.id)
		s.removed = s.removed[max(0, len(s.removed)-remembered):]
	}
}

// had reports that a folder was here and was removed not long ago.
func (s *shelf) had(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.removed, id)
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
