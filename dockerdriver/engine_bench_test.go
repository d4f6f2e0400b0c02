package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// BenchmarkEngine has a container write a million lines of 100 bytes, as fast as they
// are taken, with the log drivers in turn: wall time of docker run, as medians. discard
// is a plugin that throws the lines away, and so what any plugin takes at least.
// ratio is the driver's time to json-file's, and blob-s how long after the container's
// end its blob is complete. It needs AZUREBLOB_TEST_DOCKERD=1.
func BenchmarkEngine(b *testing.B) {
	const lines, rounds = 1_000_000, 5
	h := newHost(b, buildPlugin(b))
	h.InstallPlugin(b, "discard", discardPlugin(b), nil, 0)
	line := strings.Repeat("0123456789", 10)[1:] + "\n"
	if err := os.WriteFile(filepath.Join(h.dir, "million"), bytes.Repeat([]byte(line), lines), 0o600); err != nil {
		b.Fatal(err)
	}
	complete := make(chan time.Time, 1)
	h.store.SetFault(func(r azuretest.Request) azuretest.Fault {
		if r.Header.Get("x-ms-meta-complete") == "1" {
			select {
			case complete <- time.Now():
			default: // it is tried again
			}
		}
		return azuretest.Fault{}
	})
	all := []string{"json-file", pluginName, "local", "discard"}
	runs := 0
	for _, mode := range []string{"attached", "detached"} {
		b.Run(mode, func(b *testing.B) {
			for b.Loop() {
				took := map[string][]time.Duration{}
				for range rounds {
					for _, driver := range all {
						runs++
						s := spec{name: fmt.Sprint("million", runs), driver: driver, program: "cat /in/million"}
						begun := time.Now()
						if mode == "attached" {
							cmd := h.Command(b, h.runArgs(s)...)
							if err := cmd.Run(); err != nil { // its output goes to /dev/null
								b.Fatal(err)
							}
						} else {
							h.start(b, s)
							h.wait(b, s.name)
						}
						ended := time.Now()
						took[driver] = append(took[driver], ended.Sub(begun))
						if driver == pluginName {
							took["blob"] = append(took["blob"], (<-complete).Sub(ended))
							blob := h.complete(b, s.name)
							if n := bytes.Count(blob.Content, []byte("\n")); n != lines {
								b.Fatalf("the blob has %d lines", n)
							}
							h.store.Put("logs", s.name+"/"+h.id(b, s.name)+".log", nil, nil) // 190 MB less
						}
						h.Docker(b, "rm", s.name)
					}
				}
				median := func(of string) float64 {
					slices.Sort(took[of])
					return took[of][rounds/2].Seconds()
				}
				for _, driver := range append(all, "blob") {
					b.ReportMetric(median(driver), driver+"-s")
				}
				b.ReportMetric(median(pluginName)/median("json-file"), "ratio")
				b.ReportMetric(0, "ns/op")
			}
		})
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
