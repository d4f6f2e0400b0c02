package core

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/liveblob/azureblob/core/liveblob"
)

// Store is one container, in one account or spread over several, with the
// credentials for it. It is safe for concurrent use and has nothing to close.
type Store struct {
	accounts []*Account // as they were listed
	name     string     // of the container
	create   bool
	retry    liveblob.Retry // copied for each call
}

// StoreOptions is what a Store needs besides settings. The zero value is good.
type StoreOptions struct {
	// Transport sends requests. nil: the pool that all Stores of the process share.
	Transport policy.Transporter

	// Log hears of retries and of credential files that cannot be read again.
	// nil: silent.
	Log *slog.Logger

	// GiveUp ends the retries of calls on the container and the account (create,
	// list, probe); 0: 30 s. Writers and readers of blobs have their own.
	GiveUp time.Duration
}

// Open makes a Store from settings. It sends nothing: credentials are used for
// the first time with the first request.
func Open(cfg *Config, opts StoreOptions) (*Store, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.ContainerName == "" {
		return nil, errors.New("open store: container_name is not set")
	}
	accounts, err := cfg.accounts()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if opts.Transport == nil {
		opts.Transport = sharedTransport()
	}
	opts.Transport = &transport{opts.Transport}
	auths, err := newAuths(cfg, accounts, opts.Transport, opts.Log)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		name:   cfg.ContainerName,
		create: cfg.AutoCreateContainer,
		retry:  liveblob.Retry{GiveUp: cmp.Or(opts.GiveUp, 30*time.Second), Log: opts.Log},
	}
	for i, at := range accounts {
		a := &Account{store: s, name: at.name, endpoint: at.endpoint.String(), container: s.name, auth: auths[i]}
		if len(accounts) > 1 {
			a.container = a.name + "/" + s.name
		}
		a.options.Transport = opts.Transport
		a.options.Retry = policy.RetryOptions{MaxRetries: -1} // liveblob.Retry does that
		a.options.Telemetry.Disabled = true                   // compiles a regexp for each client; see send
		a.options.PerCallPolicies = []policy.Policy{policyFunc(a.send)}
		if a.auth.token != nil {
			a.options.PerRetryPolicies = []policy.Policy{a.auth.token}
		}
		s.accounts = append(s.accounts, a)
	}
	return s, nil
}

// Container is where the blob of that name is, with its log's roll-overs and its
// fork, as package liveblob wants it.
func (s *Store) Container(blob string) liveblob.Container { return s.Account(blob).Container() }

// Name is the container's name.
func (s *Store) Name() string { return s.name }

// Accounts are the accounts that the store is spread over, as they were listed.
func (s *Store) Accounts() []*Account { return s.accounts }

// BlobURL is the URL of a blob, percent-encoded and without a secret.
func (s *Store) BlobURL(name string) string { return s.Account(name).BlobURL(name) }

// Kind says how the store logs in, for messages: "account key", "SAS token",
// "managed identity", "none (public)", ….
func (s *Store) Kind() string { return kinds[s.accounts[0].auth.kind] }

// List gives the blobs whose names begin with prefix, of all accounts, in the
// service's order (by name). It ends at the first error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Item, error] {
	lists := make([]iter.Seq2[Item, error], len(s.accounts))
	for i, a := range s.accounts {
		lists[i] = a.List(ctx, prefix)
	}
	return merged(lists, func(item Item) string { return item.Name })
}

// Containers gives the names of the accounts' containers, each once. It ends at the
// first error.
func (s *Store) Containers(ctx context.Context) iter.Seq2[string, error] {
	lists := make([]iter.Seq2[string, error], len(s.accounts))
	for i, a := range s.accounts {
		lists[i] = a.containers(ctx)
	}
	return func(yield func(string, error) bool) {
		last := ""
		for name, err := range merged(lists, func(name string) string { return name }) {
			if (name != last || err != nil) && !yield(name, err) {
				return
			}
			last = name
		}
	}
}

// Account is a Store's container in one of its accounts.
type Account struct {
	store     *Store
	name      string
	endpoint  string // no trailing slash, no secret
	container string // its name for messages: of several accounts it says which
	auth      *auth
	options   blockblob.ClientOptions
}

// Name is the account's name.
func (a *Account) Name() string { return a.name }

// URL is the container's URL. It holds no secret.
func (a *Account) URL() string { return a.endpoint + "/" + url.PathEscape(a.store.name) }

// BlobURL is the URL that a blob has if it is in this account, percent-encoded and
// without a secret.
func (a *Account) BlobURL(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return a.URL() + "/" + strings.Join(parts, "/")
}

// Container is the container in this account as package liveblob wants it.
func (a *Account) Container() liveblob.Container {
	c := liveblob.Container{
		Name: a.container,
		Client: func(name string) (*blockblob.Client, error) {
			return a.newClient(a.BlobURL(name), &a.options)
		},
		List: a.names,
	}
	if a.store.create {
		c.Create = a.createOnce // within the writer's own retries
	}
	return c
}

func (a *Account) names(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for item, err := range a.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		names = append(names, item.Name)
	}
	return names, nil
}

// send is on the way of every request, before it is signed. It keeps SAS tokens
// where they belong: they go into the URL here, and what outlives the call, an
// answer or an error, has a URL without them.
func (a *Account) send(req *policy.Request) (*http.Response, error) {
	raw := req.Raw()
	raw.Header.Set("User-Agent", "azureblob (github.com/liveblob/azureblob)")
	if a.auth.prepare != nil {
		if err := a.auth.prepare(raw); err != nil {
			return nil, err
		}
	}
	resp, err := req.Next()
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		ue.URL, _, _ = strings.Cut(ue.URL, "?")
	}
	if a.auth.kind == "sas" && resp != nil && resp.Request != nil {
		shown := *resp.Request.URL
		shown.RawQuery = ""
		resp.Request = resp.Request.WithContext(resp.Request.Context()) // a copy: net/http may still hold the other
		resp.Request.URL = &shown
	}
	return resp, err
}

func (a *Account) newClient(at string, o *blockblob.ClientOptions) (*blockblob.Client, error) {
	if a.auth.key != nil {
		return blockblob.NewClientWithSharedKeyCredential(at, a.auth.key, o)
	}
	return blockblob.NewClientWithNoCredential(at, o)
}

func (a *Account) do(ctx context.Context, op, on string, try func(context.Context) error) error {
	retry := a.store.retry
	return retry.Do(ctx, op, on, 0, try)
}

func (a *Account) containerPath() string { return "/" + url.PathEscape(a.store.name) }

// CreateContainer makes the container. One that exists is fine.
func (a *Account) CreateContainer(ctx context.Context) error {
	return a.do(ctx, "create container", a.container, a.createOnce)
}

func (a *Account) createOnce(ctx context.Context) error {
	err := a.put(ctx, a.containerPath(), url.Values{"restype": {"container"}})
	if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return err
}

// Item is a blob in a listing.
type Item struct {
	Account         *Account // where it is
	Name            string
	Size            int64
	LastModified    time.Time
	ContentEncoding string
	Metadata        map[string]string // decoded, names in lower case
}

// List gives the blobs whose names begin with prefix, in the service's order
// (by name). It ends at the first error.
func (a *Account) List(ctx context.Context, prefix string) iter.Seq2[Item, error] {
	query := url.Values{"restype": {"container"}, "comp": {"list"}, "include": {"metadata"}}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	return func(yield func(Item, error) bool) {
		for page, err := range a.pages(ctx, "list blobs of", a.container, a.containerPath(), query) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			for i := range page.Blobs {
				item, err := page.Blobs[i].item()
				item.Account = a
				if !yield(item, err) || err != nil {
					return
				}
			}
		}
	}
}

func (a *Account) containers(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for page, err := range a.pages(ctx, "list containers of", a.endpoint, "/", url.Values{"comp": {"list"}}) {
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range page.Containers {
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}

// pages fetches a listing page by page. A page is retried as a whole, so nothing
// of it is given twice.
func (a *Account) pages(ctx context.Context, op, on, path string, query url.Values) iter.Seq2[*listing, error] {
	return func(yield func(*listing, error) bool) {
		query := maps.Clone(query)
		for {
			var page *listing
			err := a.do(ctx, op, on, func(ctx context.Context) error {
				page = new(listing)
				return a.get(ctx, path, query, page)
			})
			if !yield(page, err) || err != nil || page.NextMarker == "" {
				return
			}
			if page.NextMarker == query.Get("marker") {
				yield(nil, fmt.Errorf("%s %s: the service ends a page where it began: is a proxy in between that changes answers?", op, on))
				return
			}
			query.Set("marker", page.NextMarker)
		}
	}
}

// listing is a page of List Blobs or List Containers.
type listing struct {
	Blobs      []listed `xml:"Blobs>Blob"`
	Containers []string `xml:"Containers>Container>Name"`
	NextMarker string
}

type listed struct {
	Name struct {
		Text    string `xml:",chardata"`
		Encoded bool   `xml:",attr"` // percent-encoded, because XML cannot carry it
	}
	Properties struct {
		Size     int64  `xml:"Content-Length"`
		Modified string `xml:"Last-Modified"`
		Encoding string `xml:"Content-Encoding"`
	}
	Metadata xmlMap
}

func (l *listed) item() (Item, error) {
	item := Item{
		Name:            l.Name.Text,
		Size:            l.Properties.Size,
		ContentEncoding: l.Properties.Encoding,
		Metadata:        l.Metadata,
	}
	var err error
	if l.Name.Encoded {
		if item.Name, err = url.PathUnescape(l.Name.Text); err != nil {
			return item, fmt.Errorf("read blob name %q: %w", l.Name.Text, err)
		}
	}
	if item.LastModified, err = time.Parse(time.RFC1123, l.Properties.Modified); err != nil {
		return item, fmt.Errorf("read time of blob %q: %w", item.Name, err)
	}
	return item, nil
}

// xmlMap is an element whose children are names and whose text is values.
type xmlMap map[string]string

func (m *xmlMap) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	*m = xmlMap{}
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			var value string
			if err := d.DecodeElement(&value, &t); err != nil {
				return err
			}
			if plain, err := url.PathUnescape(value); err == nil { // liveblob encodes what a header cannot carry
				value = plain
			}
			(*m)[strings.ToLower(t.Name.Local)] = value
		case xml.EndElement:
			return nil
		}
	}
}

var errNoAnswer = errors.New("no answer")
