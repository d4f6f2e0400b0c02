package driver

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// stores keeps one core.Store for all logs of the same accounts and container, so that
// they share a login. There are few: the plugin's, and one for each profile and
// container name in use.
type stores struct {
	transport policy.Transporter
	log       *slog.Logger

	mu   sync.Mutex
	open map[string]*core.Store // by Settings.Account
}

const manyStores = 1000 // a limit for containers that each name a container of their own

// get gives the store for a log. It sends nothing.
func (s *stores) get(settings *logopt.Settings) (*core.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.open[settings.Account]; st != nil {
		return st, nil
	}
	st, err := core.Open(settings.Config, core.StoreOptions{Transport: s.transport, Log: s.log})
	if err != nil {
		return nil, fmt.Errorf("azureblob: %w", err)
	}
	if len(s.open) >= manyStores {
		clear(s.open) // those in use stay with their users
	}
	s.open[settings.Account] = st
	return st, nil
}
