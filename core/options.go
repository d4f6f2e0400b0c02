package core

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/docker/go-units"
)

// Option is one row of the table that all surfaces are made from: the Fluent Bit
// key account_name is the log-opt azureblob-account-name, the flag --account-name
// and a row of the README.
type Option struct {
	Name    string
	Default string
	Env     string   // the Azure CLI's or SDK's own variable; "": AZUREBLOB_ and the name
	Values  []string // all that is accepted; nil: whatever the type takes
	Help    string
	PerHost bool   // each host brings its own default
	FileOf  string // this option names a file that holds the value of that one

	field func(*Config) any // *string, *bool, *time.Duration, *Size, *Secret or *Map
}

// Options is every option there is, in the order in which help shows them.
var Options = []Option{
	{Name: "connection_string", Env: "AZURE_STORAGE_CONNECTION_STRING",
		Help:  "all of account, endpoint and key or SAS token in one; `UseDevelopmentStorage=true` is Azurite on 127.0.0.1:10000",
		field: func(c *Config) any { return &c.ConnectionString }},
	{Name: "account_name", Env: "AZURE_STORAGE_ACCOUNT",
		Help:  "storage account; several, as `name,name`, share the logs between them",
		field: func(c *Config) any { return &c.AccountName }},
	{Name: "endpoint", Env: "AZURE_STORAGE_SERVICE_ENDPOINT",
		Help:  "URL of the blob service, where it is not `https://ACCOUNT.blob.SUFFIX` (emulators, private endpoints); of several accounts, `URL,URL` in their order",
		field: func(c *Config) any { return &c.Endpoint }},
	{Name: "endpoint_suffix", Default: "core.windows.net",
		Help:  "DNS suffix of the cloud: `core.chinacloudapi.cn`, `core.usgovcloudapi.net`",
		field: func(c *Config) any { return &c.EndpointSuffix }},
	{Name: "auth_type", Values: authTypes,
		Help:  "how to log in; by default what is set decides: key or SAS token, client secret, workload identity, else no login (public blobs)",
		field: func(c *Config) any { return &c.AuthType }},
	{Name: "shared_key", Env: "AZURE_STORAGE_KEY",
		Help:  "account key; of several accounts, `key,key` in their order",
		field: func(c *Config) any { return &c.SharedKey }},
	{Name: "shared_key_file", FileOf: "shared_key"},
	{Name: "sas_token", Env: "AZURE_STORAGE_SAS_TOKEN",
		Help:  "shared access signature with read, create, write and list; of several accounts, `token,token` in their order",
		field: func(c *Config) any { return &c.SASToken }},
	{Name: "sas_token_file", FileOf: "sas_token"},
	{Name: "client_id", Env: "AZURE_CLIENT_ID",
		Help:  "application or user-assigned managed identity",
		field: func(c *Config) any { return &c.ClientID }},
	{Name: "client_id_file", FileOf: "client_id"},
	{Name: "tenant_id", Env: "AZURE_TENANT_ID",
		Help:  "directory of the application",
		field: func(c *Config) any { return &c.TenantID }},
	{Name: "tenant_id_file", FileOf: "tenant_id"},
	{Name: "client_secret", Env: "AZURE_CLIENT_SECRET",
		Help:  "secret of the application",
		field: func(c *Config) any { return &c.ClientSecret }},
	{Name: "client_secret_file", FileOf: "client_secret"},
	{Name: "workload_identity_token_file", Env: "AZURE_FEDERATED_TOKEN_FILE",
		Help:  "file with the pod's service account token; Kubernetes sets and renews it",
		field: func(c *Config) any { return &c.WorkloadTokenFile }},

	{Name: "container_name", Default: "logs",
		Help:  "blob container",
		field: func(c *Config) any { return &c.ContainerName }},
	{Name: "auto_create_container", Default: "true",
		Help:  "make the container if it is missing",
		field: func(c *Config) any { return &c.AutoCreateContainer }},
	{Name: "path", PerHost: true,
		Help:  "blob name: a template with `{{.Field}}` and `%Y-%m-%d`",
		field: func(c *Config) any { return &c.Path }},

	{Name: "format", Default: "json", Values: []string{"json", "text", "raw"},
		Help:  "how a record is written",
		field: func(c *Config) any { return &c.Format }},
	{Name: "log_key",
		Help:  "record field with the line",
		field: func(c *Config) any { return &c.LogKey }},
	{Name: "time_key",
		Help:  "record field that the time is written to; `off`: none",
		field: func(c *Config) any { return &c.TimeKey }},
	{Name: "time_format",
		Help:  "how the time is written",
		field: func(c *Config) any { return &c.TimeFormat }},
	{Name: "compress", Default: "none", Values: []string{"none", "gzip", "zstd"},
		Help:  "compress each flush, so that the blob is readable at every commit; sets Content-Encoding, leaves the name alone; browsers show only the first flush of gzip, take zstd for them",
		field: func(c *Config) any { return &c.Compress }},

	{Name: "flush_interval", Default: "1s",
		Help:  "shortest time between two commits of one blob; `0`: as fast as commits return",
		field: func(c *Config) any { return &c.FlushInterval }},
	{Name: "max_size", Default: "0",
		Help:  "go on in a new blob at this size (`10G`); `0`: never",
		field: func(c *Config) any { return &c.MaxSize }},
	{Name: "idle_timeout", PerHost: true,
		Help:  "mark a blob complete after so long without a line (`10m`); `0`: never",
		field: func(c *Config) any { return &c.IdleTimeout }},

	{Name: "content_type",
		Help:  "media type of the blob; by default that of the format",
		field: func(c *Config) any { return &c.ContentType }},
	{Name: "metadata",
		Help:  "metadata of every blob: `name=value,name=value`",
		field: func(c *Config) any { return &c.Metadata }},
	{Name: "tags",
		Help:  "index tags of every blob, ten at most: `name=value,name=value`",
		field: func(c *Config) any { return &c.Tags }},
	{Name: "tier_on_complete", Values: []string{"hot", "cool", "cold"},
		Help:  "access tier of a blob once it is complete",
		field: func(c *Config) any { return &c.TierOnComplete }},
}

// FindOption returns the option of that name, or nil.
func FindOption(name string) *Option {
	for i := range Options {
		if Options[i].Name == name {
			return &Options[i]
		}
	}
	return nil
}

// EnvName is the environment variable that sets the option.
func (o *Option) EnvName() string {
	switch {
	case o.FileOf != "":
		return FindOption(o.FileOf).EnvName() + "_FILE"
	case o.Env != "":
		return o.Env
	}
	return "AZUREBLOB_" + strings.ToUpper(o.Name)
}

// Credential reports options that say how to log in, or where that is kept. A
// host refuses them where others can read them (docker inspect).
func (o *Option) Credential() bool {
	return o.FileOf != "" || o.Type() == "secret" || o.Name == "workload_identity_token_file"
}

// Type says what kind of value the option takes: text, switch, duration, size,
// list, secret or file.
func (o *Option) Type() string {
	if o.FileOf != "" {
		return "file"
	}
	switch o.field(new(Config)).(type) {
	case *bool:
		return "switch"
	case *time.Duration:
		return "duration"
	case *Size:
		return "size"
	case *Map:
		return "list"
	case *Secret:
		return "secret"
	}
	return "text"
}

// About is the option's help, that of a file option derived from its other half.
func (o *Option) About() string {
	if o.FileOf != "" {
		return "file that holds " + o.FileOf + "; read again when it changes"
	}
	return o.Help
}

// set parses value into the option's field. The error says what is accepted and
// shows the value, unless it is a secret.
func (o *Option) set(c *Config, value string) error {
	if o.FileOf != "" {
		s, err := SecretFile(o.Name, value)
		if err == nil {
			*FindOption(o.FileOf).field(c).(*Secret) = s
		}
		return err
	}
	var err error
	switch p := o.field(c).(type) {
	case *string:
		*p, err = o.oneOf(value)
	case *bool:
		*p, err = parseBool(value)
	case *time.Duration:
		*p, err = ParseDuration(value)
	case *Size:
		*p, err = ParseSize(value)
	case *Map:
		*p, err = parseMap(value)
	case *Secret:
		*p = NewSecret(strings.TrimSpace(value))
	}
	return err
}

func (o *Option) oneOf(value string) (string, error) {
	value = strings.TrimSpace(value)
	if o.Values == nil || value == "" {
		return value, nil
	}
	for _, v := range o.Values {
		if strings.EqualFold(v, value) {
			return v, nil
		}
	}
	hint := ""
	if near := Suggest(value, o.Values); near != "" {
		hint = fmt.Sprintf(": did you mean %q?", near)
	}
	return "", fmt.Errorf("%q is not one of %s%s", value, strings.Join(o.Values, ", "), hint)
}

func parseBool(value string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "on", "true", "yes", "1":
		return true, nil
	case "off", "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", value)
}

// ParseDuration takes Go's form, a plain number of seconds, and days.
func ParseDuration(value string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: write 500ms, 1s, 10m, 2h, 1d, or seconds", value)
	v := strings.TrimSpace(value)
	unit := time.Second
	number, days := strings.CutSuffix(v, "d")
	if days {
		unit = 24 * time.Hour
	}
	if strings.Trim(number, "0123456789.") != "" || number == "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return 0, bad
		}
		return d, nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if d := n * float64(unit); err == nil && d < math.MaxInt64 {
		return time.Duration(d), nil
	}
	return 0, bad
}

// Size is a number of bytes.
type Size int64

func (s Size) String() string { return units.BytesSize(float64(s)) }

// ParseSize takes 10M, 10MB and 10MiB, all of which are binary, as in Docker's
// memory limits.
func ParseSize(value string) (Size, error) {
	n, err := units.RAMInBytes(strings.TrimSpace(value))
	if err != nil || n < 0 || n > 1<<60 {
		return 0, fmt.Errorf("%q is not a size: write 512K, 10M, 2GiB, or bytes", value)
	}
	return Size(n), nil
}

// Map is a list of names with values, as name=value,name=value.
type Map map[string]string

// Source makes the map a source of settings: a host's own defaults, say.
func (m Map) Source() Source {
	return Source{Lookup: func(name string) (string, bool) { v, ok := m[name]; return v, ok }}
}

func (m Map) String() string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, ",")
}

func parseMap(value string) (Map, error) {
	m := Map{}
	for part := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		k, v, ok := strings.Cut(part, "=")
		k = strings.TrimSpace(k)
		if !ok || k == "" {
			return nil, fmt.Errorf("%q is not name=value: write name=value,name=value", part)
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("%q is given twice", k)
		}
		m[k] = strings.TrimSpace(v)
	}
	return m, nil
}

// Suggest returns the known name that the given one was probably meant to be, or
// "" where none is near.
func Suggest(name string, known []string) string {
	best, least := "", min(max(2, len(name)/3)+1, len(name)) // two letters that are swapped are two edits
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// UnknownOption is the error for a name that is not in the table. A host that
// spells names in its own way passes the table's spelling.
func UnknownOption(name string) error {
	known := make([]string, len(Options))
	for i := range Options {
		known[i] = Options[i].Name
	}
	if near := Suggest(name, known); near != "" {
		return fmt.Errorf("unknown option %q: did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown option %q: the options are listed in the README", name)
}

// Source is one place that settings come from.
type Source struct {
	// Lookup returns the text of an option, by its name in the table.
	Lookup func(name string) (value string, set bool)

	// Spell is what the source's own users call the option (--max-size,
	// azureblob-max-size), for errors. nil: as in the table.
	Spell func(name string) string

	// Ambient marks settings that were made for the whole machine and not for
	// this program. Several credentials there are no contradiction: the first in
	// the order connection string, key, SAS token, client secret counts.
	Ambient bool
}

func (s Source) spell(name string) string {
	if s.Spell != nil {
		return s.Spell(name)
	}
	return name
}

// Env is the environment as a source: Env(os.LookupEnv). A variable that is set
// to nothing counts as not set.
func Env(lookup func(string) (string, bool)) Source {
	name := func(option string) string {
		if o := FindOption(option); o != nil {
			return o.EnvName()
		}
		return option
	}
	return Source{
		Lookup: func(option string) (string, bool) {
			v, _ := lookup(name(option))
			return v, v != ""
		},
		Spell:   name,
		Ambient: true,
	}
}

// Table is the option table of the README, in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| option | default | environment | |\n|---|---|---|---|\n")
	for i := range Options {
		o := &Options[i]
		def := ""
		if o.Default != "" {
			def = "`" + o.Default + "`"
		}
		if o.PerHost {
			def = "per host"
		}
		help := o.About()
		if o.Values != nil {
			help += ": `" + strings.Join(o.Values, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", o.Name, def, o.EnvName(), strings.ReplaceAll(help, "|", `\|`))
	}
	return b.String()
}

var errBothForms = errors.New("set the value or its file, not both")
