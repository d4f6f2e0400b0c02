//go:build !race

package flbtest

const RaceDetector = false
