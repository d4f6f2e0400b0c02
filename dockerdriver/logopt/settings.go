package logopt

import (
	"cmp"
	"fmt"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/record"
)

// Host is what all containers of the plugin have in common.
type Host struct {
	Lookup     func(string) (string, bool) // the plugin's environment
	ProfileDir string                      // the folder of profiles
	Profile    string                      // the profile of containers that name none; "": none
	Hostname   string                      // in tags, paths and metadata; "": the system's
}

// Settings of one container's log.
type Settings struct {
	Config   *core.Config      // account, container, format, …
	Account  string            // the same for logs that can share a core.Store; not for display
	Blob     string            // the blob's name, expanded and clean
	Metadata map[string]string // of the blob, the user's own included
	Attrs    []byte            // of json records, as record.Record wants them; nil: none

	CacheSize, SpoolSize int64
	DropOldest           bool // when the spool is full

	Warnings []string // for the plugin's log
}

// minSpool makes segments of 2 MiB, each of which takes the largest batch.
const minSpool = 8 << 20

// Settings of a container's log. The error is one line for its user.
func (h *Host) Settings(info *Info) (*Settings, error) {
	if err := checkNames(info.Config); err != nil {
		return nil, err
	}
	name, named := info.Config["azureblob-profile"]
	if !named {
		name = h.Profile
	}
	prof, err := h.readProfile(name)
	if err != nil {
		return nil, err
	}
	src := &sources{logOpts: info.Config, profile: prof, env: h.Lookup}

	s := new(Settings)
	if w := prof.warning(); w != "" {
		s.Warnings = append(s.Warnings, w)
	}
	if s.Config, s.Account, err = src.load(); err != nil {
		return nil, err
	}
	if s.CacheSize, err = src.size("azureblob-cache-size", 0); err != nil {
		return nil, err
	}
	if s.SpoolSize, err = src.size("azureblob-spool-size", minSpool); err != nil {
		return nil, err
	}
	if s.DropOldest, err = src.onFull(); err != nil {
		return nil, err
	}

	data := *info // for templates
	data.hostname = h.Hostname
	tag, err := data.expandTag()
	if err != nil {
		return nil, err
	}
	data.tag = cmp.Or(tag, info.ID())
	if s.Blob, err = src.expandPath(s.Config.Path, &data); err != nil {
		return nil, err
	}

	labels, env, err := chosen(info)
	if err != nil {
		return nil, err
	}
	s.Attrs = record.AppendAttrs(nil, attrs(labels, env, tag))
	if s.Metadata, err = src.metadata(s, &data, tag, labels, env); err != nil {
		return nil, err
	}
	return s, nil
}

// expandPath makes the blob's name. The time in it is that of the container's
// creation, in UTC.
func (s *sources) expandPath(template string, data *Info) (string, error) {
	var name string
	path, err := core.ParsePath(template, data)
	if err == nil {
		name, err = path.Expand(data, data.ContainerCreated.UTC())
	}
	if err == nil {
		return name, nil
	}
	list := s.list()
	spelled, at := who("path", list)
	if at == fromProfile {
		return "", fmt.Errorf("set %s: the template is not valid: give it as log-opt azureblob-path to see why", spelled)
	}
	return "", fmt.Errorf("set %s: %w", spelled, err)
}

// Fallback is what a log is kept with while its own settings cannot be made: its
// profile is gone, say. It has no Config, so nothing can be uploaded.
func Fallback() *Settings {
	s := new(Settings)
	none := &sources{env: func(string) (string, bool) { return "", false }}
	s.CacheSize, _ = none.size("azureblob-cache-size", 0)
	s.SpoolSize, _ = none.size("azureblob-spool-size", minSpool)
	return s
}
