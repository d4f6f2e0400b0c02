package logopt

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
)

// TestChosen holds labels, labels-regex, env and env-regex to what json-file makes of
// them.
func TestChosen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		logOpts     map[string]string
		attrs, meta string
	}{
		{map[string]string{"labels": "app"}, `{"app":"label"}`, "label_app=label"},
		{map[string]string{"labels": "app,none,com.example.Tier"}, `{"app":"label","com.example.Tier":"front"}`, "label_app=label,label_com_example_tier=front"},
		{map[string]string{"labels": "app, com.example.Tier"}, `{"app":"label"}`, "label_app=label"}, // blanks belong to names
		{map[string]string{"labels": "none"}, "", ""},
		{map[string]string{"labels": "", "env": ","}, "", ""},
		{map[string]string{"labels-regex": "^com"}, `{"com.example.Tier":"front"}`, "label_com_example_tier=front"},
		{map[string]string{"labels-regex": "p", "labels": "app"}, `{"app":"label","com.example.Tier":"front"}`, "label_app=label,label_com_example_tier=front"},
		{map[string]string{"env": "APP,EQ,nonsense,NONE"}, `{"APP":"shop","EQ":"a=b"}`, "env_app=shop,env_eq=a=b"},
		{map[string]string{"env": "EMPTY"}, `{"EMPTY":""}`, ""},
		{map[string]string{"env-regex": "^(APP|E)"}, `{"APP":"shop","EMPTY":"","EQ":"a=b"}`, "env_app=shop,env_eq=a=b"},
		{map[string]string{"env": "APP", "labels": "app", "tag": "T"}, `{"APP":"shop","app":"label","tag":"T"}`, "env_app=shop,label_app=label,tag=T"},
	} {
		s := settings(t, host(t, nil, nil), web(c.logOpts))
		if string(s.Attrs) != c.attrs || s.Attrs != nil && c.attrs == "" {
			t.Errorf("%v: attrs %s, want %s", c.logOpts, s.Attrs, c.attrs)
		}
		m := maps.Clone(s.Metadata)
		for _, always := range []string{"container_name", "container_id", "image", "host"} {
			delete(m, always)
		}
		if got := core.Map(m).String(); got != c.meta {
			t.Errorf("%v: metadata %s, want %s", c.logOpts, got, c.meta)
		}
	}
	// One name on both sides: the variable counts, and the tag before both.
	info := web(map[string]string{"env-regex": ".", "labels-regex": ".", "tag": "T"})
	info.ContainerEnv = []string{"a=old", "a=env", "tag=env"}
	info.ContainerLabels = map[string]string{"a": "label", "tag": "label"}
	s := settings(t, host(t, nil, nil), info)
	if string(s.Attrs) != `{"a":"env","tag":"T"}` {
		t.Errorf("attrs %s", s.Attrs)
	}
	for name, want := range map[string]string{"env_a": "env", "label_a": "label", "env_tag": "env", "label_tag": "label", "tag": "T"} {
		if s.Metadata[name] != want {
			t.Errorf("metadata %s=%q, want %q", name, s.Metadata[name], want)
		}
	}
}

func TestMetadataNames(t *testing.T) {
	t.Parallel()
	values := map[string]string{"a-b": "1", "a.b": "2", "a_b": "3", "A-B": "0", "a_b_2": "4", "é": "5", "": "6", "x\r\ny": "7"}
	want := "env_=6,env__=5,env_a_b=0,env_a_b_2=1,env_a_b_2_2=4,env_a_b_3=2,env_a_b_4=3,env_x__y=7"
	for range 20 { // maps have another order each time
		got := core.Map{}
		for _, e := range named("env_", values) {
			got[e.name] = e.value
		}
		if got.String() != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	}
}

// The user's own metadata counts before ours, whatever its case.
func TestUserMetadata(t *testing.T) {
	t.Parallel()
	s := settings(t, host(t, nil, nil), web(map[string]string{"azureblob-metadata": "Host=mine,team=shop", "labels": "app"}))
	want := map[string]string{"Host": "mine", "team": "shop", "container_name": "web", "container_id": containerID, "image": "shop/web:1.2", "label_app": "label"}
	if !maps.Equal(s.Metadata, want) {
		t.Errorf("%v, want %v", s.Metadata, want)
	}
}

// writable reports whether a Writer takes the settings, with what the driver adds
// when the container stops.
func writable(s *Settings) error {
	m := maps.Clone(s.Metadata)
	m[stoppedAt] = "2026-11-23T02:08:25.743042951+14:00"
	_, err := liveblob.NewWriter(liveblob.Config{
		Container: liveblob.Container{Client: func(string) (*blockblob.Client, error) { return nil, nil }},
		Name:      s.Blob, Stream: strings.Repeat("0", 128), Metadata: m,
	})
	return err
}

// TestTooMuchMetadata: what is too much is left out, the longest that was asked for
// first, and the container starts.
func TestTooMuchMetadata(t *testing.T) {
	t.Parallel()
	h := host(t, nil, nil)
	info := web(map[string]string{"labels-regex": ".", "env-regex": ".", "tag": "T"})
	info.ContainerLabels = map[string]string{"long": strings.Repeat("x", 3000), "longer": strings.Repeat("é", 1000), "short": "s", "huge": strings.Repeat("x", 100_000)}
	s := settings(t, h, info)
	if s.Metadata["label_huge"] != "" || s.Metadata["label_longer"] != "" || len(s.Metadata["label_long"]) != 3000 || s.Metadata["label_short"] != "s" || s.Metadata["tag"] != "T" {
		t.Errorf("left: %v", slices.Sorted(maps.Keys(s.Metadata)))
	}
	if want := "[the blob's metadata has room for 4096 bytes: label_huge, label_longer left out, the longest that were chosen]"; fmt.Sprint(s.Warnings) != want {
		t.Errorf("%v, want %s", s.Warnings, want)
	}
	if !strings.Contains(string(s.Attrs), `"huge":"xxx`) {
		t.Error("the records' attrs have no limit, and lost a label")
	}
	if err := writable(s); err != nil {
		t.Error(err)
	}

	many := web(map[string]string{"labels-regex": "."})
	many.ContainerLabels = map[string]string{}
	for i := range 1000 {
		many.ContainerLabels[fmt.Sprintf("label-%d", i)] = "v"
	}
	s = settings(t, h, many)
	if err := writable(s); err != nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], " more left out") {
		t.Errorf("%v %v", err, s.Warnings)
	}

	// A name that takes most of the room: the service keeps 8 KiB in all.
	long := web(map[string]string{"azureblob-path": strings.Repeat("é", 480), "labels-regex": "."})
	long.ContainerName = "/" + strings.Repeat("n", 3500)
	long.ContainerLabels = map[string]string{"x": strings.Repeat("x", 500)}
	s = settings(t, h, long)
	if err := writable(s); err != nil || s.Metadata["label_x"] != "" {
		t.Errorf("%v %v", err, slices.Sorted(maps.Keys(s.Metadata)))
	}

	// The user's own is never left out.
	for n, ok := range map[int]bool{2000: true, 3900: false} {
		own := web(map[string]string{"azureblob-path": strings.Repeat("é", 480), "azureblob-metadata": "own=" + strings.Repeat("x", n)})
		s, err := h.Settings(own)
		switch {
		case ok && (err != nil || writable(s) != nil || len(s.Metadata["own"]) != n):
			t.Errorf("%d bytes of the user's own: %v", n, err)
		case !ok && (err == nil || !strings.HasPrefix(err.Error(), "set azureblob-metadata: it takes ")):
			t.Errorf("%d bytes of the user's own: %v", n, err)
		}
	}
}

// FuzzSettings: whatever dockerd sends, an error is one line, and without one the
// blob's name and metadata are such as can be written. (Templates are not made up: a
// loop in one may be as long as its author likes.)
func FuzzSettings(f *testing.F) {
	f.Add("azureblob-metadata", "a=b", "/web", "app", "shop", "APP=x", "busybox")
	f.Add("labels", "app", "/web", "a\xff.b", "é\n%", "=", "x\r\ny")
	f.Add("azureblob-tags", "a=b", "", "", "", "", "")
	f.Add("env-regex", "(", "/..", "..", " ", "A", "%")
	h := &Host{Lookup: func(string) (string, bool) { return "", false }, ProfileDir: f.TempDir(), Hostname: "h"}
	f.Fuzz(func(t *testing.T, name, value, container, label, text, env, image string) {
		if name == "azureblob-path" || name == "tag" {
			return
		}
		info := web(map[string]string{"labels-regex": ".", "env-regex": ".", "tag": "{{.Name}}-{{.ImageName}}", name: value})
		info.ContainerName, info.ContainerImageName = container, image
		info.ContainerLabels = map[string]string{label: text, text: label, label + ".": text}
		info.ContainerEnv = []string{env, label + "=" + text, "x" + env}
		s, err := h.Settings(info)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		if err := writable(s); err != nil {
			t.Error(err)
		}
		if again, err := h.Settings(info); err != nil || show(again) != show(s) || again.Account != s.Account {
			t.Errorf("not the same again: %v\n%s\n%s", err, show(s), show(again))
		}
	})
}
