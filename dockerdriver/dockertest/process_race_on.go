//go:build race

package dockertest

// RaceDetector: this test, and so the plugin, is built with it. Both are slower, and
// take several times the memory.
const RaceDetector = true
