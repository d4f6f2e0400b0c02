package liveblob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

const (
	followers   = 100
	followFor   = 12 * time.Second
	followLine  = 100 // bytes
	followPace  = 10 * time.Millisecond
	followFlush = time.Second
)

// BenchmarkFollow is what it takes 100 followers of one live blob to see it grow, over
// HTTP, beside 100 that get the whole blob every second. The blob has 100 lines a second
// and a commit a second. Lag is the time from the moment at which a commit took effect in
// the service to that at which a follower has its bytes.
func BenchmarkFollow(b *testing.B) {
	for _, contender := range []struct {
		name   string
		follow func(context.Context, *followed, int, func(pos int64)) error
	}{
		{"azureblob", followByReader},
		{"GET-every-second", followByGET},
	} {
		f := follow(b, contender.follow)
		lags := f.lags()
		if len(lags) < followers*int(followFor/followFlush-2) {
			b.Fatalf("%s: %d followers saw %d commits in all", contender.name, followers, len(lags))
		}
		report := func(v float64, measure string) { b.ReportMetric(v, measure+"@"+contender.name) }
		report(float64(f.fetched)/float64(f.size())/followers, "fetched/appended")
		report(float64(f.gets)/f.took.Seconds()/followers, "requests/s")
		report(float64(f.gets+f.others)/f.took.Seconds(), "all-requests/s")
		report(float64(lags[len(lags)/2].Microseconds())/1e3, "lag-p50-ms")
		report(float64(lags[len(lags)*99/100].Microseconds())/1e3, "lag-p99-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// followed is one live blob and what was seen of it.
type followed struct {
	endpoint string
	client   *http.Client
	shelf    *azuretest.Server
	done     chan struct{} // closed when the log is complete
	took     time.Duration

	mu           sync.Mutex
	commits      []sight // what the blob held from when on; the first is there before any follower is
	gets, others int     // requests
	fetched      int64   // bytes of bodies that GETs were answered with
	seen         [followers][]sight
}

// sight is how much of the blob was there, or seen, from a moment on.
type sight struct {
	at   time.Time
	size int64
}

func (f *followed) size() int64 { return f.commits[len(f.commits)-1].size }

func (f *followed) container() liveblob.Container {
	at := azuretest.StandIn(f.shelf, f.endpoint, f.client.Transport)
	return liveblob.Container{Name: "logs", Client: func(name string) (*blockblob.Client, error) { return at.Client("logs", name), nil }}
}

// lags are sorted: a value for each follower and each commit that brought bytes.
func (f *followed) lags() []time.Duration {
	var all []time.Duration
	for _, seen := range f.seen {
		for _, c := range f.commits[1:] {
			i, found := slices.BinarySearchFunc(seen, c.size, func(s sight, size int64) int { return int(s.size - size) })
			if found || i < len(seen) {
				all = append(all, seen[i].at.Sub(c.at))
			}
		}
	}
	slices.Sort(all)
	return all
}

// counted is an answer whose bytes are counted.
type counted struct {
	http.ResponseWriter
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.ResponseWriter.Write(p)
}

// serve serves a request and notes what it did. The answer to a commit is still in
// net/http's buffer then, so the writer has not heard of it.
func (f *followed) serve(w http.ResponseWriter, r *http.Request) {
	c := &counted{ResponseWriter: w}
	f.shelf.ServeHTTP(c, r)
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodGet {
		f.gets++
		f.fetched += c.n
		return
	}
	f.others++
	if blob, ok := f.shelf.Blob("logs", "live.log"); ok {
		if n := int64(len(blob.Content)); len(f.commits) == 0 || n > f.size() {
			f.commits = append(f.commits, sight{now, n})
		}
	}
}

// follow writes a log for a while under the eyes of all followers.
func follow(b *testing.B, by func(context.Context, *followed, int, func(pos int64)) error) *followed {
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * followers, DisableCompression: true}
	f := &followed{shelf: azuretest.New(), client: &http.Client{Transport: transport}, done: make(chan struct{})}
	f.shelf.NoLog, f.shelf.Public = true, true
	f.shelf.MakeContainer("logs")
	srv := httptest.NewServer(http.HandlerFunc(f.serve))
	defer srv.Close()
	defer transport.CloseIdleConnections()
	f.endpoint = srv.URL + "/" + f.shelf.Account()

	st, err := core.NewStream(core.StreamConfig{FlushInterval: followFlush, Blob: liveblob.Config{Container: f.container(), Name: "live.log", Stream: "bench"}})
	must(b, err)
	line := append(bytes.Repeat([]byte("x"), followLine-1), '\n')
	_, err = st.Write(line)
	must(b, err)
	must(b, st.Sync(b.Context()))

	begun := time.Now()
	var all sync.WaitGroup
	for i := range followers {
		all.Go(func() {
			err := by(b.Context(), f, i, func(pos int64) { f.seen[i] = append(f.seen[i], sight{time.Now(), pos}) })
			if err != nil {
				b.Errorf("follower %d: %v", i, err)
			}
		})
	}
	ticker := time.NewTicker(followPace)
	defer ticker.Stop()
	for time.Since(begun) < followFor {
		<-ticker.C
		_, err := st.Write(line)
		must(b, err)
	}
	must(b, st.Close(b.Context()))
	close(f.done)
	all.Wait()
	f.took = time.Since(begun)
	for i, seen := range f.seen {
		if len(seen) == 0 || seen[len(seen)-1].size != f.size() {
			b.Errorf("follower %d has not seen all of %d bytes: %v", i, f.size(), seen)
		}
	}
	return f
}

func followByReader(ctx context.Context, f *followed, i int, saw func(int64)) error {
	spread(i)
	r := liveblob.NewReader(liveblob.ReaderConfig{Container: f.container(), Name: "live.log", Follow: true})
	for {
		if _, err := r.Next(ctx); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		saw(r.Status().Offset)
	}
}

// followByGET asks once more when the log is complete, as somebody would who is told so.
func followByGET(ctx context.Context, f *followed, i int, saw func(int64)) error {
	spread(i)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for last, ended := int64(0), false; ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.endpoint+"/logs/live.log", nil)
		if err != nil {
			return err
		}
		resp, err := f.client.Do(req)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode != http.StatusOK:
			return errors.New(resp.Status)
		case n > last:
			last = n
			saw(n)
		}
		if ended {
			return nil
		}
		select {
		case <-f.done:
			ended = true
		default:
		}
		<-ticker.C
	}
}

// spread lets followers begin at different times, as people do.
func spread(i int) { time.Sleep(time.Duration(i) * time.Second / followers) }
