// Command azureblob-docker is the process of the Docker log driver: it answers
// dockerd on a socket, and package driver does the work.
//
//	dockerd ─ unix socket ─► handler ─► driver.Driver ─► a blob for each container
//	              FIFOs ──────────────────────┘
//
// As a managed plugin dockerd runs it in a container of its own (make plugin); as a
// legacy plugin systemd does (conf/docker). It is set by environment variables alone:
// those in settings.go for the process, and the options of package logopt, which
// every container can override by log-opts.
//
// It listens first and takes over the logs of its predecessor then, for dockerd gives
// up on a plugin that does not answer within seconds. On SIGTERM, which dockerd
// follows up with SIGKILL ten seconds later, it uploads what it can in five and
// leaves the rest, on the disk, to its successor.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/liveblob/azureblob/dockerdriver/driver"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

var version = "unknown" // set when it is built

// grace is what uploads get when the process is asked to end.
const grace = 5 * time.Second

func main() {
	// What nobody has set of config.json's variables is there, and empty. azidentity
	// takes an empty AZURE_CLIENT_ID for one.
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); value == "" {
			os.Unsetenv(name)
		}
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "azureblob-docker:", err)
		os.Exit(1)
	}
}

func run() error {
	set, err := loadSettings(os.LookupEnv)
	if err != nil {
		return err
	}
	log := slog.New(newLogHandler(set.LogLevel))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	if _, err := set.Host.Settings(&logopt.Info{ContainerID: "example", ContainerName: "/example"}); err != nil {
		log.Error("no container can be started with the plugin's settings unless its log-opts mend them", "err", err)
	}
	d, err := driver.New(driver.Config{
		Dir: set.StateDir, Host: set.Host, CacheTotal: set.CacheTotal, Log: log,
	})
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	handler := newHandler(d, log)
	go func() { failed <- fmt.Errorf("listen on %s: %w", set.Socket, handler.ServeUnix(set.Socket, 0)) }()
	if set.MetricsAddress != "" {
		l, err := net.Listen("tcp", set.MetricsAddress)
		if err != nil {
			return fmt.Errorf("listen for metrics (AZUREBLOB_METRICS_ADDRESS): %w", err)
		}
		go func() { failed <- fmt.Errorf("serve metrics: %w", http.Serve(l, newMetricsHandler(d))) }()
	}
	d.Recover()
	log.Debug("the log driver is ready", "version", version, "state", set.StateDir)

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop() // a second signal ends the process at once
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	d.Close(ending)
	return err
}
