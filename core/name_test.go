package core

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkClean holds a clean name to what the service takes unchanged.
func checkClean(t *testing.T, text, name string) {
	t.Helper()
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		t.Fatalf("%q: %q is empty, too long or not UTF-8", text, name)
	}
	segments := strings.Split(name, "/")
	if len(segments) > 60 {
		t.Fatalf("%q: %d segments", text, len(segments))
	}
	for _, s := range segments {
		if s == "" || strings.HasSuffix(s, ".") {
			t.Fatalf("%q: %q has the segment %q", text, name, s)
		}
	}
	for _, r := range name {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\\' || r&0xfffe == 0xfffe || r == 0x202e {
			t.Fatalf("%q: %q has the character %U", text, name, r)
		}
	}
	if len(name) <= maxWhole && text != "" {
		if back, err := url.PathUnescape(name); err != nil || back != text {
			t.Fatalf("%q: %q decodes to %q, %v", text, name, back, err)
		}
	}
	if len(name) <= maxWhole {
		if err := CheckBlobName(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a/b.log":          "a/b.log",
		"":                 "%",
		"%":                "%25",
		"/a":               "%2Fa",
		"a/":               "a%2F",
		"a//b":             "a/%2Fb",
		"/":                "%2F",
		"..":               "%2E%2E",
		".":                "%2E",
		"../../etc/passwd": "%2E%2E/%2E%2E/etc/passwd",
		"a/./b":            "a/%2E/b",
		"a./b":             "a%2E/b",
		"a...":             "a%2E%2E%2E",
		".hidden":          ".hidden",
		"a..b":             "a..b",
		`a\b`:              "a%5Cb",
		"a\nb\x00":         "a%0Ab%00",
		"a\xffb":           "a%FFb",
		"\u202egol":        "%E2%80%AEgol",
		"100%25":           "100%2525",
		"grün/日本 語?#&":     "grün/日本 語?#&",
		"\ufffd":           "\ufffd",
	} {
		if got := CleanName(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		checkClean(t, text, CleanName(text))
	}
}

// TestCleanNameApart cleans texts that are alike in every way that cleaning
// treats: no two may meet.
func TestCleanNameApart(t *testing.T) {
	t.Parallel()
	var texts []string
	atoms := []string{"", "a", "/", ".", "%", "2F", "%2F", "\\", "\x00", "é", "\xff", "-"}
	for _, a := range atoms {
		for _, b := range atoms {
			for _, c := range atoms {
				texts = append(texts, a+b+c)
			}
		}
	}
	for n := 950; n < 1030; n++ { // around the lengths at which names are cut
		for _, s := range []string{"x", "é", "\x01", "日", "a/"} {
			long := strings.Repeat(s, n/len(s)+1)[:n]
			texts = append(texts, long, long+"y", CleanName(long), CleanName(long)+"y", strings.Repeat(s, n))
		}
	}
	seen := map[string]string{}
	for _, text := range texts {
		name := CleanName(text)
		checkClean(t, text, name)
		if other, ok := seen[name]; ok && other != text {
			t.Fatalf("%q and %q are both %q", text, other, name)
		}
		seen[name] = text
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("a", "b")
	f.Add("../x", "%2E%2E/x")
	f.Add(strings.Repeat("ä.", 600), strings.Repeat("/", 2000))
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := CleanName(a), CleanName(b)
		checkClean(t, a, x)
		checkClean(t, b, y)
		if a != b && x == y {
			t.Fatalf("%q and %q are both %q", a, b, x)
		}
		if again := CleanName(x); a != x && again == x {
			t.Fatalf("%q cleans to %q, and so does that", a, x)
		}
	})
}

func TestCheckNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"abc": true, "a-1": true, "$web": true, "$root": true, strings.Repeat("a", 63): true,
		"ab": false, "": false, "Abc": false, "a_b": false, "-ab": false, "ab-": false, "a--b": false, "a.b": false, strings.Repeat("a", 64): false,
	} {
		if err := CheckContainerName(name); (err == nil) != ok {
			t.Errorf("container %q: %v", name, err)
		}
	}
	for name, ok := range map[string]bool{
		"a/b.log": true, "100%": true, "a%2Fb": true, "ü ?#": true,
		"": false, "a//b": false, "a/": false, "/a": false, "a.": false, "..": false, "a\\b": false, "a\n": false, strings.Repeat("a", 1025): false,
	} {
		if err := CheckBlobName(name); (err == nil) != ok {
			t.Errorf("blob %q: %v", name, err)
		}
	}
}
