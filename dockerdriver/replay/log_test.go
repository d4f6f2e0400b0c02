package replay

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
	"github.com/liveblob/azureblob/dockerdriver/spool"
)

const container, blobName, streamName = "logs", "web/1.log", "c1"

// log is a container's log: what dockerd has sent, its spool and its blob.
type log struct {
	t       testing.TB
	rnd     *rand.Rand
	now     int64
	entries []frame.Entry
	offsets []int64 // of entries in the spool
	open    map[string]*frame.Entry

	spool *spool.Spool
	dir   string
	batch int // entries in one, at most

	server   *azuretest.Server
	format   record.Format
	compress string
	maxSize  int64
	writer   *liveblob.Writer
	uploaded int              // entries that the uploader has seen
	held     map[string][]int // entries of lines that have not ended
	over     bool             // nothing is held
	patient  bool             // what is held is not written before the line ends
	mixed    bool             // parts of a line stand between others' entries
	seam     int64            // the offset before which the spool was evicted
}

// segment is small, so that the spool can be evicted almost anywhere.
const segment = 2 << 10

var began = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano()

func newLog(t testing.TB, seed uint64) *log { return newLogIn(t, seed, segment) }

func newLogIn(t testing.TB, seed uint64, segment int64) *log {
	l := &log{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: began,
		open: map[string]*frame.Entry{}, held: map[string][]int{},
		batch: 2, dir: t.TempDir(), server: azuretest.New(),
	}
	l.server.MakeContainer(container)
	var err error
	l.spool, err = spool.Open(l.dir, spool.Config{Segment: segment})
	must(t, err)
	t.Cleanup(func() { l.spool.Close() })
	return l
}

func (l *log) container() liveblob.Container {
	b := azuretest.StandIn(l.server, azuretest.TransportEndpoint, l.server.Transport())
	return liveblob.Container{Name: container, Client: func(name string) (*blockblob.Client, error) { return b.Client(container, name), nil }}
}

func (l *log) blob() *Blob {
	return &Blob{
		Where: container + "/" + blobName, Stream: streamName, Format: l.format,
		Open: func() (liveblob.Container, string, error) { return l.container(), blobName, nil },
	}
}

func (l *log) config() Config { return Config{Spool: l.spool, Blob: l.blob(), Tail: -1} }

// say is a line of a container.
func (l *log) say(source, text string) {
	l.now += 1 + l.rnd.Int64N(1000)
	l.add(frame.Entry{Source: source, Time: l.now, Line: []byte(text)})
}

func (l *log) add(e frame.Entry) {
	l.entries = append(l.entries, e)
}

// write adds n random entries as dockerd makes them, and puts them into the spool.
func (l *log) write(n int) {
	for range n {
		source := []string{"stdout", "stdout", "stderr"}[l.rnd.IntN(3)]
		if !l.mixed {
			for s := range l.open {
				source = s
			}
		}
		part := l.open[source]
		if part == nil {
			if l.rnd.IntN(20) > 0 {
				l.say(source, l.text(l.rnd.IntN(200)))
				continue
			}
			l.now += 1 + l.rnd.Int64N(1000)
			part = &frame.Entry{Source: source, Time: l.now, Partial: true, ID: fmt.Sprint(l.now)}
			l.open[source] = part
		}
		part.Ordinal++
		part.Last = part.Ordinal > 1 && l.rnd.IntN(5) == 0
		e := *part
		e.Line = []byte(l.long(partSize))
		if e.Last {
			e.Line = e.Line[:l.rnd.IntN(2)*l.rnd.IntN(partSize)]
			delete(l.open, source)
		} else if l.rnd.IntN(20) == 0 { // the container stops in mid-line
			e.Line = e.Line[:1+l.rnd.IntN(partSize)]
			l.add(e)
			l.stop()
			continue
		}
		l.add(e)
	}
	l.append()
}

// stop is the end of a container's run: no line goes on.
func (l *log) stop() {
	clear(l.open)
	l.entries[len(l.entries)-1].ID += " stop" // told to the uploader; dockerd says so by StopLogging
}

// text is a short line: words, blank, or what is no text.
func (l *log) text(n int) string {
	var b strings.Builder
	for b.Len() < n {
		switch l.rnd.IntN(12) {
		case 0:
			b.WriteString("\xff\xe2\x82\x00")
		case 1:
			b.WriteString("日本\u2028é\ufffd")
		case 2:
			b.WriteString("\"\\\t\x1b[31m\r")
		default:
			fmt.Fprintf(&b, "word%d ", l.rnd.IntN(1000))
		}
	}
	return b.String()
}

// long is a piece of a long line: junk only where the format keeps every byte.
func (l *log) long(n int) string {
	piece := fmt.Sprintf("%d,", l.rnd.IntN(1e9))
	if l.format == record.Text {
		piece += "\xff日"
	}
	return strings.Repeat(piece, n/len(piece)+1)[:n]
}

// append puts into the spool what is not there yet, a few entries a batch.
func (l *log) append() {
	for len(l.offsets) < len(l.entries) {
		var batch []byte
		at := l.spool.End()
		for range 1 + l.rnd.IntN(l.batch) {
			if len(l.offsets) < len(l.entries) {
				l.offsets = append(l.offsets, at+int64(len(batch)))
				batch = frame.Append(batch, &l.entries[len(l.offsets)-1])
			}
		}
		_, err := l.spool.Append(batch)
		must(l.t, err)
	}
}

// upload does what the uploader does with the next n entries: a line is written when
// it ends. A line that waits for more may be written as far as it goes.
func (l *log) upload(n int) {
	if l.writer == nil {
		cfg := liveblob.Config{Container: l.container(), Name: blobName, Stream: streamName, Fork: true, ContentEncoding: l.compress, MaxSize: l.maxSize}
		var err error
		l.writer, err = liveblob.NewWriter(cfg)
		must(l.t, err)
		must(l.t, l.writer.Resume(l.t.Context()))
	}
	for n > 0 {
		k := min(n, 1+l.rnd.IntN(200))
		n -= k
		l.commit(k)
	}
}

func (l *log) commit(n int) {
	var out []byte
	for ; n > 0 && l.uploaded < len(l.entries); n-- {
		e := &l.entries[l.uploaded]
		l.held[e.Source] = append(l.held[e.Source], l.uploaded)
		l.uploaded++
		if !e.Partial || e.Last {
			out = l.encode(out, e.Source, false)
		}
		if strings.HasSuffix(e.ID, "stop") || l.over || !l.patient && l.rnd.IntN(100) == 0 {
			out = l.encode(l.encode(out, "stdout", true), "stderr", true)
		}
	}
	l.put(out)
}

// flush writes what is held back.
func (l *log) flush() { l.put(l.encode(l.encode(nil, "stdout", true), "stderr", true)) }

// encode appends the record of what is held back of a stream.
func (l *log) encode(out []byte, source string, partial bool) []byte {
	held := l.held[source]
	if len(held) == 0 {
		return out
	}
	var line []byte
	for _, i := range held {
		line = append(line, l.entries[i].Line...)
	}
	delete(l.held, source)
	return l.format.Append(out, &record.Record{Time: time.Unix(0, l.entries[held[0]].Time), Stream: source, Line: line, Partial: partial})
}

func (l *log) put(out []byte) {
	c, err := record.NewCompressor(l.compress)
	must(l.t, err)
	if c != nil {
		out = c.Append(nil, out)
	}
	must(l.t, l.writer.Commit(l.t.Context(), out, ""))
}

// committed is the offset before which the uploader needs nothing any more.
func (l *log) committed() int64 {
	low := l.uploaded
	for _, held := range l.held {
		low = min(low, held[0])
	}
	if low == len(l.offsets) {
		return l.spool.End()
	}
	return l.offsets[low]
}

// evict lets the spool drop about that share of what is committed.
func (l *log) evict(share float64) {
	st := l.spool.Stats()
	// Whole segments are dropped, and one may be as large as a batch.
	n := int64(share*float64(l.committed()-st.First)) - segment - 3*partSize
	if n <= 0 {
		return
	}
	_, to, err := l.spool.DropOldest(n)
	must(l.t, err)
	if to > l.committed() {
		l.t.Fatalf("%d is evicted, and only %d committed", to, l.committed())
	}
	l.seam = to
}

// want is what json-file gives for the log: it counts from the end first, skips what is
// before since, and ends behind until.
func (l *log) want(cfg Config) (want []frame.Entry) {
	all := l.entries
	if cfg.Tail >= 0 {
		all = all[max(0, len(all)-cfg.Tail):]
	}
	for _, e := range all {
		at := time.Unix(0, e.Time)
		if !cfg.Since.IsZero() && at.Before(cfg.Since) {
			continue
		}
		if !cfg.Until.IsZero() && at.After(cfg.Until) {
			break
		}
		want = append(want, e)
	}
	return want
}

// read collects what Read hands over.
func read(ctx context.Context, cfg Config) (got []frame.Entry, err error) {
	err = Read(ctx, cfg, func(e *frame.Entry) error {
		got = append(got, *e)
		got[len(got)-1].Line = bytes.Clone(e.Line)
		return nil
	})
	return got, err
}

// replaced is s with U+FFFD for each byte that is not part of valid UTF-8.
func replaced(s []byte) string { return string([]rune(string(s))) }

// sameLine compares an entry with what dockerd had sent. In a blob of json it may have
// lost bytes that are no UTF-8.
func (l *log) sameLine(got, want *frame.Entry) bool {
	return got.Source == want.Source && got.Time == want.Time &&
		(bytes.Equal(got.Line, want.Line) || l.format == record.JSON && string(got.Line) == replaced(want.Line)) &&
		(!got.Partial || got.Last) == (!want.Partial || want.Last)
}

func brief(e *frame.Entry) string {
	line := e.Line
	if len(line) > 40 {
		line = line[:40]
	}
	return fmt.Sprintf("%s +%d %q… of %d bytes, partial %v, last %v, ordinal %d", e.Source, e.Time-began, line, len(e.Line), e.Partial, e.Last, e.Ordinal)
}

// check compares the entries one by one.
func (l *log) check(what string, got, want []frame.Entry) {
	l.t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i == len(got):
			l.t.Fatalf("%s: %d entries, want %d; the next is %s", what, len(got), len(want), brief(&want[i]))
		case i == len(want):
			l.t.Fatalf("%s: %d entries, want %d; the next one is %s", what, len(got), len(want), brief(&got[i]))
		case !l.sameLine(&got[i], &want[i]):
			l.t.Fatalf("%s: entry %d of %d is\n%s, want\n%s", what, i, len(want), brief(&got[i]), brief(&want[i]))
		}
	}
}

// said are the lines of our own among the entries.
func said(got []frame.Entry) (said []string) {
	for i := range got {
		if text := string(got[i].Line); got[i].Source == "stderr" && strings.HasPrefix(text, "azureblob: ") {
			said = append(said, text)
		}
	}
	return said
}

// text is what a terminal shows of a stream.
func text(entries []frame.Entry, source string) []byte {
	var b bytes.Buffer
	for i := range entries {
		if e := &entries[i]; e.Source == source {
			b.Write(e.Line)
			if !e.Partial || e.Last {
				b.WriteByte('\n')
			}
		}
	}
	return b.Bytes()
}
