package blobname

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/fluentbit/chunk"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

var noon = time.Date(2026, 11, 23, 12, 4, 5, 678, time.UTC)

func event(body any) *chunk.Event {
	return &chunk.Event{Time: noon, Body: flbtest.AppendValue(nil, body)}
}

// record is a map of keys and values in turn.
func record(pairs ...any) flbtest.Map {
	var m flbtest.Map
	for i := 0; i < len(pairs); i += 2 {
		m = append(m, flbtest.Pair{Key: pairs[i], Value: pairs[i+1]})
	}
	return m
}

// pod is a record as the kubernetes filter leaves it.
func pod(name, log string) *chunk.Event {
	return event(record(
		"log", log, "stream", "stdout", "time", "2026-11-23T12:04:05.000000678Z", "_p", "F",
		"kubernetes", record(
			"pod_name", name, "namespace_name", "shop", "pod_id", "0d1f3b0e-9f3f-4a53-8a75-0d9a2f9b9b0a",
			"labels", record("app.kubernetes.io/name", "cart", "it's", "q", "pod-template-hash", "7d4b9c"),
			"annotations", record("kubectl.kubernetes.io/restartedAt", "2026-11-01T00:00:00Z"),
			"host", "node-7", "container_name", "cart", "docker_id", strings.Repeat("0a1b", 16),
			"container_hash", "registry.example.com/shop/cart@sha256:"+strings.Repeat("9", 64),
			"container_image", "registry.example.com/shop/cart:1.42.0", "restarts", 3,
		),
	))
}

func TestName(t *testing.T) {
	t.Parallel()
	ev := pod("cart-7d4b9c-x2", "hello")
	odd := event(record(
		"slash", "a/b", "climb", "../../etc", "dots", "..", "dot", "x.", "verb", "%Y$TAG", "empty", "", "null", nil,
		"n", 7, "f", 1.5, "yes", true, "list", []any{1, "a"}, "a-b", record("c", "d"), "bin", []byte{0xff, 'x'},
		"control", "a\nb\x00c\\d", "twice", "first", "twice", "last", "map", record(), "_x9", "under",
		"slashes", "/", "ends", "/x/", "odd", record("x]y['z", "deep"),
	))
	for _, c := range []struct {
		text, tag string
		ev        *chunk.Event
		want      string
	}{
		{"${HOSTNAME}/$TAG.log", "kube.var.log", ev, "node-7/kube.var.log.log"},
		{"/logs/$TAG", "app", ev, "logs/app"},
		{"$TAG", "/var/log/app", ev, "%2Fvar/log/app"}, // as core.CleanName
		{"$TAG", "var/log/app", ev, "var/log/app"},
		{"$TAG", "a/../b/./c", ev, "a/%2E%2E/b/%2E/c"},
		{"$TAG", "", ev, "unknown"},
		{"$TAG_x", "app", ev, "app_x"},
		{"$TAGS", "app", ev, "appS"},
		{"$TAG[0]-$TAG[2]-$TAG[-1]", "a.b.c.d", ev, "a-c-d"},
		{"$TAG[9]/$TAG[-9]/$TAG[1]", "a..b", ev, "unknown/unknown/unknown"},
		{"$TAG[0]", "a/b.c", ev, "a/b"},
		{"$kubernetes['namespace_name']/$kubernetes['pod_name'].log", "t", ev, "shop/cart-7d4b9c-x2.log"},
		{"$kubernetes['labels']['app.kubernetes.io/name']", "t", ev, "cart"},
		{"$kubernetes['labels']['it''s']", "t", ev, "q"},
		{"$kubernetes['restarts']", "t", ev, "3"},
		{"x$stream.log", "t", ev, "xstdout.log"},
		{"$stream-$_p", "t", ev, "stdout-F"},
		{"$nope/$kubernetes['nope']/$stream['nope']", "t", ev, "unknown/unknown/unknown"},
		{"${DIR}/$TAG", "t", ev, "a/b/t"},
		{"${DOLLARS}", "t", ev, "$TAG%25Y"},
		{"$$TAG/100%%", "t", ev, "$TAG/100%25"},
		{"%Y-%m-%d/%H/$TAG", "t", ev, "2026-11-23/12/t"},
		{"%-m.%-d.log", "t", ev, "11.23.log"},
		{"%D", "t", ev, "11/23/26"},
		{"$slash/x", "t", odd, "a%2Fb/x"},
		{"$climb/x", "t", odd, "%2E%2E%2F%2E%2E%2Fetc/x"},
		{"a/$dots/b", "t", odd, "a/%2E%2E/b"},
		{"a/$dot/b", "t", odd, "a/x%2E/b"},
		{"$verb", "t", odd, "%25Y$TAG"},
		{"$empty/$null/$map", "t", odd, "unknown/unknown/{}"},
		{"$n$f$yes$list", "t", odd, `71.5true[1,"a"]`},
		{"$['a-b']['c']", "t", odd, "d"},
		{"$odd['x]y[''z'].log", "t", odd, "deep.log"},
		{"$bin", "t", odd, "%FFx"},
		{"$control", "t", odd, "a%0Ab%00c%5Cd"},
		{"$twice", "t", odd, "last"},
		{"$_x9", "t", odd, "under"},
		{"$slashes/x", "t", odd, "%2F/x"},
		{"a$ends", "t", odd, "a%2Fx%2F"},
		{"$log", "t", event("no map"), "unknown"},
		{"$log", "t", event(record(3, "x")), "unknown"},
	} {
		tmpl := mustParse(t, c.text)
		n := tmpl.Namer(c.tag)
		name, same := n.Name(c.ev)
		if name != c.want || same {
			t.Errorf("%q, tag %q: %q, same %v: want %q", c.text, c.tag, name, same, c.want)
		}
		if again, same := n.Name(c.ev); again != name || !same {
			t.Errorf("%q again: %q, same %v", c.text, again, same)
		}
	}
}

// A name is new when something that it is made of is, and only then.
func TestNameChanges(t *testing.T) {
	t.Parallel()
	n := mustParse(t, "$kubernetes['pod_name']/%Y-%m-%dT%H.log").Namer("t")
	ask := func(ev *chunk.Event, at time.Time, want string, wantSame bool) {
		t.Helper()
		ev.Time = at
		if name, same := n.Name(ev); name != want || same != wantSame {
			t.Errorf("%q, same %v: want %q, %v", name, same, want, wantSame)
		}
	}
	end := time.Date(2026, 11, 23, 12, 59, 59, 999999999, time.UTC)
	ask(pod("a", "1"), noon, "a/2026-11-23T12.log", false)
	ask(pod("a", "2"), end, "a/2026-11-23T12.log", true)
	ask(pod("a", "2"), end.Add(1), "a/2026-11-23T13.log", false)
	ask(pod("a", "3"), noon, "a/2026-11-23T12.log", false)
	ask(pod("b", "4"), noon, "b/2026-11-23T12.log", false)
	ask(pod("a", "5"), noon, "a/2026-11-23T12.log", false)
	ask(event(record("kubernetes", record("pod_name", "a", "host", "other"))), noon, "a/2026-11-23T12.log", true)
	ask(event(record("log", "x")), noon, "unknown/2026-11-23T12.log", false)
	ask(event(record("kubernetes", record("pod_name", "unknown"))), noon, "unknown/2026-11-23T12.log", true)
	ask(pod("a", "6"), noon.In(time.FixedZone("", 5*3600)), "a/2026-11-23T12.log", false)
	before := time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)
	ask(pod("a", "7"), before, "a/1969-12-31T23.log", false)
	ask(pod("a", "8"), before.Add(time.Second), "a/1970-01-01T00.log", false)

	if got := n.Missing(); !slices.Equal(got, []string{"$kubernetes['pod_name']"}) {
		t.Errorf("missing %q", got)
	}
}

// Whatever stands in a slice that is used again for the next chunk must not matter.
func TestNameKeepsNothingOfTheEvent(t *testing.T) {
	t.Parallel()
	n := mustParse(t, "$pod.log").Namer("t")
	ev := event(record("pod", "aaaa"))
	n.Name(ev)
	copy(ev.Body, flbtest.AppendValue(nil, record("pod", "bbbb")))
	if name, same := n.Name(ev); name != "bbbb.log" || same {
		t.Errorf("%q, same %v", name, same)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	n := mustParse(t, "$TAG[4]/$a['b']/$log/$log").Namer("t")
	for range 3 {
		n.Name(event(record("a", 1)))
		n.Name(event(record("log", "x")))
	}
	if got, want := n.Missing(), []string{"$TAG[4]", "$a['b']", "$log"}; !slices.Equal(got, want) {
		t.Errorf("missing %q, want %q", got, want)
	}
}

// Names that do not depend on the event are made without one.
func TestNameOfTagAlone(t *testing.T) {
	t.Parallel()
	if name, _ := mustParse(t, "$TAG[0].log").Namer("a.b").Name(nil); name != "a.log" {
		t.Errorf("%q", name)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	ev := event(record("team", "a/b ../% é"))
	for text, want := range map[string]string{
		"/x//$team/": "/x//a/b ../% é/",
		"$TAG":       "a/../b",
		"$nope%Y":    "unknown2026",
		"":           "",
	} {
		tmpl, err := ParseText(text, env)
		if err != nil {
			t.Fatal(err)
		}
		if got := tmpl.Text("a/../b", ev); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Long names are cut, and are still as different as what they are made of.
func TestLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é/", 2000)
	n := mustParse(t, "$TAG/$v/x").Namer("t")
	seen := map[string]string{}
	for _, v := range []string{long, long + "x", strings.Repeat("x", 955), strings.Repeat("x", 956), strings.Repeat("x", 957),
		strings.Repeat("x", 5000), strings.Repeat("x", 5001), strings.Repeat("x", 954) + "/", strings.Repeat("\x00", 319), strings.Repeat("é", 480)} {
		name, _ := n.Name(event(record("v", v)))
		if seen[name] != "" {
			t.Errorf("%.20q… and %.20q… have one name", seen[name], v)
		}
		seen[name] = v
		checkName(t, name)
		if len(name) > 993 {
			t.Errorf("%d bytes", len(name))
		}
	}
}

// A cut goes through no escape and no character.
func TestCut(t *testing.T) {
	t.Parallel()
	for _, unit := range []struct{ raw, clean string }{{"\x00", "%00"}, {"é", "é"}, {"\xff", "%FF"}} {
		for pad := range 4 {
			front := strings.Repeat("x", pad)
			name, _ := mustParse(t, "$TAG").Namer(front + strings.Repeat(strings.Repeat(unit.raw, 100)+"/", 6)).Name(nil)
			body := strings.TrimPrefix(name[:len(name)-33], front)
			if strings.Trim(strings.ReplaceAll(body, unit.clean, ""), "/") != "" || len(name) < 900 {
				t.Errorf("%q", name)
			}
		}
	}
}

func TestManyFolders(t *testing.T) {
	t.Parallel()
	name, _ := mustParse(t, "$TAG").Namer(strings.Repeat("a/", 100) + "b").Name(nil)
	if n := strings.Count(name, "/"); n != maxSlashes {
		t.Errorf("%d folders", n)
	}
	if want := core.CleanName(strings.Repeat("a/", 100) + "b"); name != want {
		t.Errorf("%q\nwant %q", name, want)
	}
}

// checkName holds a name to what the service takes unchanged.
func checkName(t *testing.T, name string) {
	t.Helper()
	if err := core.CheckBlobName(name); err != nil {
		t.Error(err)
	}
	if !utf8.ValidString(name) || strings.Count(name, "/") > maxSlashes {
		t.Errorf("%q is not UTF-8 or has too many folders", name)
	}
}

// Whatever a record and a tag hold, the name is good, in the template's folder, and as
// different as they are.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "..", "../x", "%2F", "%", "/", "//", "a.", "\xff", "\n", "unknown", strings.Repeat("x/", 70), strings.Repeat("é", 700)} {
		f.Add(s, "t", s)
		f.Add("x", s, "y")
	}
	tmpl := mustParse(f, "in/$a/$TAG[0]-$b.log")
	plain := mustParse(f, "$TAG")
	f.Fuzz(func(t *testing.T, a, tag, b string) {
		name := func(a, tag, b string) string {
			name, _ := tmpl.Namer(tag).Name(event(record("a", a, "b", b)))
			return name
		}
		got := name(a, tag, b)
		checkName(t, got)
		if !strings.HasPrefix(got, "in/") {
			t.Errorf("%q is out of its folder", got)
		}
		if len(got) <= maxWhole {
			// Slashes of records make no folders: there are the template's two, and the tag's.
			first, _, _ := strings.Cut(tag, ".")
			if n := strings.Count(got, "/"); n > 2+strings.Count(first, "/") {
				t.Errorf("%q of %q, %q, %q", got, a, tag, b)
			}
		}
		if a != "" && a != unknown && name(unknown, tag, b) == got {
			t.Errorf("%q and %q are both %q", a, unknown, got)
		}
		if a != b && a != "" && b != "" && name(b, tag, a) == got {
			t.Errorf("%q and %q swapped are both %q", a, b, got)
		}
		if clean := core.CleanName(tag); tag != "" && len(clean) <= maxWhole {
			if got, _ := plain.Namer(tag).Name(nil); got != clean {
				t.Errorf("tag %q: %q, and core.CleanName says %q", tag, got, clean)
			}
		}
	})
}

// FuzzParse: a template that is taken gives good names.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"$TAG", "${HOSTNAME}/$TAG[1].log", "$a['b']['c']%Y%-d", "$['a']x", "$$%%", "//", "$a[", "$a['''']", "%", "/a", "${A\nB}"} {
		f.Add(s)
	}
	ev := event(record("a", record("b", "../"), "x", "/"))
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := Parse(text, env)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		name, _ := tmpl.Namer("t.u").Name(ev)
		checkName(t, name)
	})
}

func BenchmarkName(b *testing.B) {
	for _, text := range []string{
		"${HOSTNAME}/$TAG.log",
		"$TAG/%Y-%m-%d/%H.log",
		"$kubernetes['namespace_name']/$kubernetes['pod_name']/$kubernetes['container_name'].log",
		"$kubernetes['namespace_name']/$kubernetes['pod_name']/$kubernetes['container_name']/%Y-%m-%d.log",
	} {
		b.Run(strings.ReplaceAll(text, "/", "|"), func(b *testing.B) {
			n := mustParse(b, text).Namer("kube.var.log.containers.cart.log")
			ev := pod("cart-7d4b9c-x2", strings.Repeat("x", 200))
			n.Name(ev)
			b.ReportAllocs()
			for b.Loop() {
				if _, same := n.Name(ev); !same {
					b.Fatal("it changed")
				}
			}
		})
	}
	b.Run("two pods in turn", func(b *testing.B) {
		n := mustParse(b, "$kubernetes['namespace_name']/$kubernetes['pod_name'].log").Namer("t")
		evs := []*chunk.Event{pod("a", "x"), pod("b", "x")}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n.Name(evs[i&1])
		}
	})
}

// A name that does not change costs nothing to find, and of names that were there before
// no memory.
func TestNameAllocates(t *testing.T) {
	n := mustParse(t, "$kubernetes['pod_name']/$stream/%H.log").Namer("t")
	var evs []*chunk.Event
	for i := range 4 {
		evs = append(evs, pod(fmt.Sprintf("pod-%d", i), "x"))
		n.Name(evs[i])
	}
	if got := testing.AllocsPerRun(100, func() { n.Name(evs[3]) }); got != 0 {
		t.Errorf("%v allocations where nothing changes", got)
	}
	i := 0
	if got := testing.AllocsPerRun(100, func() { n.Name(evs[i%4]); i++ }); got != 0 {
		t.Errorf("%v allocations for names that are known", got)
	}
}
