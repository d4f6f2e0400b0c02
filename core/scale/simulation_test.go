package scale_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/core/liveblob"
	"github.com/liveblob/azureblob/core/scale"
)

// scenario is a fleet, and accounts that let through so many requests a second.
type scenario struct {
	scale.Fleet
	Accounts int
	Limit    float64 // of each account, requests a second

	Settle  time.Duration // before anything is measured
	Measure time.Duration
}

// result is what was seen while it was measured.
type result struct {
	Requests   float64 // a second, those included that were turned away
	Throttled  float64 // share of them that was
	P50, P99   float64 // seconds from the write of a line to its being readable
	Lines      int     // written in all
	Lost, More int     // lines that are not in the blobs at the end, and that are too many
}

const (
	latency = 10 * time.Millisecond // of each request
	line    = 100                   // bytes
)

// simulate runs the fleet on the bubble's clock: real streams, writers and SDK, against
// stand-ins that turn away what is over the limit as the service does. Each container
// writes a line a second and starts at a time of its own.
func simulate(t *testing.T, sc scenario) result {
	sim := &simulation{limit: sc.Limit, accounts: map[string]*account{}, lines: map[string]*container{}}
	store := sim.open(t, sc.Accounts)
	var writing sync.WaitGroup
	stop := make(chan struct{})
	var all []*container
	for host := range sc.Hosts {
		budget := new(liveblob.Budget) // of the host's process
		for n := range sc.Containers {
			c := &container{sim: sim, name: fmt.Sprintf("host-%d/container-%d.log", host, n)}
			if sc.Large {
				c.head = bytes.Repeat([]byte("x"), 65<<10)
			}
			st, err := core.NewStream(core.StreamConfig{FlushInterval: sc.FlushInterval, Blob: liveblob.Config{
				Container: store.Container(c.name), Name: c.name, Stream: c.name, Budget: budget,
			}})
			if err != nil {
				t.Fatal(err)
			}
			c.stream = st
			sim.lines[c.name] = c
			all = append(all, c)
		}
	}
	for _, c := range all {
		writing.Go(func() {
			time.Sleep(rand.N(sc.FlushInterval))
			if err := c.begin(); err != nil {
				t.Error(err)
			}
			c.run(t, stop, rand.N(time.Second))
		})
	}
	time.Sleep(sc.FlushInterval + 3*time.Second) // until all streams are there
	sim.watch(false)                             // the limits hold from here on
	time.Sleep(sc.Settle)
	sim.watch(true)
	time.Sleep(sc.Measure)
	sim.watch(false)
	close(stop)
	writing.Wait()
	var closing sync.WaitGroup
	for _, c := range all {
		closing.Go(func() {
			if err := c.stream.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	closing.Wait()

	r := result{Requests: float64(sim.arrived) / sc.Measure.Seconds()}
	r.Throttled = float64(sim.throttled) / float64(sim.arrived)
	slices.Sort(sim.lags)
	if n := len(sim.lags); n > 0 {
		r.P50, r.P99 = sim.lags[n/2].Seconds(), sim.lags[n*99/100].Seconds()
	}
	for _, c := range all {
		lost, more := c.check(sim.accounts[store.Account(c.name).Name()])
		r.Lines, r.Lost, r.More = r.Lines+len(c.written), r.Lost+lost, r.More+more
	}
	return r
}

type simulation struct {
	limit    float64
	accounts map[string]*account // by name, as lines are by blob; neither changes while it runs
	lines    map[string]*container

	mu                 sync.Mutex
	watching           bool
	since              time.Time
	arrived, throttled int
	lags               []time.Duration
}

func (s *simulation) watch(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watching, s.since = on, time.Now()
}

// open makes n accounts and a store that is spread over them.
func (s *simulation) open(t *testing.T, n int) *core.Store {
	var names, endpoints, tokens []string
	for i := range n {
		a := &account{sim: s, Server: azuretest.New()}
		a.NoLog = true
		a.MakeContainer("logs")
		a.SetFault(a.fault)
		name := fmt.Sprintf("logs%d", i)
		s.accounts[name] = a
		names = append(names, name)
		endpoints = append(endpoints, "http://"+name+".test/"+a.Account())
		tokens = append(tokens, a.SAS("rwdlac", time.Now().Add(1_000*time.Hour)))
	}
	cfg, err := core.Load(core.Map{
		"account_name": strings.Join(names, ","), "endpoint": strings.Join(endpoints, ","), "sas_token": strings.Join(tokens, ","),
		"container_name": "logs",
	}.Source())
	if err != nil {
		t.Fatal(err)
	}
	store, err := core.Open(cfg, core.StoreOptions{Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// Do brings a request to the account of its host, and sees each answer: the cursor of a
// commit is the number of lines that it made readable.
func (s *simulation) Do(req *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(req.URL.Host, ".")
	resp, err := s.accounts[name].Transport().RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		return resp, err
	}
	for name, v := range req.Header {
		if strings.EqualFold(name, "x-ms-meta-cursor") {
			n, err := strconv.Atoi(v[0])
			if err != nil {
				return nil, err
			}
			_, blob, _ := strings.Cut(req.URL.Path, "/logs/")
			s.lines[blob].readable(n)
		}
	}
	return resp, nil
}

// account is one storage account, which turns away what is over its limit.
type account struct {
	*azuretest.Server
	sim    *simulation
	tokens float64 // guarded by the server: it asks for one fault at a time
	filled time.Time
}

// fault is a token bucket of a second.
func (a *account) fault(r azuretest.Request) azuretest.Fault {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	now := time.Now()
	a.tokens = min(a.sim.limit, a.tokens+now.Sub(a.filled).Seconds()*a.sim.limit)
	a.filled = now
	if a.sim.since.IsZero() { // not settled yet
		return azuretest.Fault{Delay: latency}
	}
	if a.sim.watching {
		a.sim.arrived++
	}
	if a.tokens < 1 {
		if a.sim.watching {
			a.sim.throttled++
		}
		return azuretest.Fault{Kind: azuretest.Busy, RetryAfter: time.Second, Delay: latency}
	}
	a.tokens--
	return azuretest.Fault{Delay: latency}
}

// container writes one log.
type container struct {
	sim    *simulation
	name   string
	head   []byte
	stream *core.Stream

	mu      sync.Mutex
	written []time.Time // of each line
	seen    int         // lines that are readable
}

// begin makes the blob as large as the fleet's are.
func (c *container) begin() error {
	if len(c.head) == 0 {
		return nil
	}
	if err := c.stream.Append(context.Background(), c.head, "0"); err != nil {
		return err
	}
	return c.stream.Sync(context.Background())
}

func (c *container) run(t *testing.T, stop chan struct{}, phase time.Duration) {
	time.Sleep(phase)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		c.written = append(c.written, time.Now())
		n := len(c.written)
		c.mu.Unlock()
		if err := c.stream.Append(t.Context(), text(n), strconv.Itoa(n)); err != nil {
			t.Error(err)
			return
		}
	}
}

func text(n int) []byte { return fmt.Appendf(nil, "%0*d\n", line-1, n) }

func (c *container) readable(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	for ; c.seen < n; c.seen++ {
		if c.sim.watching {
			c.sim.lags = append(c.sim.lags, time.Since(c.written[c.seen]))
		}
	}
}

// check compares the blob with what was written.
func (c *container) check(in *account) (lost, more int) {
	b, _ := in.Blob("logs", c.name)
	want := bytes.Clone(c.head)
	for i := range c.written {
		want = append(want, text(i+1)...)
	}
	if bytes.Equal(b.Content, want) && b.Metadata["complete"] == "1" {
		return 0, 0
	}
	n := (len(b.Content) - len(c.head)) / line
	return max(1, len(c.written)-n), max(0, n-len(c.written))
}

// The formula is what real streams send, for small blobs and large ones, at each
// interval; and nothing waits for longer than the interval.
func TestFormula(t *testing.T) {
	for _, f := range []scale.Fleet{
		{Hosts: 2, Containers: 40, Active: 1, FlushInterval: time.Second},
		{Hosts: 2, Containers: 40, Active: 1, FlushInterval: time.Second, Large: true},
		{Hosts: 2, Containers: 40, Active: 1, FlushInterval: 5 * time.Second},
		{Hosts: 2, Containers: 40, Active: 1, FlushInterval: 10 * time.Second, Large: true},
	} {
		t.Run(fmt.Sprintf("%v-large=%v", f.FlushInterval, f.Large), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := simulate(t, scenario{Fleet: f, Accounts: 1, Limit: math.Inf(1), Measure: 6 * f.FlushInterval})
				r.holds(t, f)
			})
		})
	}
}

// holds checks what is true of a fleet below the limits.
func (r result) holds(t *testing.T, f scale.Fleet) {
	t.Helper()
	t.Logf("%+v", r)
	if want := f.Requests(); math.Abs(r.Requests/want-1) > 0.05 {
		t.Errorf("%.1f requests a second, and the formula says %.1f", r.Requests, want)
	}
	if most := (f.FlushInterval + 5*latency).Seconds(); r.P99 > most {
		t.Errorf("of the lines, 1 %% is readable only after %.3f s or more", r.P99)
	}
	if r.Throttled > 0 {
		t.Errorf("%.1f %% of the requests were turned away", 100*r.Throttled)
	}
	r.whole(t)
}

func (r result) whole(t *testing.T) {
	t.Helper()
	if r.Lost+r.More > 0 || r.Lines == 0 {
		t.Errorf("%d lines are lost and %d too many, of %d", r.Lost, r.More, r.Lines)
	}
}

// Beyond an account's limit the commits become fewer and larger, and no line is lost.
// With a second account nothing is turned away.
func TestLimit(t *testing.T) {
	f := scale.Fleet{Hosts: 2, Containers: 40, Active: 1, FlushInterval: 2 * time.Second, Large: true}
	limit := 0.6 * f.Requests()
	synctest.Test(t, func(t *testing.T) {
		r := simulate(t, scenario{Fleet: f, Accounts: 1, Limit: limit, Settle: time.Minute, Measure: time.Minute})
		t.Logf("%+v", r)
		if served := r.Requests * (1 - r.Throttled); served < 0.8*limit || served > 1.05*limit {
			t.Errorf("%.1f requests a second were served, of %.1f that the account lets through", served, limit)
		}
		if r.Throttled == 0 || r.P50 < f.FlushInterval.Seconds()/2 {
			t.Errorf("the limit is not felt: %+v", r)
		}
		r.whole(t)
	})
	synctest.Test(t, func(t *testing.T) {
		simulate(t, scenario{Fleet: f, Accounts: 2, Limit: limit, Settle: 10 * time.Second, Measure: time.Minute}).holds(t, f)
	})
}

// part is the share of a fleet of 1,000 hosts that BenchmarkScale simulates, with the
// same share of an account's limit.
const part = 100

// BenchmarkScale simulates 1,000 hosts of 100 containers each. Rates are those of the
// whole fleet.
func BenchmarkScale(b *testing.B) {
	for _, tt := range []struct {
		name     string
		interval time.Duration
		accounts int
	}{
		{"below", 30 * time.Second, 1},
		{"beyond", 6 * time.Second, 1},
		{"second-account", 6 * time.Second, 2},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f := scale.Fleet{Hosts: 1_000 / part, Containers: 100, Active: 1, FlushInterval: tt.interval, Large: true}
			for b.Loop() {
				r := simulateApart(b, scenario{
					Fleet: f, Accounts: tt.accounts, Limit: scale.AccountLimit / part,
					Settle: time.Minute, Measure: 2 * time.Minute,
				})
				b.ReportMetric(r.Requests*part, "requests/s@azureblob")
				b.ReportMetric(f.Requests()*part, "requests/s@table")
				b.ReportMetric(r.Requests*(1-r.Throttled)*part, "served-requests/s@azureblob")
				b.ReportMetric(float64(scale.AccountLimit*tt.accounts), "served-requests/s@limit")
				b.ReportMetric(100*r.Throttled, "turned-away-%@azureblob")
				b.ReportMetric(r.P50, "lag-p50-s@azureblob")
				b.ReportMetric(r.P99, "lag-p99-s@azureblob")
				b.ReportMetric(tt.interval.Seconds(), "lag-p99-s@flush_interval")
				b.ReportMetric(float64(r.Lost+r.More), "lost-lines@azureblob")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// apart is the variable that a scenario is handed to another process in: a bubble of
// testing/synctest needs a test, and a benchmark is none.
const apart = "AZUREBLOB_TEST_SCENARIO"

func simulateApart(b *testing.B, sc scenario) (r result) {
	b.Helper()
	given, err := json.Marshal(sc)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestScenario$", "-test.count=1")
	cmd.Env = append(os.Environ(), apart+"="+string(given))
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("simulate: %v\n%s", err, out)
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&r); err != nil {
		b.Fatalf("simulate: %v\n%s", err, out)
	}
	return r
}

// TestScenario is BenchmarkScale's other process.
func TestScenario(t *testing.T) {
	given := os.Getenv(apart)
	if given == "" {
		t.Skip("BenchmarkScale gives the scenario")
	}
	var sc scenario
	if err := json.Unmarshal([]byte(given), &sc); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := json.NewEncoder(os.Stdout).Encode(simulate(t, sc)); err != nil {
			t.Fatal(err)
		}
	})
}
