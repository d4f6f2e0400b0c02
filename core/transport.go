package core

import (
	"crypto/tls"
	"net"
	"net/http"
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
			Proxy:               http.ProxyFromEnvironment,
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
