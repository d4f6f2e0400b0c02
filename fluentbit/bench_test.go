package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// peerOutputs are the outputs that are compared, all with the same settings of Fluent
// Bit's own. null is what Fluent Bit takes without any.
var peerOutputs = []struct{ name, section string }{
	{"null", "    Name null\n"},
	{"append", "    Name azure_blob\n    blob_type appendblob\n    path run${RUN}\n" + peerAccount},
	{"block", "    Name azure_blob\n    blob_type blockblob\n    path run${RUN}\n" + peerAccount},
	{"azureblob", "    Name azureblob\n    path run${RUN}/$TAG\n" + peerAccount},
}

const peerAccount = `    account_name    account
    shared_key      MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
    container_name  logs
    emulator_mode   on
    endpoint        ${ENDPOINT}
`

// 180 MB of real log lines through a real Fluent Bit: what its process takes with
// Fluent Bit's own azure_blob, and with this one. The service is in another process,
// and forgets what it gets. An iteration is one run of each output, another one first
// each time.
func BenchmarkPeer(b *testing.B) {
	const bytesOfLogs = 180e6
	flbtest.FindFluentBit(b)
	in, lines := realLines(b, bytesOfLogs)
	info, err := os.Stat(in)
	if err != nil {
		b.Fatal(err)
	}
	mb := float64(info.Size()) / 1e6
	address := azuretest.StartDiscard(b)
	library := flbtest.Library(b)
	for b.Loop() {
		run := int(peerRuns.Add(1))
		cpu := map[string]float64{}
		for i := range peerOutputs {
			out := peerOutputs[(i+run)%len(peerOutputs)]
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
			b.ReportMetric(time.Since(begun).Seconds(), "s@"+out.name)
			b.ReportMetric(float64(f.Usage().PeakRSS)/1e6, "peak-MB@"+out.name)
			_, took := f.Stop()
			cpu[out.name] = took.Seconds()
			if n := discarded(b, address) - before; out.name != "null" && n != lines {
				b.Errorf("%s: %d lines are there, want %d", out.name, n, lines)
			}
		}
		for _, out := range peerOutputs {
			b.ReportMetric(cpu[out.name]*1e3/mb, "cpu-ms/MB@"+out.name)
			// What the output takes beyond what Fluent Bit takes without one.
			if out.name != "null" {
				b.ReportMetric((cpu[out.name]-cpu["null"])*1e3/mb, "own-cpu-ms/MB@"+out.name)
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

var peerRuns atomic.Int64 // over all of -count

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
