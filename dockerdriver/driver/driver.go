package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/dockerdriver/logopt"
)

// Config of a Driver.
type Config struct {
	Dir        string       // where logs are kept until they are uploaded, and for docker logs
	Host       *logopt.Host // what the plugin was set to
	CacheTotal int64        // bytes kept for docker logs of stopped containers
	// Orphan is how long a container whose pipe dockerd has closed without a word may
	// take to come back; 0: a minute.
	Orphan    time.Duration
	Transport policy.Transporter // nil: the pool that all stores of the process share
	Log       *slog.Logger       // nil: silent
}

const (
	// stopWithin bounds Stop, which runs under the container's lock in dockerd: docker
	// stop, inspect and rm wait for it.
	stopWithin = 1500 * time.Millisecond
	// safe is how long a line may wait for its upload and not be safe on the disk.
	safe = 5 * time.Second
	// bigBatches is how many uploads of more than 64 KiB may be under way.
	bigBatches = 8
)

// Driver keeps the logs of all containers.
type Driver struct {
	cfg        Config
	log        *slog.Logger
	storageLog *slog.Logger // for what concerns all containers at once
	begun      time.Time
	lock       *os.File // on the folder
	stores     stores
	shelf      shelf
	big        chan struct{} // a token for each big batch that is under way

	recovered chan struct{}      // closed when the logs of the last process are taken over
	closing   chan struct{}      // closed when the process is to end: nothing starts, uploaders finish
	ctx       context.Context    // of the uploads
	cancel    context.CancelFunc // ends them
	working   sync.WaitGroup     // calls of Start, uploaders, safeguard
	leaving   chan struct{}      // closed after them: sources let go of their pipes
	reading   sync.WaitGroup     // sources

	busy             atomic.Int64 // logs that have committed within the last seconds
	commits, retries atomic.Int64
	lost             atomic.Int64 // bytes that are nowhere: dropped, or damaged on the disk

	mu         sync.Mutex            // never held across I/O
	containers map[string]*container // those in memory, by ID
	sources    map[string]*source    // by the pipe's path
	roomMade   time.Time             // when makeRoom did something last
}

// New takes the folder, which no other process may have. Recover must follow, and
// until that has returned Start, Stop and Read wait.
func New(cfg Config) (*Driver, error) {
	cfg.Orphan = cmp.Or(cfg.Orphan, time.Minute)
	log := cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	dir := filepath.Join(cfg.Dir, "containers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open state folder %q: another process has it (a plugin of another name?): give each a folder of its own: %w", cfg.Dir, err)
	}
	d := &Driver{
		cfg: cfg, log: log, storageLog: newCalm(log), begun: time.Now(), lock: lock,
		stores:    stores{transport: cfg.Transport, log: log, open: make(map[string]*core.Store)},
		shelf:     shelf{dir: dir, limit: cfg.CacheTotal, log: log},
		big:       make(chan struct{}, bigBatches),
		recovered: make(chan struct{}), closing: make(chan struct{}), leaving: make(chan struct{}),
		containers: make(map[string]*container), sources: make(map[string]*source),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.working.Go(d.safeguard)
	return d, nil
}

// safeguard brings to the disk what has waited long for its upload. In an outage a
// loss of power then takes seconds of the logs, and not what the kernel happens to
// hold; while all is well nothing waits, and no disk is bothered. What keeps a log
// waiting may also be a key that is refused, and has been replaced. It counts the busy
// logs on its way.
func (d *Driver) safeguard() {
	tick := time.NewTicker(safe)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.closing:
			return
		}
		d.mu.Lock()
		var waiting []*container
		busy := int64(0)
		for _, c := range d.containers {
			if time.Since(time.Unix(0, c.committed.Load())) < safe {
				busy++
			}
			if since := c.behind.Load(); since != 0 && time.Since(time.Unix(0, since)) > safe {
				c.users++
				waiting = append(waiting, c)
			}
		}
		d.mu.Unlock()
		d.busy.Store(busy)
		for _, c := range waiting {
			if err := c.sync(); err != nil {
				c.log.Error("a log that waits for its upload cannot be brought to the disk", "err", err)
			}
			c.reconsider()
			d.release(c)
		}
	}
}

// Recover takes over what the last process has left: it opens the pipes of containers
// that run and goes on with what is not uploaded. It touches the disk alone.
func (d *Driver) Recover() {
	defer close(d.recovered)
	entries, err := os.ReadDir(d.shelf.dir)
	if err != nil {
		d.log.Error("the state folder cannot be read: no container's log is taken up again", "err", err)
		return
	}
	for _, e := range entries {
		id := e.Name()
		switch {
		case strings.HasSuffix(id, goneSuffix):
			os.RemoveAll(filepath.Join(d.shelf.dir, id))
		case e.IsDir() && !strings.HasSuffix(id, badSuffix):
			if err := d.recover(id); err != nil {
				d.log.Error("a container's log cannot be taken up again", "folder", filepath.Join(d.shelf.dir, id), "err", err)
			}
		}
	}
}

func (d *Driver) recover(id string) error {
	if d.shelf.restore(id) {
		return nil
	}
	c := d.acquire(id)
	defer d.release(c)
	err := c.resume()
	if errors.Is(err, fs.ErrNotExist) {
		if segments, _ := filepath.Glob(filepath.Join(c.dir, "spool", "*.seg")); segments == nil {
			return os.RemoveAll(c.dir) // its container never started
		}
		return c.setAside(err)
	}
	return err
}

// Start begins to read a container's pipe. Its error is for the user who runs the
// container. It does not touch the network.
func (d *Driver) Start(pipe string, info *logopt.Info) error {
	if !validID(info.ContainerID) {
		return fmt.Errorf("start logging: %q is no container ID", info.ContainerID)
	}
	<-d.recovered
	settings, err := d.cfg.Host.Settings(info)
	if err != nil {
		return err
	}
	for _, w := range settings.Warnings {
		d.log.Warn(w, "container", info.Name())
	}
	if _, err := d.stores.get(settings); err != nil {
		return err
	}
	if !d.work() {
		return errClosing
	}
	defer d.working.Done()
	c := d.acquire(info.ContainerID)
	defer d.release(c)
	return c.start(pipe, info, settings)
}

// Stop takes what is left in a pipe, and returns when that is on the disk, or after
// two seconds: the rest is then taken behind it. Upload goes on behind it in any case.
func (d *Driver) Stop(pipe string) {
	timeout := time.After(stopWithin)
	s := d.source(pipe)
	if s == nil { // it has ended by itself, or is not taken over yet
		select {
		case <-d.recovered:
		case <-timeout:
			return // Recover finds the pipe's other end closed
		}
		if s = d.source(pipe); s == nil {
			return
		}
	}
	s.end()
	select {
	case <-s.done:
	case <-timeout:
		s.c.log.Warn("the container has stopped, and its last lines could not be written to the disk yet")
	}
}

func (d *Driver) source(pipe string) *source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sources[pipe]
}

// Close ends the process's part: pipes stay as they are, for the next process to read
// on, and what is in the spools is uploaded until ctx ends. Up to then pipes are read:
// a container may stop meanwhile, and dockerd destroys its pipe when Stop has returned.
func (d *Driver) Close(ctx context.Context) {
	<-d.recovered
	d.mu.Lock()
	close(d.closing)
	for _, c := range d.containers {
		c.wake()
	}
	d.mu.Unlock()
	stop := context.AfterFunc(ctx, d.cancel)
	d.working.Wait()
	stop()
	d.cancel()

	close(d.leaving)
	d.mu.Lock()
	for _, s := range d.sources {
		s.interrupt()
	}
	d.mu.Unlock()
	d.reading.Wait()
	d.lock.Close()
}

// work counts a call that Close waits for. Not so, the process is to end.
func (d *Driver) work() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosing() {
		return false
	}
	d.working.Add(1)
	return true
}

func (d *Driver) isClosing() bool { return isClosed(d.closing) }

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// acquire gives the container's log for use, which release ends.
func (d *Driver) acquire(id string) *container {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.containers[id]
	if c == nil {
		c = newContainer(d, id)
		d.containers[id] = c
	}
	c.users++
	return c
}

// release is called without locks. The last user's closes the log.
func (d *Driver) release(c *container) {
	c.life.Lock()
	defer c.life.Unlock()
	d.mu.Lock()
	c.users--
	last := c.users == 0
	d.mu.Unlock()
	if !last {
		return
	}
	c.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.users == 0 { // or somebody came meanwhile, and opens it again
		delete(d.containers, c.id)
	}
}

// validID reports what may be the name of a folder: dockerd's IDs are 64 hex digits.
func validID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '_') {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// Ready reports that the logs of the last process are taken over.
func (d *Driver) Ready() bool { return isClosed(d.recovered) }
