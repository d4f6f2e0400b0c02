package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/liveblob"
)

// Flags that reach storage are made from core.Options by one loop, so the two
// cannot disagree. A command says which part of the table it is about.

// writing are the options that only a command that writes logs has.
var writing = []string{
	"auto_create_container", "format", "compress", "flush_interval", "max_size",
	"content_type", "metadata", "tags", "tier_on_complete",
}

// notHere are options of other hosts: the argument CONTAINER/NAME says the first
// two, the others are about records and idle containers.
var notHere = []string{"container_name", "path", "log_key", "time_key", "time_format", "idle_timeout"}

const noSecretFlags = `Secrets are not flags, because ps shows those to everybody: use the variables,
or keep a secret in a file and name it (--shared-key-file, --sas-token-file, …).`

func flagName(option string) string { return strings.ReplaceAll(option, "_", "-") }
func optionName(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// hidden reports options whose value must not be on a command line. A client or
// tenant ID may.
func hidden(o *core.Option) bool {
	return o.Type() == "secret" && o.Name != "client_id" && o.Name != "tenant_id"
}

// orFile offers the flag that names o's file, if there is one.
func orFile(o *core.Option) string {
	if core.FindOption(o.Name+"_file") == nil {
		return ""
	}
	return " or --" + flagName(o.Name) + "-file"
}

// storage is what one command's flags say of the account and the log. It is a
// source of settings, and opens what they describe.
type storage struct {
	a        *app
	flags    *pflag.FlagSet
	defaults core.Map // the command's own
}

// storageFlags gives cmd a flag for each option of the account, and for those of
// also.
func (a *app) storageFlags(cmd *cobra.Command, defaults core.Map, also ...string) *storage {
	for i := range core.Options {
		o := &core.Options[i]
		if hidden(o) || slices.Contains(notHere, o.Name) || slices.Contains(writing, o.Name) && !slices.Contains(also, o.Name) {
			continue
		}
		v := &optionValue{option: o, text: o.Default}
		if d, ok := defaults[o.Name]; ok {
			v.text = d
		}
		// pflag would take a word in backquotes for the value's name.
		help := strings.ReplaceAll(o.About(), "`", "") + " (" + o.EnvName() + ")"
		if o.Values != nil {
			help += ": " + strings.Join(o.Values, ", ")
		}
		cmd.Flags().Var(v, flagName(o.Name), help)
	}
	return &storage{a: a, flags: cmd.Flags(), defaults: defaults}
}

// optionValue keeps the text of a flag. What it means, core.Load decides.
type optionValue struct {
	option *core.Option
	text   string
	again  bool // it was set before: lists add up
}

func (v *optionValue) String() string { return v.text }

func (v *optionValue) Set(s string) error {
	if v.again && v.option.Type() == "list" {
		s = v.text + "," + s
	}
	v.text, v.again = s, true
	return nil
}

func (v *optionValue) Type() string {
	switch t := v.option.Type(); {
	case v.option.Values != nil:
		return "KIND"
	case t == "list":
		return "NAME=VALUE,..."
	case t == "switch":
		return "on|off"
	case strings.HasSuffix(v.option.Name, "_file"):
		return "FILE"
	case t == "secret":
		return "TEXT"
	default:
		return strings.ToUpper(t)
	}
}

// load reads all settings: flags, then the environment, then the command's own
// defaults.
func (s *storage) load() (*core.Config, error) {
	flags := core.Source{
		Lookup: func(option string) (string, bool) {
			f := s.flags.Lookup(flagName(option))
			if f == nil || !f.Changed {
				return "", false
			}
			return f.Value.String(), true
		},
		Spell: func(option string) string { return "--" + flagName(option) },
	}
	cfg, err := core.Load(flags, core.Env(s.a.env), s.defaults.Source())
	if err != nil {
		return nil, &usageError{err}
	}
	return cfg, nil
}

// open aims the settings at a place and opens the store there. giveUp is for
// calls on the container; readers and writers bring their own.
func (s *storage) open(cfg *core.Config, at core.Location, giveUp time.Duration) (*core.Store, error) {
	cfg, err := cfg.At(at)
	if err != nil {
		return nil, &usageError{err}
	}
	if cfg.AccountName == "" && cfg.Endpoint == "" && cfg.ConnectionString.IsZero() {
		return nil, usagef("no storage account is set: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT (--account-name) and a credential such as AZURE_STORAGE_KEY")
	}
	store, err := core.Open(cfg, core.StoreOptions{Log: s.a.console.log(), GiveUp: giveUp})
	if err != nil {
		return nil, &usageError{err}
	}
	return store, nil
}

// place reads the argument CONTAINER/NAME or URL of a blob to read, and opens its
// container. Others may have made names that we would not.
func (s *storage) place(arg string) (*core.Store, core.Location, error) {
	at, err := core.ParseLocation(arg)
	if err != nil {
		return nil, at, &usageError{err}
	}
	if at.Name == "" {
		return nil, at, &usageError{core.CheckBlobName(at.Name)}
	}
	cfg, err := s.load()
	if err != nil {
		return nil, at, err
	}
	store, err := s.open(cfg, at, 0)
	return store, at, err
}

// openContainer opens the container, or the prefix in it, that the argument
// names; without one, the container of the settings.
func (s *storage) openContainer(args []string, giveUp time.Duration) (*core.Store, *core.Config, core.Location, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, nil, core.Location{}, err
	}
	at := core.Location{Container: cfg.ContainerName}
	if len(args) == 1 {
		if at, err = core.ParseLocation(args[0]); err != nil {
			return nil, nil, at, &usageError{err}
		}
	}
	store, err := s.open(cfg, at, giveUp)
	return store, cfg, at, err
}

// retry is the loop for one command's requests.
func (a *app) retry(giveUp time.Duration) liveblob.Retry {
	return liveblob.Retry{GiveUp: giveUp, Log: a.console.log()}
}
