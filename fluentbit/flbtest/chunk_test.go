package flbtest

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
)

var second = time.Unix(0x01020304, 5)

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"v1", V1(second, Map{{"log", "a"}}), "92 d7 00 01020304 00000005 81 a36c6f67 a161"},
		{"v1, whole seconds", V1(1, Map{}), "92 01 80"},
		{"v1, float", V1(1.5, Map{}), "92 cb3ff8000000000000 80"},
		{"v2", V2(second, nil, Map{{"a", 1}}), "92 92 d7 00 01020304 00000005 80 81 a161 01"},
		{"v2 with metadata", V2(1, Map{{"k", nil}}, "s"), "92 92 01 81 a16b c0 a173"},
		{"group start", GroupStart(nil, Map{{"a", true}}), "92 92 d7 00 ffffffff 00000000 80 81 a161 c3"},
		{"group end", GroupEnd(), "92 92 d7 00 fffffffe 00000000 80 80"},
		{"two", Chunk(V1(1, 2), V1(3, 4)), "92 01 02 92 03 04"},
		{"tail's", LogChunk(second, "a", "b"), "92 92 d7 00 01020304 00000005 80 81 a36c6f67 a161" +
			"92 92 d7 00 01020304 00000005 80 81 a36c6f67 a162"},
	} {
		if got, want := hex.EncodeToString(c.got), strings.ReplaceAll(c.want, " ", ""); got != want {
			t.Errorf("%s: %s, want %s", c.name, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{200, "ccc8"}, {70000, "ce00011170"}, {-1, "ff"}, {-200, "d1ff38"},
		{uint64(math.MaxUint64), "cfffffffffffffffff"}, {int64(math.MinInt64), "d38000000000000000"},
		{float32(1), "ca3f800000"}, {[]byte("x"), "c40178"}, {Raw{0xc1}, "c1"},
		{Map{{1, 2}, {1, 3}}, "8201020103"}, {[]any{nil, false}, "92c0c2"},
		{Ext{-1, []byte{7}}, "d4ff07"}, {Ext{5, nil}, "c70005"},
	} {
		if got := hex.EncodeToString(AppendValue(nil, c.v)); got != c.want {
			t.Errorf("%#v: %s, want %s", c.v, got, c.want)
		}
	}
	for _, n := range []int{0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65535, 65536} {
		e := Ext{9, bytes.Repeat([]byte{1}, n)}
		got := msgp.RawExtension{Type: 9}
		if rest, err := msgp.ReadExtensionBytes(AppendValue(nil, e), &got); err != nil || len(rest) > 0 || !bytes.Equal(got.Data, e.Data) {
			t.Errorf("ext of %d bytes: %v, %d left", n, err, len(rest))
		}
	}
}
