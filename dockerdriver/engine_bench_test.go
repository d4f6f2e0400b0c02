package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// BenchmarkEngine has a container write as fast as its lines are taken, with each of
// the log drivers in turn: a million lines of 100 bytes, 20 MB of real logs, and 100 MB
// in lines of 16 KiB. An iteration is one run of each.
//
//	s@DRIVER                   docker run: attached as it is, detached with docker wait
//	cpu-s@dockerd              what dockerd took for the run with azureblob; its shims come on top
//	cpu-s@azureblob            the plugin, until the blob is complete
//	complete-s@azureblob       from the container's end until the blob is complete
//	peak-MB@azureblob          the plugin's memory in the run
//	cpu-s@store                what the stand-in took meanwhile, beside them
//
// discard is a plugin that throws the lines away, and so what any plugin takes at
// least. The store is a stand-in in this process, over TLS: what it takes of the
// machine's processors counts against azureblob alone, which is as if the service ran on
// the host itself. It needs AZUREBLOB_TEST_DOCKERD=1.
func BenchmarkEngine(b *testing.B) {
	h := newBenchHost(b)
	for _, in := range []struct {
		name string
		text []byte
	}{
		{"100B", bytes.Repeat([]byte(strings.Repeat("0123456789", 10)[1:]+"\n"), 1_000_000)},
		{"loghub", realLogs(b, 20_000_000)},
		{"16KiB", bytes.Repeat([]byte(strings.Repeat("0123456789abcdef", 1<<10)[1:]+"\n"), 100_000_000>>14)},
	} {
		b.Run(in.name, func(b *testing.B) {
			if in.text == nil {
				b.Skip("==== NOT MEASURED: ../shared/data/loghub has no logs ====")
			}
			path := filepath.Join(h.dir, in.name)
			if err := os.WriteFile(path, in.text, 0o600); err != nil {
				b.Fatal(err)
			}
			defer os.Remove(path)
			for _, mode := range []string{"attached", "detached"} {
				b.Run(mode, func(b *testing.B) {
					for b.Loop() {
						h.round(b, in.name, mode, bytes.Count(in.text, []byte("\n")))
					}
					b.ReportMetric(0, "ns/op")
				})
			}
		})
	}
}

// benchHost is a host with the plugin discard besides.
type benchHost struct {
	*host
	complete chan time.Time // when a blob was
	rounds   int
	runs     int
}

// newBenchHost is newHost with a store that is reached over TLS. The plugin trusts it
// as it does all authorities: by the file that it was built with.
func newBenchHost(b *testing.B) *benchHost {
	h := &benchHost{host: &host{Engine: dockertest.StartEngine(b), store: azuretest.New(), dir: b.TempDir()}, complete: make(chan time.Time, 1)}
	h.store.NoLog = true
	h.store.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Header.Get("x-ms-meta-complete") == "1" {
			select {
			case h.complete <- time.Now():
			default: // it is tried again
			}
		}
		return azuretest.Fault{}
	})
	endpoint, roots := h.store.StartTLS(b)
	h.plugin = buildPlugin(b, "CA_CERTIFICATES="+certificate(b, endpoint, roots))
	h.ImportBusybox(b)
	h.InstallPlugin(b, pluginName, h.plugin, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": h.store.ConnectionString(endpoint)}, 0)
	h.InstallPlugin(b, "discard", discardPlugin(b), nil, 0)
	return h
}

// certificate is a file with that of a server.
func certificate(b *testing.B, endpoint string, roots *x509.CertPool) (path string) {
	b.Helper()
	address, _, _ := strings.Cut(strings.TrimPrefix(endpoint, "https://"), "/")
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	path = filepath.Join(b.TempDir(), "store.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
	if err := os.WriteFile(path, cert, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// realLogs is loghub's, again and again; nil: they are not there.
func realLogs(b *testing.B, size int) (text []byte) {
	b.Helper()
	files, _ := filepath.Glob("../../shared/data/loghub/*.log")
	for len(files) > 0 && len(text) < size {
		for _, file := range files {
			more, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			text = append(append(text, bytes.TrimRight(more, "\n")...), '\n')
		}
	}
	return text
}

// round has a container write the file, with each driver once. Who comes first changes
// from round to round.
func (h *benchHost) round(b *testing.B, file, mode string, lines int) {
	all := []string{pluginName, "json-file", "local", "discard"}
	h.rounds++
	for i := range all {
		driver := all[(i+h.rounds)%len(all)]
		h.runs++
		s := spec{name: fmt.Sprint("bench", h.runs), driver: driver, program: "cat /in/" + file}
		plugin, dockerd := h.PluginPID(b, pluginName), h.PID(b)
		forgetPeak(b, plugin)
		pluginBefore, dockerdBefore := dockertest.ProcessUsage(b, plugin), dockertest.ProcessUsage(b, dockerd)
		store := dockertest.ProcessUsage(b, os.Getpid())
		begun := time.Now()
		if mode == "attached" {
			if err := h.Command(b, h.runArgs(s)...).Run(); err != nil { // its output goes to /dev/null
				b.Fatal(err)
			}
		} else {
			h.start(b, s)
			h.wait(b, s.name)
		}
		ended := time.Now()
		b.ReportMetric(ended.Sub(begun).Seconds(), "s@"+driver)
		if driver == pluginName {
			after := dockertest.ProcessUsage(b, dockerd)
			b.ReportMetric((after.CPU - dockerdBefore.CPU).Seconds(), "cpu-s@dockerd")
			b.ReportMetric((<-h.complete).Sub(ended).Seconds(), "complete-s@azureblob")
			blob := h.host.complete(b, s.name)
			after = dockertest.ProcessUsage(b, plugin)
			b.ReportMetric((after.CPU - pluginBefore.CPU).Seconds(), "cpu-s@azureblob")
			b.ReportMetric(float64(after.PeakRSS)/1e6, "peak-MB@azureblob")
			after = dockertest.ProcessUsage(b, os.Getpid())
			b.ReportMetric((after.CPU - store.CPU).Seconds(), "cpu-s@store")
			if n := bytes.Count(blob.Content, []byte("\n")); n != lines {
				b.Fatalf("the blob has %d lines, want %d", n, lines)
			}
			h.store.Put("logs", s.name+"/"+h.id(b, s.name)+".log", nil, nil) // up to 190 MB less
		}
		h.Docker(b, "rm", s.name)
	}
}

// forgetPeak makes a process's peak of memory begin anew.
func forgetPeak(b *testing.B, pid int) {
	b.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

// discardPlugin makes the folder of the plugin that logs nothing.
func discardPlugin(b *testing.B) (dir string) {
	b.Helper()
	dir = b.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "rootfs", "discard"), "./dockertest/discard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build ./dockertest/discard: %v\n%s", err, out)
	}
	const config = `{"entrypoint": ["/discard"], "interface": {"types": ["docker.logdriver/1.0"], "socket": "discard.sock"}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}
