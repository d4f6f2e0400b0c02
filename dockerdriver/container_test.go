package main_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/dockertest"
	"github.com/liveblob/azureblob/dockerdriver/frame"
)

// TestContainer is one container's life.
func TestContainer(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	if implements, err := b.daemon.Activate(); err != nil || !slices.Equal(implements, []string{"LogDriver"}) {
		t.Errorf("it implements %q, %v", implements, err)
	}
	if read, err := b.daemon.Capabilities(); err != nil || !read {
		t.Errorf("it reads logs: %v, %v", read, err)
	}
	c := b.start(dockertest.Spec{Name: "web", Image: "nginx", Labels: map[string]string{"team": "a"}, Opts: map[string]string{"labels": "team"}})
	n := &dockertest.Numbered{Name: "web"}
	b.burst(c, n, 3)
	wrote := time.Now()
	b.readable(c, n)
	if took := time.Since(wrote); took > 2500*time.Millisecond {
		t.Errorf("readable after %v", took)
	}
	blob, err := b.blob(c)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"stream": c.Info.ContainerID, "container_name": "web", "image": "nginx", "label_team": "a", "complete": ""} {
		if blob.Metadata[k] != v {
			t.Errorf("metadata %s=%q, want %q", k, blob.Metadata[k], v)
		}
	}

	// docker logs -f gives what is there and what comes, and ends with the container.
	followed := make(chan error, 1)
	var l dockertest.Logs
	first := make(chan struct{})
	go func() {
		_, err := c.Follow(t.Context(), dockertest.ReadConfig{Tail: -1, Follow: true}, func(e frame.Entry) error {
			if l.Entries = append(l.Entries, e); len(l.Entries) == 3 {
				close(first)
			}
			return nil
		})
		followed <- err
	}()
	select {
	case <-first:
	case err := <-followed:
		t.Fatalf("docker logs -f ended: %v", err)
	}
	if err := n.Write(c, "stderr"); err != nil {
		t.Fatal(err)
	}
	b.burst(c, n, 100)
	b.stop(c)
	select {
	case err := <-followed:
		if err == nil {
			err = n.Check(l.Lines())
		}
		if err != nil {
			t.Errorf("docker logs -f: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("docker logs -f does not end with the container")
	}
	b.exact(c, n)
	if stopped := b.complete(c).Metadata["stopped"]; stopped == "" {
		t.Error("the blob does not say when the container stopped")
	}

	// docker restart goes on in the same blob, and so does a new process.
	if err := c.Restart(); err != nil {
		t.Fatal(err)
	}
	b.burst(c, n, 1)
	b.readable(c, n)
	if took := b.plugin.Terminate(); took > 2*prompt {
		t.Errorf("it took %v to end", took)
	}
	b.burst(c, n, 10)
	if took := b.plugin.Start(); took > prompt {
		t.Errorf("it took %v to listen", took)
	}
	b.burst(c, n, 10)
	b.stop(c)
	b.exact(c, n)
	if left := b.daemon.FIFOs(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRaw compares bytes with what the program wrote.
func TestRaw(t *testing.T) {
	t.Parallel()
	b := newBed(t, dockertest.PluginConfig{})
	var out bytes.Buffer
	out.WriteString("plain\n\n \t\r\n\x1b[31mred\x1b[0m\nnul\x00nul\n\xff\xfe\xc0\x80 no UTF-8\n")
	for _, size := range []int{16<<10 - 1, 16 << 10, 16<<10 + 1, 1 << 20, 20 << 20, 0, 3 << 20} {
		for range size {
			if x := byte(rand.Uint32()); x != '\n' {
				out.WriteByte(x)
			}
		}
		out.WriteByte('\n')
	}
	out.WriteString("no newline at the end")
	c := b.start(dockertest.Spec{Name: "raw", Opts: map[string]string{"azureblob-format": "raw"}})
	if err := c.Output(bytes.NewReader(out.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	b.stop(c)
	l, _ := b.logs(c)
	for place, got := range map[string][]byte{"the blob": b.complete(c).Content, "docker logs": []byte(l.Text("stdout"))} {
		if at := differ(got, out.Bytes()); at >= 0 {
			t.Errorf("%s has %d bytes, %d were written; they differ from byte %d on: %.60q", place, len(got), out.Len(), at, got[min(at, len(got)):])
		}
	}
}

// differ is where a and b do; -1: nowhere.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}
