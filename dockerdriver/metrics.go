package main

import (
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/liveblob/azureblob/dockerdriver/driver"
)

// newMetricsHandler serves /metrics for Prometheus, and /healthz, which says that the
// process runs and has taken over the logs of its predecessor. Storage that is away
// makes no unhealthy plugin: logs wait on the disk. Look at azureblob_lag_seconds.
func newMetricsHandler(d *driver.Driver) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(d, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !d.Ready() {
			http.Error(w, "the logs of the last process are being taken over", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	return mux
}
