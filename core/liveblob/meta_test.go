package liveblob

import (
	"net/http"
	"strings"
	"testing"
)

func TestMetadataValuesAreHeaderSafe(t *testing.T) {
	for _, v := range []string{"", "plain", "a b", " lead", "trail ", "100%", "%41", "tab\t", "nul\x00", "line\r\nX-Evil: 1", "grüße", "\xff\xfe", "日本語"} {
		e := escape(v)
		for i := range len(e) {
			if e[i] < 0x20 || e[i] > 0x7e {
				t.Errorf("escape(%q) = %q: byte %d does not fit a header", v, e, i)
			}
		}
		if got := unescape(e); got != v {
			t.Errorf("%q comes back as %q", v, got)
		}
		h := http.Header{}
		h.Set("x-ms-meta-v", e)
		if got := strings.TrimSpace(h.Get("x-ms-meta-v")); got != e {
			t.Errorf("a header makes %q of %q", got, e)
		}
	}
}

func TestMetadataOfOthersIsReadAsItIs(t *testing.T) {
	for _, v := range []string{"%", "50% off", "%zz", "%4", "a%2fb"} {
		if got := unescape(v); got != v {
			t.Errorf("unescape(%q) = %q", v, got)
		}
	}
	v := "1"
	if m := readMetadata(map[string]*string{"Complete": &v, "X": nil}); m["complete"] != "1" {
		t.Errorf("readMetadata = %v", m)
	}
}

func FuzzMetadataEscape(f *testing.F) {
	f.Add("a%b\x00 ")
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescape(escape(s)); got != s {
			t.Errorf("%q comes back as %q", s, got)
		}
	})
}

func TestUserMetadataIsChecked(t *testing.T) {
	for name, ok := range map[string]bool{
		"team": true, "_x9": true, "A": true, "": false, "9x": false, "a-b": false, "a b": false, "ä": false,
		"stream": false, "Writer": false, "SEQ": false, "cursor": false, "complete": false, "next": false,
	} {
		if err := CheckMetadata(map[string]string{name: "v"}); (err == nil) != ok {
			t.Errorf("metadata name %q: %v", name, err)
		}
	}
	if err := CheckMetadata(map[string]string{"big": strings.Repeat("x", 8<<10)}); err == nil {
		t.Error("8 KiB of metadata pass, and would be refused at the first commit")
	}
}
