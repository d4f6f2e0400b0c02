package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/core/scale"
)

// A row is what is asked of azureblob in one respect, and the benchmark that shows it.
type row struct {
	name    string // what -bench picks it by
	what    string
	pkg     string // folder of the benchmark
	bench   string // the pattern for go test -bench
	compare []comparison
	more    func(io.Writer) error // Markdown to go behind the table; nil: none
}

// A comparison is of two metrics of one run.
type comparison struct {
	what  string
	on    string // the benchmark's whole name, without "Benchmark"
	ours  string // "<measure>@<contender>"
	peer  string // the same of a peer; "": the limit is for ours alone
	limit limit
	why   string // if it is missed: the profile's reason, and what was tried
}

// A limit is what is asked. The zero value asks nothing: the peer is shown alone.
type limit struct {
	kind kind
	x    float64
}

type kind int

const (
	nothing kind = iota
	ratio        // at most x times the peer's
	more         // at most x more than the peer's
	value        // at most x
	near         // the peer's, or off by x of it
)

func times(x float64) limit  { return limit{ratio, x} }
func over(x float64) limit   { return limit{more, x} }
func atMost(x float64) limit { return limit{value, x} }
func within(x float64) limit { return limit{near, x} }

// asked is the limit in the table's form. unit is that of the measure.
func (l limit) asked(unit string) string {
	switch l.kind {
	case ratio:
		return fmt.Sprintf("≤ %.2f×", l.x)
	case more:
		return fmt.Sprintf("≤ +%s %s", figure(l.x), unit)
	case value:
		return fmt.Sprintf("≤ %s %s", figure(l.x), unit)
	case near:
		return fmt.Sprintf("%.2f–%.2f×", 1-l.x, 1+l.x)
	}
	return "–"
}

// met reports whether medians are as they should be. Without a peer, its is NaN.
func (l limit) met(ours, peer float64) bool {
	switch l.kind {
	case ratio:
		return ours <= l.x*peer
	case more:
		return ours <= l.x+peer
	case value:
		return ours <= l.x
	case near:
		return math.Abs(ours-peer) <= l.x*peer
	}
	return true
}

// names is what the rows are called.
func names(rows []row) string {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}

// engine compares one input and mode of BenchmarkEngine; slow and costly say why, if it
// is.
func engine(on, what, slow, costly string) []comparison {
	on = "Engine/" + on
	return []comparison{
		{what + ": wall", on, "s@azureblob", "s@json-file", times(1.10), slow},
		{"… wall", on, "s@azureblob", "s@discard", times(1.05), slow},
		{"… wall", on, "s@azureblob", "s@local", limit{}, ""},
		{"… CPU of the plugin", on, "cpu-s@azureblob", "cpu-s@dockerd", times(0.5), costly},
		{"… peak memory of the plugin", on, "peak-MB@azureblob", "", limit{}, ""},
		{"… from the container's end to the complete blob", on, "complete-s@azureblob", "", limit{}, ""},
	}
}

// growth compares one size of BenchmarkGrowth.
func growth(on, what string) []comparison {
	on = "Growth/" + on
	all := []comparison{
		{what + ": requests", on, "requests@azureblob:500000", "requests@azureblob:1000", times(1.5), ""},
		{"… bytes on the wire", on, "kB@azureblob:500000", "kB@azureblob:1000", times(1.5), ""},
		{"… client CPU", on, "cpu-µs@azureblob:500000", "cpu-µs@azureblob:1000", times(1.5), ""},
		{"… bytes, the second half of the flushes alone", on, "kB@azureblob-late:500000", "kB@azureblob-late:1000", times(1.5), longList},
	}
	for _, of := range []struct{ what, measure string }{{"requests", "requests"}, {"bytes on the wire", "kB"}, {"client CPU", "cpu-µs"}} {
		for _, peer := range []string{"one-block-a-flush", "append-blob"} {
			all = append(all, comparison{"… " + of.what + ", of 50,000 flushes", on, of.measure + "@azureblob:50000", of.measure + "@" + peer + ":50000", limit{}, ""})
		}
	}
	return all
}

// flushes compares one codec and format of BenchmarkFlush; large and costly say why
// small flushes are.
func flushes(codec, program, format, large, costly string) (all []comparison) {
	for _, rate := range []struct{ on, what string }{{"10", "10"}, {"100", "100"}, {"1000", "1,000"}, {"10000", "10,000"}} {
		what, on := codec+", "+format+", "+rate.what+" lines/s: ", "Flush/"+codec+"/"+format+"/"+rate.on+"-lines-a-second"
		all = append(all,
			comparison{what + "size", on, "MB@azureblob", "MB@" + program, times(1.5), large},
			comparison{"… CPU", on, "cpu-s@azureblob", "cpu-s@" + program, times(1.2), costly})
		large, costly = "", ""
	}
	return all
}

// rows are in the order of what was asked.
var rows = []row{
	{
		name: "docker", what: "container logs end to end with a real dockerd: docker run",
		pkg: "dockerdriver", bench: "^BenchmarkEngine$",
		compare: slices.Concat(
			engine("100B/attached", "1,000,000 × 100 B, attached", "", ""), engine("100B/detached", "1,000,000 × 100 B, detached", "", ""),
			engine("loghub/attached", "20 MB of real logs, attached", "", ""), engine("loghub/detached", "20 MB of real logs, detached", "", ""),
			engine("16KiB/attached", "100 MB in lines of 16 KiB, attached", sharedCores, bytesNotLines),
			engine("16KiB/detached", "100 MB in lines of 16 KiB, detached", sharedCores, bytesNotLines),
		),
	},
	{
		name: "fluentbit", what: "180 MB of real log lines → committed blob, beside Fluent Bit's own azure_blob",
		pkg: "fluentbit", bench: "^BenchmarkPeer$",
		compare: []comparison{
			{"CPU of the process", "Peer", "cpu-ms/MB@azureblob", "cpu-ms/MB@append", times(1), ""},
			{"CPU of the process", "Peer", "cpu-ms/MB@azureblob", "cpu-ms/MB@block", times(1), ""},
			{"CPU beyond Fluent Bit without an output", "Peer", "own-cpu-ms/MB@azureblob", "own-cpu-ms/MB@append", times(1), ""},
			{"CPU beyond Fluent Bit without an output", "Peer", "own-cpu-ms/MB@azureblob", "own-cpu-ms/MB@block", times(1), ""},
			{"wall", "Peer", "s@azureblob", "s@append", times(1), fluentBitsPace},
			{"wall", "Peer", "s@azureblob", "s@block", times(1), fluentBitsPace},
			{"wall", "Peer", "s@azureblob", "s@null", limit{}, ""},
			{"peak memory", "Peer", "peak-MB@azureblob", "peak-MB@append", times(1), ""},
			{"peak memory", "Peer", "peak-MB@azureblob", "peak-MB@block", times(1), ""},
		},
	},
	{
		name: "growth", what: "a flush of a growing blob: the mean over 500,000 flushes, which are made once, beside that over 1,000",
		pkg: "core/liveblob", bench: "^BenchmarkGrowth$",
		compare: slices.Concat(
			growth("200B", "200 B"), growth("4096B", "4 KiB"),
			[]comparison{{"4 KiB: all bytes sent / payload", "Growth/4096B", "sent/payload@azureblob:500000", "", atMost(5), ""}},
		),
	},
	{
		name: "readable", what: "write → readable",
		pkg: "core", bench: "^BenchmarkWriteToReadable$",
		compare: []comparison{
			{"Azurite, plain: median", "WriteToReadable/Azurite/http", "p50-µs@azureblob", "p50-µs@two-PUTs-and-a-GET", times(1.2), ""},
			{"… p99", "WriteToReadable/Azurite/http", "p99-µs@azureblob", "p99-µs@two-PUTs-and-a-GET", times(1.5), ""},
			{"Azurite, TLS: median", "WriteToReadable/Azurite/https", "p50-µs@azureblob", "p50-µs@two-PUTs-and-a-GET", times(1.2), ""},
			{"… p99", "WriteToReadable/Azurite/https", "p99-µs@azureblob", "p99-µs@two-PUTs-and-a-GET", times(1.5), ""},
			{"stand-in in the process, no service time, plain: median", "WriteToReadable/stand-in/http", "p50-µs@azureblob", "p50-µs@two-PUTs-and-a-GET", times(1.2), noServiceTime},
			{"… p99", "WriteToReadable/stand-in/http", "p99-µs@azureblob", "p99-µs@two-PUTs-and-a-GET", times(1.5), noServiceTime},
			{"stand-in in the process, no service time, TLS: median", "WriteToReadable/stand-in/https", "p50-µs@azureblob", "p50-µs@two-PUTs-and-a-GET", times(1.2), noServiceTime},
			{"… p99", "WriteToReadable/stand-in/https", "p99-µs@azureblob", "p99-µs@two-PUTs-and-a-GET", times(1.5), noServiceTime},
		},
	},
	{
		name: "start", what: "azureblob pipe from exec to its first commit over TLS, beside a program that does one PUT",
		pkg: "core/cmd/azureblob", bench: "^BenchmarkStart$",
		compare: []comparison{
			{"exec → first commit", "Start", "p50-ms@azureblob", "p50-ms@bare", times(1.2), certificates},
			{"RSS after it", "Start", "RSS-MB@azureblob", "RSS-MB@bare", times(1.2), linked},
			{"RSS after it", "Start", "RSS-MB@azureblob", "RSS-MB@bare", over(5), ""},
			{"CPU of it all", "Start", "cpu-ms@azureblob", "cpu-ms@bare", atMost(20), ""},
		},
	},
	{
		name: "streams", what: "live streams, beside a goroutine and a buffer of 64 KiB for each",
		pkg: "core", bench: "^BenchmarkStreams$",
		compare: []comparison{
			{"100 idle: memory of a stream", "Streams/idle/100", "KiB-per-stream@azureblob", "KiB-per-stream@goroutine-and-64-KiB", atMost(8), onceAProcess},
			{"1,000 idle: memory of a stream", "Streams/idle/1000", "KiB-per-stream@azureblob", "KiB-per-stream@goroutine-and-64-KiB", atMost(8), ""},
			{"10,000 idle: memory of a stream", "Streams/idle/10000", "KiB-per-stream@azureblob", "KiB-per-stream@goroutine-and-64-KiB", atMost(8), ""},
			{"1,000 idle, of more than 64 KiB: memory of a stream", "Streams/idle/1000-long", "KiB-per-stream@azureblob", "KiB-per-stream@goroutine-and-64-KiB", atMost(8), keptTails},
			{"1,000 with a line a second: RSS", "Streams/active/1000", "RSS-MB@azureblob", "RSS-MB@goroutine-and-64-KiB", atMost(60), ""},
			{"… share of a core", "Streams/active/1000", "cores@azureblob", "cores@goroutine-and-64-KiB", atMost(0.25), ""},
			{"1,000 with a line a second, of more than 64 KiB: RSS", "Streams/active/1000-long", "RSS-MB@azureblob", "RSS-MB@goroutine-and-64-KiB", atMost(60), twiceTheTails},
			{"… share of a core", "Streams/active/1000-long", "cores@azureblob", "cores@goroutine-and-64-KiB", atMost(0.25), twoRequests},
		},
	},
	{
		name: "follow", what: "100 followers of one live blob with a commit a second, 12 s long",
		pkg: "core/liveblob", bench: "^BenchmarkFollow$",
		compare: []comparison{
			{"bytes fetched / bytes appended", "Follow", "fetched/appended@azureblob", "fetched/appended@GET-every-second", atMost(1.05), ""},
			{"lag behind the commit, median", "Follow", "lag-p50-ms@azureblob", "lag-p50-ms@GET-every-second", atMost(300), ""},
			{"lag behind the commit, p99", "Follow", "lag-p99-ms@azureblob", "lag-p99-ms@GET-every-second", limit{}, ""},
			{"requests of a follower", "Follow", "requests/s@azureblob", "requests/s@GET-every-second", limit{}, ""},
			{"requests for the blob, writer included", "Follow", "all-requests/s@azureblob", "all-requests/s@GET-every-second", atMost(500), ""},
		},
	},
	{
		name: "compress", what: "real logs compressed at a flush a second, beside the programs on the whole file",
		pkg: "core/record", bench: "^BenchmarkFlush$",
		compare: slices.Concat(
			flushes("gzip", "gzip-6", "json", smallMembers, ""), flushes("gzip", "gzip-6", "raw", smallMembers, ""),
			flushes("zstd", "zstd-3", "json", smallFrames, tablesOfFrames), flushes("zstd", "zstd-3", "raw", smallFrames, tablesOfFrames),
		),
	},
	{
		name: "scale", what: "1,000 hosts × 100 containers with a line a second, simulated at 1:100",
		pkg: "core/scale", bench: "^BenchmarkScale$", more: scale.WriteTables,
		compare: []comparison{
			{"flush_interval 30 s, one account: requests", "Scale/below", "requests/s@azureblob", "requests/s@table", within(0.05), ""},
			{"… of them turned away", "Scale/below", "turned-away-%@azureblob", "", atMost(0), ""},
			{"… write → readable, p99", "Scale/below", "lag-p99-s@azureblob", "lag-p99-s@flush_interval", times(1.05), ""},
			{"6 s, one account, which is too few: requests", "Scale/beyond", "requests/s@azureblob", "requests/s@table", limit{}, ""},
			{"… of them served", "Scale/beyond", "served-requests/s@azureblob", "served-requests/s@limit", limit{}, ""},
			{"… of them turned away", "Scale/beyond", "turned-away-%@azureblob", "", limit{}, ""},
			{"… write → readable, median", "Scale/beyond", "lag-p50-s@azureblob", "", limit{}, ""},
			{"… write → readable, p99", "Scale/beyond", "lag-p99-s@azureblob", "lag-p99-s@flush_interval", limit{}, ""},
			{"… lines lost", "Scale/beyond", "lost-lines@azureblob", "", atMost(0), ""},
			{"6 s, two accounts: requests", "Scale/second-account", "requests/s@azureblob", "requests/s@table", within(0.05), ""},
			{"… of them turned away", "Scale/second-account", "turned-away-%@azureblob", "", atMost(0), ""},
			{"… write → readable, p99", "Scale/second-account", "lag-p99-s@azureblob", "lag-p99-s@flush_interval", times(1.05), ""},
			{"… lines lost", "Scale/second-account", "lost-lines@azureblob", "", atMost(0), ""},
		},
	},
}
