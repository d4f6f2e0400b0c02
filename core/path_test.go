package core

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

type box struct {
	Name   string
	Labels map[string]string
	hidden string
}

func (b box) FullID() string { return "0123456789abcdef" }

var sample = box{Name: "web", Labels: map[string]string{"app": "shop"}, hidden: "x"}

func TestPath(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 2, 8, 25, 0, time.UTC)
	host, _ := os.Hostname()
	for _, c := range []struct {
		source string
		data   box
		want   string
	}{
		{"{{.Name}}/{{.FullID}}.log", sample, "web/0123456789abcdef.log"},
		{"%Y/%m/%d/{{.Name}}-%H.log", sample, "2026/11/23/web-02.log"},
		{"{{.Name}}", box{Name: "%Y"}, "%25Y"}, // verbs in values are no verbs
		{`{{"%Y"}}-100%%`, sample, "%25Y-100%25"},
		{"{{.Name}}", box{Name: "../../x"}, "%2E%2E/%2E%2E/x"},
		{"{{if .Name}}%Y{{else}}%m{{end}}", sample, "2026"},
		{"{{if .Name}}%Y{{else}}%m{{end}}x", box{}, "11x"},
		{"{{range $k, $v := .Labels}}{{$k}}-%d{{end}}", sample, "app-23"},
		{"{{with .Name}}{{.}}%d{{end}}", sample, "web23"},
		{`{{define "x"}}%Y{{end}}{{template "x"}}`, sample, "2026"},
		{`{{upper .Name}} {{title "ab cd"}} {{truncate .FullID 4}} {{join (split "a-b" "-") "+"}} {{pad "x" 1 1}}|{{json .Labels}}`, sample,
			`WEB Ab Cd 0123 a+b  x |{"app":"shop"}`},
		{"{{hostname}}/{{.Labels.app}}", sample, host + "/shop"},
	} {
		p, err := ParsePath(c.source, sample)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		if got, err := p.Expand(c.data, now); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.source, got, err, c.want)
		}
	}
}

func TestPathErrors(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"{{.Nme}}":                    "can't evaluate field Nme",
		"{{.hidden}}":                 "hidden",
		"{{.Labels.none}}":            "none",
		"{{.Name":                     "unclosed action",
		"{{nope .Name}}":              `function "nope" not defined`,
		"":                            "the name is empty",
		"{{if false}}x{{end}}":        "the name is empty",
		"%Q":                          "%Q",
		"{{if false}}%Q{{end}}x":      "%Q",
		"100%":                        "for a percent sign",
		`{{env "AZURE_STORAGE_KEY"}}`: "may hold a secret",
		`{{env "azure_storage_connection_string"}}`: "may hold a secret",
		`{{pad "x" -1 0}}`:                          "negative",
		`{{truncate "x" -1}}`:                       "out of range",
		"{{date 7}}":                                "out of range",
		"a\n{{.Nme}}":                               "Nme",
		`{{template "none"}}`:                       "none",
	} {
		_, err := ParsePath(source, sample)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", source, err, want)
			continue
		}
		for _, part := range []string{`path "`, ".FullID", ".Name", "truncate"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v does not mention %s", source, err, part)
			}
		}
		if strings.Contains(err.Error(), "executing") || strings.Contains(err.Error(), "template: :") {
			t.Errorf("%q: %v", source, err)
		}
	}
}

func TestPathIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	p, err := ParsePath("%Y-{{.Name}}", sample)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for year := 2000; year < 2016; year++ {
		wg.Go(func() {
			at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			for range 50 {
				if got, err := p.Expand(sample, at); err != nil || got != at.Format("2006")+"-web" {
					t.Errorf("%d: %q, %v", year, got, err)
				}
			}
		})
	}
	wg.Wait()
}
