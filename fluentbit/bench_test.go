package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// peerOutputs are the outputs that are compared, all with the same settings of Fluent
// Bit's own. null is what Fluent Bit takes without any.
var peerOutputs = []struct{ name, section string }{
	{"null", "    Name null\n"},
	{"append", "    Name azure_blob\n    blob_type appendblob\n    path run${RUN}\n" + peerAccount},
	{"block", "    Name azure_blob\n    blob_type blockblob\n    path run${RUN}\n" + peerAccount},
	{"ours", "    Name azureblob\n    path run${RUN}/$TAG\n" + peerAccount},
}

const peerAccount = `    account_name    account
    shared_key      MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
    container_name  logs
    emulator_mode   on
    endpoint        ${ENDPOINT}
`

// 180 MB of real log lines through a real Fluent Bit: what its process takes with
// Fluent Bit's own azure_blob, and with this one. The service is in another process,
// and forgets what it gets. The runs alternate, and the medians count.
func BenchmarkPeer(b *testing.B) {
	const runs, bytesOfLogs = 5, 180e6
	flbtest.FindFluentBit(b)
	in, lines := realLines(b, bytesOfLogs)
	address := startDiscard(b)
	library := flbtest.Library(b)
	for b.Loop() {
		cpu, wall, peak := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		for run := range runs {
			for _, out := range peerOutputs {
				before := discarded(b, address)
				begun := time.Now()
				f := flbtest.StartFluentBit(b, flbtest.FluentBitConfig{
					Conf: `
[SERVICE]
    Flush           1
    Grace           10
    HTTP_Server     on
    HTTP_Listen     127.0.0.1
    HTTP_Port       ${HTTP_PORT}
    json.escape_unicode off

[INPUT]
    Name            tail
    Path            ${IN}
    Tag             app
    Read_from_Head  on
    Exit_On_Eof     off

[OUTPUT]
    Match           *
    workers         2
    Retry_Limit     no_limits
` + out.section,
					Library: library,
					Env:     map[string]string{"IN": in, "ENDPOINT": "http://" + address, "RUN": fmt.Sprint(run)},
				})
				eventually(b, 2*time.Minute, "all lines are there", func() error {
					n := discarded(b, address) - before
					if out.name == "null" {
						n = f.Counts("null.0").Written
					}
					if n < lines {
						return fmt.Errorf("%d of %d are", n, lines)
					}
					return nil
				})
				wall[out.name] = append(wall[out.name], time.Since(begun).Seconds())
				peak[out.name] = append(peak[out.name], float64(f.Usage().PeakRSS)/1e6)
				_, took := f.Stop()
				cpu[out.name] = append(cpu[out.name], took.Seconds())
				if n := discarded(b, address) - before; out.name != "null" && n != lines {
					b.Errorf("%s: %d lines are there, want %d", out.name, n, lines)
				}
			}
		}
		for _, out := range peerOutputs {
			b.ReportMetric(median(cpu[out.name]), out.name+"-CPU-s")
			b.ReportMetric(median(wall[out.name]), out.name+"-wall-s")
			b.ReportMetric(median(peak[out.name]), out.name+"-peak-MB")
		}
		base := median(cpu["null"])
		for _, peer := range []string{"append", "block"} {
			b.ReportMetric(median(cpu["ours"])/median(cpu[peer]), "CPU/"+peer)
			b.ReportMetric((median(cpu["ours"])-base)/(median(cpu[peer])-base), "own-CPU/"+peer)
			b.ReportMetric(median(wall["ours"])/median(wall[peer]), "wall/"+peer)
			b.ReportMetric(median(peak["ours"])/median(peak[peer]), "peak/"+peer)
		}
		b.ReportMetric(0, "ns/op")
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// realLines is a file of so many bytes of real log lines, and how many lines it has.
func realLines(b *testing.B, atLeast int) (path string, lines int) {
	b.Helper()
	names, err := filepath.Glob("../../shared/data/loghub/*.log")
	if err != nil || len(names) == 0 {
		b.Skip("==== NOT MEASURED: ../shared/data/loghub has no logs ====")
	}
	var all []byte
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		all = append(append(all, bytes.TrimRight(content, "\r\n")...), '\n')
	}
	path = filepath.Join(b.TempDir(), "app.log")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	// Tail leaves out empty lines.
	empty := bytes.Count(all, []byte("\n\n"))
	for n := 0; n < atLeast; n += len(all) {
		if _, err := file.Write(all); err != nil {
			b.Fatal(err)
		}
		lines += bytes.Count(all, []byte("\n")) - empty
	}
	return path, lines
}

// startDiscard starts the service that forgets, and gives its address.
func startDiscard(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "discard")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/liveblob/azureblob/fluentbit/flbtest/discard").CombinedOutput(); err != nil {
		b.Fatalf("build the service: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatalf("start the service: %v", err)
	}
	return strings.TrimSpace(address)
}

// discarded is how many lines the service has in all its blobs.
func discarded(b *testing.B, address string) int {
	b.Helper()
	resp, err := http.Get("http://" + address + "/lines")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(string(body))
	if err != nil {
		b.Fatal(err)
	}
	return n
}
