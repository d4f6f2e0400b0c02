package keys

import (
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

func TestMetadataAndTags(t *testing.T) {
	t.Parallel()
	const list = "pod=$kubernetes['pod_name'] , team=shop,,host=${HOSTNAME}, day=%Y-%m-%d,tag=$TAG[1],eq=a=b,none=$nope,empty="
	s := mustLoad(t, conf{"metadata": list, "tags": strings.ReplaceAll(list, ",none=", ",x.y z=")}, nil)
	ev := event(record1("kubernetes", record1("pod_name", "cart/é-x2!")))
	want := map[string]string{"pod": "cart/é-x2!", "team": "shop", "host": "node-7", "day": "2026-11-23", "tag": "b", "eq": "a=b", "none": "unknown", "empty": ""}
	if got := s.BlobMetadata("a.b.c", ev); !maps.Equal(got, want) {
		t.Errorf("metadata %q", got)
	}
	delete(want, "none")
	want["x.y z"], want["pod"] = "unknown", "cart/_-x2_"
	if got := s.BlobTags("a.b.c", ev); !maps.Equal(got, want) {
		t.Errorf("tags %q", got)
	}
}

func TestCleanTag(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                       "",
		"aZ09 +-./:=_":           "aZ09 +-./:=_",
		"a,b&c\n\x00é\xff%":      "a_b_c_____",
		strings.Repeat("é", 300): strings.Repeat("_", 256),
	} {
		if got := CleanTag(value); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}

// Whatever a record holds, the service and the writer take what is made of it.
func FuzzBlobs(f *testing.F) {
	for _, s := range []string{"", "a", strings.Repeat("x", 5000), strings.Repeat("é", 3000), "\xff\xfe", "%", " a ", "a\nb", strings.Repeat("\x00", 600)} {
		f.Add(s, "tag")
		f.Add("x", s)
	}
	const list = "a=$a,b=x-$a-$TAG,c=$TAG,d=$TAG[0]$a,e=static"
	s := mustLoad(f, conf{"metadata": list, "tags": list}, nil)
	f.Fuzz(func(t *testing.T, a, tag string) {
		ev := event(record1("a", a))
		m, tags := s.BlobMetadata(tag, ev), s.BlobTags(tag, ev)
		if err := liveblob.CheckMetadata(m); err != nil {
			t.Error(err)
		}
		if err := (&core.Config{Tags: tags}).Check(); err != nil {
			t.Error(err)
		}
		size := 0
		for k, v := range m {
			size += len(k) + headerSize(v)
			if utf8.ValidString(a) && utf8.ValidString(tag) && !utf8.ValidString(v) {
				t.Errorf("%q is cut within a character", v)
			}
		}
		if size > metadataRoom {
			t.Errorf("%d bytes of metadata", size)
		}
		if whole := s.Metadata["a"].Text(tag, ev); headerSize(whole) < 64 && m["a"] != whole {
			t.Errorf("%q is cut to %q", whole, m["a"])
		}
	})
}

// Values that fill the room leave each other some of it.
func TestMetadataRoom(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, conf{"metadata": "fixed=" + strings.Repeat("x", 1000) + ",a=$a,b=$b"}, nil)
	ev := event(flbtest.Map{{Key: "a", Value: strings.Repeat("y", 9000)}, {Key: "b", Value: strings.Repeat("é", 9000)}})
	m := s.BlobMetadata("t", ev)
	if len(m["fixed"]) != 1000 || len(m["a"]) < 400 || len(m["b"]) < 100 {
		t.Errorf("%d, %d and %d bytes", len(m["fixed"]), len(m["a"]), len(m["b"]))
	}
	if err := liveblob.CheckMetadata(m); err != nil {
		t.Error(err)
	}
}
