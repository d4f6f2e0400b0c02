package azuretest

import "testing"

func TestConform(t *testing.T) {
	for _, b := range Backends(t) {
		t.Run(b.Name, func(t *testing.T) { Conform(t, b) })
	}
	s := New()
	t.Run("transport", func(t *testing.T) { Conform(t, StandIn(s, TransportEndpoint, s.Transport())) })
}
