package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core/liveblob"
)

// Config is every setting, parsed. Load fills one from the outside world; code
// that builds one by hand leaves out what it does not need.
type Config struct {
	ConnectionString Secret
	AccountName      string
	Endpoint         string
	EndpointSuffix   string // "": core.windows.net

	AuthType     string // "": by what is set
	SharedKey    Secret
	SASToken     Secret
	ClientID     Secret // these two are no secrets, but may come from files as well
	TenantID     Secret
	ClientSecret Secret

	WorkloadTokenFile string

	ContainerName       string
	AutoCreateContainer bool
	Path                string

	Format, LogKey, TimeKey, TimeFormat string
	Compress                            string

	FlushInterval time.Duration
	MaxSize       Size // 0: no limit
	IdleTimeout   time.Duration

	ContentType    string
	Metadata       Map
	Tags           Map
	TierOnComplete string
}

// Load reads every option from the first source that has it, or else takes the
// default. A host puts what its user wrote first, then the environment, then its
// own defaults for path, idle_timeout and the like:
//
//	Load(flags, Env(os.LookupEnv), Map{"path": "{{.Name}}.log", "idle_timeout": "10m"}.Source())
//
// Credentials are not mixed: those of an earlier source hide those of the later
// ones, unless auth_type asks for one of them. Templates are not looked at here
// (see ParsePath), so that a program without them does not link them.
func Load(sources ...Source) (*Config, error) {
	c := new(Config)
	from := make(map[string]int, len(Options)) // option → the source that set it
	for i := range Options {
		o := &Options[i]
		value, at := o.Default, len(sources)
		for j, s := range sources {
			if v, set := s.Lookup(o.Name); set {
				value, at = v, j
				break
			}
		}
		if at == len(sources) && value == "" {
			continue
		}
		name := cmp.Or(o.FileOf, o.Name)
		if before, set := from[name]; set && o.FileOf != "" { // the value comes before its file
			if before == at && !sources[at].Ambient {
				return nil, fmt.Errorf("set option %s: %w", sources[at].spell(o.Name), errBothForms)
			}
			if before <= at {
				continue
			}
		}
		if err := o.set(c, value); err != nil {
			spelled := o.Name
			if at < len(sources) {
				spelled = sources[at].spell(o.Name)
			}
			return nil, fmt.Errorf("set option %s: %w", spelled, err)
		}
		if at < len(sources) {
			from[name] = at
		}
	}
	c.settle(sources, from)
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c, nil
}

// ways are the options that each say all about how to log in, the first that is
// set in the environment counting there.
var ways = []string{"connection_string", "shared_key", "sas_token", "client_secret"}

// serves reports whether a way is what an explicit auth_type needs.
func serves(way, authType string) bool {
	switch authType {
	case "key":
		return way == "connection_string" || way == "shared_key"
	case "sas":
		return way == "connection_string" || way == "sas_token"
	case "service_principal":
		return way == "client_secret"
	}
	return false
}

// settle drops the credentials that another source's choice overrides. What
// contradicts itself within one source stays, for Open to refuse.
func (c *Config) settle(sources []Source, from map[string]int) {
	drop := func(name string) {
		o := FindOption(name)
		switch p := o.field(c).(type) {
		case *Secret:
			*p = Secret{}
		case *string:
			*p = o.Default
		}
		delete(from, name)
	}
	first := len(sources) // the earliest source that has one of the ways
	for _, way := range ways {
		if at, set := from[way]; set {
			first = min(first, at)
		}
	}
	if at, set := from["auth_type"]; set && at > first {
		fits := slices.ContainsFunc(ways, func(way string) bool {
			at, set := from[way]
			return set && at == first && serves(way, c.AuthType)
		})
		if !fits {
			drop("auth_type")
		}
	} else if set {
		first = min(first, at)
	}
	var wanted []string
	for _, way := range ways {
		at, set := from[way]
		switch {
		case !set:
		case c.AuthType != "" && serves(way, c.AuthType):
			wanted = append(wanted, way)
		case at > first, c.AuthType != "" && sources[at].Ambient:
			drop(way)
		default:
			wanted = append(wanted, way)
		}
	}
	slices.SortStableFunc(wanted, func(a, b string) int { return from[a] - from[b] })
	for i, way := range wanted {
		if i > 0 && (from[way] > from[wanted[0]] || sources[from[way]].Ambient) {
			drop(way)
		}
	}
	// A connection string names its account: what the environment says about
	// another one is not meant.
	if cs, set := from["connection_string"]; set {
		for _, name := range []string{"account_name", "endpoint", "endpoint_suffix"} {
			if at, set := from[name]; set && (at > cs || at == cs && sources[at].Ambient) {
				drop(name)
			}
		}
	}
}

// Check refuses values that parse but cannot work. The service would refuse them
// as well, but at the first commit.
func (c *Config) Check() error {
	if c.FlushInterval < 0 {
		return fmt.Errorf("set option flush_interval: %v is negative: write 0 for no pause", c.FlushInterval)
	}
	if c.IdleTimeout < 0 {
		return fmt.Errorf("set option idle_timeout: %v is negative: write 0 for never", c.IdleTimeout)
	}
	if c.MaxSize < 0 {
		return fmt.Errorf("set option max_size: %d is negative: write 0 for no limit", c.MaxSize)
	}
	if c.ContainerName != "" {
		if err := CheckContainerName(c.ContainerName); err != nil {
			return fmt.Errorf("set option container_name: %w", err)
		}
	}
	for i := 0; i < len(c.ContentType); i++ {
		if b := c.ContentType[i]; b < 0x20 || b > 0x7e {
			return fmt.Errorf("set option content_type: %q has a character that a header cannot carry", c.ContentType)
		}
	}
	if err := liveblob.CheckMetadata(c.Metadata); err != nil {
		return fmt.Errorf("set option metadata: %w", err)
	}
	if err := checkTags(c.Tags); err != nil {
		return fmt.Errorf("set option tags: %w", err)
	}
	return nil
}

func checkTags(m Map) error {
	if len(m) > 10 {
		return fmt.Errorf("there are %d: a blob has ten at most", len(m))
	}
	for k, v := range m {
		if n := utf8.RuneCountInString(k); n > 128 || len(v) > 256 {
			return fmt.Errorf("the tag %q is too long: names take 128 characters, values 256", k)
		}
		for _, s := range []string{k, v} {
			for _, r := range s {
				if !isAlphanumeric(r) && !strings.ContainsRune(" +-./:=_", r) {
					return fmt.Errorf("the tag %q has the character %q: use letters, digits, space and + - . / : = _", k, r)
				}
			}
		}
	}
	return nil
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
