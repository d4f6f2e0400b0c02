package driver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What is measured. A container's own figures are there while its log is in memory,
// under its name; the totals are of the process.
var (
	metricContainers = describe("containers", "Containers whose logs are read or uploaded.")
	metricCommits    = describe("commits_total", "Commits: flushes that became readable in a blob.")
	metricRetries    = describe("retries_total", "Requests to storage that failed and were tried again.")
	metricLost       = describe("lost_bytes_total", "Bytes of logs that were dropped because a spool was full, or damaged on the disk.")
	metricSpool      = describe("spool_bytes", "Bytes of the container's log on the disk, uploaded or not.", "container")
	metricLag        = describe("lag_bytes", "Bytes of the container's log that are not readable in its blob yet.", "container")
	metricLagTime    = describe("lag_seconds", "How long the oldest line that is not readable in the container's blob has waited.", "container")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("azureblob_"+name, help, labels, nil)
}

// Describe and Collect make a Driver a prometheus.Collector.
func (d *Driver) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []*prometheus.Desc{metricContainers, metricCommits, metricRetries, metricLost, metricSpool, metricLag, metricLagTime} {
		ch <- m
	}
}

func (d *Driver) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	all := make([]*container, 0, len(d.containers))
	for _, c := range d.containers {
		all = append(all, c)
	}
	d.mu.Unlock()

	gauge := func(m *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m, prometheus.GaugeValue, v, labels...)
	}
	names := make(map[string]bool, len(all))
	for _, c := range all {
		name, st, ok := c.figures()
		if !ok {
			continue
		}
		if names[name] { // renamed, and its name given to another
			name += "/" + c.id
		}
		names[name] = true
		gauge(metricSpool, float64(st.Disk), name)
		gauge(metricLag, float64(st.Backlog), name)
		lag := 0.0
		if since := c.behind.Load(); since != 0 && st.Backlog > 0 {
			lag = time.Since(time.Unix(0, since)).Seconds()
		}
		gauge(metricLagTime, lag, name)
	}
	gauge(metricContainers, float64(len(names)))
	for m, n := range map[*prometheus.Desc]int64{
		metricCommits: d.commits.Load(), metricRetries: d.retries.Load(), metricLost: d.lost.Load(),
	} {
		ch <- prometheus.MustNewConstMetric(m, prometheus.CounterValue, float64(n))
	}
}
