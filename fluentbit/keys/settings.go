package keys

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/record"
	"github.com/liveblob/azureblob/fluentbit/blobname"
	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// Settings of one output.
type Settings struct {
	Core           *core.Config // its Path, Metadata and Tags are not used: they are templates, below
	Path           *blobname.Template
	Metadata, Tags map[string]*blobname.Template // see BlobMetadata and BlobTags
	Encoder        chunk.Encoder
	Hostname       string // who writes
	FlushTimeout   time.Duration
	StartupProbe   bool
	CompleteOnExit bool

	Notes    []string // for the log, a line each: keys that do nothing here, and why
	Warnings []string // the same: keys that are probably misspelt, or at odds with others
}

// defaults are those of options that each host brings its own for.
var defaults = core.Map{
	"path":         "${HOSTNAME}/$TAG.log",
	"idle_timeout": "10m",
	"time_key":     "@timestamp",
	"time_format":  "iso8601",
}

// Load makes an instance's settings of its keys, the environment and the defaults. key
// is the value of a key, "" where it is not set; lookupEnv is the process's environment.
func Load(key func(name string) string, lookupEnv func(string) (string, bool)) (*Settings, error) {
	l := &loader{key: key, lookupEnv: lookupEnv, set: new(Settings)}
	for _, step := range []func() error{l.refuse, l.own, l.core, l.path, l.encoder, l.blobs} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	l.notes()
	l.nearMisses()
	return l.set, nil
}

// loader is one call of Load.
type loader struct {
	key       func(string) string
	lookupEnv func(string) (string, bool)
	set       *Settings

	emulator, compressBlob bool
}

// value is a key's value without the quotes that Fluent Bit's classic format keeps.
func (l *loader) value(name string) string {
	v := strings.TrimSpace(l.key(name))
	if n := len(v); n > 1 && v[0] == v[n-1] && (v[0] == '"' || v[0] == '\'') {
		return v[1 : n-1]
	}
	return v
}

// refuse ends at keys that must not be ignored in silence.
func (l *loader) refuse() error {
	for _, k := range builtIn {
		if k.refused && l.value(k.name) != "" {
			return fmt.Errorf("key %s is refused: %s", k.name, k.here)
		}
	}
	return nil
}

func (l *loader) hostname() error {
	env, _ := l.lookupEnv("HOSTNAME")
	l.set.Hostname = cmp.Or(l.value("hostname"), env)
	if l.set.Hostname != "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find this host's name: %w: set hostname", err)
	}
	l.set.Hostname = host
	return nil
}

// core loads what core.Options has.
func (l *loader) core() error {
	cfg, err := core.Load(l.sources()...)
	if err != nil {
		return err
	}
	format, err := record.ParseFormat(cfg.Format)
	if err != nil {
		return fmt.Errorf("set option %s: %w", l.spell("format"), err)
	}
	if cfg.LogKey != "" && l.setBy("format") == "" {
		format = record.Raw
	}
	cfg.Format = format.String()
	cfg.ContentType = cmp.Or(cfg.ContentType, format.ContentType())
	l.set.Core, l.set.Encoder.Format = cfg, format
	return nil
}

// path parses the template. HOSTNAME in it is the hostname that the output goes by. One
// that cannot tell tags apart and has no extension is a folder, as azure_blob's is.
func (l *loader) path() error {
	text := l.set.Core.Path
	if strings.HasPrefix(text, "/") {
		l.warn("path %q: the / at its beginning is dropped; was a ${NAME} before it not set?", text)
	}
	folder := strings.TrimRight(text, "/")
	t, err := blobname.Parse(folder, l.expand)
	if err != nil {
		return fmt.Errorf("set option %s: %w", l.spell("path"), err)
	}
	if last := folder[strings.LastIndexByte(folder, '/')+1:]; !t.Splits() && !strings.Contains(last, ".") {
		l.note("path %q is a folder, as azure_blob's: the blobs are %s/$TAG; for one blob of all tags, give its name an extension", text, folder)
		folder += "/$TAG"
	} else {
		folder = text
	}
	if l.set.Path, err = blobname.Parse(folder, l.expand); err != nil {
		return fmt.Errorf("set option %s: %w", l.spell("path"), err)
	}
	return nil
}

// expand looks up what ${NAME} in a template stands for.
func (l *loader) expand(name string) (string, bool) {
	if name == "HOSTNAME" {
		return l.set.Hostname, true
	}
	return l.lookupEnv(name)
}

// encoder is how records are written. core has format, log_key, time_key and
// time_format as text.
func (l *loader) encoder() (err error) {
	cfg, e := l.set.Core, &l.set.Encoder
	if date, key := l.value("date_key"), l.value("time_key"); date != "" && key != "" && date != key {
		return fmt.Errorf("time_key %q and date_key %q are one setting: keep one of them", key, date)
	}
	e.TimeKey = orNone(cfg.TimeKey)
	if e.TimeFormat, err = chunk.ParseTimeFormat(cfg.TimeFormat); err != nil {
		return fmt.Errorf("set option %s: %w", l.spell("time_format"), err)
	}
	e.MetadataKey, e.GroupKey = orNone(l.value("metadata_key")), orNone(l.value("group_key"))
	if err := distinct(e); err != nil {
		return err
	}
	if e.Format == record.JSON {
		l.useless(e.Format, "log_key")
		return nil
	}
	l.useless(e.Format, "time_key", "date_key", "time_format", "metadata_key", "group_key")
	if e.LogKey, err = chunk.ParseField(cmp.Or(cfg.LogKey, "log")); err != nil {
		return fmt.Errorf("set option %s: %w", l.spell("log_key"), err)
	}
	return nil
}

// orNone is the name of a JSON key, "" for none of it.
func orNone(name string) string {
	switch strings.ToLower(name) {
	case "off", "false", "no", "none":
		return ""
	}
	return name
}

// distinct refuses keys of a record that would write over each other.
func distinct(e *chunk.Encoder) error {
	names := []string{"time_key", "metadata_key", "group_key"}
	values := []string{e.TimeKey, e.MetadataKey, e.GroupKey}
	for i, v := range values {
		if j := slices.Index(values[:i], v); v != "" && j >= 0 {
			return fmt.Errorf("%s and %s are both %q: give each its own", names[j], names[i], v)
		}
	}
	return nil
}

// useless warns of keys that the format has no use for.
func (l *loader) useless(format record.Format, names ...string) {
	for _, name := range names {
		if l.value(name) != "" {
			l.warn("%s does nothing with format %s", name, format)
		}
	}
}

// own parses the keys that core.Options does not have.
func (l *loader) own() (err error) {
	if err = l.hostname(); err != nil {
		return err
	}
	if l.set.FlushTimeout, err = core.ParseDuration(strings.ToLower(cmp.Or(l.value("flush_timeout"), defaultOf("flush_timeout")))); err == nil && l.set.FlushTimeout <= 0 {
		err = errors.New("it must be longer than nothing: write 10s")
	}
	if err != nil {
		return fmt.Errorf("set option flush_timeout: %w", err)
	}
	for _, k := range []struct {
		name string
		to   *bool
	}{
		{"startup_probe", &l.set.StartupProbe},
		{"complete_on_exit", &l.set.CompleteOnExit},
		{"emulator_mode", &l.emulator},
		{"compress_blob", &l.compressBlob},
	} {
		if *k.to, err = l.isOn(k.name); err != nil {
			return err
		}
	}
	return nil
}

// isOn parses a switch of our own.
func (l *loader) isOn(name string) (bool, error) {
	v := cmp.Or(l.value(name), defaultOf(name))
	switch strings.ToLower(v) {
	case "on", "true", "yes", "1":
		return true, nil
	case "off", "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("set option %s: %q is neither on nor off", name, v)
}

func (l *loader) note(format string, args ...any) {
	l.set.Notes = append(l.set.Notes, fmt.Sprintf(format, args...))
}

func (l *loader) warn(format string, args ...any) {
	l.set.Warnings = append(l.set.Warnings, fmt.Sprintf(format, args...))
}
