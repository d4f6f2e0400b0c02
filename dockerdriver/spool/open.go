package spool

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Open opens the spool in a folder, or makes it. It reads the newest segment and the
// headers of the others.
func Open(dir string, cfg Config) (*Spool, error) {
	if cfg.Segment <= 0 {
		cfg.Segment = 8 << 20
	}
	if cfg.Limit > 0 {
		cfg.Segment = min(cfg.Segment, max(cfg.Limit/4, 64<<10))
	}
	cfg.Segment = min(cfg.Segment, maxSegment)
	s := &Spool{dir: dir, cfg: cfg, boot: cmp.Or(cfg.boot, bootID())}
	if err := s.open(); err != nil {
		if s.state != nil {
			s.state.Close()
		}
		if s.file != nil {
			s.file.Close()
		}
		return nil, s.errorf("open", err)
	}
	return s, nil
}

func (s *Spool) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.state, err = os.OpenFile(filepath.Join(s.dir, "state"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.state.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if err == syscall.EWOULDBLOCK {
			return errors.New("another process has it open: stop that one first")
		}
		return fmt.Errorf("lock its state: %w", err)
	}
	b := make([]byte, 2*slotStride)
	n, err := s.state.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return err
	}
	st, known := parseState(b[:n])
	found, err := s.find(st.id, known)
	if err != nil {
		return err
	}
	s.count, s.committed = st.count, st.committed
	if !known {
		st.clean = -1
		if n > 0 || len(found) > 0 {
			s.report(s.errorf("open", errors.New("its state cannot be read: what was committed is not known")))
		}
	}
	s.segments = found
	if err := s.resume(st, known); err != nil {
		return err
	}
	s.clean = st.clean
	committed := s.committed
	if !known || st.boot != s.boot { // then the state may be older than the segments
		committed = max(committed, s.segments[0].base)
	}
	s.commit(committed)
	if !known {
		if err := s.save(); err != nil {
			return err
		}
	}
	return s.evict()
}

// find lists the segments in the folder by base, mends names, and sets aside what
// does not belong here. The spool's id is that of the state, or if that is not known,
// of the first segment.
func (s *Spool) find(id uint64, known bool) ([]*segment, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var found []*segment
	for _, entry := range entries {
		base, ok := parseName(entry.Name())
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		path := filepath.Join(s.dir, entry.Name())
		h, good, size, err := readHeader(path)
		if err != nil {
			return nil, err
		}
		if size < segmentHeader { // made, but nothing was ever appended to it
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		if good && !known {
			id, known = h.id, true
		}
		if !good {
			s.report(s.errorf("open", fmt.Errorf("the header of %s is damaged: its name is taken for it", entry.Name())))
			h = header{base: base, prev: base}
		}
		seg := &segment{header: h, name: entry.Name(), size: size, dirty: true}
		if good && h.id != id {
			if err := s.setAside(seg); err != nil {
				return nil, err
			}
			continue
		}
		found = append(found, seg)
	}
	if !known {
		var b [8]byte
		rand.Read(b[:])
		id = binary.BigEndian.Uint64(b[:])
	}
	s.id = id
	for _, seg := range found {
		seg.id = id // also of those whose header is damaged
	}
	slices.SortFunc(found, func(a, b *segment) int { // a good header before one that is not
		return cmp.Or(cmp.Compare(a.base, b.base), -cmp.Compare(a.boot, b.boot), cmp.Compare(a.name, b.name))
	})
	for i := 1; i < len(found); {
		if found[i].base > found[i-1].base {
			i++
			continue
		}
		if err := s.setAside(found[i]); err != nil {
			return nil, err
		}
		found = slices.Delete(found, i, i+1)
	}
	for _, seg := range found {
		if right := seg.header.name(); seg.name != right && !exists(filepath.Join(s.dir, right)) {
			s.report(s.errorf("open", fmt.Errorf("%s has a wrong name: it is %s", seg.name, right)))
			if err := os.Rename(s.path(seg), filepath.Join(s.dir, right)); err != nil {
				return nil, err
			}
			seg.name = right
		}
	}
	return found, nil
}

// setAside takes a file out of the stream that looks like a segment of it.
func (s *Spool) setAside(seg *segment) error {
	s.report(s.errorf("open", fmt.Errorf("%s is not a part of it: it is %[1]s.bad now, and can be deleted", seg.name)))
	return os.Rename(s.path(seg), s.path(seg)+".bad")
}

// resume finds the end of the stream, cuts off a torn record, and decides where the
// next batch goes: behind it, or, if offsets may have been given out that are not on
// the disk, into a new segment further on.
func (s *Spool) resume(st slot, known bool) error {
	end, whole := s.committed, io.EOF // whole: how the records end
	sameBoot := !known || st.boot == s.boot && s.boot != 0
	if n := len(s.segments); n > 0 {
		seg := s.segments[n-1]
		f, err := os.OpenFile(s.path(seg), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer func() {
			if s.file == nil {
				f.Close()
			}
		}()
		scan := newScanner(f, seg.header, seg.size)
		s.last = seg.base
		for whole = nil; whole == nil; {
			var e event
			if e, whole = scan.next(); whole == nil && e.data != nil {
				s.last = e.from
			}
		}
		if whole != io.EOF && whole != errTorn && whole != errDamaged {
			return whole
		}
		end, sameBoot = scan.end(), seg.boot == s.boot && s.boot != 0
		if sameBoot && whole != errDamaged && end >= s.committed {
			if whole == errTorn {
				if err := f.Truncate(scan.pos); err != nil {
					return err
				}
			}
			seg.size, s.file, s.seed, s.end = scan.pos, f, scan.seed, end
			return nil
		}
	}
	base := end
	if !sameBoot || whole != io.EOF || s.committed > end {
		base = max((end/offsetJump+1)*offsetJump, (s.committed+offsetJump-1)/offsetJump*offsetJump)
	}
	s.add(header{id: s.id, base: base, prev: end, boot: s.boot, clean: whole == io.EOF && st.clean == end})
	s.end, s.last = base, base
	return nil
}

func readHeader(path string) (h header, ok bool, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, false, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return h, false, 0, err
	}
	var b [segmentHeader]byte
	n, err := f.ReadAt(b[:], 0)
	if err == io.EOF || errors.Is(err, syscall.EIO) {
		err = nil
	}
	h, ok = parseHeader(b[:n])
	return h, ok, info.Size(), err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// bootID tells this boot of the machine from any other; 0: not known.
func bootID() uint64 {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0
	}
	hex := strings.ReplaceAll(string(b), "-", "")
	id, err := strconv.ParseUint(hex[:min(16, len(hex))], 16, 64)
	if err != nil {
		return 0
	}
	return id
}
