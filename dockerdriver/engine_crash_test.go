package main_test

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

// testKill kills the plugin at random moments while containers write. It commits often,
// so that many kills come in the middle of one.
func testKill(t *testing.T, h *host) {
	h.store.SetFault(func(azuretest.Request) azuretest.Fault { return azuretest.Fault{Delay: 5 * time.Millisecond} })
	var counters [5]*counter
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for i := range counters {
		c := h.count(t, fmt.Sprint("kill", i), []int{0, 0, 120, 500, 3000}[i], "--log-opt=azureblob-flush-interval=20ms")
		counters[i] = c
		writing.Go(func() {
			for { // a container that waits for the plugin lets this wait too
				select {
				case <-stop:
					return
				case <-t.Context().Done(): // the test has failed
					return
				case <-time.After(3 * time.Millisecond):
					c.write(t, 1)
				}
			}
		})
	}
	begun := time.Now()
	for range 30 {
		time.Sleep(time.Duration(rand.IntN(200_000)) * time.Microsecond)
		h.killPlugin(t)
	}
	took := time.Since(begun)
	close(stop)
	writing.Wait()
	lines := 0
	for _, c := range counters {
		c.end(t)
		lines += 2 * c.lines
	}
	for _, c := range counters {
		c.exact(t)
	}
	t.Logf("30 kills in %v; %d lines", took.Round(time.Second), lines)
}

// outageTime is how long the store is away at least.
func outageTime(t *testing.T) time.Duration {
	d, err := time.ParseDuration(cmp.Or(os.Getenv("AZUREBLOB_TEST_OUTAGE"), "20s"))
	if err != nil {
		t.Fatalf("AZUREBLOB_TEST_OUTAGE: %v", err)
	}
	return d
}

func testOutages(t *testing.T, h *host) {
	t.Run("nothing else", func(t *testing.T) { testOutage(t, h, func() {}) })
	t.Run("dockerd restarted", func(t *testing.T) {
		testOutage(t, h, func() {
			h.Stop(t, syscall.SIGTERM)
			h.Start(t)
		})
	})
}

func testOutagesLive(t *testing.T, h *host) {
	t.Run("plugin killed", func(t *testing.T) {
		testOutage(t, h, func() {
			h.killPlugin(t)
			h.killPlugin(t)
		})
	})
	t.Run("dockerd killed and restarted", func(t *testing.T) {
		testOutage(t, h, func() {
			for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
				h.Stop(t, signal)
				h.Start(t, "--live-restore")
			}
		})
	})
}

// testOutage takes the store away and gives it back, with something else meanwhile.
// Containers must not notice, and every line is in the blobs at the end.
func testOutage(t *testing.T, h *host, meanwhile func()) {
	named := func(name string) string { return path.Base(t.Name()) + "-" + name }
	busy := h.count(t, named("busy"), 1000, "--restart=always")
	quiet := h.count(t, named("quiet"), 0, "--restart=always")
	stopped := h.count(t, named("stopped"), 0)
	all := []*counter{busy, quiet, stopped}
	for _, c := range all {
		c.write(t, 100)
		c.readable(t)
	}
	back, begun := h.outage(), time.Now()

	busy.write(t, 2_000) // more than it uploads at once
	busy.seen(t)
	before := h.memory(t)
	busy.write(t, 10_000)
	busy.seen(t)
	after := h.memory(t)
	t.Logf("memory: %d MB, and %d MB after 20 MB more", before>>20, after>>20)
	if after > before+12<<20 {
		t.Errorf("its memory has grown from %d to %d bytes", before, after)
	}
	quiet.write(t, 100)
	stopped.write(t, 100)
	stopped.end(t)
	took := times{}
	h.useAll(t, named("first"), took)

	for _, c := range all { // dockerd loses what it has taken from a container and not passed on
		c.seen(t)
	}
	meanwhile()
	for _, c := range []*counter{busy, quiet} {
		c.write(t, 100)
	}
	for i := 0; i == 0 || time.Since(begun) < outageTime(t); i++ {
		h.useAll(t, named(fmt.Sprint("then", i)), took)
	}
	for _, c := range all {
		c.logged(t)
	}
	for what, json := range took["json-file"] {
		own := took[pluginName][what]
		t.Logf("docker %s: %v at most, %v with json-file", what, own.Round(time.Millisecond), json.Round(time.Millisecond))
		if own > json+prompt {
			t.Errorf("docker %s took %v, %v with json-file", what, own, json)
		}
	}

	h.Docker(t, "update", "--restart=no", busy.name, quiet.name)
	back()
	for _, c := range []*counter{busy, quiet} {
		c.write(t, 100)
		c.end(t)
	}
	for _, c := range all {
		c.exact(t)
	}
}

// times are the longest of each docker command, by log driver.
type times map[string]map[string]time.Duration

// useAll runs a container with each driver, with all commands that could wait for the
// store. What it wrote must arrive in the end, though the container is gone.
func (h *host) useAll(t *testing.T, name string, took times) {
	t.Helper()
	for _, driver := range drivers {
		if took[driver] == nil {
			took[driver] = map[string]time.Duration{}
		}
		timed := func(what string, args ...string) string {
			begun := time.Now()
			out := h.Docker(t, append([]string{what}, args...)...)
			took[driver][what] = max(took[driver][what], time.Since(begun))
			return out
		}
		name := name + "-" + driver
		s := h.runArgs(spec{name: name, driver: driver, program: "echo hello; exec sleep 1000"})
		timed("run", append([]string{"--detach"}, s[1:]...)...)
		within(t, 20*time.Second, func() error {
			if out := timed("logs", name); out != "hello\n" {
				return fmt.Errorf("docker logs %s: %q", name, out)
			}
			return nil
		})
		timed("inspect", name)
		timed("stop", name)
		timed("inspect", name)
		if out := timed("logs", name); out != "hello\n" {
			t.Errorf("docker logs %s after its end: %q", name, out)
		}
		timed("rm", name)
	}
	t.Cleanup(func() {
		if blob := h.complete(t, name+"-"+pluginName); !strings.Contains(string(blob.Content), "hello") {
			t.Errorf("the blob of %s: %s", name, blob.Content)
		}
	})
}

// memory is the plugin's resident set, in bytes.
func (h *host) memory(t *testing.T) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.PluginPID(t, pluginName)))
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscanf(rss, "%d kB", &bytes); err != nil {
		t.Fatalf("read the plugin's memory: %v", err)
	}
	return bytes << 10
}

// testUpgrade changes the plugin's settings, and the plugin itself, while containers
// write and the store is away. So all that is not uploaded has to survive too.
func testUpgrade(t *testing.T, h *host) {
	var counters [3]*counter
	for i := range counters {
		counters[i] = h.count(t, fmt.Sprint("upgrade", i), 0)
	}
	write := func() {
		t.Helper()
		for _, c := range counters {
			c.write(t, 100)
		}
	}
	logged := func() {
		t.Helper()
		for _, c := range counters {
			c.logged(t)
		}
	}
	write()
	for _, c := range counters {
		c.readable(t)
	}
	life, _ := h.logs(t, "life") // of a container that has stopped long ago
	back := h.outage()
	write()
	logged()

	profiles := filepath.Join(h.dir, "profiles") // which dockerd needs to the end
	if err := os.Mkdir(profiles, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profiles, "other"), []byte("AZUREBLOB_CONTAINER_NAME=other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.DisablePlugin(t, pluginName, true)
	write()
	h.Docker(t, "plugin", "set", pluginName, "AZUREBLOB_HOSTNAME=elsewhere", "AZUREBLOB_CACHE_TOTAL=1", "profiles.source="+profiles)
	h.EnablePlugin(t, pluginName, 0)
	write()
	logged()

	// The second version has a file that the first one has not.
	dir := filepath.Join(t.TempDir(), "plugin")
	if err := os.CopyFS(dir, os.DirFS(h.plugin)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rootfs", "second"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reference := startRegistry(t) + "/azureblob:2"
	h.Docker(t, "plugin", "create", reference, dir)
	h.Docker(t, "plugin", "push", reference)
	h.Docker(t, "plugin", "rm", reference)
	h.DisablePlugin(t, pluginName, true)
	write()
	h.Docker(t, "plugin", "upgrade", "--skip-remote-check", "--grant-all-permissions", pluginName, reference)
	write()
	// dockerd keeps the environment, and mounts the new version's default.
	h.Docker(t, "plugin", "set", pluginName, "profiles.source="+profiles)
	h.EnablePlugin(t, pluginName, 0)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/second", h.PluginPID(t, pluginName))); err != nil {
		t.Errorf("the plugin is not the second version: %v", err)
	}
	write()
	logged()

	back()
	for _, c := range counters {
		c.end(t)
	}
	for _, c := range counters {
		c.exact(t)
	}

	h.Docker(t, h.runArgs(spec{name: "after", program: "echo hello", options: []string{"--log-opt=azureblob-profile=other"}})...)
	within(t, 20*time.Second, func() error {
		blob, ok := h.store.Blob("other", "after/"+h.id(t, "after")+".log")
		if !ok || blob.Metadata["host"] != "elsewhere" || blob.Metadata["complete"] != "1" {
			return fmt.Errorf("the profile's container has %q; metadata %v", h.store.Blobs("other"), blob.Metadata)
		}
		return nil
	})
	// Nothing is kept here of containers that have stopped, so docker logs reads the blob.
	for name, want := range map[string]string{"life": life, "after": "hello\n"} {
		within(t, 20*time.Second, func() error {
			if _, err := os.Stat(filepath.Join(h.stateDir(t), "containers", h.id(t, name))); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("the log of container %s is kept: %v", name, err)
			}
			return nil
		})
		if out, _ := h.logs(t, name); out != want {
			t.Errorf("docker logs %s gives %q, want %q", name, out, want)
		}
	}
}

// startRegistry serves as much of a registry as docker plugin push and upgrade need,
// and returns its address.
func startRegistry(t *testing.T) string {
	type object struct {
		mediaType string
		content   []byte
	}
	var mu sync.Mutex
	objects := map[string]object{} // by digest, or tag
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch name := path.Base(r.URL.Path); r.Method {
		case http.MethodPost: // an upload begins
			w.Header().Set("Location", r.URL.Path+"upload")
			w.WriteHeader(http.StatusAccepted)
		case http.MethodPut: // of what an upload brings, or of a manifest
			content, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			o := object{r.Header.Get("Content-Type"), content}
			digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
			objects[digest] = o
			if name != "upload" {
				objects[name] = o
			}
			w.Header().Set("Docker-Content-Digest", digest)
			w.WriteHeader(http.StatusCreated)
		default:
			o, ok := objects[name]
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", o.mediaType)
			w.Header().Set("Content-Length", fmt.Sprint(len(o.content)))
			w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(o.content)))
			if r.Method == http.MethodGet {
				w.Write(o.content)
			}
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
