package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/docker/go-plugins-helpers/sdk"

	"github.com/liveblob/azureblob/dockerdriver/driver"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// The messages of dockerd's log driver protocol (moby's daemon/logger/plugin.go).
type (
	startRequest struct {
		File string
		Info logopt.Info
	}
	stopRequest struct {
		File string
	}
	readRequest struct {
		Info   logopt.Info
		Config readConfig
	}
	readConfig struct {
		Since, Until time.Time
		Tail         int
		Follow       bool
	}
	capabilities struct {
		ReadLogs bool
	}
	answer struct {
		Err string
		Cap *capabilities `json:",omitempty"`
	}
)

// newHandler answers dockerd.
func newHandler(d *driver.Driver, log *slog.Logger) sdk.Handler {
	h := sdk.NewHandler(`{"Implements": ["LogDriver"]}`)
	h.HandleFunc("/LogDriver.Capabilities", func(w http.ResponseWriter, r *http.Request) {
		sdk.EncodeResponse(w, answer{Cap: &capabilities{ReadLogs: true}}, false)
	})
	h.HandleFunc("/LogDriver.StartLogging", func(w http.ResponseWriter, r *http.Request) {
		var req startRequest
		if sdk.DecodeRequest(w, r, &req) != nil {
			return
		}
		var a answer
		if err := d.Start(req.File, &req.Info); err != nil {
			a.Err = err.Error()
		}
		sdk.EncodeResponse(w, a, false)
	})
	h.HandleFunc("/LogDriver.StopLogging", func(w http.ResponseWriter, r *http.Request) {
		var req stopRequest
		if sdk.DecodeRequest(w, r, &req) != nil {
			return
		}
		d.Stop(req.File)
		sdk.EncodeResponse(w, answer{}, false) // never an error: dockerd would leak the pipe
	})
	h.HandleFunc("/LogDriver.ReadLogs", func(w http.ResponseWriter, r *http.Request) {
		var req readRequest
		if sdk.DecodeRequest(w, r, &req) != nil {
			return
		}
		out := &flusher{w: w}
		err := d.Read(r.Context(), &req.Info, driver.ReadConfig(req.Config), out)
		switch {
		case err == nil, r.Context().Err() != nil: // done, or nobody listens any more
		case !out.begun:
			sdk.EncodeResponse(w, answer{Err: err.Error()}, true)
		default:
			log.Error("docker logs was cut short", "container", req.Info.Name(), "err", err)
		}
	})
	return h
}

// flusher sends what is written at once.
type flusher struct {
	w     http.ResponseWriter
	begun bool
}

func (f *flusher) Write(p []byte) (int, error) {
	f.begun = true
	n, err := f.w.Write(p)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
	}
	return n, err
}
