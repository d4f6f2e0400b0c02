package chunk

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestUpdateGolden records testdata: FLUENT_BIT=… go test -run Update -update.
// Each chunk goes through the forward input, which leaves it as it is, and out
// by azure_blob and by the HTTP output, to one server.
func TestUpdateGolden(t *testing.T) {
	if !*update {
		t.Skip("nothing is tested here: it records testdata, with -update")
	}
	program := os.Getenv("FLUENT_BIT")
	if program == "" {
		t.Fatal("-update records what a real Fluent Bit writes: set FLUENT_BIT to its program")
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, escape := range []string{"off", "on"} {
		wrote := throughFluentBit(t, program, escape)
		for _, g := range golden {
			save := func(name, from string) {
				b := wrote[from+"/"+g.name]
				if len(b) == 0 {
					t.Errorf("%s wrote nothing of %s", from, g.name)
					return
				}
				if err := os.WriteFile(filepath.Join("testdata", g.name+name), b, 0o644); err != nil {
					t.Error(err)
				}
			}
			if escape == "on" {
				save(".escaped.json", "azure_blob")
				continue
			}
			save(".json", "azure_blob")
			save(".chunk", "msgpack")
			if g.name == "times" {
				for _, f := range []string{"epoch", "epoch_ms", "double", "java_sql_timestamp"} {
					save("."+f+".json", f)
				}
			}
		}
	}
}

// throughFluentBit is what each output wrote, by "output/chunk".
func throughFluentBit(t *testing.T, program, escape string) map[string][]byte {
	var mu sync.Mutex
	wrote := map[string][]byte{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		key := strings.TrimPrefix(r.URL.Path, "/") + "/" + r.Header.Get("X-Tag")
		if r.Method == http.MethodPut {
			key = "azure_blob/" + path.Base(r.URL.Path)
		}
		mu.Lock()
		wrote[key] = append(wrote[key], body...)
		mu.Unlock()
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forward := listener.Addr().(*net.TCPAddr).Port
	listener.Close()

	var conf strings.Builder
	fmt.Fprintf(&conf, "[SERVICE]\n flush 0.2\n grace 5\n log_level info\n json.escape_unicode %s\n", escape)
	fmt.Fprintf(&conf, "[INPUT]\n name forward\n listen 127.0.0.1\n port %d\n", forward)
	fmt.Fprintf(&conf, "[OUTPUT]\n name azure_blob\n match *\n account_name a\n shared_key a2V5\n container_name c\n auto_create_container off\n emulator_mode on\n endpoint %s\n tls off\n", server.URL)
	for _, f := range []string{"msgpack", "epoch", "epoch_ms", "double", "java_sql_timestamp"} {
		fmt.Fprintf(&conf, "[OUTPUT]\n name http\n match *\n host 127.0.0.1\n port %s\n uri /%s\n header_tag X-Tag\n", port, f)
		if f == "msgpack" {
			conf.WriteString(" format msgpack\n")
		} else {
			fmt.Fprintf(&conf, " format json_lines\n json_date_key @timestamp\n json_date_format %s\n", f)
		}
	}
	file := filepath.Join(t.TempDir(), "fluent-bit.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)

	var conn net.Conn
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", forward)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	for _, g := range golden {
		if _, err := conn.Write(pack(list{g.name, bin(g.chunk)})); err != nil { // the protocol's PackedForward
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		mu.Lock()
		n := len(wrote)
		mu.Unlock()
		if n == 6*len(golden) {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d answers of %d", n, 6*len(golden))
			break
		}
	}
	return wrote
}
