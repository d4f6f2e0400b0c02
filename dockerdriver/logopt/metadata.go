package logopt

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Metadata has a limit of its own in package liveblob, and another together with what
// that package writes: a cursor, the stream, the name of the next blob.
const (
	maxUser   = 4 << 10
	maxAll    = 8 << 10
	protocol  = 2<<10 + 128 + 200 // cursor, stream (a container's ID), the rest
	forLater  = 64                // for what is added when the container stops
	stoppedAt = "stopped"         // the name of that
)

// entry is a piece of metadata that may be left out if there is too much.
type entry struct {
	name, value string
	asked       bool // by a log-opt: labels, env, tag
}

func (e entry) size() int { return len(e.name) + headerSize(e.value) }

// metadata of the blob: who wrote the log, what the container's log-opts chose, and
// the user's own, which counts before ours.
func (s *sources) metadata(set *Settings, data *Info, tag string, labels, env map[string]string) (map[string]string, error) {
	host, err := data.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the host's name: %w: set AZUREBLOB_HOSTNAME for the plugin", err)
	}
	entries := []entry{
		{name: "container_name", value: data.Name()},
		{name: "container_id", value: data.FullID()},
		{name: "image", value: data.ImageName()},
		{name: "host", value: host},
		{name: "tag", value: tag, asked: true},
	}
	entries = append(entries, named("label_", labels)...)
	entries = append(entries, named("env_", env)...)

	m := make(map[string]string, len(entries))
	users := make(map[string]bool) // names are the same in upper and lower case
	room := min(maxUser, maxAll-protocol-headerSize(set.Blob)) - forLater
	for name, value := range set.Config.Metadata {
		m[name] = value
		users[strings.ToLower(name)] = true
		room -= len(name) + headerSize(value)
	}
	spelled, _ := who("metadata", s.list())
	if users[stoppedAt] {
		return nil, fmt.Errorf("set %s: the name %q is taken: the driver writes it when the container stops", spelled, stoppedAt)
	}
	if room < 0 {
		return nil, fmt.Errorf("set %s: it takes %d bytes more than there is room for beside the blob's name", spelled, -room)
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.value == "" || users[e.name] })
	for _, e := range entries {
		room -= e.size()
	}

	// Too much is no reason to refuse the container.
	slices.SortFunc(entries, func(a, b entry) int {
		switch {
		case a.asked && !b.asked:
			return -1
		case b.asked && !a.asked:
			return 1
		}
		return cmp.Or(b.size()-a.size(), strings.Compare(a.name, b.name))
	})
	var left []string
	for ; room < 0; entries = entries[1:] {
		room += entries[0].size()
		left = append(left, fmt.Sprintf("%.64s", entries[0].name))
	}
	if left != nil {
		const show = 5
		more := ""
		if len(left) > show {
			more = fmt.Sprintf(" and %d more", len(left)-show)
		}
		set.Warnings = append(set.Warnings, fmt.Sprintf("the blob's metadata has room for %d bytes: %s%s left out, the longest that were chosen",
			maxUser, strings.Join(left[:min(len(left), show)], ", "), more))
	}
	for _, e := range entries {
		m[e.name] = e.value
	}
	return m, nil
}

// named makes names for metadata of any names: lower case, as the service does not
// tell the cases apart, with _ for what an identifier cannot have. Of those that are
// the same then, the second in the order of the original names gets _2, and so on.
func named(prefix string, values map[string]string) []entry {
	entries := make([]entry, 0, len(values))
	taken := make(map[string]bool, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		base := prefix + strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
				return r
			case 'A' <= r && r <= 'Z':
				return r - 'A' + 'a'
			}
			return '_'
		}, key)
		name := base
		for i := 2; taken[name]; i++ {
			name = base + "_" + strconv.Itoa(i)
		}
		taken[name] = true
		entries = append(entries, entry{name: name, value: values[key], asked: true})
	}
	return entries
}

// headerSize is the length of a value as package liveblob writes it into a header: a
// byte that is not printable ASCII takes three, and so do % and a space at an end.
func headerSize(s string) int {
	n := len(s)
	for i := range len(s) {
		c := s[i]
		if c < 0x20 || c > 0x7e || c == '%' || c == ' ' && (i == 0 || i == len(s)-1) {
			n += 2
		}
	}
	return n
}
