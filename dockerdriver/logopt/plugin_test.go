package logopt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/readmetest"
)

const pluginConfig = "../../conf/docker-plugin/config.json"

// The managed plugin's configuration, in dockerd's names (moby's plugin.Config).
type (
	config struct {
		Description     string      `json:"description"`
		Documentation   string      `json:"documentation"`
		Entrypoint      []string    `json:"entrypoint"`
		WorkDir         string      `json:"workdir"`
		Interface       iface       `json:"interface"`
		Network         networkType `json:"network"`
		PropagatedMount string      `json:"propagatedMount"`
		Mounts          []mount     `json:"mounts"`
		Env             []env       `json:"env"`
	}
	iface struct {
		Types  []string `json:"types"`
		Socket string   `json:"socket"`
	}
	networkType struct {
		Type string `json:"type"`
	}
	mount struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Source      string   `json:"source"`
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Options     []string `json:"options"`
		Settable    []string `json:"settable"`
	}
	env struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Value       string   `json:"value"`
		Settable    []string `json:"settable"`
	}
)

const (
	socketName = "azureblob"
	pipeDir    = "/run/docker/logging" // where dockerd makes its pipes
	stateDir   = pipeDir + "/state"
	profileDir = "/etc/azureblob/profiles"
	seen       = " (write " + profileDir + "/NAME: the folder that profiles.source names is there, and no other of the host's)"
)

// managed is the configuration of the managed plugin.
//
// The profiles' mount needs a source that is there on every host, because dockerd
// enables no plugin whose mount has none. /usr is: not even the distributions that
// leave out /mnt, /srv or /opt do without it. Nothing in it is secret, only root
// writes there, and it holds folders alone, so there are no profiles until somebody
// says where.
//
// docker plugin upgrade replaces all that a plugin has but its propagatedMount. The
// pipes of containers that run have to outlive that, so theirs is the folder, with
// the plugin's own state inside.
//
// It asks for no capability: dockerd enables no plugin that asks for one which dockerd
// does not have itself.
func managed() config {
	c := config{
		Description:     "Live container logs in Azure Blob Storage",
		Documentation:   "https://github.com/liveblob/azureblob",
		Entrypoint:      []string{"/azureblob-docker"},
		WorkDir:         "/",
		Interface:       iface{Types: []string{"docker.logdriver/1.0"}, Socket: socketName + ".sock"},
		Network:         networkType{"host"},
		PropagatedMount: pipeDir,
		Mounts: []mount{{
			Name: "profiles",
			Description: "the host's folder of profiles, and of files with secrets that they name (profiles.source=/etc/azureblob/profiles). " +
				"A plugin is enabled only if the source is there: the default, /usr, is there on every host and holds no profiles.",
			Source: "/usr", Destination: profileDir, Type: "bind", Options: []string{"bind", "ro"}, Settable: []string{"source"},
		}},
	}
	add := func(name, value, description string) {
		settable := []string{"value"}
		switch name {
		case "AZUREBLOB_SOCKET": // dockerd looks for the one that interface.socket names
			settable = []string{}
		case "AZUREBLOB_STATE_DIR": // elsewhere, an upgrade would lose it
			settable, value = []string{}, stateDir
		}
		c.Env = append(c.Env, env{name, strings.ReplaceAll(description, "`", ""), value, settable})
	}
	byDefault := func(value string) string {
		if value == "" {
			return ""
		}
		return "; by default " + value
	}
	for i := range core.Options {
		o := &core.Options[i]
		if notHere[o.Name] != "" {
			continue
		}
		description := o.About()
		if o.Values != nil {
			description += ": " + strings.Join(o.Values, ", ")
		}
		description += byDefault(cmp.Or(defaults[o.Name], o.Default))
		switch {
		case isFile(o):
			description += seen
		case core.FindOption(o.Name+"_file") != nil:
			description += " (docker plugin inspect shows it; a profile does not, nor does " + o.EnvName() + "_FILE)"
		case o.Credential():
			description += " (docker plugin inspect shows it; a profile does not)"
		}
		add(o.EnvName(), "", description)
	}
	for _, o := range options {
		if o.env != "" {
			add(o.env, "", o.help+byDefault(o.def)+" (the log-opt "+o.name+" says it for one container)")
		}
	}
	for _, v := range Process {
		description := v.Help
		if strings.HasPrefix(v.Name, "SSL_") {
			description += seen
		}
		add(v.Name, v.Default, description)
	}
	return c
}

func TestPluginConfigGenerated(t *testing.T) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(managed()); err != nil {
		t.Fatal(err)
	}
	want := b.String()
	have, err := os.ReadFile(pluginConfig)
	if err == nil && string(have) == want {
		return
	}
	if !*readmetest.Update {
		t.Fatalf("%s is stale: run %s\n%v\n%s", pluginConfig, howToGenerate, err, readmetest.FirstDifference(string(have), want))
	}
	if err := os.MkdirAll(filepath.Dir(pluginConfig), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pluginConfig, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPluginConfig checks the file as dockerd reads it.
func TestPluginConfig(t *testing.T) {
	b, err := os.ReadFile(pluginConfig)
	if err != nil {
		t.Fatal(err)
	}
	var c struct { // names in any case, as encoding/json takes them
		Entrypoint      []string
		PropagatedMount string
		Linux           struct{ Capabilities, Devices []string }
		Env             []struct {
			Name, Description string
			Value             *string
			Settable          []string
		}
		Mounts []struct {
			Source   *string
			Options  []string
			Settable []string
		}
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if c.Linux.Capabilities != nil || c.Linux.Devices != nil {
		t.Errorf("the plugin asks for %+v", c.Linux)
	}
	if len(c.Mounts) != 1 || *c.Mounts[0].Source != "/usr" || !slices.Contains(c.Mounts[0].Options, "ro") {
		t.Errorf("mounts: %+v", c.Mounts)
	}
	values := make(map[string]string)
	for _, e := range c.Env {
		if e.Value == nil || e.Description == "" || (len(e.Settable) == 1) == (e.Name == "AZUREBLOB_SOCKET" || e.Name == "AZUREBLOB_STATE_DIR") {
			t.Errorf("%s: no value, no description, or not settable", e.Name)
			continue
		}
		if _, twice := values[e.Name]; twice {
			t.Errorf("%s is there twice", e.Name)
		}
		values[e.Name] = *e.Value
		if o := findVariable(e.Name); o != nil && o.Type() == "secret" && !strings.Contains(e.Description, "docker plugin inspect shows it") {
			t.Errorf("%s does not say who can read it", e.Name)
		}
	}
	for _, name := range append(variables(), "AZUREBLOB_PROFILE", "HTTPS_PROXY") {
		if _, there := values[name]; !there {
			t.Errorf("%s cannot be set", name)
		}
	}
	for _, name := range []string{"AZUREBLOB_LOG_KEY", "AZUREBLOB_IDLE_TIMEOUT"} {
		if _, there := values[name]; there {
			t.Errorf("%s does nothing here", name)
		}
	}
	if !strings.HasPrefix(values["AZUREBLOB_STATE_DIR"], c.PropagatedMount+"/") || values["AZUREBLOB_PROFILE_DIR"] != profileDir || values["AZUREBLOB_SOCKET"] != socketName {
		t.Errorf("the defaults of the process are not the places that dockerd makes: %v", values)
	}

	// What dockerd sets when nobody has set anything: the same as an empty environment.
	untouched := func(name string) (string, bool) { v, set := values[name]; return v, set }
	empty := func(string) (string, bool) { return "", false }
	a, err := (&Host{Lookup: untouched, Hostname: "h"}).Settings(web(nil))
	if err != nil {
		t.Fatal(err)
	}
	e, err := (&Host{Lookup: empty, Hostname: "h"}).Settings(web(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(a), show(e); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
