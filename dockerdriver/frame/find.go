package frame

import (
	"encoding/binary"
	"strings"
)

// Size is the size of the frame that b begins with, its length included; the frame
// may be longer than b. It is 0 if b is too short to tell, and ErrGarbled says that
// no frame begins like this.
func Size(b []byte) (int, error) {
	if len(b) < header {
		return 0, nil
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > MaxSize {
		return 0, ErrGarbled
	}
	if len(b) == header {
		return 0, nil
	}
	switch b[header] {
	case tagSource, tagTime, tagLine, tagPartial, tagMetadata:
		return header + int(n), nil
	}
	return 0, ErrGarbled
}

// Resync is how many bytes of b to drop for the next frame to be at its beginning:
// all, if there is none, but for an end that more bytes may make one. 0 says that b
// begins with a frame, or may do so if it is shorter than a frame's first 12 bytes.
func Resync(b []byte) int {
	for i := range b {
		if begins(b[i:]) {
			return i
		}
	}
	return len(b)
}

// begins reports that b begins like a frame of stdout or stderr, as far as it goes.
func begins(b []byte) bool {
	const stdout, stderr = "\n\x06stdout", "\n\x06stderr" // the field source, as it is in the payload
	if b[0] > MaxSize>>24 {
		return false // as nearly all bytes of a line are
	}
	if len(b) < header {
		return true
	}
	if n := binary.BigEndian.Uint32(b); n < uint32(len(stdout)) || n > MaxSize {
		return false
	}
	payload := string(b[header:min(len(b), header+len(stdout))])
	return strings.HasPrefix(stdout, payload) || strings.HasPrefix(stderr, payload)
}
