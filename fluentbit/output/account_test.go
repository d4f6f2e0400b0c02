package output

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// overTwo makes b's outputs ones over two accounts, which are two stand-ins.
func overTwo(b *bed) map[string]*azuretest.Server {
	servers := map[string]*azuretest.Server{"one": azuretest.New(), "two": azuretest.New()}
	delete(b.keys, "connection_string")
	b.keys["account_name"] = "one,two"
	b.keys["endpoint"] = "http://one.test/standin,http://two.test/standin"
	b.keys["sas_token"] = servers["one"].SAS("rwdlac", time.Now().Add(time.Hour)) + "," + servers["two"].SAS("rwdlac", time.Now().Add(time.Hour))
	return servers
}

func (b *bed) startOver(servers map[string]*azuretest.Server) error {
	o, err := New(b.settings(), Options{
		Log: slog.New(slog.NewTextHandler(b.log, nil)),
		Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			name, _, _ := strings.Cut(r.URL.Host, ".")
			return servers[name].Transport().RoundTrip(r)
		}),
	})
	if err == nil {
		b.o.Close()
		b.o = o
	}
	return err
}

// While one account does not answer, or refuses, the streams of the other go on as
// ever, however many wait for the one; and what is told names it.
func TestOneAccountAway(t *testing.T) {
	for _, kind := range []azuretest.FaultKind{azuretest.BlackHole, azuretest.CutBefore, azuretest.Busy, azuretest.Throttled, azuretest.Denied} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.lines.AnyOrder = true
				servers := overTwo(b)
				if err := b.startOver(servers); err != nil {
					t.Fatal(err)
				}
				servers["two"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} })
				var well, stuck []string
				for i := 0; len(well) < 30 || len(stuck) < 2*maxWriting; i++ {
					tag := fmt.Sprint("tag", i)
					if b.o.store.Account(tag+".log").Name() == "one" {
						well = append(well, tag)
					} else {
						stuck = append(stuck, tag)
					}
				}
				waiting := make(chan struct{})
				go func() {
					defer close(waiting)
					done := make(chan struct{}, len(stuck))
					for _, tag := range stuck {
						go func() { b.o.Flush(tag, b.lines.Chunk(tag, 1)); done <- struct{}{} }()
					}
					for range stuck {
						<-done
					}
				}()
				for until := time.Now().Add(30 * time.Second); time.Now().Before(until); {
					for _, tag := range well {
						begun := time.Now()
						if r := b.o.Flush(tag, b.lines.Chunk(tag, 1)); r != OK || time.Since(begun) > time.Second {
							t.Fatalf("%s, in the account that answers: %v after %v", tag, r, time.Since(begun))
						}
					}
					time.Sleep(2 * time.Second)
				}
				<-waiting
				if n := len(servers["one"].Blobs("logs")); n != len(well) {
					t.Errorf("%d blobs, and %d tags", n, len(well))
				}
				if text := b.log.String(); !strings.Contains(text, "account=two") || strings.Contains(text, "account=one") {
					t.Error(text)
				}
				servers["two"].SetFault(nil)
			})
		})
	}
}

// The start asks each account, and makes the container in each.
func TestProbeOfAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		servers := overTwo(b)
		b.keys["startup_probe"] = "on"
		if err := b.startOver(servers); err != nil {
			t.Fatal(err)
		}
		for name, s := range servers {
			if s.Counts()[azuretest.CreateContainer] != 1 {
				t.Errorf("%s: %v", name, s.Counts())
			}
		}
		servers["two"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
		if err := b.startOver(servers); err == nil || !strings.Contains(err.Error(), "http://two.test/standin/logs cannot be used with this login (SAS token)") {
			t.Error(err)
		}
		servers["two"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
		begun := time.Now()
		if err := b.startOver(servers); err != nil || time.Since(begun) > probeFor+time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if !strings.Contains(b.log.String(), "http://two.test/standin/logs") {
			t.Error(b.log)
		}
		servers["two"].SetFault(nil)
	})
}

// Blobs are where the list says, and a chunk that has records for both accounts and is
// given again after one of them failed is written once into each.
func TestChunkOverAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, "path=$k.log")
		servers := overTwo(b)
		if err := b.startOver(servers); err != nil {
			t.Fatal(err)
		}
		failing := true
		servers["two"].SetFault(func(azuretest.Request) (f azuretest.Fault) {
			if failing {
				f.Kind = azuretest.Busy
			}
			return f
		})
		var names [2]string // of a log in each
		for i := 0; names[0] == "" || names[1] == ""; i++ {
			k := fmt.Sprint("k", i)
			names[map[string]int{"one": 0, "two": 1}[b.o.store.Account(k+".log").Name()]] = k
		}
		chunk := flbtest.Chunk(
			flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "k", Value: names[0]}}),
			flbtest.V2(time.Now(), nil, flbtest.Map{{Key: "k", Value: names[1]}}))
		if r := b.o.Flush("t", chunk); r != Retry {
			t.Fatal(r)
		}
		failing = false
		time.Sleep(2 * time.Second)
		if r := b.o.Flush("t", chunk); r != OK {
			t.Fatal(r)
		}
		for i, account := range []string{"one", "two"} {
			blob, _ := servers[account].Blob("logs", names[i]+".log")
			if n := strings.Count(string(blob.Content), "\n"); n != 1 || len(servers[account].Blobs("logs")) != 1 {
				t.Errorf("%s: %d lines in %q", account, n, servers[account].Blobs("logs"))
			}
		}
	})
}
