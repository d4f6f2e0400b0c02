package logopt

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/liveblob/azureblob/core"
)

// expandTag expands the log-opt tag as Docker's own drivers do; "" if there is none.
func (i *Info) expandTag() (string, error) {
	source := i.Config["tag"]
	if source == "" {
		return "", nil
	}
	t, err := template.New("tag").Funcs(core.TagFuncs).Parse(source)
	if err != nil {
		return "", tagError(source, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, i); err != nil {
		return "", tagError(source, err)
	}
	return b.String(), nil
}

// tagError makes one line of a template's error.
func tagError(source string, err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	text = strings.TrimPrefix(text, "template: tag:")
	if _, cause, ok := strings.Cut(text, `: executing "tag" at `); ok {
		text = cause
	}
	return fmt.Errorf("expand tag %q: %s", source, text)
}
