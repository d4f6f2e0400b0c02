//go:build !race

package liveblob_test

const raceDetector = false
