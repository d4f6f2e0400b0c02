package core

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

const defaultSuffix = "core.windows.net"

// The account of every emulator; its key is public.
const (
	devAccount  = "devstoreaccount1"
	devKey      = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	devEndpoint = "http://127.0.0.1:10000/" + devAccount
)

// account is where requests go, and the key or SAS token that came with the
// address.
type account struct {
	name     string
	endpoint *url.URL // of the blob service: no query, no trailing slash
	suffix   string   // the cloud's
	key, sas share
	inString string // the auth type that the connection string is good for, or ""
}

func (c *Config) suffix() string {
	return strings.Trim(cmp.Or(c.EndpointSuffix, defaultSuffix), ".")
}

// account works out one account from the connection string or from its name and
// endpoint, either of which may be "".
func (c *Config) account(name, endpoint string) (account, error) {
	a := account{
		name:   name,
		suffix: c.suffix(),
		key:    share{Secret: c.SharedKey, option: "shared_key", what: "key"},
		sas:    share{Secret: c.SASToken, option: "sas_token", what: "token"},
	}
	address, protocol := endpoint, "https"
	if !c.ConnectionString.IsZero() {
		cs, err := parseConnectionString(c.ConnectionString.Reveal())
		if err != nil {
			return a, fmt.Errorf("use connection_string: %w", err)
		}
		if a.name != "" && cs.name != "" && a.name != cs.name {
			if err := checkAccountName(a.name); err != nil {
				return a, err
			}
			return a, fmt.Errorf("account_name %q contradicts connection_string, which is for %q: set one of them", a.name, cs.name)
		}
		if endpoint != "" {
			return a, errors.New("endpoint and connection_string are both set: keep one")
		}
		a.name = cmp.Or(a.name, cs.name)
		a.suffix = cmp.Or(cs.suffix, a.suffix)
		address, protocol = cs.endpoint, cs.protocol
		if !c.addressOnly {
			a.inString = cs.authType()
		}
		switch a.inString {
		case "key":
			a.key.Secret, a.key.option = cs.key, "connection_string"
		case "sas":
			a.sas.Secret, a.sas.option = cs.sas, "connection_string"
		}
	}
	if address == "" {
		if a.name == "" {
			return a, errors.New("no storage account is set: set account_name (AZURE_STORAGE_ACCOUNT), endpoint or connection_string (AZURE_STORAGE_CONNECTION_STRING)")
		}
		if err := checkAccountName(a.name); err != nil {
			return a, err
		}
		address = protocol + "://" + a.name + ".blob." + a.suffix
	}
	u, err := parseEndpoint(address)
	if err != nil {
		return a, err
	}
	// Emulators tell accounts apart by the path, everybody else by the host.
	if pathStyle(u) {
		if u.Path == "" && a.name != "" {
			u.Path = "/" + a.name
		}
		a.name = cmp.Or(a.name, strings.TrimPrefix(u.Path, "/"))
	} else {
		first, rest, _ := strings.Cut(u.Hostname(), ".")
		a.name = cmp.Or(a.name, first)
		if s, ok := strings.CutPrefix(rest, "blob."); ok && c.EndpointSuffix == "" {
			a.suffix = s
		}
	}
	a.endpoint = u
	return a, nil
}

// checkAccountName does not show the name: somebody may have pasted the key.
func checkAccountName(name string) error {
	if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("account_name is not valid: it takes letters and digits only")
	}
	return nil
}

// parseEndpoint takes a URL, or a host alone. Its errors leave out the query,
// where people paste SAS tokens, and the user.
func parseEndpoint(s string) (*url.URL, error) {
	s, query, _ := strings.Cut(s, "?")
	if query != "" {
		return nil, errors.New("endpoint has a query: give a SAS token as sas_token")
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("endpoint is not valid: write https://ACCOUNT.blob.core.windows.net, without a user or fragment")
	}
	if strings.Contains(u.Hostname(), ".dfs.") {
		return nil, fmt.Errorf("endpoint %q is that of Data Lake: write .blob. in place of .dfs.", u.Redacted())
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// pathStyle reports hosts that cannot carry an account's name: addresses and
// names without a dot (localhost, a container's name).
func pathStyle(u *url.URL) bool {
	return net.ParseIP(u.Hostname()) != nil || !strings.Contains(u.Hostname(), ".")
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// connection is what a connection string says.
type connection struct {
	name, suffix       string
	endpoint, protocol string // endpoint is "" where name, suffix and protocol say it
	key, sas           Secret
}

// authType is the one that the string's credentials are for, or "".
func (c *connection) authType() string {
	switch {
	case !c.key.IsZero():
		return "key"
	case !c.sas.IsZero():
		return "sas"
	}
	return ""
}

// parseConnectionString reads NAME=VALUE;NAME=VALUE…, names in any case. Its
// errors show names only.
func parseConnectionString(s string) (connection, error) {
	c := connection{protocol: "https"}
	var proxy string
	var development bool
	for part := range strings.SplitSeq(s, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=") // a key ends in = itself
		if !ok {
			return c, errors.New("it is not NAME=VALUE;NAME=VALUE…: copy it again from the account's access keys")
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "defaultendpointsprotocol":
			c.protocol = strings.ToLower(value)
		case "accountname":
			c.name = value
		case "accountkey":
			c.key = NewSecret(value)
		case "blobendpoint":
			c.endpoint = value
		case "endpointsuffix":
			c.suffix = value
		case "sharedaccesssignature":
			c.sas = NewSecret(value)
		case "usedevelopmentstorage":
			development = strings.EqualFold(value, "true")
		case "developmentstorageproxyuri":
			proxy = value
		}
	}
	if development {
		c.name, c.key = cmp.Or(c.name, devAccount), NewSecret(cmp.Or(c.key.Reveal(), devKey))
		if c.endpoint == "" {
			c.endpoint = devEndpoint
			if proxy != "" {
				u, err := url.Parse(proxy)
				if err != nil || u.Hostname() == "" {
					return c, errors.New("DevelopmentStorageProxyUri is not a URL: write http://HOST")
				}
				c.endpoint = u.Scheme + "://" + net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "10000")) + "/" + devAccount
			}
		}
		return c, nil
	}
	if c.endpoint == "" {
		if c.name == "" {
			return c, errors.New("it has neither AccountName nor BlobEndpoint: copy it again from the account's access keys")
		}
		if c.protocol != "https" && c.protocol != "http" {
			return c, errors.New("DefaultEndpointsProtocol is neither https nor http")
		}
	}
	return c, nil
}
