//go:build race

package flbtest

// RaceDetector: this test, and so the library, is built with it. Both are slower, and
// take several times the memory.
const RaceDetector = true
