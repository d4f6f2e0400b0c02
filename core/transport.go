package core

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// sharedTransport is the one connection pool of the process. Streams come and go
// by the thousand; a pool for each would dial again at every flush.
var sharedTransport = sync.OnceValue(func() policy.Transporter { return newHTTPClient() })

// transport sends a small request with one write. net/http first flushes the
// headers of a body that it does not know to be in memory, such as the SDK's: a
// system call more, and a packet and a TLS record of its own.
type transport struct{ next policy.Transporter }

const (
	writeBuffer = 16 << 10 // bytes: a TLS record
	smallBody   = 12 << 10 // leaves room for headers
)

func (t *transport) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && 0 < req.ContentLength && req.ContentLength <= smallBody {
		body := make([]byte, req.ContentLength)
		_, err := io.ReadFull(req.Body, body)
		req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read the body to send: %w", err)
		}
		small := *req // the caller's is not ours to change
		small.Body = io.NopCloser(bytes.NewReader(body))
		req = &small
	}
	return t.next.Do(req)
}

func newHTTPClient() *http.Client {
	dialer := &net.Dialer{
		Timeout:   10 * time.Second,
		KeepAlive: 30 * time.Second,
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true) // the service speaks nothing newer
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               Proxy,
			DialContext:         dialer.DialContext,
			Protocols:           &protocols,
			TLSClientConfig:     &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(0)},
			TLSHandshakeTimeout: 10 * time.Second,
			// The default of 2 makes most flushes of many streams dial anew.
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     90 * time.Second,
			// Larger bodies do not go through it.
			WriteBufferSize: writeBuffer,
			// net/http would otherwise ask for gzip and decode it on the way,
			// which breaks the offsets of ranges.
			DisableCompression:    true,
			ExpectContinueTimeout: time.Second,
			// No ResponseHeaderTimeout: each try has a deadline that suits its
			// body (liveblob.Retry).
		},
		// The service never redirects. Following one would hand a SAS token on,
		// in the Referer header if nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Proxy is http.ProxyFromEnvironment, except that a variable whose value is not a
// URL is an error: net/http would go around the proxy, or to a host called http.
// The error does not show the value, which may hold a password.
func Proxy(req *http.Request) (*url.URL, error) {
	upper := strings.ToUpper(req.URL.Scheme) + "_PROXY"
	for _, name := range []string{upper, strings.ToLower(upper)} { // the first that is set counts
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		if !strings.Contains(value, "://") {
			value = "http://" + value
		}
		if u, err := url.Parse(value); (err != nil || u.Hostname() == "") && !loopback(req.URL) {
			return nil, &proxyError{name}
		}
		break
	}
	return http.ProxyFromEnvironment(req)
}

// proxyError is marked as final, as azcore marks its own: no retry mends it.
type proxyError struct{ variable string }

func (e *proxyError) Error() string {
	return e.variable + " is not a URL: write http://HOST:PORT, or unset it"
}

func (e *proxyError) NonRetriable() {}
