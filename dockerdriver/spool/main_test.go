package spool

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the child that other tests kill or confine; child_test.go.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_CHILD"); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}
