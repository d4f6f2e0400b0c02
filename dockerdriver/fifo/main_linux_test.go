package fifo

import (
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the children that other tests start, and kill.
func TestMain(m *testing.M) {
	switch child, path := os.Getenv("FIFO_TEST_CHILD"), os.Getenv("FIFO_TEST_PIPE"); child {
	case "copy":
		copyToSpool(path)
	case "poor":
		readPoorly(path)
	case "write":
		writeMillion(path)
	default:
		goleak.VerifyTestMain(m)
	}
}

// child is a command that runs this program as one of them.
func child(name, path string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, "FIFO_TEST_CHILD="+name, "FIFO_TEST_PIPE="+path)...)
	cmd.Stderr = os.Stderr
	return cmd
}
