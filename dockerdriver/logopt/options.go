package logopt

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/core"
)

const prefix = "azureblob-"

// option is a log-opt of the driver's own, beside those of core.Options.
type option struct {
	name string // as a log-opt
	env  string // the variable that sets its default; "": none does
	def  string
	help string
}

var options = []option{
	{name: "azureblob-profile", env: "AZUREBLOB_PROFILE",
		help: "name of the file, in the folder of profiles, that says which account, credentials and options the log has"},
	{name: "azureblob-cache-size", env: "AZUREBLOB_CACHE_SIZE", def: "100M",
		help: "how much of what is uploaded stays on the host's disk, for `docker logs`; the rest is read from the blob"},
	{name: "azureblob-spool-size", env: "AZUREBLOB_SPOOL_SIZE", def: "1G",
		help: "how much may wait on the host's disk while storage is slow or away, at least `8M`"},
	{name: "azureblob-on-full", env: "AZUREBLOB_ON_FULL", def: "block",
		help: "when that much waits: `block` leaves it to Docker's `mode` (the container waits, or its newest lines are dropped), `drop-oldest` drops the oldest lines that wait, counts them, and says so in the log"},
	{name: "tag",
		help: "template as for Docker's own drivers (`{{.Name}}/{{.ID}}`), for the records' `attrs`, the blob's metadata, and `{{.Tag}}` in the path"},
	{name: "labels",
		help: "the container's labels, as `name,name`, that go into `attrs` and the metadata (`label_NAME`)"},
	{name: "labels-regex",
		help: "the same for labels whose names match"},
	{name: "env",
		help: "the container's environment variables, as `name,name`, that go into `attrs` and the metadata (`env_NAME`)"},
	{name: "env-regex",
		help: "the same for variables whose names match"},
}

// find returns the driver's own option with that name as a log-opt or as a variable,
// or nil.
func find(name string) *option {
	i := slices.IndexFunc(options, func(o option) bool { return name != "" && (o.name == name || o.env == name) })
	if i < 0 {
		return nil
	}
	return &options[i]
}

// dockers are log-opts that dockerd itself acts on, and hands on all the same.
var dockers = []string{"mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"}

// jsonFiles are log-opts of json-file and local that people bring along.
var jsonFiles = map[string]string{
	"max-size": "azureblob-max-size makes the log go on in a new blob, azureblob-cache-size bounds what stays on this disk",
	"max-file": "blobs are kept until a lifecycle rule of the storage account deletes them, azureblob-cache-size bounds what stays on this disk",
	"compress": "write azureblob-compress=gzip or zstd",
}

// notHere are options of core.Options that other hosts have, with the reason.
var notHere = map[string]string{
	"log_key":      "a container's line has no fields: its text is stored",
	"time_key":     "json records have the keys of Docker's json-file, time among them",
	"time_format":  "times are written as Docker's json-file writes them",
	"idle_timeout": "a blob is marked complete when its container stops, however long that was silent",
}

// whyNot is the reason why an option of core.Options is no log-opt; "": it is one.
func whyNot(o *core.Option) string {
	elsewhere := fmt.Sprintf("put it into a profile (azureblob-profile) as %s, or set that for the plugin", o.EnvName())
	switch {
	case o.Credential():
		return "anyone who may use Docker can read log-opts (docker inspect): " + elsewhere
	case o.Name == "endpoint", o.Name == "endpoint_suffix":
		return "the plugin's credentials would be sent to where a container says: " + elsewhere
	}
	return notHere[o.Name]
}

func logOpt(o *core.Option) string { return prefix + strings.ReplaceAll(o.Name, "_", "-") }

// findCore returns the option of core.Options with that name as a log-opt, or nil.
func findCore(logOpt string) *core.Option {
	name, ok := strings.CutPrefix(logOpt, prefix)
	if !ok || strings.Contains(name, "_") {
		return nil
	}
	return core.FindOption(strings.ReplaceAll(name, "-", "_"))
}

// checkNames refuses log-opts by their names, and shows no value.
func checkNames(logOpts map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(logOpts)) {
		if o := find(name); o != nil && o.name == name || slices.Contains(dockers, name) {
			continue
		}
		if hint := jsonFiles[name]; hint != "" {
			return fmt.Errorf("log-opt %q is json-file's: %s", name, hint)
		}
		o := findCore(name)
		if o == nil {
			return unknown(name)
		}
		if why := whyNot(o); why != "" {
			return fmt.Errorf("log-opt %q is refused: %s", name, why)
		}
	}
	return nil
}

func unknown(name string) error {
	text := fmt.Sprintf("unknown log-opt %.80q", name)
	near := meant(name)
	if near == "" {
		return errors.New(text + ": the README lists them")
	}
	if o := findCore(near); o != nil && whyNot(o) != "" {
		return fmt.Errorf("%s; %s is refused as well: %s", text, near, whyNot(o))
	}
	return fmt.Errorf("%s; did you mean %s?", text, near)
}

// meant is the log-opt that was probably meant, or "". Names are compared without
// the prefix, which people leave out or give where there is none.
func meant(name string) string {
	if len(name) > 80 {
		return ""
	}
	bare := func(s string) string {
		return strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(s), "_", "-"), prefix)
	}
	full := make(map[string]string)
	for i := range core.Options {
		o := &core.Options[i]
		full[bare(o.Name)], full[bare(o.EnvName())] = logOpt(o), logOpt(o)
	}
	for _, o := range options {
		full[bare(o.name)] = o.name
	}
	for _, name := range dockers {
		full[name] = name
	}
	return full[core.Suggest(bare(name), slices.Sorted(maps.Keys(full)))]
}
