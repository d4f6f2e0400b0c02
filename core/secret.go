package core

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	redacted      = "[redacted]"
	maxSecretFile = 64 << 10
	accountKey    = 88              // characters of 64 bytes in base64
	clockTick     = 2 * time.Second // of the coarsest file system: what is written twice within it may have one time
)

// Secret is a text that must not be seen: a key, a token, a connection string.
// Every way of printing it gives [redacted], or nothing where it is empty. The
// zero value is the empty secret. Copies share what they hold.
type Secret struct {
	// A func, because fmt calls no methods on unexported fields, and follows a
	// pointer there when the verb does not fit. Of a func it knows the address.
	in func() *secret
}

type secret struct {
	option, path string // the file it is read from; path is "" for a plain value

	mu    sync.Mutex
	value string      // the last good value
	seen  os.FileInfo // the file as it was when value was read
	young bool        // seen was younger than clockTick then
}

// NewSecret holds value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return (&secret{value: value}).hide()
}

// SecretFile is the content of a file without its line end. The file is read
// now, and again when it has changed, for which each use looks at it: that costs
// microseconds, and the old value may be refused from now on. option names the
// setting in errors.
func SecretFile(option, path string) (Secret, error) {
	s := &secret{option: option, path: path}
	if err := s.load(); err != nil {
		return Secret{}, err
	}
	return s.hide(), nil
}

// Reveal returns the value itself.
func (s Secret) Reveal() string {
	value, _ := s.read()
	return value
}

// IsZero reports the empty secret.
func (s Secret) IsZero() bool { return s.in == nil }

func (s *secret) hide() Secret { return Secret{func() *secret { return s }} }

// fromFile reports a secret that may change.
func (s Secret) fromFile() bool { return s.in != nil && s.in().path != "" }

// read returns the value, and why its file could not be read again if that
// failed; the value is then the last good one.
func (s Secret) read() (string, error) {
	if s.in == nil {
		return "", nil
	}
	return s.in().read()
}

func (s *secret) read() (string, error) {
	if s.path == "" {
		return s.value, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := os.Stat(s.path)
	if err != nil {
		err = s.fail(err)
	} else if s.changed(now) {
		err = s.load()
	}
	return s.value, err
}

func (s *secret) changed(is os.FileInfo) bool {
	was := s.seen
	if !was.Mode().IsRegular() {
		return false // a pipe gives its content once
	}
	return s.young || !is.ModTime().Equal(was.ModTime()) || is.Size() != was.Size() || !os.SameFile(was, is)
}

// load reads the file. On failure the old value and stamp stay, so that the
// next check tries again.
func (s *secret) load() error {
	f, err := os.Open(s.path)
	if err != nil {
		return s.fail(err)
	}
	defer f.Close()
	seen, err := f.Stat() // before reading: a change while we read is seen next time
	if err != nil {
		return s.fail(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return s.fail(err)
	}
	if len(b) > maxSecretFile {
		return s.fail(fmt.Errorf("it is larger than %d KiB: is this the right file?", maxSecretFile>>10))
	}
	value := strings.TrimRight(string(b), "\r\n")
	if strings.TrimSpace(value) == "" {
		return s.fail(errors.New("the file is empty"))
	}
	s.value, s.seen, s.young = value, seen, time.Since(seen.ModTime()) < clockTick
	return nil
}

func (s *secret) fail(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err // the path is in the message already
	}
	if errors.Is(err, os.ErrNotExist) && (len(s.path) == accountKey && strings.HasSuffix(s.path, "==") || strings.Contains(s.path, "sig=")) {
		return fmt.Errorf("read %s: it names no file, and looks like the secret itself: set %s to that", s.option, strings.TrimSuffix(s.option, "_file"))
	}
	return fmt.Errorf("read %s %q: %w", s.option, s.path, err)
}

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

func (s Secret) GoString() string             { return s.String() }
func (s Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
