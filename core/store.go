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

// Store is one container of one account, with the credentials for it. It is safe
// for concurrent use and has nothing to close.
type Store struct {
	endpoint string // of the account, no trailing slash, no secret
	name     string // of the container
	create   bool
	auth     *auth
	options  blockblob.ClientOptions
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
	a, err := cfg.account()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if opts.Transport == nil {
		opts.Transport = sharedTransport()
	}
	au, err := newAuth(cfg, a, opts.Transport, opts.Log)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		endpoint: a.endpoint.String(),
		name:     cfg.ContainerName,
		create:   cfg.AutoCreateContainer,
		auth:     au,
		retry:    liveblob.Retry{GiveUp: cmp.Or(opts.GiveUp, 30*time.Second), Log: opts.Log},
	}
	s.options.Transport = opts.Transport
	s.options.Retry = policy.RetryOptions{MaxRetries: -1} // liveblob.Retry does that
	s.options.Telemetry.Disabled = true                   // compiles a regexp for each client; see send
	s.options.PerCallPolicies = []policy.Policy{policyFunc(s.send)}
	if au.token != nil {
		s.options.PerRetryPolicies = []policy.Policy{au.token}
	}
	return s, nil
}

// send is on the way of every request, before it is signed. It keeps SAS tokens
// where they belong: they go into the URL here, and what outlives the call, an
// answer or an error, has a URL without them.
func (s *Store) send(req *policy.Request) (*http.Response, error) {
	raw := req.Raw()
	raw.Header.Set("User-Agent", "azureblob (github.com/liveblob/azureblob)")
	if s.auth.prepare != nil {
		if err := s.auth.prepare(raw); err != nil {
			return nil, err
		}
	}
	resp, err := req.Next()
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		ue.URL, _, _ = strings.Cut(ue.URL, "?")
	}
	if s.auth.kind == "sas" && resp != nil && resp.Request != nil {
		shown := *resp.Request.URL
		shown.RawQuery = ""
		resp.Request = resp.Request.WithContext(resp.Request.Context()) // a copy: net/http may still hold the other
		resp.Request.URL = &shown
	}
	return resp, err
}

func (s *Store) newClient(at string, o *blockblob.ClientOptions) (*blockblob.Client, error) {
	if s.auth.key != nil {
		return blockblob.NewClientWithSharedKeyCredential(at, s.auth.key, o)
	}
	return blockblob.NewClientWithNoCredential(at, o)
}

// Container is the store as package liveblob wants it.
func (s *Store) Container() liveblob.Container {
	c := liveblob.Container{
		Name: s.name,
		Client: func(name string) (*blockblob.Client, error) {
			return s.newClient(s.BlobURL(name), &s.options)
		},
	}
	c.List = func(ctx context.Context, prefix string) ([]string, error) {
		var names []string
		for item, err := range s.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			names = append(names, item.Name)
		}
		return names, nil
	}
	if s.create {
		c.Create = s.createOnce // within the writer's own retries
	}
	return c
}

// Name is the container's name.
func (s *Store) Name() string { return s.name }

// URL is the container's URL. It holds no secret.
func (s *Store) URL() string { return s.endpoint + "/" + url.PathEscape(s.name) }

// BlobURL is the URL of a blob, percent-encoded and without a secret.
func (s *Store) BlobURL(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return s.URL() + "/" + strings.Join(parts, "/")
}

// Kind says how the store logs in, for messages: "account key", "SAS token",
// "managed identity", "none (public)", ….
func (s *Store) Kind() string { return kinds[s.auth.kind] }

func (s *Store) do(ctx context.Context, op, on string, try func(context.Context) error) error {
	retry := s.retry
	return retry.Do(ctx, op, on, 0, try)
}

func (s *Store) containerPath() string { return "/" + url.PathEscape(s.name) }

// CreateContainer makes the container. One that exists is fine.
func (s *Store) CreateContainer(ctx context.Context) error {
	return s.do(ctx, "create container", s.name, s.createOnce)
}

func (s *Store) createOnce(ctx context.Context) error {
	err := s.put(ctx, s.containerPath(), url.Values{"restype": {"container"}})
	if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return err
}

// Item is a blob in a listing.
type Item struct {
	Name            string
	Size            int64
	LastModified    time.Time
	ContentEncoding string
	Metadata        map[string]string // decoded, names in lower case
}

// List gives the blobs whose names begin with prefix, in the service's order
// (by name). It ends at the first error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Item, error] {
	query := url.Values{"restype": {"container"}, "comp": {"list"}, "include": {"metadata"}}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	return func(yield func(Item, error) bool) {
		for page, err := range s.pages(ctx, "list blobs of", s.name, s.containerPath(), query) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			for i := range page.Blobs {
				if item, err := page.Blobs[i].item(); !yield(item, err) || err != nil {
					return
				}
			}
		}
	}
}

// Containers gives the names of the account's containers. It ends at the first
// error.
func (s *Store) Containers(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for page, err := range s.pages(ctx, "list containers of", s.endpoint, "/", url.Values{"comp": {"list"}}) {
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
func (s *Store) pages(ctx context.Context, op, on, path string, query url.Values) iter.Seq2[*listing, error] {
	return func(yield func(*listing, error) bool) {
		query := maps.Clone(query)
		for {
			var page *listing
			err := s.do(ctx, op, on, func(ctx context.Context) error {
				page = new(listing)
				return s.get(ctx, path, query, page)
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
