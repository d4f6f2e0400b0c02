package keys

import (
	"cmp"
	"strings"

	"github.com/liveblob/azureblob/core"
)

// sources are the places that settings come from, the first before the others.
func (l *loader) sources() []core.Source {
	env := core.Env(l.lookupEnv)
	lookup := env.Lookup
	env.Lookup = func(name string) (string, bool) {
		if isTemplates(name) {
			return "", false
		}
		return lookup(name)
	}
	return []core.Source{{Lookup: l.option}, env, defaults.Source()}
}

// isTemplates reports the options whose values are templates here, and that core.Load
// would therefore refuse.
func isTemplates(name string) bool { return name == "metadata" || name == "tags" }

// option is the text of a core option as the keys say it.
func (l *loader) option(name string) (string, bool) {
	var v string
	switch name {
	case "metadata", "tags":
	case "time_key":
		v = l.timeKey()
	case "compress":
		if v = l.value(name); v == "" && l.compressBlob {
			v = "gzip"
		}
	case "connection_string", "account_name", "endpoint":
		if v = l.value(name); l.emulator {
			v = l.emulated(name)
		}
	default:
		v = forCore(core.FindOption(name), l.value(name))
	}
	return v, v != ""
}

// forCore makes core's form of what Fluent Bit's users write: 10M is ten minutes where
// it is a time, off is no time and no limit.
func forCore(o *core.Option, v string) string {
	t := o.Type()
	if t != "duration" && t != "size" {
		return v
	}
	switch v = strings.ToLower(v); v {
	case "off", "false", "no":
		return "0"
	}
	return v
}

// timeKey is time_key, or date_key. One that is empty in quotes is none.
func (l *loader) timeKey() string {
	for _, name := range []string{"time_key", "date_key"} {
		if v := l.value(name); v != "" {
			return v
		}
		if strings.TrimSpace(l.key(name)) != "" {
			return "off"
		}
	}
	return ""
}

// The address of Azurite, and its account. Its key is what a connection string for it
// means where it has none.
const (
	emulatorAddress = "http://127.0.0.1:10000"
	emulatorAccount = "devstoreaccount1"
)

// emulated are the options of the address in emulator_mode, where what is set counts
// first.
func (l *loader) emulated(name string) string {
	whole := l.value("connection_string")
	switch {
	case whole != "" && name == "connection_string":
		return whole
	case whole != "":
		return l.value(name)
	}
	account := cmp.Or(l.value("account_name"), emulatorAccount)
	endpoint := cmp.Or(l.value("endpoint"), emulatorAddress)
	scheme, host, ok := strings.Cut(endpoint, "://")
	if !ok {
		scheme, host = "http", endpoint
	}
	list := strings.Contains(account, ",") // core puts each name behind the one endpoint
	if host = strings.TrimRight(host, "/"); !strings.ContainsAny(host, "/?,") && !list {
		host += "/" + account
	}
	endpoint = scheme + "://" + host
	if l.hasCredentials() || list {
		return map[string]string{"account_name": account, "endpoint": endpoint}[name]
	}
	if name == "connection_string" {
		return "UseDevelopmentStorage=true;AccountName=" + account + ";BlobEndpoint=" + endpoint
	}
	return ""
}

// hasCredentials reports that the keys say how to log in.
func (l *loader) hasCredentials() bool {
	if t := l.value("auth_type"); t != "" && !strings.EqualFold(t, "key") {
		return true
	}
	for i := range core.Options {
		if o := &core.Options[i]; o.Credential() && l.value(o.Name) != "" {
			return true
		}
	}
	return false
}

// setBy is the key, or else the environment variable, that sets a core option; "": none
// does.
func (l *loader) setBy(name string) string {
	if l.value(name) != "" {
		return name
	}
	variable := core.FindOption(name).EnvName()
	if v, _ := l.lookupEnv(variable); v != "" {
		return variable
	}
	return ""
}

// spell is what the user calls a core option, for errors.
func (l *loader) spell(name string) string { return cmp.Or(l.setBy(name), name) }
