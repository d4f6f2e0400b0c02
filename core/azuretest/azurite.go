package azuretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// StartAzurite starts an emulator for tb alone, over TLS if secure, with a transport
// that trusts it. It skips where AZUREBLOB_TEST_AZURITE names none.
func StartAzurite(tb testing.TB, secure bool) Backend {
	tb.Helper()
	program := os.Getenv("AZUREBLOB_TEST_AZURITE")
	if program == "" {
		tb.Skip("==== NOT MEASURED: AZUREBLOB_TEST_AZURITE names no azurite-blob ====")
	}
	transport := newTransport(tb)
	var options []string
	if secure {
		cert, key, roots := certificate(tb)
		options = []string{"--cert", cert, "--key", key}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	endpoint, stdin, err := launchAzurite(program, options...)
	if err != nil {
		tb.Fatalf("start %s: %v", program, err)
	}
	tb.Cleanup(func() { stdin.Close() })
	return azurite(endpoint, http.RoundTripper(transport))
}

// certificate makes one for 127.0.0.1, as PEM files of it and its key.
func certificate(tb testing.TB) (cert, key string, roots *x509.CertPool) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(tb.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), roots
}
