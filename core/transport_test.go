package core

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

// writes counts the writes to a connection.
type writes struct {
	net.Conn
	n *atomic.Int64
}

func (w writes) Write(p []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(p)
}

// TestSmallRequest: headers and body of a small request are one write, whatever
// its body is; a large one arrives as it is.
func TestSmallRequest(t *testing.T) {
	var got []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
	}))
	defer srv.Close()
	var n atomic.Int64
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return writes{conn, &n}, err
	}
	tr := &transport{client}
	for _, c := range []struct {
		size int
		one  bool
	}{{1, true}, {1000, true}, {smallBody, true}, {smallBody + 1, false}, {1 << 20, false}} {
		data := bytes.Repeat([]byte("abc\n"), c.size/4+1)[:c.size]
		body := io.NopCloser(iotest.OneByteReader(bytes.NewReader(data)))
		if !c.one {
			body = io.NopCloser(struct{ io.Reader }{bytes.NewReader(data)})
		}
		req, err := http.NewRequest(http.MethodPut, srv.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = int64(c.size)
		n.Store(0)
		resp, err := tr.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d others arrived", c.size, len(got))
		}
		if writes := n.Load(); c.one != (writes == 1) {
			t.Errorf("%d bytes: %d writes", c.size, writes)
		}
		if req.Body != body {
			t.Errorf("%d bytes: the caller's request has another body now", c.size)
		}
	}

	// A body that ends early or fails sends nothing.
	broken := errors.New("broken")
	for want, body := range map[error]io.Reader{io.ErrUnexpectedEOF: bytes.NewReader(make([]byte, 9)), broken: iotest.ErrReader(broken)} {
		req, _ := http.NewRequest(http.MethodPut, srv.URL, io.NopCloser(body))
		req.ContentLength = 10
		n.Store(0)
		if _, err := tr.Do(req); !errors.Is(err, want) || n.Load() > 0 {
			t.Errorf("%v: got %v after %d writes", want, err, n.Load())
		}
	}
}
