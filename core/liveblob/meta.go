package liveblob

import (
	"fmt"
	"slices"
	"strings"
)

// The metadata that every commit carries; the service gives the names back with
// a capital letter, so look-ups ignore case.
const (
	metaStream   = "stream"   // who the blob belongs to
	metaOrigin   = "origin"   // made up by the blob's first commit and kept by all others, so that a reader knows the blob again
	metaWriter   = "writer"   // nonce of the writer that made this commit, 12 hex digits
	metaSeq      = "seq"      // that writer's count of commits, so that it knows its own
	metaCursor   = "cursor"   // the host's position after this commit's data
	metaComplete = "complete" // "1": the source has ended
	metaNext     = "next"     // the blob that the log goes on in
)

const (
	maxCursor       = 2 << 10 // bytes, in a header's form
	maxMetadata     = 8 << 10 // bytes of names and values together, the service's limit
	maxUserMetadata = 4 << 10 // the user's share of it
)

// metadata is a blob's metadata as we read and write it: decoded values under
// lower-case names.
type metadata map[string]string

func readMetadata(m map[string]*string) metadata {
	d := make(metadata, len(m))
	for k, v := range m {
		if v != nil {
			d[strings.ToLower(k)] = unescape(*v)
		}
	}
	return d
}

var protocol = []string{metaStream, metaOrigin, metaWriter, metaSeq, metaCursor, metaComplete, metaNext}

func reserved(lower string) bool { return slices.Contains(protocol, lower) }

// CheckMetadata refuses user metadata that the service, or this package, would
// refuse later, commit after commit.
func CheckMetadata(m map[string]string) error {
	given := make(map[string]bool, len(m))
	for k := range m {
		lower := strings.ToLower(k)
		switch {
		case reserved(lower):
			return fmt.Errorf("the name %q is taken: %s are written by azureblob itself", k, strings.Join(protocol, ", "))
		case !isIdentifier(k):
			return fmt.Errorf("the name %q is not valid: use letters, digits and _, and begin with a letter", k)
		case given[lower]:
			return fmt.Errorf("the name %q is given twice: names are the same in upper and lower case", k)
		}
		given[lower] = true
	}
	if n := metadata(m).size(); n > maxUserMetadata {
		return fmt.Errorf("it takes %d bytes: at most %d can be kept", n, maxUserMetadata)
	}
	return nil
}

// CheckCursor refuses a cursor that takes more than 2 KiB in a header, where a
// byte that is not printable ASCII takes three.
func CheckCursor(cursor string) error {
	if n := len(escape(cursor)); n > maxCursor {
		return fmt.Errorf("the cursor takes %d bytes, and at most %d are stored", n, maxCursor)
	}
	return nil
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func (m metadata) size() int {
	n := 0
	for k, v := range m {
		n += len(k) + len(escape(v))
	}
	return n
}

// header is m in the SDK's form, its values made safe for a header.
func (m metadata) header() map[string]*string {
	h := make(map[string]*string, len(m))
	for k, v := range m {
		v := escape(v)
		h[k] = &v
	}
	return h
}

const hexDigits = "0123456789ABCDEF"

// escape percent-encodes what a header cannot carry (controls, non-ASCII bytes,
// a leading or trailing space) and the percent sign itself, so that unescape
// gives s back.
func escape(s string) string {
	plain := func(i int) bool {
		c := s[i]
		return c > 0x20 && c < 0x7f && c != '%' || c == ' ' && i > 0 && i < len(s)-1
	}
	n := 0
	for i := range len(s) {
		if !plain(i) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; plain(i) {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// unescape undoes escape. What is not an escape stays as it is: others may have
// written the metadata.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
