package main_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/dockertest"
)

// testUse is what is to be seen from the command line.
func testUse(t *testing.T, h *host) {
	t.Run("together", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *host){
			"life":                           testLife,
			"odd output":                     testOddOutput,
			"mistakes":                       testMistakes,
			"restart and rename":             testRestart,
			"docker logs":                    testLogs,
			"docker logs of what is evicted": testEvicted,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, h)
			})
		}
	})
	for _, then := range []struct {
		name string
		test func(*testing.T, *host)
	}{
		{"docker logs while the store is away", testStoreAway}, // these two look at containers of those above
		{"settings and upgrade", testUpgrade},
		{"default driver", testDefault},
	} {
		t.Run(then.name, func(t *testing.T) { then.test(t, h) })
	}
}

// testLife is one container's life: its blob grows while it runs.
func testLife(t *testing.T, h *host) {
	c := h.count(t, "life", 0)
	size := 0
	for range 3 {
		c.write(t, 10)
		blob := c.readable(t)
		if len(blob.Content) <= size || blob.Metadata["complete"] != "" {
			t.Errorf("the blob has %d bytes, %d before; metadata %v", len(blob.Content), size, blob.Metadata)
		}
		size = len(blob.Content)
	}
	if running := h.Docker(t, "inspect", "--format={{.State.Running}}", "life"); running != "true\n" {
		t.Errorf("running: %s", running)
	}
	c.end(t)
	c.exact(t)
	blob := h.complete(t, "life")
	stopped, err := time.Parse(time.RFC3339Nano, blob.Metadata["stopped"])
	if since := time.Since(stopped); err != nil || since < 0 || since > time.Minute {
		t.Errorf("the blob says that the container stopped %v ago: %v, %v", since, blob.Metadata, err)
	}
	for key, want := range map[string]string{"container_id": h.id(t, "life"), "container_name": "life", "image": dockertest.Image} {
		if got := blob.Metadata[key]; got != want {
			t.Errorf("metadata %s=%q, want %q", key, got, want)
		}
	}
}

// testOddOutput compares bytes with what the container's program wrote.
func testOddOutput(t *testing.T, h *host) {
	var out bytes.Buffer
	out.WriteString("plain\n\n \t\r\n\n\x1b[31mred\x1b[0m \x1b[2K\rover\nnul\x00nul\n\xff\xfe\xc0\x80 no UTF-8\n\"quoted\\\u2028\n{\"log\":\"x\"}\n")
	letters := "abcdefghijklmnopqrstuvwxyz \x00\r\t\x1b\xff\xc3é€😀"
	for _, size := range []int{16<<10 - 1, 16 << 10, 16<<10 + 1, 32 << 10, 1 << 20, 20 << 20, 0, 1 << 20} {
		for range size {
			out.WriteByte(letters[rand.IntN(len(letters))])
		}
		out.WriteByte('\n')
	}
	out.WriteString("no newline at the end")
	written := out.Bytes()
	if err := os.WriteFile(filepath.Join(h.dir, "odd"), written, 0o600); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(written), "\n")

	for _, format := range []string{"raw", "json", "text"} {
		name := "odd-" + format
		stdout := h.Docker(t, h.runArgs(spec{name: name, program: "cat /in/odd", options: []string{"--log-opt=azureblob-format=" + format}})...)
		blob := h.complete(t, name)
		logs, stderr := h.logs(t, name)
		same := func(where string, got []byte) {
			if !bytes.Equal(got, written) {
				at := differ(got, written)
				t.Errorf("%s: %s has %d bytes, %d were written; they differ from byte %d on: %.60q", format, where, len(got), len(written), at, got[min(at, len(got)):])
			}
		}
		same("docker run", []byte(stdout))
		same("docker logs", []byte(logs))
		if stderr != "" {
			t.Errorf("%s: docker logs has %q on stderr", format, stderr)
		}
		if format == "raw" {
			same("the blob", blob.Content)
			continue
		}
		if format == "text" { // the last line has not ended, and says so
			blob.Content = bytes.Replace(blob.Content, []byte(" stdout P no newline"), []byte(" stdout F no newline"), 1)
		}
		got, err := dockertest.BlobLines(blob, format)
		if err != nil || len(got) != len(lines) {
			t.Errorf("%s: the blob has %d lines, %d were written; %v", format, len(got), len(lines), err)
			continue
		}
		for i, l := range got {
			want := lines[i]
			if format == "json" {
				want = string([]rune(want)) // U+FFFD for what is no UTF-8
			}
			if at := differ([]byte(l.Text), []byte(want)); at >= 0 || l.Source != "stdout" {
				t.Errorf("%s: line %d of %s has %d bytes, %d were written; they differ from byte %d on", format, i+1, l.Source, len(l.Text), len(want), at)
			}
		}
	}
}

// testMistakes: docker run says what is wrong with a log-opt.
func testMistakes(t *testing.T, h *host) {
	for option, says := range map[string][]string{
		"azureblob-formt=json":                {"azureblob-formt", "did you mean azureblob-format?"},
		"max-size=10m":                        {"max-size", "json-file", "azureblob-max-size"},
		"azureblob-shared-key=c2VjcmV0":       {"azureblob-shared-key", "docker inspect", "AZURE_STORAGE_KEY"},
		"azureblob-connection-string=secret=": {"azureblob-connection-string", "docker inspect", "AZURE_STORAGE_CONNECTION_STRING"},
		"azureblob-format=xml":                {"azureblob-format", "xml", "json, text, raw"},
		"azureblob-flush-interval=soon":       {"azureblob-flush-interval", "soon"},
		"azureblob-spool-size=1K":             {"azureblob-spool-size", "8M"},
		"azureblob-on-full=explode":           {"azureblob-on-full", "block", "drop-oldest"},
		"azureblob-path={{.Nme}}":             {"azureblob-path", "Nme"},
		"azureblob-path={{":                   {"azureblob-path", "{{"},
		"tag={{.Nme}}":                        {"tag", "Nme"},
		"labels-regex=(":                      {"labels-regex", "("},
		"azureblob-profile=nope":              {"nope", "/etc/azureblob/profiles"},
		"azureblob-profile=../secret":         {"profile", "../secret"},
	} {
		_, stderr, err := h.TryDocker(t, h.runArgs(spec{name: "mistake", program: "true", options: []string{"--rm", "--log-opt=" + option}})...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 125 {
			t.Errorf("%s: docker run: %v: %s", option, err, stderr)
		}
		text, hint, _ := strings.Cut(stderr, "\n") // the hint is the command's own
		if strings.TrimSpace(strings.ReplaceAll(hint, "Run 'docker run --help' for more information", "")) != "" {
			t.Errorf("%s: docker run says more than a line: %q", option, stderr)
		}
		for _, part := range says {
			if !strings.Contains(text, part) {
				t.Errorf("%s: docker run does not say %q: %s", option, part, text)
			}
		}
		if _, value, _ := strings.Cut(option, "="); strings.Contains(option, "-key=") && strings.Contains(text, value) {
			t.Errorf("docker run shows the secret: %s", text)
		}
	}
	if left := h.Docker(t, "ps", "--all", "--quiet", "--filter=name=mistake"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// testRestart: a container that is started again, or has another name, goes on in
// its blob, as it does in json-file's file.
func testRestart(t *testing.T, h *host) {
	c := h.count(t, "restart", 0)
	c.write(t, 10)
	c.readable(t)
	h.Docker(t, "restart", "restart")
	c.write(t, 10)
	c.readable(t)
	h.Docker(t, "stop", "restart")
	if blob := h.complete(t, "restart"); blob.Metadata["stopped"] == "" {
		t.Errorf("metadata %v", blob.Metadata)
	}
	h.Docker(t, "rename", "restart", "renamed")
	h.Docker(t, "start", "renamed")
	c.write(t, 10)
	if blob := c.readable(t); blob.Metadata["complete"] != "" || blob.Metadata["stopped"] != "" {
		t.Errorf("the container runs again, and the metadata are %v", blob.Metadata)
	}

	// Two docker logs -f at once, and they end with the container.
	var follow [2]*following
	for i := range follow {
		follow[i] = h.follow(t, "--follow", "renamed")
	}
	c.write(t, 10)
	c.in.Close()
	h.wait(t, "renamed")
	for _, f := range follow {
		stdout, stderr := f.end(t)
		if n, m := strings.Count(stdout, "\n"), strings.Count(stderr, "\n"); n != c.lines || m != c.lines {
			t.Errorf("docker logs -f has %d lines of stdout and %d of stderr, want %d", n, m, c.lines)
		}
	}
	if err := c.checkBlob(h.complete(t, "restart")); err != nil {
		t.Error(err)
	}
	if stdout, _ := h.logs(t, "renamed"); strings.Count(stdout, "\n") != c.lines {
		t.Errorf("docker logs has %d lines of stdout, want %d", strings.Count(stdout, "\n"), c.lines)
	}
}

// testDefault: daemon.json may name the driver for all containers.
func testDefault(t *testing.T, h *host) {
	h.Stop(t, syscall.SIGTERM)
	h.Start(t, "--log-driver="+pluginName, "--log-opt=mode=non-blocking", "--log-opt=max-buffer-size=4m",
		"--log-opt=labels=com.docker.compose.project,com.docker.compose.service")
	h.Docker(t, h.runArgs(spec{name: "shop-web-1", driver: "default", program: "echo hello", options: []string{
		"--label=com.docker.compose.project=shop", "--label=com.docker.compose.service=web", "--label=other=x",
	}})...)
	if is := h.Docker(t, "inspect", "--format={{.HostConfig.LogConfig.Type}}", "shop-web-1"); is != pluginName+"\n" {
		t.Errorf("the container's log driver is %s", is)
	}
	blob := h.complete(t, "shop-web-1")
	if m := blob.Metadata; m["label_com_docker_compose_project"] != "shop" || m["label_com_docker_compose_service"] != "web" || m["label_other"] != "" {
		t.Errorf("metadata %v", m)
	}
	if want := `"attrs":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}`; !bytes.Contains(blob.Content, []byte(want)) {
		t.Errorf("the blob has no %s: %s", want, blob.Content)
	}
}
