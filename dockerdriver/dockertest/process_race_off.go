//go:build !race

package dockertest

const RaceDetector = false
