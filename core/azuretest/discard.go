package azuretest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// StartDiscard builds and starts a blob service that forgets, in a process of its
// own, and gives its address. It ends with the test.
func StartDiscard(tb testing.TB) (address string) {
	tb.Helper()
	program := filepath.Join(tb.TempDir(), "discard")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/liveblob/azureblob/core/azuretest/discard").CombinedOutput(); err != nil {
		tb.Fatalf("build the service that forgets: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		tb.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatalf("start the service that forgets: %v", err)
	}
	return strings.TrimSpace(line)
}
