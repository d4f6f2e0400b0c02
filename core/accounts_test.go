package core

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	const list = "acct1,acct2"
	const sas1, sas2 = "sv=1&spr=https,http&sig=" + marker + "1", "?sv=1&spr=https,http&sig=" + marker + "2"
	folder := t.TempDir()
	file := func(name, content string) string {
		write(t, filepath.Join(folder, name), content)
		return filepath.Join(folder, name)
	}
	for _, c := range []struct {
		keys Map
		want string // URLs of the containers
		err  string
	}{
		{Map{"account_name": list}, "https://acct1.blob.core.windows.net/logs https://acct2.blob.core.windows.net/logs", ""},
		{Map{"account_name": " acct2 ,\tacct1", "endpoint_suffix": "core.chinacloudapi.cn"}, "https://acct2.blob.core.chinacloudapi.cn/logs https://acct1.blob.core.chinacloudapi.cn/logs", ""},
		{Map{"account_name": list, "endpoint": "https://b.example,https://a.example"}, "https://b.example/logs https://a.example/logs", ""},
		{Map{"endpoint": "https://b.blob.core.windows.net, https://a.blob.core.windows.net"}, "https://b.blob.core.windows.net/logs https://a.blob.core.windows.net/logs", ""},
		{Map{"account_name": list, "endpoint": "http://127.0.0.1:10000"}, "http://127.0.0.1:10000/acct1/logs http://127.0.0.1:10000/acct2/logs", ""},
		{Map{"account_name": list, "endpoint": "http://127.0.0.1:1,http://127.0.0.1:2/other"}, "http://127.0.0.1:1/acct1/logs http://127.0.0.1:2/other/logs", ""},
		{Map{"account_name": list, "auth_type": "cli"}, "https://acct1.blob.core.windows.net/logs https://acct2.blob.core.windows.net/logs", ""},
		{Map{"account_name": list, "shared_key": key1 + ", " + key2}, "https://acct1.blob.core.windows.net/logs https://acct2.blob.core.windows.net/logs", ""},
		{Map{"account_name": list, "shared_key_file": file("lines", key1+"\r\n"+key2+"\n")}, "https://acct1.blob.core.windows.net/logs https://acct2.blob.core.windows.net/logs", ""},
		{Map{"account_name": list, "sas_token": sas1 + "," + sas2}, "https://acct1.blob.core.windows.net/logs https://acct2.blob.core.windows.net/logs", ""},
		{Map{"account_name": list, "sas_token_file": file("tokens", sas1+"\n"+sas2)}, "https://acct1.blob.core.windows.net/logs https://acct2.blob.core.windows.net/logs", ""},
		{Map{"account_name": "acct1", "sas_token": sas1}, "https://acct1.blob.core.windows.net/logs", ""},
		{Map{"account_name": "acct1", "shared_key_file": file("folded", "a2V5\nLW9uZQ==")}, "https://acct1.blob.core.windows.net/logs", ""},

		{Map{"account_name": "a,,b"}, "", "account_name is a list of 3 with nothing at place 2"},
		{Map{"account_name": "a,b,"}, "", "account_name is a list of 3 with nothing at place 3"},
		{Map{"account_name": ","}, "", "nothing at place 1"},
		{Map{"account_name": "a,b", "endpoint": "https://a.example,"}, "", "endpoint is a list of 2 with nothing at place 2"},
		{Map{"account_name": "a,b,A"}, "", `the account "A" is listed twice`},
		{Map{"account_name": "a," + marker + "/x=="}, "", "letters and digits"},
		{Map{"account_name": "a,b", "endpoint": "https://x.example,https://X.example"}, "", "are at one endpoint"},
		{Map{"account_name": "a,b", "endpoint": "https://x.example"}, "", "2 accounts for 1 endpoint: list one endpoint for each"},
		{Map{"account_name": "a,b", "endpoint": "http://127.0.0.1:1/dev"}, "", "2 accounts for 1 endpoint"},
		{Map{"account_name": "a,b", "endpoint": "https://x.example?sig=" + marker}, "", "as sas_token"},
		{Map{"account_name": "a", "endpoint": "http://127.0.0.1:1,http://127.0.0.1:2"}, "", "1 account for 2 endpoints"},
		{Map{"account_name": "a,b", "shared_key": key1}, "", "shared_key has 1 key for 2 accounts: list one key for each, in the order of account_name"},
		{Map{"account_name": "a,b", "shared_key": key1 + "," + key2 + "," + key1}, "", "shared_key has 3 keys for 2 accounts"},
		{Map{"account_name": "a", "shared_key": key1 + "," + key2}, "", "shared_key has 2 keys for 1 account"},
		{Map{"account_name": "a,b", "shared_key": key1 + "," + marker}, "", "the account key is not base64"},
		{Map{"account_name": "a,b", "sas_token": sas1}, "", "sas_token has 1 token for 2 accounts: list one token for each"},
		{Map{"account_name": "a", "sas_token": sas1 + "," + sas2}, "", "sas_token has 2 tokens for 1 account"},
		{Map{"account_name": "a,b", "sas_token": sas1 + ",sv=" + marker}, "", "the SAS token has no signature"},
		{Map{"account_name": "a,b", "connection_string": "AccountName=a;AccountKey=" + marker}, "", "connection_string is for one account, and 2 are listed"},
		{Map{"account_name": "a,b", "connection_string": "AccountName=a", "auth_type": "cli"}, "", "connection_string is for one account"},
		{Map{"endpoint": "https://x.example,http://y.example", "auth_type": "cli"}, "", `endpoint "http://y.example" is not https`},
	} {
		cfg, err := load(c.keys, nil, Map{"container_name": "logs"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(cfg, StoreOptions{})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), marker) {
				t.Errorf("%v: %v, want %q and no secret", c.keys, err, c.err)
			}
			continue
		}
		var urls []string
		if err == nil {
			for _, a := range s.Accounts() {
				urls = append(urls, a.URL())
			}
		}
		if got := strings.Join(urls, " "); got != c.want || err != nil {
			t.Errorf("%v: %s, %v; want %s", c.keys, got, err, c.want)
		}
	}
	// In the environment, too, a list and a connection string are a contradiction.
	cfg, err := load(nil, Map{"AZURE_STORAGE_ACCOUNT": "a,b", "AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=" + marker}, Map{"container_name": "logs"})
	if err == nil {
		_, err = Open(cfg, StoreOptions{})
	}
	if err == nil || !strings.Contains(err.Error(), "connection_string is for one account") {
		t.Error(err)
	}
}

// names are n of what the hosts call logs.
func names(n int) (docker, fluentBit []string) {
	r := rand.New(rand.NewPCG(1, 2))
	hex := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdef"[r.IntN(16)]
		}
		return string(b)
	}
	services := []string{"web", "api", "worker", "db", "cache", "queue", "cron-nightly", "prometheus"}
	for i := range n {
		s := services[r.IntN(len(services))]
		docker = append(docker, fmt.Sprintf("%s-%d/%s.log", s, r.IntN(50), hex(64)))
		fluentBit = append(fluentBit, fmt.Sprintf("aks-pool1-%s-vmss%06d/kube.var.log.containers.%s-%s-%s_prod_%s-%s.log", hex(8), i/100, s, hex(9), hex(5), s, hex(64)))
	}
	return docker, fluentBit
}

func spread(t *testing.T, list string) *Store {
	t.Helper()
	return open(t, Map{"account_name": list}, StoreOptions{})
}

func list(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("prodlogs%02d", i+1)
	}
	return strings.Join(all, ",")
}

// TestSpread holds the shares of the accounts to what chance allows (four standard
// deviations of a fair hash), and to 5 % of even where there are names enough for
// that.
func TestSpread(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10_000, 100_000} {
		docker, fluentBit := names(n)
		for kind, names := range map[string][]string{"docker": docker, "fluentbit": fluentBit} {
			for _, accounts := range []int{2, 3, 5, 10} {
				s := spread(t, list(accounts))
				shares := map[string]int{}
				for _, name := range names {
					shares[s.Account(name).Name()]++
				}
				even := float64(n) / float64(accounts)
				allowed := 4 * math.Sqrt(even*(1-1/float64(accounts))) / even
				worst := 0.0
				for _, share := range shares {
					worst = max(worst, math.Abs(float64(share)/even-1))
				}
				t.Logf("%s: %d names over %d accounts: at most %.1f %% off even; a fair hash: %.1f %%", kind, n, accounts, 100*worst, 100*allowed)
				if len(shares) != accounts || worst > allowed || allowed <= 0.05 && worst > 0.05 {
					t.Errorf("%s: %d names over %d accounts: %v", kind, n, accounts, shares)
				}
			}
		}
	}
}

// TestAccountAdded: what moves goes to the new account, and it is as much as that is
// to have. The order of the list, and how it is written, change nothing.
func TestAccountAdded(t *testing.T) {
	t.Parallel()
	names, _ := names(10_000)
	for _, n := range []int{1, 2, 4, 9} {
		before, after := spread(t, list(n)), spread(t, list(n+1))
		added := fmt.Sprintf("prodlogs%02d", n+1)
		reversed := strings.Split(strings.ToUpper(list(n+1)), ",")
		slices.Reverse(reversed)
		shuffled := spread(t, strings.Join(reversed, " , "))
		moved := 0
		for _, name := range names {
			was, is := before.Account(name).Name(), after.Account(name).Name()
			if is != was {
				if moved++; is != added {
					t.Fatalf("%s moved from %s to %s, and %s was added", name, was, is, added)
				}
			}
			if other := shuffled.Account(name).Name(); !strings.EqualFold(other, is) {
				t.Fatalf("%s is in %s, and with another order of the list in %s", name, is, other)
			}
		}
		if share := float64(moved) / float64(len(names)) * float64(n+1); share < 0.9 || share > 1.1 {
			t.Errorf("%d accounts and one more: %d of %d logs moved", n, moved, len(names))
		}
	}
}

// TestAccountStays pins the hash: with another one, no release would find the logs of
// the one before.
func TestAccountStays(t *testing.T) {
	t.Parallel()
	s := spread(t, "acct1,acct2,acct3")
	got := map[string]string{}
	for _, name := range []string{"web/0123.log", "a", "b", "c", "node1/kube.x.log", "grün/日本.log"} {
		got[name] = s.Account(name).Name()
		for _, of := range []string{name + "-0001", name + "-12345", liveblob.ForkName(name, "s"), liveblob.ForkName(name, "s") + "-0002"} {
			if other := s.Account(of).Name(); other != got[name] {
				t.Errorf("%s is in %s, and %s in %s", name, got[name], of, other)
			}
		}
	}
	want := map[string]string{"web/0123.log": "acct2", "a": "acct2", "b": "acct2", "c": "acct3", "node1/kube.x.log": "acct1", "grün/日本.log": "acct1"}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// cluster is several accounts, each a server of its own.
type cluster struct {
	names   []string
	servers map[string]*azuretest.Server // by account
	keys    Map
}

func newCluster(t *testing.T, names ...string) *cluster {
	c := &cluster{names: names, servers: map[string]*azuretest.Server{}}
	var endpoints, tokens []string
	for _, name := range names {
		s := azuretest.New()
		c.servers[name] = s
		endpoints = append(endpoints, "http://"+name+".test/"+s.Account())
		tokens = append(tokens, s.SAS("rwdlac", time.Now().Add(1000*time.Hour)))
	}
	c.keys = Map{"account_name": strings.Join(names, ","), "endpoint": strings.Join(endpoints, ","), "sas_token": strings.Join(tokens, ",")}
	return c
}

// Do brings a request to the server of its host.
func (c *cluster) Do(req *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(req.URL.Host, ".")
	return c.servers[name].Transport().RoundTrip(req)
}

// logIn is the name of a log that is in the account.
func (c *cluster) logIn(s *Store, account string) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("log%d.txt", i); s.Account(name).Name() == account {
			return name
		}
	}
}

func writeTo(t *testing.T, s *Store, cfg liveblob.Config, lines ...string) {
	t.Helper()
	cfg.Container, cfg.Stream = s.Container(cfg.Name), "us"
	w, err := liveblob.NewWriter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if err := w.Commit(t.Context(), []byte(line), ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOverAccounts: whoever has the list, in whatever order, finds a log that another
// wrote, all its parts are in one account, and a listing has the logs of all.
func TestOverAccounts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "one", "two", "three")
	s := open(t, c.keys, StoreOptions{Transport: c})
	var want []string
	for i := range 30 {
		name := fmt.Sprintf("dir/log%02d.txt", i)
		writeTo(t, s, liveblob.Config{Name: name, MaxSize: 1}, "a", "b", "c")
		want = append(want, name, name+"-0001", name+"-0002")
		at := s.Account(name)
		for _, part := range want[len(want)-3:] {
			if _, ok := c.servers[at.Name()].Blob("logs", part); !ok {
				t.Errorf("%s is not in %s, as %s is", part, at.Name(), name)
			}
		}
		if url := s.BlobURL(name); url != "http://"+at.Name()+".test/standin/logs/dir/"+name[4:] {
			t.Errorf("%s is said to be at %s", name, url)
		}
	}
	for name, server := range c.servers {
		if n := len(server.Blobs("logs")); n < 3 || n == len(want) {
			t.Errorf("%s has %d blobs", name, n)
		}
	}

	other := maps.Clone(c.keys)
	for k, v := range other {
		all := strings.Split(v, ",")
		slices.Reverse(all)
		other[k] = strings.Join(all, ",")
	}
	reader := open(t, other, StoreOptions{Transport: c})
	var got []string
	for item, err := range reader.List(t.Context(), "dir/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Name)
		if item.Account != reader.Account(item.Name) {
			t.Errorf("%s is listed in %s", item.Name, item.Account.Name())
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed: %q", got)
	}
	r := liveblob.NewReader(liveblob.ReaderConfig{Container: reader.Container("dir/log07.txt"), Name: "dir/log07.txt"})
	for _, text := range []string{"a", "b", "c"} {
		if have, err := r.Next(t.Context()); err != nil || string(have) != text {
			t.Errorf("%q, %v", have, err)
		}
	}
	for range reader.List(t.Context(), "") {
		break // half read: nothing of it goes on
	}
	var containers []string
	for name, err := range reader.Containers(t.Context()) {
		containers = append(containers, fmt.Sprint(name, err))
	}
	if fmt.Sprint(containers) != "[logs<nil>]" {
		t.Errorf("containers: %v", containers)
	}
}

// TestRollFoundInItsAccount: a log whose first blob a lifecycle rule has deleted is
// found by the listing of its own account, whatever becomes of the others.
func TestRollFoundInItsAccount(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "one", "two")
	s := open(t, c.keys, StoreOptions{Transport: c})
	name := c.logIn(s, "two")
	c.servers["one"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.BlackHole} })
	c.servers["two"].MakeContainer("logs")
	c.servers["two"].Put("logs", name+"-0003", []byte("a"), map[string]string{"stream": "us", "cursor": "7"})
	w, err := liveblob.NewWriter(liveblob.Config{Container: s.Container(name), Name: name, Stream: "us", MaxSize: 100})
	if err == nil {
		err = w.Resume(t.Context())
	}
	if err != nil || w.State().Cursor != "7" || w.State().Blob != name+"-0003" {
		t.Errorf("%+v, %v", w.State(), err)
	}
}

// TestContainerMadeWhereMissing: the container is made in the account that lacks it,
// and no other account is asked for that.
func TestContainerMadeWhereMissing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "one", "two", "three")
	s := open(t, c.keys, StoreOptions{Transport: c})
	writeTo(t, s, liveblob.Config{Name: c.logIn(s, "two")}, "a")
	for name, server := range c.servers {
		if made := server.Counts()[azuretest.CreateContainer]; made != map[string]int{"two": 1}[name] {
			t.Errorf("%s: %d requests to make the container", name, made)
		}
	}
	for _, a := range s.Accounts() {
		if err := a.CreateContainer(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := a.Properties(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestAccountDown: while one account does not answer, refuses, or has lost its
// container for good, the logs of the others go on as ever.
func TestAccountDown(t *testing.T) {
	t.Parallel()
	for _, kind := range []azuretest.FaultKind{azuretest.BlackHole, azuretest.Busy, azuretest.Throttled, azuretest.Denied, azuretest.ContainerGone, azuretest.CutBefore} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, "one", "two", "three")
				s := open(t, c.keys, StoreOptions{Transport: c})
				c.servers["two"].SetFault(func(r azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: kind} })
				ctx, end := context.WithCancel(t.Context())
				stuck := 0
				for i := range 30 {
					name := fmt.Sprintf("log%d.txt", i)
					st, err := NewStream(StreamConfig{Blob: liveblob.Config{
						Container: s.Container(name), Name: name, Stream: "us", Retry: liveblob.Retry{Denied: true},
					}, FlushInterval: time.Second})
					if err != nil {
						t.Fatal(err)
					}
					defer st.Detach(ctx)
					if err := st.Append(ctx, []byte("line\n"), ""); err != nil {
						t.Error(err)
					}
					if s.Account(name).Name() == "two" {
						stuck++
						continue
					}
					begun := time.Now()
					within, cancel := context.WithTimeout(ctx, time.Second)
					if err := st.Sync(within); err != nil {
						t.Errorf("%s in %s: %v after %v", name, s.Account(name).Name(), err, time.Since(begun))
					}
					cancel()
				}
				if n := len(c.servers["one"].Blobs("logs")) + len(c.servers["three"].Blobs("logs")); stuck == 0 || n != 30-stuck {
					t.Errorf("%d logs are in the accounts that answer, and %d are stuck", n, stuck)
				}
				end()
			})
		})
	}
}

// TestListOfDownAccount: half a listing is not taken for the whole, and the error says
// whose it is.
func TestListOfDownAccount(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "one", "two")
	s := open(t, c.keys, StoreOptions{Transport: c, GiveUp: time.Millisecond})
	writeTo(t, s, liveblob.Config{Name: c.logIn(s, "one")}, "a")
	c.servers["two"].SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Kind: azuretest.Denied} })
	var last error
	for _, last = range s.List(t.Context(), "") {
	}
	if last == nil || !strings.Contains(last.Error(), "list blobs of two/logs: 403 AuthenticationFailed") {
		t.Error(last)
	}
}

// TestMerged: items of all lists in order, and the first error at its place.
func TestMerged(t *testing.T) {
	t.Parallel()
	of := func(text string, err error) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, s := range strings.Fields(text) {
				if !yield(s, nil) {
					return
				}
			}
			if err != nil {
				yield("", err)
			}
		}
	}
	broken := errors.New("broken")
	for _, c := range []struct {
		lists []iter.Seq2[string, error]
		want  string
	}{
		{[]iter.Seq2[string, error]{of("", nil), of("", nil)}, ""},
		{[]iter.Seq2[string, error]{of("a c e", nil), of("b d", nil), of("", nil)}, "a b c d e"},
		{[]iter.Seq2[string, error]{of("a b", nil), of("a", nil)}, "a a b"},
		{[]iter.Seq2[string, error]{of("a d", nil), of("b", broken)}, "a b broken"},
		{[]iter.Seq2[string, error]{of("a", nil), of("", broken)}, "broken"},
	} {
		var got []string
		for s, err := range merged(c.lists, func(s string) string { return s }) {
			if err != nil {
				s = err.Error()
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestKeyOfItsAccount: each account is sent what its own key signs, after the file with
// all of them was replaced as well; a list that lost a key changes nothing.
func TestKeyOfItsAccount(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	write(t, path, "a2V5LW9uZQ==,a2V5LXR3bw==")
	var log strings.Builder
	signed := map[string]string{}
	s := open(t, Map{"account_name": "acct1,acct2", "shared_key_file": path}, StoreOptions{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Transport: serve(func(w http.ResponseWriter, req *http.Request) {
			name, _, _ := strings.Cut(req.URL.Host, ".")
			for _, key := range []string{key1, key2, key3} {
				if signedBy(name, key, req) {
					signed[name] = key
				}
			}
		}),
	})
	for _, c := range []struct{ file, want1, want2 string }{
		{"", key1, key2},
		{key2 + "\n" + key3 + "\n", key2, key3},
		{key1, key2, key3},
		{key3 + ", " + key1, key3, key1},
	} {
		if c.file != "" {
			write(t, path, c.file)
		}
		clear(signed)
		for _, a := range s.Accounts() {
			if _, err := a.Properties(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if signed["acct1"] != c.want1 || signed["acct2"] != c.want2 {
			t.Errorf("%q: signed by %q", c.file, signed)
		}
	}
	if text := log.String(); !strings.Contains(text, "shared_key has 1 key for 2 accounts") || strings.Contains(text, key1) {
		t.Error(text)
	}
}

// TestOneLogin: an identity is asked once for a token that all accounts are sent.
func TestOneLogin(t *testing.T) {
	t.Parallel()
	e := &entra{secret: marker}
	var sent atomic.Int32
	s := open(t, Map{"account_name": "acct1,acct2,acct3", "client_id": "client", "tenant_id": "tenant", "client_secret": marker}, StoreOptions{
		Transport: e.serve(t, func(w http.ResponseWriter, req *http.Request) {
			if strings.HasPrefix(req.URL.Host, "acct") && req.Header.Get("Authorization") == "Bearer token-1" {
				sent.Add(1)
			}
		}),
	})
	for _, a := range s.Accounts() {
		if _, err := a.Properties(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if e.tokens != 1 || sent.Load() != 3 {
		t.Errorf("%d logins, and the token was sent %d times", e.tokens, sent.Load())
	}
}

// TestAtAccountOfList: a URL names its account itself, and gets what the list has for it.
func TestAtAccountOfList(t *testing.T) {
	t.Parallel()
	keys := Map{"account_name": "acct1,acct2", "shared_key": key1 + "," + key2}
	for _, c := range []struct {
		keys       Map
		arg        string
		kind, sign string // sign: the key
	}{
		{keys, "https://acct2.blob.core.windows.net/logs/a", "account key", key2},
		{keys, "https://ACCT1.blob.core.windows.net/logs/a", "account key", key1},
		{keys, "https://acct3.blob.core.windows.net/logs/a", "none (public)", ""},
		{keys, "https://acct2.blob.core.windows.net/logs/a?sv=1&sig=x", "SAS token", ""},
		{Map{"account_name": "acct1,acct2", "auth_type": "cli"}, "https://acct2.blob.core.windows.net/logs/a", "Azure CLI login", ""},
		{Map{"account_name": "acct1,,acct2", "shared_key": key1}, "https://acct2.blob.core.windows.net/logs/a", "none (public)", ""},
	} {
		cfg, err := load(c.keys, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := ParseLocation(c.arg)
		if err != nil {
			t.Fatal(err)
		}
		if cfg, err = cfg.At(l); err != nil {
			t.Fatal(err)
		}
		signed := false
		s, err := Open(cfg, StoreOptions{Transport: serve(func(_ http.ResponseWriter, req *http.Request) {
			signed = signedBy(strings.SplitN(req.URL.Host, ".", 2)[0], c.sign, req)
		})})
		if err != nil {
			t.Fatalf("%s: %v", c.arg, err)
		}
		at, _, _ := strings.Cut(strings.ToLower(c.arg), "?")
		if len(s.Accounts()) != 1 || s.Kind() != c.kind || !strings.EqualFold(s.BlobURL("a"), at) {
			t.Errorf("%s: %d accounts, %s, %s", c.arg, len(s.Accounts()), s.Kind(), s.BlobURL("a"))
		}
		if c.sign != "" {
			if _, err := s.Accounts()[0].Properties(t.Context()); err != nil || !signed {
				t.Errorf("%s: it is not signed by its own key; %v", c.arg, err)
			}
		}
	}
}
