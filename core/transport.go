package core

import (
	"crypto/tls"
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
			WriteBufferSize:     64 << 10,
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
