package flbtest

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// odd starts a library that does on purpose what a library must not do.
func odd(t *testing.T, workers int) *Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), "library.so")
	if err := run("gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", path, "testdata/library.c"); err != nil {
		t.Fatal(err)
	}
	h := StartHost(t, HostConfig{Library: path, Workers: workers})
	if h.Ready != "library of the host's tests" {
		t.Errorf("the library is registered as %q", h.Ready)
	}
	return h
}

func TestHost(t *testing.T) {
	for _, workers := range []int{0, 1, 3} {
		h := odd(t, workers)
		if _, ok := h.Init(Props{"start": "off"}); ok {
			t.Fatal("an instance has started that must not")
		}
		for want := range 2 {
			if i, ok := h.Init(Props{"START": "of it all", "empty": ""}); !ok || i != want {
				t.Fatalf("instance %d: %d, %v", want, i, ok)
			}
		}
		for tag, want := range map[string]string{"ok": "OK", "retry": "RETRY", "seven": "ERROR", "": "OK"} {
			if a := h.Flush(1, tag, []byte{1, 2, 3}); a.Result != want || a.Depth > 2000 {
				t.Errorf("tag %q: %+v, want %s", tag, a, want)
			}
		}
		if a := h.Flush(0, "deep", nil); a.Result != "OK" || a.Depth < 20000 || a.Depth > 21000 {
			t.Errorf("20,000 bytes of stack: %+v", a)
		}

		b := NewBulkFile(t)
		b.Add("ok", []byte{1, 2, 3})
		b.Add("ok", []byte{6})
		b.Add("retry", nil)
		b.Close()
		if got := h.Bulk(0, b.Path, 5); got.OK != 10 || got.Failed != 5 || got.Bytes != 20 || got.Wall <= 0 {
			t.Errorf("in bulk: %+v", got)
		}

		h.Exit(0)
		h.Reload()
		if a := h.Flush(1, "ok", []byte{6}); a.Result != "OK" {
			t.Errorf("after a reload: %+v", a)
		}
		h.Stop(1)
		if a := h.Flush(1, "ok", nil); a.Result != "" {
			t.Errorf("after the end: %+v", a)
		}
	}
}

// What a library must not do ends the process, and so the test.
func TestHostCrashes(t *testing.T) {
	for _, tags := range [][]string{
		{"too deep"}, {"write"}, {"past the end"}, {"before its time", "after it"},
	} {
		h := odd(t, 1)
		h.Init(Props{"start": "of it all"})
		var last Answer
		for _, tag := range tags {
			last = h.Flush(0, tag, []byte("chunk"))
		}
		if last.Result != "" {
			t.Errorf("%q: a flush was answered %q", tags, last.Result)
			continue
		}
		h.Died()
	}
}

func TestHostFork(t *testing.T) {
	h := odd(t, 1)
	h.Fork()
	if i, ok := h.Init(Props{"start": "of it all"}); !ok || h.Flush(i, "ok", []byte{6}).Result != "OK" {
		t.Error("the child does not go on")
	}
	h.Stop(0)
}
