package scale_test

import (
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/scale"
)

func TestAccounts(t *testing.T) {
	for _, tt := range []struct {
		fleet    scale.Fleet
		requests float64
		accounts int
		second   int // hosts
	}{
		{scale.Fleet{Hosts: 1, Containers: 1, Active: 1, FlushInterval: time.Minute}, 1. / 60, 1, 1_080_001},
		{scale.Fleet{Hosts: 180, Containers: 100, Active: 1, FlushInterval: time.Second}, 18_000, 1, 181},
		{scale.Fleet{Hosts: 181, Containers: 100, Active: 1, FlushInterval: time.Second}, 18_100, 2, 181},
		{scale.Fleet{Hosts: 1_000, Containers: 100, Active: 1, FlushInterval: time.Second, Large: true}, 200_000, 12, 91},
		{scale.Fleet{Hosts: 1_000, Containers: 100, Active: 0.01, FlushInterval: time.Second, Large: true}, 2_000, 1, 9_001},
		{scale.Fleet{Hosts: 1_000, Containers: 100, Active: 0, FlushInterval: time.Second}, 0, 1, 0},
	} {
		if got := tt.fleet.Requests(); got < tt.requests*0.999 || got > tt.requests*1.001 {
			t.Errorf("%+v: %.3f requests a second, want %.3f", tt.fleet, got, tt.requests)
		}
		if got := tt.fleet.Accounts(); got != tt.accounts {
			t.Errorf("%+v: %d accounts, want %d", tt.fleet, got, tt.accounts)
		}
		if tt.fleet.Active == 0 {
			continue
		}
		if got := tt.fleet.SecondAccount(); got != tt.second {
			t.Errorf("%+v: a second account from %d hosts, want %d", tt.fleet, got, tt.second)
		}
		// That is where Accounts changes.
		f := tt.fleet
		f.Hosts = tt.second - 1
		if f.Accounts() != 1 {
			t.Errorf("%+v needs %d accounts", f, f.Accounts())
		}
		if f.Hosts++; f.Accounts() != 2 {
			t.Errorf("%+v needs %d accounts", f, f.Accounts())
		}
	}
	// 1,000 requests a second are 2,628 million a month.
	f := scale.Fleet{Hosts: 10, Containers: 100, Active: 1, FlushInterval: time.Second}
	if got, want := f.Cost(), 262_800*scale.PricePer10000; got < want-0.01 || got > want+0.01 {
		t.Errorf("it costs $%.2f a month, want $%.2f", got, want)
	}
}

func TestTables(t *testing.T) {
	var b strings.Builder
	if err := scale.WriteTables(&b); err != nil {
		t.Fatal(err)
	}
	columns := 0
	for text := range strings.Lines(b.String()) {
		if !strings.HasPrefix(text, "|") {
			columns = 0
			continue
		}
		n := strings.Count(text, "|")
		if columns > 0 && n != columns {
			t.Errorf("%d columns, before it was %d: %s", n, columns, text)
		}
		columns = n
	}
	for _, want := range []string{"| 200,000/s, 12, $2,890,800 ", "| 91 hosts ", "| 60s ", "| 3 % "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
