package flbtest

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

//go:embed host/host.c
var hostSource []byte

// Library is out_azureblob.so as this test process has built it, with the race detector
// if the test has it.
func Library(t testing.TB) string {
	t.Helper()
	path, err := builtLibrary()
	if err != nil {
		t.Fatalf("build the library: %v", err)
	}
	return path
}

var builtLibrary = sync.OnceValues(func() (string, error) {
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "out_azureblob.so")
	args := []string{"build", "-buildmode=c-shared", "-o", path}
	if RaceDetector {
		// The detector's shadow memory covers low addresses only, and libraries are
		// mapped high unless they ask for something else.
		args = append(args, "-race", "-ldflags=-extldflags=-Wl,-Ttext-segment=0x8000000000")
	} else {
		args = append(args, "-ldflags=-s -w")
	}
	return path, run("go", append(args, "github.com/liveblob/azureblob/fluentbit")...)
})

var builtHost = sync.OnceValues(func() (string, error) {
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	source, path := filepath.Join(dir, "host.c"), filepath.Join(dir, "host")
	if err := os.WriteFile(source, hostSource, 0o600); err != nil {
		return "", err
	}
	return path, run("gcc", "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-Wl,-z,now", "-o", path, source, "-ldl")
})

func run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, args[0], err, out)
	}
	return nil
}

// keeperStdin is kept, or the garbage collector would close it.
var keeperStdin io.WriteCloser

// buildDir is a folder for what this test process builds. It goes when the write end of
// the keeper's stdin does, which the kernel closes however the process ends.
var buildDir = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "azureblob-fluentbit-"); err != nil {
		return "", err
	}
	keeper := exec.Command("/bin/sh", "-c", `trap '' INT TERM HUP; cat; rm -rf "$1"`, "keeper", dir)
	if keeperStdin, err = keeper.StdinPipe(); err != nil {
		return "", err
	}
	return dir, keeper.Start()
})
