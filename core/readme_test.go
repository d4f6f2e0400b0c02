package core_test

import (
	"testing"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/readmetest"
)

// The README's option table is made from the code's own.
func TestREADME(t *testing.T) {
	readmetest.Check(t, "../README.md", "go test ./core -run README -update",
		readmetest.Section{Name: "options", Want: core.Table()})
}
