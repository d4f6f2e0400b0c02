package core

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxName leaves room, within the service's 1,024 characters, for the
	// suffixes of a roll-over (-0001) and of a fork (-8 hex digits). It counts
	// bytes, because a name is also kept as metadata (next), percent-encoded.
	maxName = 1000

	// maxWhole is the longest that a name may be without being cut. A cut name
	// is always longer, so it is never the name of something else.
	maxWhole = maxName - 40

	// maxSlashes keeps within 254 path segments, and within 63 where the account
	// has a hierarchical namespace.
	maxSlashes = 59
)

// CleanName makes a valid blob name of any text, a different one for each text.
// What the service refuses or changes is percent-encoded: control characters and
// others that XML or a terminal cannot take, backslashes, invalid UTF-8, dots
// that end a segment ("." and ".." among them), slashes that begin or end a name
// or follow another, and % itself, so that percent-decoding gives the text back.
// A longer name than the service takes is cut, and ends in a hash of the whole.
func CleanName(s string) string {
	if s == "" {
		return "%" // nothing else gives a bare percent sign
	}
	name := encodeName(s, true)
	if len(name) > maxWhole {
		return cut(name, s)
	}
	return name
}

// encodeName percent-encodes what cannot be in a name; percent says whether the
// percent sign is among that.
func encodeName(s string, percent bool) string {
	var b strings.Builder
	slashes := 0
	segment := 0 // where the current one begins in b
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		var bad bool
		switch r {
		case '%':
			bad = percent
		case '/':
			bad = b.Len() == segment || i+1 == len(s) || slashes == maxSlashes
			if !bad {
				slashes++
				segment = b.Len() + 1
			}
		case '.':
			rest := strings.TrimLeft(s[i:], ".")
			bad = rest == "" || rest[0] == '/'
		default:
			bad = unfit(r, n)
		}
		if bad {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// unfit reports characters that cannot be in a name. The list is fixed, not
// Unicode's newest, so that a stream keeps its name from one release to the next.
func unfit(r rune, size int) bool {
	switch {
	case r == utf8.RuneError && size == 1: // not UTF-8
	case r < 0x20, r == '\\', 0x7f <= r && r <= 0x9f: // controls
	case 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, r == 0xfeff: // line ends, writing direction, BOM
	case 0xe000 <= r && r <= 0xf8ff, r >= 0xf0000: // private use
	case 0xfdd0 <= r && r <= 0xfdef, r&0xfffe == 0xfffe: // noncharacters
	default:
		return false
	}
	return true
}

// cut shortens a clean name and adds a hash of the text that it stands for.
func cut(name, text string) string {
	sum := sha256.Sum256([]byte(text))
	end := maxWhole
	for !utf8.RuneStart(name[end]) {
		end--
	}
	if i := strings.LastIndexByte(name[:end], '%'); i > end-3 {
		end = i // not through an escape
	}
	return name[:end] + "-" + hex.EncodeToString(sum[:16])
}

// CheckBlobName refuses a name that a person typed and that the service would
// refuse or change. Percent signs are the person's own here.
func CheckBlobName(name string) error {
	switch {
	case name == "":
		return errors.New("blob name is empty: write CONTAINER/NAME")
	case len(name) > maxName:
		return fmt.Errorf("blob name %.40q… is not valid: it takes at most %d bytes", name, maxName)
	}
	if clean := encodeName(name, false); clean != name {
		return fmt.Errorf("blob name %q is not valid: no control characters, backslashes, empty segments or dots at a segment's end: %q would do", name, clean)
	}
	return nil
}

// CheckContainerName refuses a name that cannot be a container's, and offers one
// that can.
func CheckContainerName(name string) error {
	switch name {
	case "$root", "$web", "$logs":
		return nil
	}
	if validContainer(name) {
		return nil
	}
	hint := ""
	like := strings.Map(func(r rune) rune {
		if isAlphanumeric(r) {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	like = strings.Join(strings.FieldsFunc(like, func(r rune) bool { return r == '-' }), "-")
	if validContainer(like) {
		hint = fmt.Sprintf(": %q would do", like)
	}
	return fmt.Errorf("container name %q is not valid: it takes 3 to 63 of a-z, 0-9 and single -, and begins and ends with a letter or digit%s", name, hint)
}

func validContainer(s string) bool {
	if len(s) < 3 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// EnvInName is an environment variable as a part of a name. One that is not set
// is an error: the name would be another than the one that was meant. Whoever
// writes a template may not be allowed to see the credentials, and a blob's name
// is no place for them.
func EnvInName(name string, lookup func(string) (string, bool)) (string, error) {
	upper := strings.ToUpper(name)
	for _, word := range []string{"KEY", "SECRET", "TOKEN", "PASSW", "CONNECTION_STRING", "CREDENTIAL"} {
		if strings.Contains(upper, word) {
			return "", fmt.Errorf("variable %s may hold a secret", name)
		}
	}
	value, _ := lookup(name)
	if value == "" {
		return "", fmt.Errorf("variable %s is not set", name)
	}
	return value, nil
}
