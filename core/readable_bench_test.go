package core_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
)

// BenchmarkWriteToReadable is the time from a Write of a line to the moment that a
// reader has it, beside the least that any writer and reader of a block blob need: two
// PUTs and a GET of it, one after another on a kept connection, by net/http alone,
// with a token in place of signatures. Both go to the same service, for blobs of the
// same size, in turn. The blobs are beyond 64 KiB, so that a commit is a Put Block and a
// Put Block List.
//
// The service is Azurite, which takes some milliseconds a request, as Azure does; or
// the stand-in in this process, which takes next to no time, so that what remains is
// the difference between two clients, and what the service does with their requests.
func BenchmarkWriteToReadable(b *testing.B) {
	for _, scheme := range []string{"http", "https"} {
		secure := scheme == "https"
		b.Run("Azurite/"+scheme, func(b *testing.B) {
			a := azuretest.StartAzurite(b, secure)
			container := a.NewContainer(b)
			key, err := blob.NewSharedKeyCredential(a.Account, a.Key)
			if err != nil {
				b.Fatal(err)
			}
			token, err := sas.BlobSignatureValues{
				ContainerName: container, Permissions: (&sas.ContainerPermissions{Read: true, Write: true, Create: true}).String(),
				ExpiryTime: time.Now().Add(time.Hour), Protocol: sas.ProtocolHTTPSandHTTP,
			}.SignWithSharedKey(key)
			if err != nil {
				b.Fatal(err)
			}
			writeToReadable(b, a.ConnectionString, &http.Client{Transport: a.Transport}, container,
				a.Endpoint+"/"+container+"/bare.log?"+token.Encode()+"&", 300)
		})
		b.Run("stand-in/"+scheme, func(b *testing.B) {
			s := azuretest.New()
			s.NoLog, s.Token = true, "bare"
			s.MakeContainer("logs")
			transport := &http.Transport{DisableCompression: true}
			endpoint := ""
			if secure {
				e, roots := s.StartTLS(b)
				endpoint, transport.TLSClientConfig = e, &tls.Config{RootCAs: roots}
			} else {
				endpoint = s.Start(b)
			}
			b.Cleanup(transport.CloseIdleConnections)
			writeToReadable(b, s.ConnectionString(endpoint), &http.Client{Transport: transport}, "logs",
				endpoint+"/logs/bare.log?", 2_000)
		})
	}
}

// writeToReadable measures lines of each. bareURL is that of the other blob, to which
// parameters can be added.
func writeToReadable(b *testing.B, connection string, client *http.Client, container, bareURL string, lines int) {
	cfg, err := core.Load(core.Map{"connection_string": connection, "container_name": container}.Source())
	if err != nil {
		b.Fatal(err)
	}
	store, err := core.Open(cfg, core.StoreOptions{Transport: client})
	if err != nil {
		b.Fatal(err)
	}
	st, err := core.NewStream(core.StreamConfig{Blob: liveblob.Config{Container: store.Container("live.log"), Name: "live.log", Stream: "bench"}})
	if err != nil {
		b.Fatal(err)
	}
	head := bytes.Repeat([]byte("x"), 100_000)
	if _, err := st.Write(head); err != nil {
		b.Fatal(err)
	}
	if err := st.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	reader := liveblob.NewReader(liveblob.ReaderConfig{Container: store.Container("live.log"), Name: "live.log", Offset: int64(len(head))})
	line := append(bytes.Repeat([]byte("y"), 99), '\n')
	ours := func() {
		if _, err := st.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := st.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
		for {
			data, err := reader.Next(b.Context())
			if errors.Is(err, io.EOF) {
				continue // of the answer before
			}
			if err != nil || !bytes.Equal(data, line) {
				b.Fatalf("the reader has %q, %v", data, err)
			}
			return
		}
	}
	do := func(method, query string, body []byte, header ...string) []byte {
		req, err := http.NewRequestWithContext(b.Context(), method, bareURL+query, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header = http.Header{"X-Ms-Version": {"2024-11-04"}}
		if !strings.Contains(bareURL, "sig=") {
			req.Header["Authorization"] = []string{"Bearer bare"}
		}
		for i := 0; i < len(header); i += 2 {
			req.Header[header[i]] = []string{header[i+1]}
		}
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode >= 300 {
			b.Fatal(resp.Status, string(data), err)
		}
		return data
	}
	do(http.MethodPut, "comp=block&blockid=YQ==", head)
	do(http.MethodPut, "comp=blocklist", []byte("<BlockList><Latest>YQ==</Latest></BlockList>"))
	tail := fmt.Sprintf("bytes=%d-", len(head))
	bare := func() {
		do(http.MethodPut, "comp=block&blockid=Yg==", line)
		do(http.MethodPut, "comp=blocklist", []byte("<BlockList><Latest>YQ==</Latest><Latest>Yg==</Latest></BlockList>"))
		if got := do(http.MethodGet, "", nil, "X-Ms-Range", tail); !bytes.Equal(got, line) {
			b.Fatalf("the bare reader has %q", got)
		}
	}
	for b.Loop() {
		var took [2][]time.Duration
		for i := range 2 * lines {
			begun := time.Now()
			if i%2 == 0 {
				ours()
			} else {
				bare()
			}
			took[i%2] = append(took[i%2], time.Since(begun))
		}
		for i, who := range []string{"azureblob", "two-PUTs-and-a-GET"} {
			slices.Sort(took[i])
			b.ReportMetric(float64(took[i][lines/2].Nanoseconds())/1e3, "p50-µs@"+who)
			b.ReportMetric(float64(took[i][lines*99/100].Nanoseconds())/1e3, "p99-µs@"+who)
		}
		b.ReportMetric(0, "ns/op")
	}
	if err := st.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
