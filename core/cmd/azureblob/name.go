package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/lestrrat-go/strftime"

	"github.com/liveblob/azureblob/core"
)

// expandName fills in a NAME like {{hostname}}/%Y-%m-%d/{{env "BUILD_ID"}}.log.
// These two actions are all that a pipe has to say, so that text/template is not
// used here: with it the linker keeps every exported method, a fifth of the
// program. Hosts with more to say use core.ParsePath.
func expandName(name string, env func(string) (string, bool), now time.Time) (string, error) {
	if !strings.Contains(name, "{{") && !strings.Contains(name, "%") {
		return name, nil
	}
	fail := func(format string, a ...any) (string, error) {
		return "", fmt.Errorf("expand name %q: %s; write {{hostname}}, {{env \"NAME\"}}, %%Y-%%m-%%d and the like, %%%% for a percent sign", name, fmt.Sprintf(format, a...))
	}
	action := regexp.MustCompile(`\{\{\s*(?:(hostname)|env\s+["\x60]([^"\x60]+)["\x60])\s*\}\}`)
	var out strings.Builder
	text := func(s string) error {
		if strings.Contains(s, "{{") || strings.Contains(s, "}}") {
			return fmt.Errorf("%q is not understood", s[max(strings.Index(s, "{{"), 0):])
		}
		f, err := strftime.New(s)
		if err != nil {
			return fmt.Errorf("%q has a %% with an unknown letter", s)
		}
		out.WriteString(f.FormatString(now))
		return nil
	}
	rest := name
	for {
		m := action.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		if err := text(rest[:m[0]]); err != nil {
			return fail("%v", err)
		}
		value, err := os.Hostname()
		if m[4] >= 0 {
			value, err = core.EnvInName(rest[m[4]:m[5]], env)
		}
		if err != nil {
			return fail("%v", err)
		}
		out.WriteString(core.CleanName(value))
		rest = rest[m[1]:]
	}
	if err := text(rest); err != nil {
		return fail("%v", err)
	}
	if strings.TrimSpace(out.String()) == "" {
		return fail("the name is empty")
	}
	return out.String(), nil
}
