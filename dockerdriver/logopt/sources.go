package logopt

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/core"
)

// sources are the places that a log's options come from, the first before the others.
type sources struct {
	logOpts map[string]string
	profile *profile
	env     func(string) (string, bool)
}

// defaults are those of options that each host brings its own for.
var defaults = core.Map{"path": "{{.Name}}/{{.FullID}}.log"}

// fromProfile is the profile's place in list.
const fromProfile = 1

// list is the sources as core.Load wants them. A variable of another host may be
// there for another program, and does nothing here.
func (s *sources) list() []core.Source {
	env := core.Env(s.env)
	lookup := env.Lookup
	env.Lookup = func(name string) (string, bool) {
		if notHere[name] != "" {
			return "", false
		}
		return lookup(name)
	}
	return []core.Source{
		{
			Lookup: func(name string) (string, bool) {
				v, set := s.logOpts[logOpt(core.FindOption(name))]
				return v, set
			},
			Spell: func(name string) string {
				if o := core.FindOption(name); o != nil {
					return logOpt(o)
				}
				return name
			},
		},
		s.profile.source(),
		env,
	}
}

// load makes the settings of the core, and the key under which logs of the same
// account and container are one.
func (s *sources) load() (cfg *core.Config, account string, err error) {
	for i := range core.Options {
		o := &core.Options[i]
		if v, _ := s.env(o.EnvName()); isFile(o) && v != "" && !filepath.IsAbs(v) {
			// Not shown: people put the secret itself where its file belongs.
			return nil, "", fmt.Errorf("set %s: write the file's whole path, from / on", o.EnvName())
		}
	}
	list := s.list()
	cfg, err = core.Load(append(list, defaults.Source())...)
	if err != nil {
		return nil, "", err
	}
	if err := checkAccount(cfg, list); err != nil {
		return nil, "", err
	}
	return cfg, accountKey(list), nil
}

// isFile reports options that name a file of the login.
func isFile(o *core.Option) bool {
	return o.FileOf != "" || o.Name == "workload_identity_token_file"
}

// checkAccount refuses an account that was named in front of another one's key or
// token: each request would be refused, for ever.
func checkAccount(cfg *core.Config, list []core.Source) error {
	if cfg.SharedKey.IsZero() && cfg.SASToken.IsZero() {
		return nil
	}
	for _, s := range list {
		for _, name := range []string{"shared_key", "shared_key_file", "sas_token", "sas_token_file"} {
			if v, _ := s.Lookup(name); v == "" {
				continue
			}
			if of, _ := s.Lookup("account_name"); of != "" && of != cfg.AccountName && cfg.AccountName != "" {
				spelled, _ := who("account_name", list)
				return fmt.Errorf("set %s: %s is that of another account: put both into a profile (azureblob-profile)", spelled, s.Spell(name))
			}
			return nil
		}
	}
	return nil
}

// who spells an option as the first source does that has it, and says which that is.
func who(name string, list []core.Source) (spelled string, at int) {
	for i, s := range list {
		if _, set := s.Lookup(name); set {
			return s.Spell(name), i
		}
	}
	return name, len(list)
}

// accountKey is the same for logs that can share a core.Store. A secret is in it as
// a part of a hash.
func accountKey(list []core.Source) string {
	h := sha256.New()
	for i := range core.Options {
		o := &core.Options[i]
		if !o.Credential() && !slices.Contains([]string{"account_name", "endpoint", "endpoint_suffix", "auth_type", "container_name", "auto_create_container"}, o.Name) {
			continue
		}
		for at, s := range list {
			if v, set := s.Lookup(o.Name); set {
				fmt.Fprintf(h, "%s %d %q\n", o.Name, at, v)
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// own is the value of one of the driver's own options, and how the place spells it
// that has it.
func (s *sources) own(name string) (value, spelled string) {
	o := find(name)
	if v, set := s.logOpts[name]; set {
		return v, name
	}
	if v := s.profile.variable(o.env); v != "" {
		return v, s.profile.spell(o.env)
	}
	if v, _ := s.env(o.env); v != "" {
		return v, o.env
	}
	return o.def, name
}

// size and onFull show no value: it may be from a profile.
func (s *sources) size(name string, least core.Size) (int64, error) {
	v, spelled := s.own(name)
	n, err := core.ParseSize(v)
	if err != nil {
		return 0, fmt.Errorf("set %s: the value is not a size: write 512K, 100M, 2G, or bytes", spelled)
	}
	if n < least {
		return 0, fmt.Errorf("set %s: it is less than %dM, and the spool needs that much", spelled, least>>20)
	}
	return int64(n), nil
}

func (s *sources) onFull() (dropOldest bool, err error) {
	v, spelled := s.own("azureblob-on-full")
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "block":
		return false, nil
	case "drop-oldest":
		return true, nil
	}
	return false, fmt.Errorf("set %s: the value is neither block nor drop-oldest", spelled)
}
