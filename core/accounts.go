package core

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/core/liveblob"
)

// More than one account: account_name is a list, because one account takes 20,000
// requests a second. Every blob has its account, by rendezvous hashing: of all
// accounts, the one whose name gives the highest hash together with the stem of the
// blob's name. So whoever has the list finds the blob, with nothing to look up, and
// in whatever order the list is; an account that is added takes over an equal part
// of the logs of each of the others, and moves nothing else.

// accounts are those that the settings name, in their order: by account_name and
// endpoint, either of which may be a comma list, or by a connection string. With an
// error, the last one is what is known of the account that is wrong.
func (c *Config) accounts() ([]account, error) {
	known := []account{{suffix: c.suffix()}}
	names, err := splitList("account_name", c.AccountName)
	if err != nil {
		return known, err
	}
	endpoints, err := splitList("endpoint", c.Endpoint)
	if err != nil {
		return known, err
	}
	n := max(len(names), len(endpoints))
	if n > 1 && !c.ConnectionString.IsZero() {
		return known, fmt.Errorf("connection_string is for one account, and %d are listed: unset it, and set shared_key or sas_token to a list as well, or log in by an identity", n)
	}
	if len(names) == 1 && c.AccountName == "" {
		names = slices.Repeat(names, n) // the endpoints say them
	}
	if len(endpoints) == 1 && tellsApart(c.Endpoint) {
		endpoints = slices.Repeat(endpoints, n)
	}
	if len(names) != len(endpoints) {
		return known, fmt.Errorf("account_name has %s for %s: list one endpoint for each, in the same order", count(len(names), "account"), count(len(endpoints), "endpoint"))
	}
	var all []account
	for i := range n {
		a, err := c.account(names[i], endpoints[i])
		a.key.at, a.key.of, a.sas.at, a.sas.of = i, n, i, n
		if all = append(all, a); err != nil {
			return all, err
		}
		for _, b := range all[:i] {
			switch {
			case strings.EqualFold(a.name, b.name):
				return all, fmt.Errorf("the account %q is listed twice: leave one of them out", a.name)
			case strings.EqualFold(a.endpoint.String(), b.endpoint.String()):
				return all, fmt.Errorf("the accounts %q and %q are at one endpoint, %s: give each its own", b.name, a.name, a.endpoint)
			}
		}
	}
	if i := slices.IndexFunc(all, func(a account) bool { return a.endpoint.String() == c.only }); c.only != "" && i >= 0 {
		all = all[i : i+1]
	}
	return all, nil
}

// tellsApart reports an endpoint that accounts may share, because their names go into
// it: there is none, or it is an emulator's without a path.
func tellsApart(endpoint string) bool {
	if endpoint == "" {
		return true
	}
	u, err := parseEndpoint(endpoint)
	return err != nil || pathStyle(u) && u.Path == "" // the error is told for the first account
}

// splitList takes a comma list apart. One value is a list of one, and so is none.
func splitList(option, list string) ([]string, error) {
	all := strings.Split(list, ",")
	for i := range all {
		if all[i] = strings.TrimSpace(all[i]); all[i] == "" && len(all) > 1 {
			return nil, fmt.Errorf("%s is a list of %d with nothing at place %d: is a comma too many in it, or a variable empty?", option, len(all), i+1)
		}
	}
	return all, nil
}

// share is what one account has of a secret that may be a list.
type share struct {
	Secret
	option string // where the list is
	what   string // of, "key" or "token"
	at, of int    // the account's place among how many
}

// read is Secret.read for the account. Where the list does not fit the accounts there
// is no value.
func (s share) read() (string, error) {
	list, err := s.Secret.read()
	if s.of == 1 && !strings.Contains(list, ",") || list == "" {
		return list, err
	}
	switch parts := s.split(list); {
	case len(parts) != s.of:
		return "", fmt.Errorf("%s has %s for %s: list one %[4]s for each, in the order of account_name", s.option, count(len(parts), s.what), count(s.of, "account"), s.what)
	case s.of == 1:
		return list, err
	default:
		return parts[s.at], err
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// split takes the list apart, at commas, and at line ends where there are several
// accounts: somebody may have folded the one key. A token may have a comma of its own
// (spr=https,http), and what follows that one is not name=value.
func (s share) split(list string) (parts []string) {
	lines := []string{list}
	if s.of > 1 {
		lines = strings.Split(list, "\n")
	}
	for _, line := range lines {
		for i, part := range strings.Split(line, ",") {
			part = strings.TrimSpace(part)
			first, _, _ := strings.Cut(part, "&")
			switch {
			case part == "":
			case s.what == "token" && i > 0 && len(parts) > 0 && !strings.Contains(first, "="):
				parts[len(parts)-1] += "," + part
			default:
				parts = append(parts, part)
			}
		}
	}
	return parts
}

// Account is the one that a blob of that name is in. A log's roll-overs and its fork
// are where the log is.
func (s *Store) Account(blob string) *Account {
	if len(s.accounts) == 1 {
		return s.accounts[0]
	}
	stem := liveblob.Stem(blob)
	return slices.MaxFunc(s.accounts, func(a, b *Account) int { return cmp.Compare(a.weight(stem), b.weight(stem)) })
}

// weight must never change: blobs would not be found any more.
func (a *Account) weight(stem string) uint64 {
	sum := sha256.Sum256([]byte(strings.ToLower(a.name) + "/" + stem)) // no account's name has a slash
	return binary.BigEndian.Uint64(sum[:])
}

// merged goes through lists that are each in the order of name side by side, so that
// all of it is in that order. It ends at the first error.
func merged[T any](lists []iter.Seq2[T, error], name func(T) string) iter.Seq2[T, error] {
	if len(lists) == 1 {
		return lists[0]
	}
	type head struct {
		item T
		next func() (T, error, bool)
	}
	return func(yield func(T, error) bool) {
		var heads []*head
		advance := func(h *head) (more bool, err error) {
			h.item, err, more = h.next()
			return more, err
		}
		for _, list := range lists {
			next, stop := iter.Pull2(list)
			defer stop()
			h := &head{next: next}
			switch more, err := advance(h); {
			case err != nil:
				yield(h.item, err)
				return
			case more:
				heads = append(heads, h)
			}
		}
		for len(heads) > 0 {
			h := slices.MinFunc(heads, func(a, b *head) int { return strings.Compare(name(a.item), name(b.item)) })
			if !yield(h.item, nil) {
				return
			}
			switch more, err := advance(h); {
			case err != nil:
				yield(h.item, err)
				return
			case !more:
				heads = slices.DeleteFunc(heads, func(o *head) bool { return o == h })
			}
		}
	}
}
