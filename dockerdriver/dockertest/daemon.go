package dockertest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// DaemonConfig says which plugin dockerd talks to, and how patiently.
type DaemonConfig struct {
	Socket string // the plugin's
	Dir    string // for FIFOs; "": a temporary folder

	// Timeout bounds a call with its answer, and so docker logs -f; 0: none, as
	// with plugin enable --timeout 0 and with legacy plugins. The command line's
	// default is 30 s.
	Timeout time.Duration

	// A call that gets no answer is tried again, after Backoff (1 s) and then twice
	// as long each time, until Retry (30 s) would be over.
	Backoff, Retry time.Duration
}

// Daemon is dockerd as a log plugin sees it. All methods may be called by many
// goroutines at once.
type Daemon struct {
	cfg  DaemonConfig
	http *http.Client

	mu   sync.Mutex
	open map[*adapter]struct{} // what holds a FIFO open
}

// NewDaemon returns a dockerd without containers. When the test ends, it dies.
func NewDaemon(t testing.TB, cfg DaemonConfig) *Daemon {
	t.Helper()
	cfg.Backoff = cmp.Or(cfg.Backoff, time.Second)
	cfg.Retry = cmp.Or(cfg.Retry, 30*time.Second)
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: 10 * time.Second}
			return dialer.DialContext(ctx, "unix", cfg.Socket)
		},
	}
	d := &Daemon{
		cfg:  cfg,
		http: &http.Client{Transport: transport, Timeout: cfg.Timeout},
		open: map[*adapter]struct{}{},
	}
	t.Cleanup(func() {
		d.Crash()
		transport.CloseIdleConnections()
	})
	return d
}

// Crash is dockerd's own kill -9: its ends of all FIFOs close, and nobody is told.
// The FIFOs' files stay. With live-restore, Container.Restart goes on from there.
func (d *Daemon) Crash() {
	d.mu.Lock()
	open := slices.Collect(maps.Keys(d.open))
	d.mu.Unlock()
	for _, a := range open {
		a.close()
	}
}

// FIFOs is the paths of the FIFOs that are there.
func (d *Daemon) FIFOs() []string {
	paths, err := filepath.Glob(filepath.Join(d.cfg.Dir, "*"))
	if err != nil {
		panic(err) // the folder's name is a bad pattern
	}
	return paths
}

// Activate is the handshake with a legacy plugin: what it implements.
func (d *Daemon) Activate() ([]string, error) {
	var manifest struct{ Implements []string }
	err := d.Call("Plugin.Activate", nil, &manifest)
	return manifest.Implements, err
}

// Capabilities is asked before each start.
func (d *Daemon) Capabilities() (readLogs bool, err error) {
	var answer struct {
		Cap struct{ ReadLogs bool }
		Err string
	}
	if err := d.Call("LogDriver.Capabilities", nil, &answer); err != nil {
		return false, err
	}
	return answer.Cap.ReadLogs, refusal(answer.Err)
}

// Call posts args (nil: no body) and decodes the answer into answer. An error that
// the plugin put into an answer of status 200 is the caller's to find.
func (d *Daemon) Call(method string, args, answer any) error {
	body, err := d.post(context.Background(), method, args)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", method, err)
	}
	return nil
}

// logging calls StartLogging or StopLogging.
func (d *Daemon) logging(method string, args any) error {
	var answer struct{ Err string }
	if err := d.Call("LogDriver."+method, args, &answer); err != nil {
		return err
	}
	return refusal(answer.Err)
}

func refusal(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// post returns the body of an answer of status 200.
func (d *Daemon) post(ctx context.Context, method string, args any) (io.ReadCloser, error) {
	// dockerd gives each try the same buffer: one that sent it leaves an empty body
	// for the next.
	var body bytes.Buffer
	if args != nil {
		if err := json.NewEncoder(&body).Encode(args); err != nil {
			return nil, fmt.Errorf("encode the arguments of %s: %w", method, err)
		}
	}
	start := time.Now()
	for pause := d.cfg.Backoff; ; pause = min(2*pause, 30*time.Second) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin.moby.localhost/"+method, &body)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/vnd.docker.plugins.v1.2+json")
		resp, err := d.http.Do(req)
		if err != nil {
			if ctx.Err() != nil || time.Since(start)+pause >= d.cfg.Retry {
				return nil, err
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			continue
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body, nil
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", method, resp.Status, err)
		}
		var answer struct{ Err string }
		if json.Unmarshal(text, &answer) == nil && answer.Err != "" {
			text = []byte(answer.Err)
		}
		return nil, fmt.Errorf("%s: %s", method, strings.TrimSpace(string(text)))
	}
}
