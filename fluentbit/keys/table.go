package keys

import (
	"fmt"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// ownKey is a key that core.Options does not have.
type ownKey struct{ name, def, help string }

var own = []ownKey{
	{name: "hostname",
		help: "who writes: it begins the default path, and says whose a blob is, so that two hosts never write the same one (`${HOSTNAME}` that you write yourself is Fluent Bit's to expand, before it is read here); by default the variable `HOSTNAME`, else the machine's name"},
	{name: "metadata_key",
		help: "record field that an event's metadata is written to; without it they are left out"},
	{name: "group_key",
		help: "record field that the attributes of an event's group are written to, such as OpenTelemetry's resource; without it they are left out"},
	{name: "flush_timeout", def: "10s",
		help: "how long a flush tries before Fluent Bit is told to come again with it, a second more for each 128 KiB; shorter than `Grace` in SERVICE"},
	{name: "startup_probe", def: "on",
		help: "at the start, ask whether account, credentials and container are right; Fluent Bit ends with the reason if they are not"},
	{name: "complete_on_exit", def: "off",
		help: "mark blobs complete when Fluent Bit ends, and not only after `idle_timeout`"},
	{name: "date_key", def: defaults["time_key"],
		help: "another name of `time_key`"},
	{name: "compress_blob", def: "off",
		help: "`on` is `compress gzip`, where `compress` is not set"},
	{name: "emulator_mode", def: "off",
		help: "Azurite's account, key and address (`" + emulatorAddress + "`) where they are not set"},
}

// defaultOf is the default of one of own.
func defaultOf(name string) string {
	i := slices.IndexFunc(own, func(k ownKey) bool { return k.name == name })
	return own[i].def
}

// Table is the README's table of the keys that core's table does not have, and what is
// different about those that it has, in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| key | default | |\n|---|---|---|\n")
	for _, k := range own {
		row(&b, code(k.name), code(k.def), k.help)
	}
	var names []string
	for i := range core.Options {
		names = append(names, code(core.Options[i].Name))
	}
	fmt.Fprintf(&b, "\nFrom the table of all options, by the same names: %s.\n", strings.Join(names, ", "))
	var defs []string
	for i := range core.Options {
		if d := defaults[core.Options[i].Name]; d != "" {
			defs = append(defs, fmt.Sprintf("`%s` is `%s`", core.Options[i].Name, d))
		}
	}
	var formats []string
	for f := chunk.Iso8601; f <= chunk.JavaSQLTimestamp; f++ {
		formats = append(formats, code(f.String()))
	}
	fmt.Fprintf(&b, "\nBy default %s. `time_format` is one of %s. `time_key off` leaves the time out. `flush_interval` does nothing: %s. `metadata` and `tags` take values as `path` does: `pod=$kubernetes['pod_name'],team=shop`. `log_key` without `format` means `format raw`.\n",
		strings.Join(defs, ", "), strings.Join(formats, ", "), ofPace)
	return b.String()
}

// MovingTable is the README's table of azure_blob's keys.
func MovingTable() string {
	var b strings.Builder
	b.WriteString("| key of azure_blob | here |\n|---|---|\n")
	shown := make(map[string]bool)
	for i, k := range builtIn {
		what := k.what()
		if shown[what] {
			continue
		}
		shown[what] = true
		var names []string // one row for keys that are alike
		for _, other := range builtIn[i:] {
			if other.what() == what {
				names = append(names, code(other.name))
			}
		}
		row(&b, strings.Join(names, ", "), what)
	}
	row(&b, "`tls`, `tls.…`", "leave them out: https is what is used, and Fluent Bit does not start a plugin of this kind with `tls on`")
	return b.String()
}

func (k *builtInKey) what() string {
	switch {
	case k.inert:
		return "does nothing: " + k.here
	case k.refused:
		return "refused: " + k.here
	}
	return k.here
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func row(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", `\|`))
	}
	b.WriteString("|\n")
}
