package replay

import (
	"fmt"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/record"
)

// Whatever was evicted, docker logs gives what json-file gives.
func TestAsJSONFile(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			l := newLog(t, seed)
			l.format = record.Format(seed % 2)
			l.compress = []string{"", "gzip", "zstd"}[seed%3]
			if seed%5 == 0 {
				l.maxSize = 100_000
			}
			for range 3 {
				l.write(100 + l.rnd.IntN(300))
				l.upload(l.rnd.IntN(len(l.entries) - l.uploaded + 1))
				l.evict(l.rnd.Float64())
				for range 8 {
					cfg := l.config()
					if l.rnd.IntN(3) > 0 {
						cfg.Tail = l.rnd.IntN(len(l.entries) + 10)
					}
					at := func() time.Time { // of an entry, just before, or just behind it
						i := l.rnd.IntN(len(l.entries))
						return time.Unix(0, l.entries[i].Time+l.rnd.Int64N(3)-1)
					}
					if l.rnd.IntN(3) == 0 {
						cfg.Since = at()
					}
					if l.rnd.IntN(3) == 0 {
						cfg.Until = at()
					}
					what := fmt.Sprintf("of %d entries, evicted up to %d: tail %d, since %v, until %v", len(l.entries), l.spool.Stats().First, cfg.Tail, cfg.Since, cfg.Until)
					got, err := read(t.Context(), cfg)
					must(t, err)
					l.check(what, got, l.want(cfg))
				}
			}
			if l.spool.Stats().First == 0 {
				t.Error("nothing was evicted")
			}
			whole := l.config()
			whole.Spool, l.over = nil, true
			l.write(1)
			l.upload(len(l.entries) - l.uploaded)
			for _, whole.Tail = range []int{-1, 0, 7, len(l.entries) - 1} {
				got, err := read(t.Context(), whole)
				must(t, err)
				l.check(fmt.Sprintf("without a spool: tail %d", whole.Tail), got, l.want(whole))
			}
		})
	}
}

// Where the parts of stdout's lines stand between stderr's, the streams may be mixed
// in another way, but each of them is whole and in its order.
func TestMixedStreams(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			l := newLog(t, 1000+seed)
			l.mixed = true
			l.format = record.Format(seed % 2)
			for range 5 {
				l.write(50 + l.rnd.IntN(100))
				l.upload(l.rnd.IntN(len(l.entries) - l.uploaded + 1))
				l.evict(l.rnd.Float64())
				got, err := read(t.Context(), l.config())
				must(t, err)
				l.checkStreams(got)
				if len(got) != len(l.entries) {
					t.Fatalf("%d entries, want %d", len(got), len(l.entries))
				}
				// Whole lines are where they were, but for those that a long one has passed.
				cfg := l.config()
				cfg.Tail = 1 + l.rnd.IntN(len(l.entries))
				got, err = read(t.Context(), cfg)
				must(t, err)
				if len(got) != cfg.Tail {
					t.Fatalf("tail %d gives %d entries", cfg.Tail, len(got))
				}
			}
			if l.spool.Stats().First == 0 {
				t.Error("nothing was evicted")
			}
		})
	}
}
