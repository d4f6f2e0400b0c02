package replay

import (
	"testing"

	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// Whatever is in the spool and in the blob, reading ends, and hands over no more than
// there is.
func FuzzJunk(f *testing.F) {
	good := frame.Append(nil, &frame.Entry{Source: "stdout", Time: 5, Line: []byte("a")})
	part := frame.Append(nil, &frame.Entry{Source: "stdout", Time: 5, Line: []byte("a"), Partial: true, Ordinal: 9, ID: "x"})
	own := record.JSON.Append(nil, &record.Record{Line: []byte("a")})
	f.Add(append(good, part...), own, 3)
	f.Add(good[:len(good)-1], []byte("{\n\n"), -1)
	f.Add(append(part, good[2:]...), record.Text.Append(nil, &record.Record{Line: []byte("a"), Partial: true}), 1)
	f.Fuzz(func(t *testing.T, inSpool, inBlob []byte, tail int) {
		l := newLogIn(t, 1, 1)
		l.format = record.Format(len(inBlob) % 2)
		l.upload(1)
		must(t, l.writer.Commit(t.Context(), inBlob, ""))
		for _, batch := range [][]byte{inSpool[:len(inSpool)/2], inSpool[len(inSpool)/2:], good} {
			if _, err := l.spool.Append(batch); err != nil {
				return // too large for a batch
			}
		}
		cfg := l.config()
		cfg.Tail, cfg.Earlier = tail, true
		got, err := read(t.Context(), cfg)
		must(t, err)
		if most := len(inBlob) + len(inSpool) + 3; len(got) > most || tail >= 0 && len(got)-len(said(got)) > tail {
			t.Errorf("%d entries of %d bytes, tail %d", len(got), most, tail)
		}
	})
}
