package main

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// settings are those of the process. What a container's log is to be, package logopt
// reads from the same environment.
type settings struct {
	Socket         string // a name in /run/docker/plugins, or a path
	StateDir       string
	MetricsAddress string // host:port; "": no metrics
	CacheTotal     int64
	LogLevel       slog.Level
	Host           *logopt.Host
}

// loadSettings reads the environment. A variable that is set to nothing counts as not
// set: that is how a managed plugin gets those that nobody has set.
func loadSettings(lookup func(string) (string, bool)) (*settings, error) {
	get := func(name string) string {
		v, _ := lookup(name)
		return cmp.Or(v, logopt.ProcessDefault(name))
	}
	s := &settings{
		Socket:         get("AZUREBLOB_SOCKET"),
		StateDir:       get("AZUREBLOB_STATE_DIR"),
		MetricsAddress: get("AZUREBLOB_METRICS_ADDRESS"),
		Host: &logopt.Host{
			Lookup:     lookup,
			ProfileDir: get("AZUREBLOB_PROFILE_DIR"),
			Profile:    get("AZUREBLOB_PROFILE"),
			Hostname:   get("AZUREBLOB_HOSTNAME"),
		},
	}
	total, err := core.ParseSize(get("AZUREBLOB_CACHE_TOTAL"))
	if err != nil {
		return nil, fmt.Errorf("set AZUREBLOB_CACHE_TOTAL: %w", err)
	}
	s.CacheTotal = int64(total)
	if err := s.LogLevel.UnmarshalText([]byte(get("AZUREBLOB_LOG_LEVEL"))); err != nil {
		return nil, fmt.Errorf("set AZUREBLOB_LOG_LEVEL: use debug, info, warn or error: %w", err)
	}
	return s, nil
}
