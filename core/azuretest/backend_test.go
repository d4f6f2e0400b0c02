package azuretest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func script(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "azurite-blob")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAzuriteThatDoesNotStart(t *testing.T) {
	for program, want := range map[string]string{
		script(t, "echo port is taken >&2; exit 1"): "port is taken",
		"/no/such/azurite-blob":                     "AZUREBLOB_TEST_AZURITE must name it",
	} {
		if _, _, err := launchAzurite(program); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start %q: %v, want %q in it", program, err, want)
		}
	}
}

// However the test process ends, its end of the pipe closes, and Azurite goes too.
func TestAzuriteEndsWithItsOwner(t *testing.T) {
	life := filepath.Join(t.TempDir(), "life")
	if err := syscall.Mkfifo(life, 0o600); err != nil {
		t.Fatal(err)
	}
	program := script(t, "exec 9>'"+life+"'\necho Azurite Blob service successfully listens on http://127.0.0.1:1\nexec sleep 1000\n")
	alive := make(chan *os.File)
	go func() {
		f, err := os.Open(life) // meets the program's own open
		if err != nil {
			t.Error(err)
		}
		alive <- f
	}()
	endpoint, stdin, err := launchAzurite(program)
	if err != nil || endpoint != "http://127.0.0.1:1" {
		t.Fatalf("start: %q, %v", endpoint, err)
	}
	f := <-alive
	defer f.Close()
	stdin.Close()
	if _, err := io.ReadAll(f); err != nil { // ends when nobody holds the other end
		t.Error(err)
	}
}

func TestConnectionString(t *testing.T) {
	s := New()
	for conn, want := range map[string]Backend{
		s.ConnectionString("http://127.0.0.1:1/standin"): {Endpoint: "http://127.0.0.1:1/standin", Account: "standin", Key: s.Key()},
		"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5==;EndpointSuffix=core.chinacloudapi.cn": {
			Endpoint: "https://acme.blob.core.chinacloudapi.cn", Account: "acme", Key: "a2V5=="},
		"BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=x%3D": {
			Endpoint: "https://acme.blob.core.windows.net", SAS: "sv=1&sig=x%3D"},
	} {
		got, err := fromConnectionString(conn)
		want.Name, want.ConnectionString = "azure", conn
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", conn, got, err, want)
		}
	}
	for _, conn := range []string{"", "AccountName=acme", "AccountKey=a2V5"} {
		if _, err := fromConnectionString(conn); err == nil {
			t.Errorf("%q is taken", conn)
		}
	}
}
