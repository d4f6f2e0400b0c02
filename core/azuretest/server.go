package azuretest

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	accountName = "standin"

	// TransportEndpoint is the account's address behind Server.Transport.
	TransportEndpoint = "http://standin.test/" + accountName
)

// Server is one storage account in memory, with path-style URLs:
// http://host/standin/container/blob. Its exported fields are set before use.
type Server struct {
	// Fault is asked before each request is served; nil: no faults. At run time
	// it is changed through SetFault.
	Fault func(Request) Fault

	Now        func() time.Time // the service's clock; nil: time.Now
	Token      string           // bearer token that is accepted; "": none
	Public     bool             // blobs can be read without credentials
	Versioning bool             // writes answer with x-ms-version-id
	SoftDelete bool             // the service's properties say so
	NoLog      bool             // Log records nothing; Counts always works

	asking sync.Mutex // one call of Fault at a time, in the order of Request.N

	mu         sync.Mutex
	containers map[string]*container
	tokens     map[string]grant // by signature
	counts     map[Op]int
	log        []Entry
	requests   int
	ticks      uint64 // makes ETags and request IDs
}

// New returns an account without containers.
func New() *Server {
	return &Server{
		containers: map[string]*container{},
		tokens:     map[string]grant{},
		counts:     map[Op]int{},
	}
}

// Account is the account's name.
func (s *Server) Account() string { return accountName }

// Key is the account's key, in base64.
func (s *Server) Key() string { return accountKey }

// ConnectionString is what a user would copy from the portal, for the account at
// endpoint.
func (s *Server) ConnectionString(endpoint string) string {
	scheme, _, _ := strings.Cut(endpoint, ":")
	return fmt.Sprintf("DefaultEndpointsProtocol=%s;AccountName=%s;AccountKey=%s;BlobEndpoint=%s", scheme, accountName, accountKey, endpoint)
}

// Start serves the account on a free port of 127.0.0.1 until the test ends.
func (s *Server) Start(t testing.TB) (endpoint string) {
	srv := s.listener(t)
	srv.Start()
	return srv.URL + "/" + accountName
}

// StartTLS is Start over TLS; roots hold the certificate to trust.
func (s *Server) StartTLS(t testing.TB) (endpoint string, roots *x509.CertPool) {
	srv := s.listener(t)
	srv.StartTLS()
	roots = x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv.URL + "/" + accountName, roots
}

func (s *Server) listener(t testing.TB) *httptest.Server {
	srv := httptest.NewUnstartedServer(s)
	// Close waits for requests under way; ending their contexts first releases
	// those that a fault holds.
	alive, end := context.WithCancel(context.Background())
	srv.Config.BaseContext = func(net.Listener) context.Context { return alive }
	t.Cleanup(func() {
		end()
		srv.Close()
	})
	return srv
}

// SetFault changes Fault while requests are served; nil: no faults.
func (s *Server) SetFault(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Fault = f
}

// Entry is a request that was served. A Late request has two entries: one with
// Status 0 when it was cut, one with its answer when it took effect.
type Entry struct {
	Request
	Status   int   // 0: no answer was given
	BytesIn  int64 // of body that were read
	BytesOut int64 // of body that were answered
}

// Log is all requests since the start or ResetLog, in the order of their answers.
func (s *Server) Log() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// ResetLog empties the log and the counts. Request.N counts on.
func (s *Server) ResetLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
	clear(s.counts)
}

// Counts is how many requests of each kind have arrived.
func (s *Server) Counts() map[Op]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// call is one request on its way through the server. It is owned by the
// goroutine that serves it.
type call struct {
	Request
	path, rawPath string
	query         url.Values
	ctx           context.Context
	in            io.Reader
	body          []byte // once it was read
	arrived       time.Time
	refusal       *problem // why it is not authorised, or nil
	id            string   // x-ms-request-id
}

// ServeHTTP serves one request; see the package's doc for its way through.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.parse(r)
	f := s.arrive(c)
	c.refusal = s.authorise(c)
	rep := s.serve(c, f)
	if rep == nil {
		s.note(c, 0, 0)
		panic(http.ErrAbortHandler)
	}
	rep.finish(c)
	out := rep.length
	switch {
	case c.Method == http.MethodHead || rep.status == http.StatusNotModified:
		out = 0
	case rep.cut:
		out /= 2
	}
	s.note(c, rep.status, out)
	rep.write(w, c, out)
}

// serve applies c under f; nil means that the connection is cut without an answer.
func (s *Server) serve(c *call, f Fault) *reply {
	if f.Kind != Late && !f.wait(c.ctx) {
		return nil
	}
	if f.Kind == CutBefore {
		return nil
	}
	if code, status := f.refusal(); code != "" {
		return f.fail(code, status) // with the body unread, as a busy front end does
	}
	if c.refusal == nil {
		if bad := c.readBody(); bad != nil {
			return failed(bad)
		}
		if c.body == nil {
			return nil // the client has gone
		}
	}
	switch f.Kind {
	case BlackHole:
		<-c.ctx.Done()
		return nil
	case Late:
		s.later(c, f)
		return nil
	case OtherWriter:
		s.Put(c.Container, c.Blob, []byte("another writer was here\n"), map[string]string{"writer": "another"})
	case DropUncommitted:
		s.dropUncommitted(c.Container, c.Blob)
	}
	rep := s.apply(c)
	switch f.Kind {
	case LostAnswer:
		return nil
	case Effect500:
		return f.fail("InternalError", http.StatusInternalServerError)
	case CutBody:
		rep.cut = c.Op == GetBlob && rep.status < 300 && rep.length > 0
	}
	return rep
}

// parse reads what a request is about from its URL.
func (s *Server) parse(r *http.Request) *call {
	c := &call{
		path:    r.URL.Path,
		rawPath: r.URL.EscapedPath(),
		query:   r.URL.Query(),
		ctx:     r.Context(),
		in:      r.Body,
		arrived: s.now(),
	}
	c.Method, c.Header, c.BodyBytes = r.Method, r.Header, r.ContentLength
	account, rest, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	if account != accountName {
		return c
	}
	c.Container, c.Blob, _ = strings.Cut(rest, "/")
	comp, restype := c.query.Get("comp"), c.query.Get("restype")
	switch {
	case c.Container == "":
		switch {
		case c.Method == http.MethodGet && comp == "list":
			c.Op = ListContainers
		case c.Method == http.MethodGet && comp == "properties" && restype == "service":
			c.Op = GetService
		}
	case c.Blob == "":
		if restype != "container" {
			break
		}
		switch {
		case c.Method == http.MethodPut && comp == "":
			c.Op = CreateContainer
		case c.Method == http.MethodDelete && comp == "":
			c.Op = DeleteContainer
		case c.Method == http.MethodGet && comp == "list":
			c.Op = ListBlobs
		case (c.Method == http.MethodGet || c.Method == http.MethodHead) && comp == "":
			c.Op = GetContainer
		}
	case c.Method == http.MethodPut:
		c.Op = map[string]Op{"": PutBlob, "block": PutBlock, "blocklist": PutBlockList, "metadata": SetMetadata}[comp]
	case c.Method == http.MethodGet:
		c.Op = map[string]Op{"": GetBlob, "blocklist": GetBlockList}[comp]
	case c.Method == http.MethodHead && comp == "":
		c.Op = HeadBlob
	case c.Method == http.MethodDelete && comp == "":
		c.Op = DeleteBlob
	}
	return c
}

// arrive counts c and asks which fault it meets.
func (s *Server) arrive(c *call) Fault {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.mu.Lock()
	s.requests++
	c.N = s.requests
	c.id = "5ca1ab1e-0000-0000-0000-" + hex12(uint64(c.N))
	s.counts[c.Op]++
	ask := s.Fault
	s.mu.Unlock()
	if ask == nil {
		return Fault{}
	}
	return ask(c.Request)
}

// readBody takes the body that the request declares. c.body stays nil if the
// client goes away before its end: such a request has no effect.
func (c *call) readBody() *problem {
	switch {
	case c.BodyBytes < 0:
		return refuse("MissingContentLengthHeader")
	case c.BodyBytes > 5000<<20:
		return refuse("RequestBodyTooLarge")
	}
	body := make([]byte, c.BodyBytes)
	if c.BodyBytes > 0 {
		if _, err := io.ReadFull(c.in, body); err != nil {
			return nil
		}
	}
	c.body = body
	return nil
}

func (s *Server) note(c *call, status int, out int64) {
	if s.NoLog {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, Entry{Request: c.Request, Status: status, BytesIn: int64(len(c.body)), BytesOut: out})
}

// Transport serves requests without a socket, in the goroutine that sends them:
// inside a testing/synctest bubble, delays run on the bubble's clock. The
// account is at TransportEndpoint.
func (s *Server) Transport() http.RoundTripper { return transport{s} }
