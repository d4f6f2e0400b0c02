package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// over makes the environment that of several accounts, each a server of its own.
func (b *bench) over(names ...string) map[string]*azuretest.Server {
	servers := map[string]*azuretest.Server{}
	var urls, tokens []string
	for _, name := range names {
		s := azuretest.New()
		servers[name] = s
		urls = append(urls, s.Start(b.t))
		tokens = append(tokens, s.SAS("rwdlac", time.Now().Add(time.Hour)))
	}
	b.env = map[string]string{
		"AZURE_STORAGE_ACCOUNT": strings.Join(names, ","), "AZURE_STORAGE_SERVICE_ENDPOINT": strings.Join(urls, ","),
		"AZURE_STORAGE_SAS_TOKEN": strings.Join(tokens, ","), "GOMEMLIMIT": "off",
	}
	return servers
}

// What pipe writes with a list of accounts, all commands find with the list, whatever
// its order, and by URL.
func TestSeveralAccounts(t *testing.T) {
	b := newBench(t)
	servers := b.over("one", "two")
	var names []string
	for i := range 8 {
		name := fmt.Sprintf("x/%d.log", i)
		names = append(names, name)
		b.ok(b.run("a\nb\n", "pipe", "--max-size", "1", "logs/"+name))
	}
	for name, s := range servers {
		if n := len(s.Blobs("logs")); n == 0 || n == len(names) {
			t.Fatalf("%s has %d of %d logs", name, n, len(names))
		}
	}
	for _, order := range [][]string{{"one", "two"}, {"two", "one"}} {
		if order[0] == "two" {
			for _, v := range []string{"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_SERVICE_ENDPOINT", "AZURE_STORAGE_SAS_TOKEN"} {
				first, second, _ := strings.Cut(b.env[v], ",")
				b.env[v] = second + ", " + first
			}
		}
		for _, name := range names {
			for _, args := range [][]string{{"cat"}, {"tail"}, {"tail", "-f"}} {
				if got := b.ok(b.run("", append(args, "logs/"+name)...)).stdout; got != "a\nb\n" {
					t.Errorf("%s %s: %q", args, name, got)
				}
			}
		}
		lines := strings.Split(b.ok(b.run("", "ls", "--json", "logs/x/")).stdout, "\n")
		var listed []string
		for _, line := range lines[:len(lines)-1] {
			var r row
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if _, there := servers[r.Account].Blob("logs", r.Name); !there || r.State != "complete" {
				t.Errorf("%s", line)
			}
			listed = append(listed, r.Name)
		}
		if !slices.Equal(listed, names) {
			t.Errorf("listed: %q", listed)
		}
	}
	table := b.ok(b.run("", "ls", "logs/x/")).stdout
	if !strings.HasPrefix(table, "ACCOUNT  NAME ") || strings.Count(table, "\none ")+strings.Count(table, "\ntwo ") != len(names) {
		t.Errorf("%s", table)
	}
	if got := b.ok(b.run("", "ls")).stdout; got != "logs\n" {
		t.Errorf("containers: %q", got)
	}
	// A URL says which account it is, and gets the token that the list has for it.
	url, _, _ := strings.Cut(b.env["AZURE_STORAGE_SERVICE_ENDPOINT"], ",")
	account, _, _ := strings.Cut(b.env["AZURE_STORAGE_ACCOUNT"], ",")
	name := servers[account].Blobs("logs")[0]
	if got := b.ok(b.run("", "cat", url+"/logs/"+name)).stdout; got != "a\nb\n" {
		t.Errorf("by URL: %q", got)
	}
}

func TestSeveralAccountsRefused(t *testing.T) {
	b := newBench(t)
	b.over("one", "two")
	for _, c := range []struct{ name, value, says string }{
		{"AZURE_STORAGE_ACCOUNT", "one,,two", "--account-name is a list of 3 with nothing at place 2"},
		{"AZURE_STORAGE_ACCOUNT", "one,one", `the account "one" is listed twice`},
		{"AZURE_STORAGE_ACCOUNT", "one,two,three", "--account-name has 3 accounts for 2 endpoints"},
		{"AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=SECRETMARKER", "AZURE_STORAGE_SAS_TOKEN has 1 token for 2 accounts: list one token for each, in the order of --account-name"},
		{"AZURE_STORAGE_CONNECTION_STRING", "AccountName=x;AccountKey=SECRETMARKER", "AZURE_STORAGE_CONNECTION_STRING is for one account, and 2 are listed"},
	} {
		was, set := b.env[c.name]
		b.env[c.name] = c.value
		b.fails(b.run("x", "pipe", "logs/x"), exitUsage, c.says)
		if b.env[c.name] = was; !set {
			delete(b.env, c.name)
		}
	}
}

// doctor goes through all accounts, whatever is wrong with one.
func TestDoctorOfSeveral(t *testing.T) {
	b := newBench(t)
	servers := b.over("one", "two", "three")
	r := b.ok(b.run("", "doctor"))
	for _, name := range []string{"one", "two", "three"} {
		if !strings.Contains(r.stdout, "\naccount "+name+", http://127.0.0.1:") || !strings.Contains(r.stdout, "✓ container: "+name+"/logs was missing, and is made") {
			t.Errorf("%s: %s", name, r.stdout)
		}
	}
	if n := strings.Count(r.stdout, "✓ delete: the probe is gone"); n != 3 || strings.Count(r.stdout, "✓ credentials: SAS token") != 1 {
		t.Errorf("%s", r.stdout)
	}
	tokens := strings.Split(b.env["AZURE_STORAGE_SAS_TOKEN"], ",")
	tokens[1] = servers["two"].SAS("r", time.Now().Add(time.Hour))
	b.env["AZURE_STORAGE_SAS_TOKEN"] = strings.Join(tokens, ",")
	r = b.run("", "doctor")
	if r.code != exitFailed || strings.Count(r.stdout, "✗") != 1 || !strings.Contains(r.stdout, "✗ commit two/logs/.azureblob-doctor: ") || strings.Count(r.stdout, "✓ write:") != 2 {
		t.Errorf("exit code %d\n%s", r.code, r.stdout)
	}
}
