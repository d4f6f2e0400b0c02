package liveblob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// What the tests in the other files show on the stand-in, in short, on every
// backend there is.
func TestOnEveryBackend(t *testing.T) {
	for _, b := range azuretest.Backends(t) {
		t.Run(b.Name, func(t *testing.T) {
			name := b.NewContainer(t)
			c := liveblob.Container{Name: name, Client: func(blob string) (*blockblob.Client, error) {
				return b.Client(name, blob), nil
			}}
			t.Run("life of a log", func(t *testing.T) { lifeOfALog(t, c) })
			t.Run("roll-over", func(t *testing.T) { rollOver(t, c) })
			t.Run("fence and fork", func(t *testing.T) { fenceAndFork(t, c) })
			t.Run("foreign blocks", func(t *testing.T) { foreignBlocks(t, c) })
			t.Run("empty", func(t *testing.T) { emptyLog(t, c) })
		})
	}
}

func whole(t testing.TB, c liveblob.Container, name string) []byte {
	t.Helper()
	r := liveblob.NewReader(liveblob.ReaderConfig{Container: c, Name: name})
	all, err := io.ReadAll(r.Reader(t.Context()))
	must(t, err)
	return all
}

// A log from Put Blob through blocks, merges and a sealed window, with a writer
// that restarts now and then, while a reader follows to its end.
func lifeOfALog(t *testing.T, c liveblob.Container) {
	cfg := liveblob.Config{
		Container: c, Name: "a b/grüße%2F#?.log", Stream: "life",
		ContentType: "text/plain; charset=utf-8", ContentEncoding: "identity",
		Metadata: map[string]string{"team": "a & b"}, Tags: map[string]string{"env": "test"},
	}
	log := flushes(260, 3000)
	var followed bytes.Buffer
	done := make(chan error, 1)
	var status liveblob.Status
	go func() {
		r := liveblob.NewReader(liveblob.ReaderConfig{Container: c, Name: cfg.Name, Follow: true, Poll: 5 * time.Millisecond, MaxPoll: 20 * time.Millisecond})
		_, err := io.Copy(&followed, r.Reader(t.Context()))
		status = r.Status()
		done <- err
	}()
	for i := 0; i < len(log); {
		w, err := liveblob.NewWriter(cfg)
		must(t, err)
		must(t, w.Resume(t.Context()))
		if got, _ := strconv.Atoi("0" + w.State().Cursor); got != i {
			t.Fatalf("the cursor is %q, want %d", w.State().Cursor, i)
		}
		for range 47 {
			if i == len(log)-1 {
				must(t, w.Complete(t.Context(), log[i], strconv.Itoa(i+1)))
				i++
				break
			}
			must(t, w.Commit(t.Context(), log[i], strconv.Itoa(i+1)))
			i++
		}
	}
	if !bytes.Equal(whole(t, c, cfg.Name), join(log)) {
		t.Error("the content differs")
	}
	must(t, <-done)
	if !bytes.Equal(followed.Bytes(), join(log)) {
		t.Error("what the follower read differs")
	}
	if status.ContentType != cfg.ContentType || !status.Complete || status.Stream != "life" {
		t.Errorf("the follower ended with %+v", status)
	}
	if most := status.Size + status.Requests; status.Fetched > most {
		t.Errorf("the follower fetched %d bytes in %d polls of a blob of %d", status.Fetched, status.Requests, status.Size)
	}
	client, err := c.Client(cfg.Name)
	must(t, err)
	p, err := client.GetProperties(t.Context(), nil)
	must(t, err)
	if *p.CacheControl != "no-store" || *p.ContentEncoding != "identity" || p.TagCount == nil || *p.TagCount != 1 {
		t.Errorf("the last commit left cache-control %q, encoding %q, tags %v", *p.CacheControl, *p.ContentEncoding, p.TagCount)
	}
}

func rollOver(t *testing.T, c liveblob.Container) {
	log := flushes(60, 20_000)
	for i := 0; i < len(log); {
		w, err := liveblob.NewWriter(liveblob.Config{Container: c, Name: "roll.log", Stream: "roll", MaxSize: 300_000})
		must(t, err)
		for range min(13, len(log)-i) {
			must(t, w.Commit(t.Context(), log[i], ""))
			i++
		}
	}
	if !bytes.Equal(whole(t, c, "roll.log"), join(log)) {
		t.Error("the content differs")
	}
}

func fenceAndFork(t *testing.T, c liveblob.Container) {
	for i, size := range []int{10, 100_000} {
		name := fmt.Sprintf("fence-%d.log", i)
		open := func(stream string, fork bool) *liveblob.Writer {
			w, err := liveblob.NewWriter(liveblob.Config{Container: c, Name: name, Stream: stream, Fork: fork})
			must(t, err)
			return w
		}
		data := bytes.Repeat([]byte("1"), size)
		one, two := open("one", false), open("one", false)
		must(t, one.Commit(t.Context(), data, ""))
		must(t, two.Commit(t.Context(), []byte("2"), ""))
		if err := one.Commit(t.Context(), []byte("3"), ""); !errors.Is(err, liveblob.ErrFenced) {
			t.Errorf("a second writer: %v", err)
		}
		if err := open("another", false).Commit(t.Context(), data, ""); !errors.Is(err, liveblob.ErrTaken) {
			t.Errorf("another stream: %v", err)
		}
		fork := open("another", true)
		must(t, fork.Commit(t.Context(), []byte("fork"), ""))
		if got := whole(t, c, name); string(got) != string(data)+"2" {
			t.Errorf("the winner's blob has %d bytes", len(got))
		}
		if got := whole(t, c, fork.State().Blob); string(got) != "fork" {
			t.Errorf("the fork holds %q", got)
		}
	}
}

func foreignBlocks(t *testing.T, c liveblob.Container) {
	client, err := c.Client("foreign.log")
	must(t, err)
	_, err = client.StageBlock(t.Context(), "YQ==", nopCloser{strings.NewReader("x")}, nil)
	must(t, err)
	w, err := liveblob.NewWriter(liveblob.Config{Container: c, Name: "foreign.log", Stream: "s"})
	must(t, err)
	data := bytes.Repeat([]byte("b"), 70_000)
	must(t, w.Commit(t.Context(), data, ""))
	must(t, w.Commit(t.Context(), []byte("c"), ""))
	if got := whole(t, c, "foreign.log"); string(got) != string(data)+"c" {
		t.Errorf("the blob has %d bytes", len(got))
	}
}

func emptyLog(t *testing.T, c liveblob.Container) {
	w, err := liveblob.NewWriter(liveblob.Config{Container: c, Name: "empty.log", Stream: "s", Fresh: true})
	must(t, err)
	must(t, w.Complete(t.Context(), nil, ""))
	r := liveblob.NewReader(liveblob.ReaderConfig{Container: c, Name: "empty.log", Follow: true})
	if _, err := r.Next(t.Context()); err != io.EOF || !r.Status().Complete {
		t.Errorf("an empty, complete log reads as %v, %+v", err, r.Status())
	}
}
