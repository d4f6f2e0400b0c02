package logopt

import (
	"fmt"
	"strings"

	"github.com/liveblob/azureblob/core"
)

// Table is the README's table of the driver's own log-opts, and what it says of those
// that are made from core.Options, in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| log-opt | default | environment | |\n|---|---|---|---|\n")
	for _, o := range options {
		row(&b, o.name, o.def, o.env, o.help)
	}
	var yes, no []string
	for i := range core.Options {
		if o := &core.Options[i]; whyNot(o) == "" {
			yes = append(yes, "`"+logOpt(o)+"`")
		} else if !isFile(o) {
			no = append(no, "`"+o.Name+"`")
		}
	}
	fmt.Fprintf(&b, "\nFrom the table of all options: %s. By default `path` is `%s`.\n", strings.Join(yes, ", "), defaults["path"])
	fmt.Fprintf(&b, "\nNo log-opts: %s, and the options that name a file.\n", strings.Join(no, ", "))
	return b.String()
}

// ProcessTable is the README's table of the plugin's own settings.
func ProcessTable() string {
	var b strings.Builder
	b.WriteString("| environment | default | |\n|---|---|---|\n")
	for _, v := range Process {
		row(&b, v.Name, v.Default, v.Help)
	}
	return b.String()
}

// row writes cells: all but the last are code.
func row(b *strings.Builder, cells ...string) {
	for i, c := range cells {
		if i < len(cells)-1 && c != "" {
			c = "`" + c + "`"
		}
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", `\|`))
	}
	b.WriteString("|\n")
}
