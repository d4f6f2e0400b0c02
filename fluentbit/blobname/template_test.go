package blobname

import (
	"slices"
	"strings"
	"testing"
)

// env is the environment of these tests.
func env(name string) (string, bool) {
	v, ok := map[string]string{
		"HOSTNAME": "node-7", "EMPTY": "", "DIR": "a/b", "DOLLARS": "$TAG%Y", "MY_SECRET": "hunter2",
	}[name]
	return v, ok
}

func mustParse(t testing.TB, text string) *Template {
	t.Helper()
	tmpl, err := Parse(text, env)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "the name is empty",
		"/":                          "the name is empty",
		"logs/":                      "ends in /",
		"$TAG/":                      "ends in /",
		"//$TAG":                     "is empty: was a ${NAME}",
		"logs//$TAG.log":             "is empty: was a ${NAME}",
		"$TAG//x":                    "is empty: was a ${NAME}",
		"../$TAG":                    "dots at a part's end",
		"logs./$TAG":                 "dots at a part's end",
		"logs/$TAG.":                 "dots at a part's end",
		`logs\$TAG`:                  "backslashes",
		"a\nb":                       "control characters",
		strings.Repeat("x", 1001):    "too long",
		"$":                          `parse template "$": a $ stands before nothing known`,
		"a$ b":                       `at "$ b": a $ stands before nothing known`,
		"cost$5":                     `at "$5": a $ stands before nothing known`,
		"$.log":                      "write $$ for a dollar",
		"$TAG[x].log":                `parse template "$TAG[x].log": $TAG[ wants the number`,
		"$TAG[1":                     "$TAG[ wants the number",
		"$TAG[]":                     "$TAG[ wants the number",
		"$TAG[99999999999999999999]": "$TAG[ wants the number",
		"$UUID.log":                  "a new blob at each try",
		"$kubernetes[pod_name]":      "$kubernetes['pod_name']",
		"$kubernetes['pod_name":      "not closed",
		"$kubernetes['pod'name']":    "not closed",
		"$items[0]":                  "there are $TAG, $TAG[0]",
		"$['']x":                     "a key follows the dollar sign",
		"%":                          "a % stands at the end",
		"a%-":                        "a % stands at the end",
		"%Q":                         `there is no verb "%Q"`,
		"%s":                         `there is no verb "%s"`,
		"%n":                         `there is no verb "%n"`,
		"%t":                         `there is no verb "%t"`,
		"%-%":                        `there is no verb "%-%"`,
		"%é":                         "there is no verb",
		"%L":                         "parts of a second",
		"%3N":                        "parts of a second",
		"%9N":                        "parts of a second",
		"${NOPE}/$TAG":               "variable NOPE is not set",
		"${EMPTY}/$TAG":              "variable EMPTY is not set",
		"${MY_SECRET}":               "may hold a secret",
		"${":                         "begins the name of an environment variable",
		"${}":                        "begins the name of an environment variable",
		"${HOSTNAME":                 "begins the name of an environment variable",
	} {
		_, err := Parse(text, env)
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant: %s", text, err, want)
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTemplateTraits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		ofTag, splits bool
		step          int64
	}{
		"app.log":                    {true, false, 0},
		"$$TAG%%Y":                   {true, false, 0},
		"${HOSTNAME}/$TAG.log":       {true, true, 0},
		"$TAG[1]":                    {true, true, 0},
		"$level.log":                 {false, true, 0},
		"%Y/%m/%d":                   {false, false, 86400},
		"$TAG/%F":                    {false, true, 86400},
		"$TAG/%Y-%m-%dT%H":           {false, true, 3600},
		"$TAG/%F/%I%p":               {false, true, 3600},
		"$TAG/%F/%-H%M":              {false, true, 60},
		"$TAG/%R %F":                 {false, true, 60},
		"$TAG/%S-%F":                 {false, true, 1},
		"$TAG/%T":                    {false, true, 1},
		"$TAG/%c":                    {false, true, 1},
		"%j %U %V %u %Z %z %y-%b-%e": {false, false, 86400},
	} {
		tmpl := mustParse(t, text)
		if tmpl.OfTag() != want.ofTag || tmpl.Splits() != want.splits || tmpl.step != want.step {
			t.Errorf("%q: of tag %v, splits %v, %d s: want %+v", text, tmpl.OfTag(), tmpl.Splits(), tmpl.step, want)
		}
		if tmpl.String() != text {
			t.Errorf("%q: String is %q", text, tmpl)
		}
	}
}

// A map that several fields are in is looked for once.
func TestRoots(t *testing.T) {
	t.Parallel()
	tmpl := mustParse(t, "$a['x']/$a['y']['z']/$b/$a/$['c-d']['e']")
	var roots []string
	for _, f := range tmpl.roots {
		roots = append(roots, f.String())
	}
	if want := []string{"$a", "$b", "$c-d"}; !slices.Equal(roots, want) {
		t.Errorf("%q, want %q", roots, want)
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "a": "a", "/a//b/": "/a//b/", "${HOSTNAME}$$": "node-7$"} {
		tmpl, err := ParseText(text, env)
		if err != nil {
			t.Fatal(err)
		}
		if got, all := tmpl.Static(); got != want || !all {
			t.Errorf("%q: static %q, %v: want %q", text, got, all, want)
		}
	}
	tmpl := mustParse(t, "a-$TAG-$x-%Y-b")
	if got, all := tmpl.Static(); got != "a----b" || all {
		t.Errorf("static %q, %v", got, all)
	}
}
