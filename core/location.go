package core

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Location is a blob, or a container or prefix in it, as a person names it.
type Location struct {
	Container string
	Name      string // "" for the container itself
	Endpoint  string // "" where only CONTAINER/NAME was given
	SAS       Secret
}

// ParseLocation takes CONTAINER/NAME, or the URL of a blob or container with or
// without a SAS token. In a URL the name is percent-encoded, in the short form it
// is as it is. Errors never show the query of a URL.
func ParseLocation(arg string) (Location, error) {
	if !strings.Contains(arg, "://") {
		if _, query, _ := strings.Cut(arg, "?"); strings.Contains(strings.ToLower(query), "sig=") {
			return Location{}, errors.New("read location: the name ends in a SAS token: put the URL's https://… in front, or set AZURE_STORAGE_SAS_TOKEN")
		}
		container, name, _ := strings.Cut(arg, "/")
		if container == "" {
			return Location{}, fmt.Errorf("read location %q: write CONTAINER/NAME or a URL", arg)
		}
		if err := CheckContainerName(container); err != nil {
			return Location{}, fmt.Errorf("read location %q: %w", arg, err)
		}
		return Location{Container: container, Name: name}, nil
	}
	shown, _, _ := strings.Cut(arg, "?")
	fail := func(text string) (Location, error) {
		return Location{}, fmt.Errorf("read location %q: %s", shown, text)
	}
	u, err := url.Parse(arg)
	switch {
	case err != nil: // its text quotes the URL
		return Location{}, errors.New("read location: this is not a URL: write https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME")
	case u.User != nil:
		return Location{}, errors.New("read location: the URL has a user in it: give credentials as options")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fail("write https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME")
	case u.Fragment != "":
		return Location{}, errors.New("read location: the URL has a fragment: write # as %23")
	}
	endpoint := &url.URL{Scheme: u.Scheme, Host: u.Host}
	path := strings.TrimPrefix(u.Path, "/")
	if pathStyle(u) {
		var acct string
		acct, path, _ = strings.Cut(path, "/")
		endpoint.Path = "/" + acct
	}
	container, name, _ := strings.Cut(path, "/")
	if container == "" {
		return fail("it names no container")
	}
	if err := CheckContainerName(container); err != nil {
		return fail(err.Error())
	}
	l := Location{Container: container, Name: name, Endpoint: endpoint.String()}
	if u.RawQuery != "" {
		q, err := url.ParseQuery(u.RawQuery)
		switch {
		case err != nil || !q.Has("sig"):
			return fail("the URL's query is not a SAS token: leave it out, or put the URL in quotes")
		case q.Has("snapshot"), q.Has("versionid"):
			return fail("snapshots and versions are not logs that grow: leave out snapshot and versionid")
		}
		l.SAS = NewSecret(u.RawQuery)
	}
	return l, nil
}

// At returns a copy of the settings aimed at l. A URL's SAS token replaces all
// other credentials. A URL without one gets the credentials there are if it is
// that of an account of their own, and of a list those that are for it. Those that belong to no account in particular go to
// the cloud's own hosts by https: an identity, and a key without an account name,
// which this machine may have as well, because only its signature leaves.
// Anything else is read without a login: naming a host on a command line must
// not send it a token.
func (c *Config) At(l Location) (*Config, error) {
	at := *c
	at.ContainerName = l.Container
	if l.Endpoint == "" {
		return &at, nil
	}
	there, err := parseEndpoint(l.Endpoint)
	if err != nil {
		return nil, err
	}
	at.Endpoint, at.AccountName, at.ConnectionString = l.Endpoint, "", Secret{}
	if l.SAS.IsZero() {
		all, err := c.accounts()
		for _, a := range all {
			if err == nil && strings.EqualFold(a.endpoint.String(), there.String()) {
				own := *c
				own.ContainerName, own.only = l.Container, a.endpoint.String()
				return &own, nil
			}
		}
		own := all[len(all)-1] // for what is the same for all
		homeless := c.Endpoint == "" && c.AccountName == "" && c.ConnectionString.IsZero()
		kind, err := c.authType(own) // an error is Open's to report
		here := loopback(there)
		cloud := !here && there.Scheme == "https" && strings.HasSuffix(strings.ToLower(there.Hostname()), ".blob."+own.suffix)
		identity := err == nil && kind != "" && kind != "key" && kind != "sas"
		if cloud && identity || (cloud || here) && homeless && (err != nil || kind == "key") {
			return &at, nil
		}
	}
	at.AuthType, at.WorkloadTokenFile = "", ""
	at.SharedKey, at.SASToken = Secret{}, l.SAS
	at.ClientID, at.TenantID, at.ClientSecret = Secret{}, Secret{}, Secret{}
	return &at, nil
}
