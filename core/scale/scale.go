// Package scale says what a fleet of hosts with live logs asks of storage accounts:
// requests, accounts and money.
//
// A stream makes one commit in a flush interval, if there is something to commit, and
// otherwise sends nothing. A commit is one Put Blob while the whole blob has at most
// 64 KiB, and a Put Block and a Put Block List beyond that. So
//
//	requests/s = hosts × containers × active ÷ flush_interval × (1 or 2)
//
// What is left out is less than a percent of that: a HEAD when a stream begins, and a GET
// when a merge needs bytes that are no longer in memory. The test simulates fleets of
// real streams and holds the formula to what they send.
package scale

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// What an account takes, and what is paid for it.
const (
	// AccountLimit is what the service lets one account have, in requests a second:
	// https://learn.microsoft.com/azure/storage/common/scalability-targets-standard-account.
	// More are answered 503 ServerBusy.
	AccountLimit = 20_000

	// BlobLimit is the same for one blob, its readers included.
	BlobLimit = 500

	// Headroom is the share of it to plan with. The rest is for retries, readers, and
	// accounts that a hash gives a little more than their share.
	Headroom = 0.9

	// PricePer10000 is in dollars, for write operations in the hot tier: the sample
	// price of https://learn.microsoft.com/azure/storage/blobs/blob-storage-estimate-costs
	// as of July 2024. Put in your region's.
	PricePer10000 = 0.055

	secondsPerMonth = 730 * 3600 // Azure's month has 730 hours
)

// Fleet is hosts that run containers, each of which has a live log.
type Fleet struct {
	Hosts         int
	Containers    int           // on each host
	Active        float64       // share of them that has something to commit in each interval: 1 is the worst case
	FlushInterval time.Duration // at least as long as the pause between two lines
	Large         bool          // the blobs have more than 64 KiB
}

// Requests is how many a second the fleet sends, all of them writes.
func (f Fleet) Requests() float64 {
	perCommit := 1.0
	if f.Large {
		perCommit = 2
	}
	return float64(f.Hosts*f.Containers) * f.Active * perCommit / f.FlushInterval.Seconds()
}

// Accounts is how many the fleet needs.
func (f Fleet) Accounts() int {
	return max(1, int(math.Ceil(f.Requests()/(AccountLimit*Headroom)-1e-9)))
}

// Cost is that of the write operations, in dollars a month.
func (f Fleet) Cost() float64 {
	return f.Requests() * secondsPerMonth / 10_000 * PricePer10000
}

// SecondAccount is the number of hosts at which the fleet needs a second account.
func (f Fleet) SecondAccount() int {
	f.Hosts = 1
	return int(AccountLimit*Headroom/f.Requests()+1e-9) + 1
}

var (
	intervals = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute}
	hosts     = []int{10, 100, 300, 1_000}
	shares    = []float64{1, 0.3, 0.1, 0.03, 0.01}
)

const containers = 100

// WriteTables writes Markdown that a terminal shows well too: flush_interval against
// hosts, and against the share of containers that are not idle.
func WriteTables(to io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `## Scale on paper

What is asked of storage, by flush_interval and number of hosts with %d containers each:
write requests a second, accounts (account_name takes a list), and dollars a month for the
operations alone. An account takes %s requests a second, of which %.0f %% are planned with;
10,000 writes cost $%v in the hot tier (Microsoft's sample price, July 2024).
An idle stream sends nothing, so these are worst cases: each container has something to
commit in each interval. One blob takes %d requests a second: two are its writer's at a
flush_interval of 1s, and a follower of a busy log sends four.
`, containers, thousands(AccountLimit), Headroom*100, PricePer10000, BlobLimit)
	for _, large := range []bool{false, true} {
		if large {
			b.WriteString("\nBlobs of more than 64 KiB: a commit is a Put Block and a Put Block List.\n\n")
		} else {
			b.WriteString("\nBlobs of at most 64 KiB: a commit is one Put Blob.\n\n")
		}
		cells := [][]string{{"flush_interval"}}
		for _, n := range hosts {
			cells[0] = append(cells[0], thousands(float64(n))+" hosts")
		}
		cells[0] = append(cells[0], "second account from")
		for _, interval := range intervals {
			f := Fleet{Containers: containers, Active: 1, FlushInterval: interval, Large: large}
			line := []string{fmt.Sprintf("%gs", interval.Seconds())}
			for _, f.Hosts = range hosts {
				line = append(line, f.String())
			}
			cells = append(cells, append(line, thousands(float64(f.SecondAccount()))+" hosts"))
		}
		writeTable(&b, cells)
	}
	fmt.Fprintf(&b, "\n%s hosts, blobs of more than 64 KiB, by the share of containers that are not idle:\n\n", thousands(1_000))
	cells := [][]string{{"flush_interval"}}
	for _, share := range shares {
		cells[0] = append(cells[0], fmt.Sprintf("%.0f %%", share*100))
	}
	for _, interval := range intervals {
		line := []string{fmt.Sprintf("%gs", interval.Seconds())}
		for _, share := range shares {
			line = append(line, Fleet{1_000, containers, share, interval, true}.String())
		}
		cells = append(cells, line)
	}
	writeTable(&b, cells)
	_, err := io.WriteString(to, b.String())
	return err
}

// String is a cell of the table.
func (f Fleet) String() string {
	return fmt.Sprintf("%s/s, %d, $%s", thousands(f.Requests()), f.Accounts(), thousands(f.Cost()))
}

// writeTable aligns the columns. The first line is the head.
func writeTable(b *strings.Builder, cells [][]string) {
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for n, line := range cells {
		for i, c := range line {
			fmt.Fprintf(b, "| %s%*s ", c, widths[i]-utf8.RuneCountInString(c), "")
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
}

// thousands is v, rounded, with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
