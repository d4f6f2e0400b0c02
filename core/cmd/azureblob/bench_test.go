package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// built builds a program of this project as users get it: static and stripped.
func built(b *testing.B, pkg string) string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}

func median[T int64 | float64](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkPipe is `azureblob pipe` of 100 MiB over loopback, from a file and from
// a producer on a pipe, beside a loop of PUTs of 4 MiB to the same server.
func BenchmarkPipe(b *testing.B) {
	b.Run("file", func(b *testing.B) { benchmarkPipe(b, false) })
	b.Run("pipe", func(b *testing.B) { benchmarkPipe(b, true) })
}

func benchmarkPipe(b *testing.B, producer bool) {
	program := built(b, ".")
	s := azuretest.New()
	s.NoLog, s.Token = true, "bare"
	s.MakeContainer("logs")
	endpoint := s.Start(b)
	data := make([]byte, 100<<20)
	rand.Read(data[:1<<20])
	for n := 1 << 20; n < len(data); n *= 2 {
		copy(data[n:], data[:n])
	}
	file := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	b.Cleanup(client.CloseIdleConnections)
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("logs/pipe-%d.log", i)
		cmd := exec.Command(program, "pipe", "--quiet", name)
		cmd.Env = append(os.Environ(), "AZURE_STORAGE_CONNECTION_STRING="+s.ConnectionString(endpoint))
		cmd.Stderr = os.Stderr
		if producer { // a real pipe, filled by this process
			cmd.Stdin = struct{ io.Reader }{bytes.NewReader(data)}
		} else {
			f, err := os.Open(file)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			cmd.Stdin = f
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		peak := make(chan int64)
		go func() {
			var most int64
			for now := int64(1); now > 0; time.Sleep(2 * time.Millisecond) {
				now = memory(cmd.Process.Pid, "VmHWM")
				most = max(most, now)
			}
			peak <- most
		}()
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s@azureblob")
		b.ReportMetric(float64(<-peak)/1e6, "peak-MB@azureblob")
		if blob, _ := s.Blob("logs", name[len("logs/"):]); !bytes.Equal(blob.Content, data) {
			b.Fatal("the content differs")
		}
		remove(b, client, endpoint+"/"+name)

		start = time.Now()
		for n := 0; n < len(data); n += 4 << 20 {
			request(b, client, http.MethodPut, endpoint+"/logs/bare.log", data[n:min(n+4<<20, len(data))])
		}
		b.ReportMetric(time.Since(start).Seconds(), "s@PUTs-of-4-MiB")
	}
	b.ReportMetric(0, "ns/op")
}

func request(b *testing.B, client *http.Client, method, url string, body []byte) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer bare"}, "X-Ms-Version": {"2024-11-04"}, "X-Ms-Blob-Type": {"BlockBlob"}}
	resp, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		b.Fatal(resp.Status)
	}
}

func remove(b *testing.B, client *http.Client, url string) {
	request(b, client, http.MethodDelete, url, nil)
}

// starts is how often each program is started in one run, to take p50s over.
const starts = 20

// BenchmarkStart is the time from exec to the first commit over TLS, the memory
// after it, and the processor's time for all of it, beside those of a program that
// does one PUT with net/http and nothing else.
func BenchmarkStart(b *testing.B) {
	contenders := []*contender{
		{name: "azureblob", program: built(b, "."), args: func(_, blob string) []string { return []string{"pipe", "--quiet", "logs/" + blob} }},
		{name: "bare", program: built(b, "./testdata/bare"), args: func(endpoint, blob string) []string { return []string{endpoint + "/logs/" + blob} }},
	}
	s := azuretest.New()
	s.Token = "bare"
	s.MakeContainer("logs")
	endpoint, _ := s.StartTLS(b)
	roots := filepath.Join(b.TempDir(), "roots.pem")
	certificate(b, endpoint, roots)
	env := append(os.Environ(), "AZURE_STORAGE_CONNECTION_STRING="+s.ConnectionString(endpoint), "SSL_CERT_FILE="+roots)

	committed := make(chan time.Time, 1)
	s.SetFault(func(azuretest.Request) azuretest.Fault {
		select {
		case committed <- time.Now():
		default:
		}
		return azuretest.Fault{}
	})
	n := 0
	start := func(c *contender) {
		n++
		blob := fmt.Sprintf("%s-%d.log", c.name, n)
		cmd := exec.Command(c.program, c.args(endpoint, blob)...)
		cmd.Env, cmd.Stderr = env, os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		s.ResetLog()
		begun := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		io.WriteString(stdin, "the first line\n")
		select {
		case at := <-committed:
			c.took = append(c.took, at.Sub(begun).Seconds())
		case <-time.After(time.Minute):
			b.Fatalf("%s: no commit within a minute", c.name)
		}
		c.rss = append(c.rss, settled(cmd.Process.Pid))
		if _, ok := s.Blob("logs", blob); !ok {
			b.Fatalf("%s: no blob", c.name)
		}
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		select { // the completing commit
		case <-committed:
		default:
		}
		c.cpu = append(c.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	}
	for b.Loop() {
		for _, c := range contenders { // a first time, from the disk
			start(c)
			c.took, c.rss, c.cpu = nil, nil, nil
		}
		for i := range starts {
			for k := range contenders {
				start(contenders[(i+k)%len(contenders)])
			}
		}
		for _, c := range contenders {
			b.ReportMetric(median(c.took)*1e3, "p50-ms@"+c.name)
			b.ReportMetric(float64(median(c.rss))/1e6, "RSS-MB@"+c.name)
			b.ReportMetric(median(c.cpu)*1e3, "cpu-ms@"+c.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// contender is a program to be started, and its figures: seconds and bytes.
type contender struct {
	name, program string
	args          func(endpoint, blob string) []string

	took, cpu []float64
	rss       []int64
}

// settled is a process's memory in bytes once it has stopped to change: the answer
// to the commit has been read.
func settled(pid int) int64 {
	rss, same := int64(0), 0
	for same < 10 {
		time.Sleep(time.Millisecond)
		if now := memory(pid, "VmRSS"); now != rss {
			rss, same = now, 0
		}
		same++
	}
	return rss
}

// memory is a line of /proc/PID/status in bytes: VmRSS now, VmHWM at most. 0: the
// process is gone. (A child's ru_maxrss is no use: it begins with its parent's.)
func memory(pid int, line string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, found := strings.Cut(string(status), line+":")
	if !found {
		return 0
	}
	kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kb << 10
}

// certificate writes the server's certificate to a file.
func certificate(b *testing.B, endpoint, file string) {
	b.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true}) // to learn what to trust
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
}
