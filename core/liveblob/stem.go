package liveblob

import (
	"path"
	"strings"
)

// Stem is what the names of all blobs of one log have in common: the name without
// the numbers of roll-overs (NAME-0001) and the digits of forks (NAME-1a2b3c4d.log)
// at its end. Stem(ForkName(name, stream)) is Stem(name), and so is that of any blob
// that either of them rolls over to, as long as the name leaves room for both
// suffixes (1,000 bytes), so that neither was cut for them.
//
// Other names may look as if they had such an ending (web-20261123.log). They lose it
// as well: what the stem is good for, to keep a log together, it still does.
func Stem(name string) string {
	for {
		stem := withoutFork(withoutRolls(name))
		if stem == name {
			return stem
		}
		name = stem
	}
}

// withoutRolls is the inverse of rollName, over and over.
func withoutRolls(name string) string {
	for {
		i := strings.LastIndexByte(name, '-')
		if n := len(name) - 1 - i; i < 0 || n != 4 && n != 5 || !only(name[i+1:], "0123456789") {
			return name
		}
		name = name[:i]
	}
}

// withoutFork is the inverse of ForkName, once.
func withoutFork(name string) string {
	ext := forkExt(name)
	base := strings.TrimSuffix(name, ext)
	i := len(base) - forkSuffix
	if i < 0 || base[i] != '-' || !only(base[i+1:], "0123456789abcdef") {
		return name
	}
	return base[:i] + ext
}

const forkSuffix = 9 // "-" and eight hex digits

// forkExt is the extension that a fork's digits go before.
func forkExt(name string) string {
	ext := path.Ext(name)
	if base := strings.TrimSuffix(name, ext); base == "" || strings.HasSuffix(base, "/") || len(ext) > 32 {
		return ""
	}
	return ext
}

func only(s, set string) bool { return strings.Trim(s, set) == "" }
