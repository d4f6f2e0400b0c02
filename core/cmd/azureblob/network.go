package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/liveblob/azureblob/core"
)

// network tells DNS, TCP and TLS apart, which one error of an HTTP client does not.
func (d *doctor) network(ctx context.Context) bool {
	at, err := url.Parse(d.at.URL())
	if err != nil {
		return d.bad(err, "")
	}
	proxy, err := core.Proxy(&http.Request{URL: at})
	if err != nil {
		return d.bad(fmt.Errorf("network: %w", err), "")
	}
	if proxy != nil {
		d.ok("network: through the proxy %s", proxy.Host)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, doctorDial)
	defer cancel()
	host, port := at.Hostname(), at.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[at.Scheme]
	}
	if net.ParseIP(host) == nil {
		addresses, err := net.DefaultResolver.LookupHost(ctx, host)
		var dns *net.DNSError
		switch {
		case errors.As(err, &dns) && dns.IsNotFound:
			return d.bad(fmt.Errorf("DNS: there is no host %s", host), "check the account's name and --endpoint-suffix; for a private endpoint, the DNS zone")
		case err != nil:
			return d.bad(fmt.Errorf("DNS: look up %s: %w", host, err), "check this machine's name servers")
		}
		d.ok("DNS: %s is %s", host, addresses[0])
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return d.bad(fmt.Errorf("TCP: %w", err), "check firewalls, the account's network rules, and the endpoint's port")
	}
	defer conn.Close()
	d.ok("TCP: connected to %s", conn.RemoteAddr())
	if at.Scheme != "https" {
		d.warn("TLS: none, the endpoint is http", "fine for an emulator; use https for all else")
		return true
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host})
	if err := secure.HandshakeContext(ctx); err != nil {
		var unknown *tls.CertificateVerificationError
		if errors.As(err, &unknown) {
			return d.bad(fmt.Errorf("TLS: %w", err), "a proxy or private endpoint may use a certificate authority of its own: name its file in SSL_CERT_FILE; or this machine's clock is wrong")
		}
		return d.bad(fmt.Errorf("TLS: %w", err), "something in between (a firewall, a proxy) breaks the connection, or the endpoint speaks http only")
	}
	d.ok("TLS: %s, certificate for %s", tls.VersionName(secure.ConnectionState().Version), host)
	return true
}
