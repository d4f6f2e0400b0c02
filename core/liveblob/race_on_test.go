//go:build race

package liveblob_test

// raceDetector: the longest tests take a sample only; make test runs them in
// full without it.
const raceDetector = true
