package driver

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// fleet is a machine whose logs are spread over accounts, each a stand-in.
type fleet struct {
	*machine
	accounts map[string]*azuretest.Server
}

func newFleet(t testing.TB, names ...string) *fleet {
	f := &fleet{machine: &machine{t: t, dir: t.TempDir()}, accounts: map[string]*azuretest.Server{}}
	for _, name := range []string{"one", "two", "three"} {
		f.accounts[name] = azuretest.New()
	}
	f.list(names...)
	t.Cleanup(func() {
		f.halt(0)
		if t.Failed() {
			t.Logf("the driver said:\n%s", f.logged.String())
		}
	})
	return f
}

// list sets the accounts, and boots.
func (f *fleet) list(names ...string) {
	f.t.Helper()
	var endpoints, tokens []string
	for _, name := range names {
		endpoints = append(endpoints, "http://"+name+".test/standin")
		tokens = append(tokens, f.accounts[name].SAS("rwdlac", time.Now().Add(time.Hour)))
	}
	f.env = map[string]string{
		"AZURE_STORAGE_ACCOUNT":          strings.Join(names, ","),
		"AZURE_STORAGE_SERVICE_ENDPOINT": strings.Join(endpoints, ","),
		"AZURE_STORAGE_SAS_TOKEN":        strings.Join(tokens, ","),
		"AZUREBLOB_FLUSH_INTERVAL":       "0",
	}
	d, err := New(Config{
		Dir: filepath.Join(f.dir, "state"), CacheTotal: 1 << 30, Transport: &http.Client{Transport: f}, Orphan: 100 * time.Millisecond,
		Log:  slog.New(slog.NewTextHandler(&f.logged, nil)),
		Host: &logopt.Host{Lookup: func(name string) (string, bool) { v, ok := f.env[name]; return v, ok }, Hostname: "host1", ProfileDir: f.dir},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.driver = d
	d.Recover()
}

// RoundTrip brings a request to the account of its host.
func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(r.URL.Host, ".")
	return f.accounts[name].Transport().RoundTrip(r)
}

func (f *fleet) accountOf(i *logopt.Info) string {
	f.t.Helper()
	s, err := f.driver.cfg.Host.Settings(i)
	if err != nil {
		f.t.Fatal(err)
	}
	store, err := core.Open(s.Config, core.StoreOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return store.Account(s.Blob).Name()
}

// lines are the numbers that the lines of a log in the account have.
func (f *fleet) lines(account, blob string) (n []int) {
	b, _ := f.accounts[account].Blob("logs", blob)
	for line := range bytes.Lines(b.Content) {
		var i int
		if _, err := fmt.Sscanf(string(line), `{"log":"%d\n`, &i); err != nil {
			f.t.Fatalf("%s in %s has %q", blob, account, line)
		}
		n = append(n, i)
	}
	return n
}

// moving is a container whose log is in another account if there is a second one. It
// leaves the list at the first.
func (f *fleet) moving() *logopt.Info {
	f.t.Helper()
	f.halt(0)
	f.list("one", "two")
	i := 0
	for f.accountOf(info(fmt.Sprint("web", i))) != "two" {
		i++
	}
	f.halt(0)
	f.list("one")
	return info(fmt.Sprint("web", i))
}

func numbers(from, to int) (n []int) {
	for i := from; i < to; i++ {
		n = append(n, i)
	}
	return n
}

func (p *pipe) number(from, to int) {
	for i := from; i < to; i++ {
		p.write(entry(i+1, fmt.Sprint(i)))
	}
}

// Each container's log is in the account that the list gives it, and while one account
// does not answer those in the others are committed as ever. What waited is there when
// the account is back.
func TestOneAccountAway(t *testing.T) {
	f := newFleet(t, "one", "two", "three")
	f.accounts["two"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
	type log struct {
		pipe    *pipe
		account string
		blob    string
	}
	var all []log
	for i := range 24 {
		in := info(fmt.Sprintf("web%02d", i))
		all = append(all, log{f.run(in), f.accountOf(in), in.Name() + ".log"})
	}
	stuck := 0
	for _, l := range all {
		if l.account == "two" {
			l.pipe.number(0, 3)
			stuck++
		}
	}
	if stuck == 0 || stuck == len(all) {
		t.Fatalf("%d of %d logs are in one account", stuck, len(all))
	}
	for _, l := range all {
		if l.account == "two" {
			continue
		}
		begun := time.Now()
		l.pipe.number(0, 3)
		until(t, l.blob+" is in "+l.account, func() bool { return slices.Equal(f.lines(l.account, l.blob), numbers(0, 3)) })
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s, in %s, took %v", l.blob, l.account, took)
		}
	}
	f.halt(0) // the requests that hang end with the process
	f.accounts["two"].SetFault(nil)
	f.list("three", "two", "one") // in another order: the same accounts
	for _, l := range all {
		if l.account == "two" {
			until(t, l.blob+" is there", func() bool { return slices.Equal(f.lines("two", l.blob), numbers(0, 3)) })
		}
	}
}

// A log that another list moves goes on in its new account with the first line that the
// old one does not have: nothing is lost and nothing comes twice, whether lines waited
// for their upload or none was uploaded at all.
func TestListChanged(t *testing.T) {
	for name, c := range map[string]struct{ committed, waiting int }{
		"all committed": {10, 0}, "some wait": {10, 5}, "nothing committed": {0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "one")
			in := f.moving()
			blob := in.Name() + ".log"
			p := f.run(in)
			p.number(0, c.committed)
			until(t, "the lines are in the old account", func() bool { return len(f.lines("one", blob)) == c.committed })
			if c.waiting > 0 {
				f.accounts["one"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.CutBefore} })
				p.number(c.committed, c.committed+c.waiting)
				until(t, "they are in the spool", func() bool { return f.container(in.Name()).spool.Stats().Backlog > 0 })
			}
			f.halt(0)
			f.accounts["one"].SetFault(nil)

			f.list("one", "two")
			had := c.committed + c.waiting
			p.number(had, had+10)
			p.stop()
			until(t, "the rest is in the new account", func() bool {
				b, _ := f.accounts["two"].Blob("logs", blob)
				return b.Metadata["complete"] == "1"
			})
			if got := f.lines("one", blob); !slices.Equal(got, numbers(0, c.committed)) {
				t.Errorf("the old account has %v", got)
			}
			if got := f.lines("two", blob); !slices.Equal(got, numbers(c.committed, had+10)) {
				t.Errorf("the new account has %v", got)
			}
		})
	}
}

// When the old list is set again, the log goes on in its old part from where that ended:
// it then has all there is, and what was uploaded meanwhile is in both.
func TestListChangedBack(t *testing.T) {
	f := newFleet(t, "one")
	in := f.moving()
	blob := in.Name() + ".log"
	p := f.run(in)
	for i, c := range []struct {
		account string
		want    []int
	}{{"one", numbers(0, 10)}, {"two", numbers(10, 20)}, {"one", numbers(0, 30)}} {
		if i > 0 {
			f.halt(0)
			f.list([]string{"one", "two"}[:2-i/2]...)
		}
		p.number(10*i, 10*i+10)
		until(t, fmt.Sprint("lines ", c.want, " are in ", c.account), func() bool { return slices.Equal(f.lines(c.account, blob), c.want) })
	}
	p.stop()
}
