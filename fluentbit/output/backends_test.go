package output

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
	"github.com/liveblob/azureblob/fluentbit/keys"
)

// On every backend at hand: two live processes under one name, several workers, blobs
// that roll over and become complete in between, successors that get chunks again.
func TestBackends(t *testing.T) {
	for _, backend := range azuretest.Backends(t) {
		for _, compress := range []string{"none", "zstd"} {
			t.Run(backend.Name+"/"+compress, func(t *testing.T) {
				conf := map[string]string{
					"connection_string": backend.ConnectionString, "container_name": backend.NewContainer(t),
					"hostname": "node1", "path": "$TAG.log", "max_size": "100k", "idle_timeout": "50ms", "compress": compress,
				}
				var log lockedBuffer
				start := func() *Output {
					set, err := keys.Load(func(name string) string { return conf[name] }, func(string) (string, bool) { return "", false })
					if err != nil {
						t.Fatal(err)
					}
					o, err := New(set, Options{Transport: &http.Client{Transport: backend.Transport}, Log: slog.New(slog.NewTextHandler(&log, nil))})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(o.Close)
					return o
				}
				lines := flbtest.Numbered{Size: 200, AnyOrder: true}
				send := func(o *Output, tag string, chunk []byte) {
					for try := 0; o.Flush(tag, bytes.Clone(chunk)) != OK; try++ {
						if try == 100 {
							t.Errorf("a chunk of %s is not taken:\n%s", tag, log.String())
							return
						}
					}
				}
				var processes sync.WaitGroup
				for p := range uint64(2) {
					processes.Go(func() {
						r := rand.New(rand.NewPCG(p, 5))
						var last [3][]byte
						for range 4 {
							o := start()
							for w, chunk := range last { // what the one before had written, and Fluent Bit has not noted
								if chunk != nil && p == 0 {
									send(o, fmt.Sprint("t", w), chunk)
								}
							}
							var workers sync.WaitGroup
							for w := range 3 {
								n := 1 + r.IntN(10)
								workers.Go(func() {
									tag := fmt.Sprint("t", w)
									for i := range n {
										last[w] = lines.Chunk(tag, 1+200*(i%2))
										send(o, tag, last[w])
									}
								})
							}
							workers.Wait()
						}
					})
				}
				processes.Wait()
				o := start()
				names, err := o.accounts[0].container.List(context.Background(), "")
				if err != nil {
					t.Fatal(err)
				}
				var all []string
				for _, name := range names {
					client, err := o.accounts[0].container.Client(name)
					if err != nil {
						t.Fatal(err)
					}
					answer, err := client.DownloadStream(context.Background(), nil)
					if err != nil {
						t.Fatal(err)
					}
					content, err := io.ReadAll(answer.Body)
					answer.Body.Close()
					if err != nil {
						t.Fatal(err)
					}
					blob := azuretest.Blob{Content: content}
					if answer.ContentEncoding != nil {
						blob.ContentEncoding = *answer.ContentEncoding
					}
					part, err := flbtest.BlobLines(blob, "json")
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, part...)
				}
				if err := lines.Check(all); err != nil {
					t.Errorf("%v\n%s", err, log.String())
				}
			})
		}
	}
}

// Whatever goes wrong, the log has no key and no signature.
func TestNoSecretInTheLog(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
	for _, login := range []string{"shared_key=" + secret, "sas_token=sv=2024-11-04&ss=b&srt=sco&sp=rwlc&se=2036-01-01T00:00:00Z&sig=" + strings.ReplaceAll(secret, "=", "%3D")} {
		for _, kind := range append(azuretest.Faults(), azuretest.None) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.keys["connection_string"] = ""
				o, err := b.another("account_name=account", "endpoint="+azuretest.TransportEndpoint, "idle_timeout=10s", login)
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				b.server.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} })
				for range 3 {
					o.Flush("a", b.lines.Chunk("a", 3))
					time.Sleep(20 * time.Second)
				}
				if log := b.log.String(); log == "" || strings.Contains(log, secret[:20]) || strings.Contains(log, "sig=") {
					t.Errorf("%v: logged %q", kind, log)
				}
			})
		}
	}
}
