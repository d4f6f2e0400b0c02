package core

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const marker = "s3cr3t-m4rk3r"

// TestSecretNeverPrints renders a secret in every way there is, alone and inside
// of structs that do and do not let fmt call its methods.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := NewSecret(marker)
	hidden := struct{ secret Secret }{s}
	cfg := &Config{SharedKey: s, ConnectionString: s, ClientSecret: s, SASToken: s}
	store, err := Open(&Config{AccountName: "acct", ContainerName: "logs",
		SASToken: NewSecret("sv=1&sig=" + marker)}, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, v := range []any{s, &s, hidden, &hidden, cfg, *cfg, store, []Secret{s}, map[string]Secret{"a": s}, s.LogValue(), store.accounts[0], store.accounts[0].auth} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("x", "v", v)
		}
	}
	if b, err := xml.Marshal(cfg); err == nil {
		out.Write(b)
	}
	out.WriteString(s.GoString() + s.String())
	hexed := fmt.Sprintf("%x", marker)
	for _, bad := range []string{marker, hexed, strings.ToUpper(hexed)} {
		if i := strings.Index(out.String(), bad); i >= 0 {
			t.Errorf("a secret was printed: …%s…", out.String()[max(0, i-80):i+len(bad)])
		}
	}
	if s.Reveal() != marker || fmt.Sprint(s) != "[redacted]" || fmt.Sprint(Secret{}) != "" {
		t.Errorf("Reveal %q, String %q, empty %q", s.Reveal(), s, Secret{})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSecretFile: whatever happens to the file, the very next use knows.
func TestSecretFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	old := time.Now().Add(-time.Hour)
	put := func(content string, at time.Time) {
		t.Helper()
		write(t, path, content)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	put("one\r\n", old)
	s, err := SecretFile("shared_key_file", path)
	if err != nil {
		t.Fatal(err)
	}
	step := func(want, wantErr string) {
		t.Helper()
		got, err := s.read()
		if got != want {
			t.Errorf("value %q, want %q", got, want)
		}
		if wantErr == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), wantErr) || !strings.Contains(err.Error(), `shared_key_file "`+path)) {
			t.Errorf("error %v, want %q", err, wantErr)
		}
	}
	step("one", "")
	put("three\n", old.Add(time.Second))
	step("three", "")
	// Same size and same time: a rename is a new inode.
	path += "2"
	put("seven\n", old.Add(time.Second))
	path = strings.TrimSuffix(path, "2")
	if err := os.Rename(path+"2", path); err != nil {
		t.Fatal(err)
	}
	step("seven", "")
	os.Remove(path)
	step("seven", "no such file")
	put("\n", old)
	step("seven", "empty")
	put(strings.Repeat("x", maxSecretFile+1), old)
	step("seven", "64 KiB")
	put("eight", old)
	step("eight", "")
	// Twice within one tick of the file system's clock.
	now := time.Now()
	put("nine1", now)
	step("nine1", "")
	put("nine2", now)
	step("nine2", "")
}

func TestSecretFileAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/empty", "")
	write(t, dir+"/large", strings.Repeat("x", 70<<10))
	for path, want := range map[string]string{
		dir + "/none":  "no such file",
		dir + "/empty": "the file is empty",
		dir + "/large": "larger than 64 KiB",
		dir:            "is a directory",
	} {
		_, err := Load(Map{"account_name": "a", "shared_key_file": path}.Source())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), "shared_key_file") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// People paste the key where the name of its file belongs.
func TestSecretInPlaceOfItsFile(t *testing.T) {
	for _, secret := range []string{devKey, "sv=2024-11-04&sp=rw&sig=SECRETMARKER%3D"} {
		_, err := SecretFile("shared_key_file", secret)
		if err == nil || strings.Contains(err.Error(), secret[len(secret)-15:]) || !strings.Contains(err.Error(), "set shared_key to that") {
			t.Errorf("%v", err)
		}
	}
}
