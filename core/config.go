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
	addressOnly      bool   // ConnectionString's key or SAS token is not for us
	AccountName      string // or a comma list, and so are Endpoint, SharedKey and SASToken then
	Endpoint         string
	only             string // the endpoint of the one account that is meant; "": all
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
// ones, unless auth_type asks for one of them. The address in a connection string
// whose credentials are hidden still counts. Templates are not looked at here
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

// waysHold is the auth type that each of the ways is for. A connection string
// may be for none, an address alone.
func waysHold(inString string) map[string]string {
	return map[string]string{
		"connection_string": inString,
		"shared_key":        "key",
		"sas_token":         "sas",
		"client_secret":     "service_principal",
	}
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
	inString := "key" // what a string that cannot be read was meant to be; Open refuses it
	if cs, err := parseConnectionString(c.ConnectionString.Reveal()); err == nil {
		inString = cs.authType()
	}
	holds := waysHold(inString)
	fits := func(way string) bool { return c.AuthType == "" || c.AuthType == holds[way] }
	var have []string // the ways that are set, those of the earliest source first
	for _, way := range ways {
		if _, set := from[way]; set && holds[way] != "" {
			have = append(have, way)
		}
	}
	slices.SortStableFunc(have, func(a, b string) int { return from[a] - from[b] })

	// The first source that says how to log in decides. An auth_type behind it
	// counts if it says the same.
	first := len(sources)
	if len(have) > 0 {
		first = from[have[0]]
	}
	if at, set := from["auth_type"]; set && at > first {
		same := func(way string) bool { return from[way] == first && fits(way) }
		if !slices.ContainsFunc(have, same) {
			drop("auth_type")
		}
	} else if set {
		first = at
	}

	// One way is left, and what contradicts it where the choice was made. Of a
	// connection string that is not the way, the address is left.
	login := slices.IndexFunc(have, fits)
	addressOnly := inString == ""
	for i, way := range have {
		switch {
		case i == login, from[way] == first && !sources[first].Ambient:
		case way == "connection_string":
			addressOnly = true
		default:
			drop(way)
		}
	}
	if cs, set := from["connection_string"]; set && addressOnly {
		c.addressOnly = true
		for _, name := range []string{"account_name", "endpoint"} {
			if at, set := from[name]; set && at < cs {
				drop("connection_string") // the address is said already
				break
			}
		}
	}

	// A connection string names its account: what the environment says about
	// another one is not meant.
	if cs, set := from["connection_string"]; set {
		for _, name := range []string{"account_name", "endpoint", "endpoint_suffix"} {
			list := strings.Contains(c.AccountName, ",") // is not there for another program
			if at, set := from[name]; set && (at > cs || at == cs && sources[at].Ambient && !list) {
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
