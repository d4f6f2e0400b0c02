package output

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
)

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		keys   []string
		fault  azuretest.Fault
		fails  string // what the error must say; "": it starts
		logged string
	}{
		{name: "fine"},
		{name: "no container", keys: []string{"container_name=nothere", "auto_create_container=off"}, fails: `no container "nothere": create it, or set auto_create_container on`},
		{name: "container is made", keys: []string{"container_name=nothere"}},
		{name: "denied", fault: azuretest.Fault{Kind: azuretest.Denied}, fails: "AuthenticationFailed"},
		{name: "no permission", fault: azuretest.Fault{Kind: azuretest.Denied, Code: "AuthorizationPermissionMismatch"}, fails: "Storage Blob Data Contributor"},
		{name: "busy", fault: azuretest.Fault{Kind: azuretest.Busy}, logged: "storage does not answer"},
		{name: "black hole", fault: azuretest.Fault{Kind: azuretest.BlackHole}, logged: "storage does not answer"},
		{name: "off", keys: []string{"startup_probe=off"}, fault: azuretest.Fault{Kind: azuretest.Denied}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.server.SetFault(func(azuretest.Request) azuretest.Fault { return c.fault })
				start := time.Now()
				o, err := b.another(append([]string{"startup_probe=on"}, c.keys...)...)
				if d := time.Since(start); d > 7*time.Second {
					t.Errorf("it took %v", d)
				}
				if err == nil {
					o.Close()
				}
				switch {
				case c.fails == "" && err != nil:
					t.Error(err)
				case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "\n")):
					t.Errorf("the error is %v, want one line with %q", err, c.fails)
				}
				if !strings.Contains(b.log.String(), c.logged) || c.logged == "" && b.log.String() != "" {
					t.Errorf("logged %s", b.log)
				}
			})
		})
	}
}

// A host that does not exist is a wrong name, not an outage.
func TestNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newBed(t).settings("startup_probe=on")
		_, err := New(set, Options{Transport: noDNS{}})
		if err == nil || !strings.Contains(err.Error(), "there is no such host: check account_name") || strings.Contains(err.Error(), "\n") {
			t.Error(err)
		}
	})
}

type noDNS struct{}

func (noDNS) Do(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
}
