package azuretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"syscall"
)

// transport serves requests by calling the server: no socket, no goroutine, and
// so no wait that a testing/synctest bubble could not see the end of.
type transport struct{ s *Server }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	in := req.Clone(ctx)
	in.Header = make(http.Header, len(req.Header))
	for k, v := range req.Header {
		for _, x := range v {
			if !validHeader(x) { // net/http's client refuses it too
				return nil, fmt.Errorf("net/http: invalid header field value for %q", k)
			}
		}
		k = textproto.CanonicalMIMEHeaderKey(k)
		in.Header[k] = append(in.Header[k], v...)
	}
	in.Body = http.NoBody
	if req.Body != nil {
		in.Body = io.NopCloser(contextReader{ctx, req.Body})
	}
	w := &recorder{header: http.Header{}}
	whole := w.serve(t.s, in)
	switch {
	case w.status != 0:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, errCut
	}
	resp := &http.Response{
		Status:        strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header,
		Body:          http.NoBody,
		ContentLength: 0,
		Request:       req,
	}
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	switch {
	case req.Method == http.MethodHead:
	case !whole:
		resp.Body = io.NopCloser(io.MultiReader(&w.body, cutReader{}))
	case w.body.Len() > 0:
		resp.Body = io.NopCloser(contextReader{ctx, &w.body})
	}
	return resp, nil
}

// errCut is what net/http's client reports when the server resets the connection.
var errCut error = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// recorder is the answer as the server writes it.
type recorder struct {
	header http.Header
	status int // 0: none was sent
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// serve reports whether the answer came whole, or the server cut it short.
func (w *recorder) serve(s *Server, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
		}
	}()
	s.ServeHTTP(w, r)
	return true
}

// contextReader ends with its context, as the body of a real connection does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func validHeader(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
