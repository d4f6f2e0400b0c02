package logopt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joho/godotenv"

	"github.com/liveblob/azureblob/core"
)

const maxProfile = 16 << 10

// profile is a file of variables for the logs that name it:
//
//	# /etc/azureblob/profiles/prod
//	AZURE_STORAGE_ACCOUNT=prodlogs
//	AZURE_STORAGE_KEY_FILE=prod.key     a path from / on, or from the profile's folder
//	AZUREBLOB_CONTAINER_NAME=web
//
// nil is no profile. Those who start containers may not be allowed to see what is in
// it: its errors name lines and known variables, nothing else that was written there.
type profile struct {
	name  string
	path  string
	lines []string
	vars  map[string]string
	open  bool // every user of the host may read the file
}

// readProfile reads a file of Host.ProfileDir; nil for the name "".
func (h *Host) readProfile(name string) (*profile, error) {
	if name == "" {
		return nil, nil
	}
	if !validProfile(name) {
		return nil, fmt.Errorf("read profile %.80q: a profile is named by letters, digits, - _ and ., and not by a path: it is a file in %s", name, h.ProfileDir)
	}
	p := &profile{name: name, path: filepath.Join(h.ProfileDir, name)}
	info, err := os.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, h.noProfile(name)
	case err != nil:
		return nil, fmt.Errorf("read profile %q: %w", name, err)
	case !info.Mode().IsRegular(): // opening a pipe would wait for somebody to write
		return nil, fmt.Errorf("read profile %q: %s is not a file", name, p.path)
	case info.Size() > maxProfile:
		return nil, fmt.Errorf("read profile %q: %s is larger than %d KiB: is this the right file?", name, p.path, maxProfile>>10)
	}
	p.open = info.Mode().Perm()&0o004 != 0
	text, err := os.ReadFile(p.path)
	if err != nil {
		return nil, fmt.Errorf("read profile %q: %w", name, err)
	}
	return p, p.parse(text, h.ProfileDir)
}

func validProfile(name string) bool {
	for _, r := range name {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r)) {
			return false
		}
	}
	return name[0] != '.' && len(name) <= 255
}

// noProfile says which profiles there are.
func (h *Host) noProfile(name string) error {
	entries, err := os.ReadDir(h.ProfileDir)
	if err != nil {
		return fmt.Errorf("read profile %q: the folder of profiles cannot be read: %w", name, err)
	}
	var names []string
	for _, e := range entries {
		if !validProfile(e.Name()) {
			continue
		}
		if info, err := os.Stat(filepath.Join(h.ProfileDir, e.Name())); err == nil && info.Mode().IsRegular() {
			names = append(names, e.Name())
		}
	}
	there := "there are none"
	if names != nil {
		there = "there are " + strings.Join(names[:min(len(names), 50)], ", ")
	}
	if near := core.Suggest(name, names); near != "" {
		there = fmt.Sprintf("did you mean %q? %s", near, there)
	}
	return fmt.Errorf("read profile %q: %s has no such file: %s", name, h.ProfileDir, there)
}

// parse reads the variables and checks each of them by itself.
func (p *profile) parse(text []byte, dir string) error {
	vars, err := godotenv.UnmarshalBytes(text)
	if err != nil { // it quotes the file
		return fmt.Errorf("read profile %q: line %d is not NAME=value", p.name, badLine(text))
	}
	p.vars = vars
	p.lines = strings.Split(string(text), "\n")
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if err := p.check(name, dir); err != nil {
			return err
		}
	}
	return nil
}

// badLine is the first line, counted from 1, with which the text cannot be read,
// however many of those after it are left out.
func badLine(text []byte) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	n := len(lines)
	for ; n > 1; n-- {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n-1], nil)); err == nil {
			break
		}
	}
	return n
}

func (p *profile) check(name, dir string) error {
	value := p.vars[name]
	fail := func(format string, a ...any) error {
		return fmt.Errorf("set %s: %s", p.spell(name), fmt.Sprintf(format, a...))
	}
	o := findVariable(name)
	own := find(name)
	switch {
	case name == "AZUREBLOB_PROFILE":
		return fail("a profile cannot name another")
	case isProcess(name):
		return fail("it is a setting of the whole plugin: set it there")
	case o == nil && own == nil:
		return p.unknown(name)
	case strings.Contains(value, " AZURE"):
		return fail("two settings are on one line: write each on its own")
	case o == nil || value == "":
		return nil
	case notHere[o.Name] != "":
		return fail("%s", notHere[o.Name])
	case isFile(o):
		return p.locate(name, dir)
	}
	if _, err := core.Load(core.Map{o.Name: value}.Source()); err != nil { // it quotes the value
		return fail("the value is not valid%s", takes(o))
	}
	return nil
}

// locate makes the path of a variable that names a file a whole one. What is no path
// is not shown: people put the secret itself where its file belongs. (The core takes
// care of those that look like a path.)
func (p *profile) locate(name, dir string) error {
	if filepath.IsAbs(p.vars[name]) {
		return nil
	}
	path := filepath.Join(dir, p.vars[name])
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("set %s: there is no such file in the folder of profiles: write a name there, or a path from / on", p.spell(name))
	}
	p.vars[name] = path
	return nil
}

// unknown refuses what looks like a setting. Other names are helpers, for $NAME in
// values. The name is not shown: in a line without = it has a part of the value.
func (p *profile) unknown(name string) error {
	if name == "" {
		return fmt.Errorf("read profile %q: a line is not NAME=value", p.name)
	}
	if !strings.HasPrefix(strings.ToUpper(name), "AZURE") {
		return nil
	}
	line := 1 + slices.IndexFunc(p.lines, func(l string) bool { return strings.Contains(l, name) })
	hint := "the README lists them"
	if near := core.Suggest(name, variables()); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return fmt.Errorf("read profile %q: line %d sets an unknown variable: %s", p.name, line, hint)
}

// variables are those that a profile may have.
func variables() (names []string) {
	for i := range core.Options {
		if notHere[core.Options[i].Name] == "" {
			names = append(names, core.Options[i].EnvName())
		}
	}
	for _, o := range options {
		if o.env != "" && o.env != "AZUREBLOB_PROFILE" {
			names = append(names, o.env)
		}
	}
	return names
}

func findVariable(name string) *core.Option {
	i := slices.IndexFunc(core.Options, func(o core.Option) bool { return o.EnvName() == name })
	if i < 0 {
		return nil
	}
	return &core.Options[i]
}

// takes says what an option takes.
func takes(o *core.Option) string {
	if o.Values != nil {
		return ": write one of " + strings.Join(o.Values, ", ")
	}
	switch o.Type() {
	case "switch":
		return ": write on or off"
	case "duration":
		return ": write 500ms, 1s, 10m, 2h, 1d, or seconds"
	case "size":
		return ": write 512K, 10M, 2G, or bytes"
	case "list":
		return ": write name=value,name=value"
	}
	return ""
}

func (p *profile) variable(name string) string {
	if p == nil {
		return ""
	}
	return p.vars[name]
}

func (p *profile) spell(variable string) string {
	return fmt.Sprintf("%s in profile %q", variable, p.name)
}

// source is the profile for core.Load. It is not Ambient: what contradicts itself in
// it is an error.
func (p *profile) source() core.Source {
	return core.Source{
		Lookup: func(option string) (string, bool) {
			v := p.variable(core.FindOption(option).EnvName())
			return v, v != ""
		},
		Spell: func(option string) string {
			if o := core.FindOption(option); o != nil {
				option = o.EnvName()
			}
			return p.spell(option)
		},
	}
}

// warning is about a secret that others may read, or "".
func (p *profile) warning() string {
	if p == nil || !p.open {
		return ""
	}
	for i := range core.Options {
		o := &core.Options[i]
		if o.Type() == "secret" && o.Name != "client_id" && o.Name != "tenant_id" && p.vars[o.EnvName()] != "" {
			return fmt.Sprintf("profile %q has a secret in it, and every user of this host may read the file: chmod 600 %s", p.name, p.path)
		}
	}
	return ""
}
