package spool

import (
	"errors"
	"hash/crc32"
	"io"
	"math"
	"sync"
	"syscall"
)

// How the records of a segment end, other than with io.EOF. Both leave the scanner
// where it is, so that it can go on when there is more.
var (
	errTorn    = errors.New("the last record is cut short")
	errDamaged = errors.New("no good record in the rest of the segment")
)

// window is how much a scan reads at once; more for a larger record.
const window = 64 << 10

// scanner finds the records of one segment. It reads each byte once, or twice
// where a record lies across the end of a window, and holds one record at most.
type scanner struct {
	src   io.ReaderAt
	limit int64 // bytes of src that may be looked at
	base  int64
	seed  uint32

	pos  int64  // in src, of the next record
	want int64  // offset that it should have, less base
	buf  []byte // bytes of src from at on
	at   int64
}

// event is the next piece of the stream: bytes, or a range that is lost.
type event struct {
	from, to int64
	data     []byte // nil: lost; valid until the scanner's next call
	pos      int64  // of the record that data is in
}

func newScanner(src io.ReaderAt, h header, limit int64) scanner {
	return scanner{src: src, limit: limit, base: h.base, seed: h.seed(), pos: segmentHeader}
}

// end is the offset behind all that was found.
func (s *scanner) end() int64 { return s.base + s.want }

func (s *scanner) next() (event, error) {
	for {
		if s.pos == s.limit {
			return event{}, io.EOF
		}
		if s.limit-s.pos < recordHeader {
			return event{}, errTorn
		}
		b, err := s.peek(s.pos, recordHeader)
		if err != nil {
			return event{}, err
		}
		rec, ok := s.parse(b, s.pos)
		if !ok {
			if err := s.resync(); err != nil {
				return event{}, err
			}
			continue
		}
		if rec.at > s.want {
			e := event{from: s.end(), to: s.base + rec.at}
			s.want = rec.at
			return e, nil
		}
		next := s.pos + recordHeader + rec.length
		if next > s.limit {
			return event{}, errTorn
		}
		if b, err = s.peek(s.pos, int(recordHeader+rec.length)); err != nil {
			return event{}, err
		}
		e := event{from: s.end(), to: s.end() + rec.length, pos: s.pos}
		if data := b[recordHeader:][:rec.length]; crc32.Checksum(data, castagnoli) == rec.data {
			e.data = data
		}
		s.pos, s.want = next, rec.at+rec.length
		return e, nil
	}
}

// parse takes a record's header if it can stand at pos: offsets only rise, and each
// byte of the stream takes at least one of the file.
func (s *scanner) parse(b []byte, pos int64) (record, bool) {
	rec, ok := parseRecord(b, s.seed)
	return rec, ok && s.want <= rec.at && rec.at <= pos-segmentHeader && rec.at+rec.length <= math.MaxUint32
}

// resync moves on to the next good header. It trusts that header without a look at
// the data, so that no input makes a scan go over the same bytes again and again.
func (s *scanner) resync() error {
	for p := s.pos + 1; s.limit-p >= recordHeader; {
		b, err := s.peek(p, recordHeader)
		if err == errTorn {
			break
		}
		if err != nil {
			return err
		}
		for ; len(b) >= recordHeader; b, p = b[1:], p+1 {
			if _, ok := s.parse(b, p); ok {
				s.pos = p
				return nil
			}
		}
	}
	return errDamaged
}

// peek gives the bytes from pos on that are at hand, n at least.
func (s *scanner) peek(pos int64, n int) ([]byte, error) {
	if skip := pos - s.at; skip >= 0 && skip+int64(n) <= int64(len(s.buf)) {
		return s.buf[skip:], nil
	}
	size := int(min(int64(max(n, window)), s.limit-pos))
	if cap(s.buf) < size {
		s.rest()
		if b, _ := windows.Get().(*[]byte); b != nil && cap(*b) >= size {
			s.buf = *b
		} else {
			s.buf = make([]byte, size)
		}
	}
	got, err := s.src.ReadAt(s.buf[:size], pos)
	s.buf, s.at = s.buf[:got], pos
	if got >= n {
		return s.buf, nil
	}
	switch {
	case err == io.EOF: // somebody has cut the file
		return nil, errTorn
	case errors.Is(err, syscall.EIO): // a bad sector
		return nil, errDamaged
	}
	return nil, err
}

// back makes e, an event with data, the next one again.
func (s *scanner) back(e event) { s.pos, s.want = e.pos, e.from-s.base }

// rest lets go of a large buffer.
func (s *scanner) rest() {
	if buf := s.buf; cap(buf) > 4<<10 {
		s.buf = nil
		windows.Put(&buf)
	}
}

// windows are large buffers that no scanner uses.
var windows sync.Pool
