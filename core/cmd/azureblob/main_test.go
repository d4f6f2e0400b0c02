package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/core/azuretest"
)

// The test's own binary is the program when this is set, for what only a process
// can show: signals, exit codes, a closed stdout.
const asProgram = "AZUREBLOB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	// All that is tested is on this machine, and net/http reads these only once.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m, // connections that are kept alive are the process's
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// bench is an account and an environment that names it.
type bench struct {
	t      testing.TB
	server *azuretest.Server
	url    string
	env    map[string]string
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, server: azuretest.New()}
	b.url = b.server.Start(t)
	b.server.MakeContainer("logs")
	b.env = map[string]string{
		"AZURE_STORAGE_CONNECTION_STRING": b.server.ConnectionString(b.url),
		"GOMEMLIMIT":                      "off", // the test process is not for the program to limit
	}
	return b
}

func (b *bench) lookup(name string) (string, bool) { v, ok := b.env[name]; return v, ok }

// result is what a run left.
type result struct {
	code           int
	stdout, stderr string
}

// run runs the program in this process, with input on a pipe.
func (b *bench) run(input string, args ...string) result {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		io.WriteString(w, input) // EPIPE where the program ends early
		w.Close()
	}()
	var stdout, stderr buffer
	code := run(b.t.Context(), args, b.lookup, r, &stdout, &stderr)
	r.Close()
	<-fed
	return b.checked(result{code, stdout.String(), stderr.String()})
}

// checked holds what is true of every run: errors are single lines that say who
// speaks, and no secret is anywhere.
func (b *bench) checked(r result) result {
	b.t.Helper()
	if r.code == exitFailed || r.code == exitUsage {
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		if last := lines[len(lines)-1]; last != "" && !strings.HasPrefix(last, "azureblob: ") {
			b.t.Errorf("the error's last line is %q", last)
		}
	}
	secrets := []string{"SECRETMARKER", b.server.Key()}
	for _, v := range b.env {
		if i := strings.Index(v, "sig="); i >= 0 {
			secrets = append(secrets, v[i:])
		}
	}
	for _, s := range secrets {
		if strings.Contains(r.stdout+r.stderr, s) {
			b.t.Errorf("the secret %q is in the output:\n%s%s", s, r.stdout, r.stderr)
		}
	}
	return r
}

// ok fails the test unless the run succeeded.
func (b *bench) ok(r result) result {
	b.t.Helper()
	if r.code != 0 {
		b.t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return r
}

// fails fails the test unless the run did, with one line that holds all of parts.
func (b *bench) fails(r result, code int, parts ...string) {
	b.t.Helper()
	if r.code != code {
		b.t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, part := range parts {
		if !strings.Contains(r.stderr, part) {
			b.t.Errorf("%q is not in %q", part, r.stderr)
		}
	}
	if n := strings.Count(r.stderr, "\n"); n != 1 {
		b.t.Errorf("%d lines, want 1:\n%s", n, r.stderr)
	}
}

func (b *bench) blob(name string) azuretest.Blob {
	b.t.Helper()
	blob, ok := b.server.Blob("logs", name)
	if !ok {
		b.t.Fatalf("there is no blob %s, only %q", name, b.server.Blobs("logs"))
	}
	return blob
}

// holds fails the test unless the blob has this content and is complete or not.
func (b *bench) holds(name, content string, complete bool) {
	b.t.Helper()
	blob := b.blob(name)
	if got := string(blob.Content); got != content {
		b.t.Errorf("%s holds %d bytes %.60q, want %d bytes %.60q", name, len(got), got, len(content), content)
	}
	if got := blob.Metadata["complete"] == "1"; got != complete {
		b.t.Errorf("%s: complete is %v, want %v", name, got, complete)
	}
}

// until waits for something that must come to be; an answer that never comes
// fails the test.
func (b *bench) until(what string, true func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited too long until %s", what)
		}
	}
}

func (b *bench) has(name, content string) func() bool {
	return func() bool {
		blob, ok := b.server.Blob("logs", name)
		return ok && string(blob.Content) == content
	}
}

// buffer is safe for the writer and the test at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is the program as a process of its own.
type process struct {
	*exec.Cmd
	b              *bench
	in             *os.File // to its stdin
	stdout, stderr buffer
	ended          chan struct{}
}

func (b *bench) start(stdout *os.File, args ...string) *process {
	b.t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), b: b, ended: make(chan struct{})}
	for k, v := range b.env {
		p.Env = append(p.Env, k+"="+v)
	}
	p.Env = append(p.Env, asProgram+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p.in, p.Stdin, p.Stdout, p.Stderr = w, r, &p.stdout, &p.stderr
	if stdout != nil {
		p.Stdout = stdout
	}
	if err := p.Start(); err != nil {
		b.t.Fatal(err)
	}
	r.Close()
	go func() {
		defer close(p.ended)
		p.Wait()
	}()
	b.t.Cleanup(func() {
		w.Close()
		p.Process.Kill()
		<-p.ended
	})
	return p
}

// end waits for the process.
func (p *process) end() result {
	p.b.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.b.t.Fatalf("the process does not end\n%s", p.stderr.String())
	}
	return p.b.checked(result{p.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()})
}

func (p *process) signal(s syscall.Signal) { p.Process.Signal(s) }

func TestUsage(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		args string
		want string
	}{
		{"pip logs/x", `unknown command "pip": did you mean pipe?`},
		{"frobnicate", `unknown command "frobnicate"`},
		{"tail", "CONTAINER/NAME or URL is missing"},
		{"pipe", "CONTAINER/NAME is missing"},
		{"cat logs/a logs/b", "there are 2 arguments"},
		{"tail --folow logs/x", "unknown flag --folow: did you mean --follow?"},
		{"tail -n five logs/x", "write a number of lines, or all"},
		{"tail -n -1 logs/x", "write a number of lines, or all"},
		{"tail --poll 0s logs/x", "write a time above 0"},
		{"tail -x logs/x", "unknown flag -x"},
		{"tail logs", "blob name is empty: write CONTAINER/NAME"},
		{"tail L/x", `container name "L" is not valid`},
		{"pipe logs/../x", `blob name "../x" is not valid`},
		{"ls logs logs", "there are 2 arguments"},
		{"pipe --format xml logs/x", `set option --format: "xml" is not one of json, text, raw`},
		{"pipe --compress gizp logs/x", `"gizp" is not one of none, gzip, zstd`},
		{"pipe --flush-interval soon logs/x", "--flush-interval"},
		{"pipe --metadata stream=x logs/x", `"stream" is taken`},
		{"pipe --give-up-after soon logs/x", "--give-up-after"},
		{"pipe logs/{{.Foo}}", `expand name "{{.Foo}}"`},
		{"pipe logs/{{oops", `expand name "{{oops"`},
		{"pipe logs/x?sv=1&sig=SECRETMARKER", "put the URL's https://… in front, or set AZURE_STORAGE_SAS_TOKEN"},
		{"tail acct.blob.core.windows.net/logs/x?sv=1&sig=SECRETMARKER", "or set AZURE_STORAGE_SAS_TOKEN"},
		{"ls logs --account-name SECRETMARKER/x==", "--account-name is not valid"},
		{"pipe logs/100%", `%% for a percent sign`},
		{"doctor --auth-type sas", "--auth-type is sas, but AZURE_STORAGE_SAS_TOKEN is not set"},
	} {
		t.Run(c.args, func(t *testing.T) {
			b := &bench{t, b.server, b.url, b.env}
			b.fails(b.run("", strings.Fields(c.args)...), exitUsage, c.want, " see 'azureblob")
		})
	}
	if n := len(b.server.Log()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestNoCommand(t *testing.T) {
	defer func(args []string) { os.Args = args }(os.Args)
	os.Args = []string{os.Args[0], "version"} // not ours to read
	r := newBench(t).run("")
	if r.code != exitUsage || r.stdout != "" || !strings.Contains(r.stderr, "Commands:\n") {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
}

func TestNoAccount(t *testing.T) {
	b := newBench(t)
	b.env = nil
	for _, args := range [][]string{{"ls"}, {"pipe", "logs/x"}, {"tail", "logs/x"}, {"doctor"}} {
		b.fails(b.run("", args...), exitUsage, "no storage account is set", "AZURE_STORAGE_CONNECTION_STRING", "--account-name")
	}
}

// What Azure takes and we would not write can be read: others made it.
func TestReadOddNames(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"a//b", "/a", strings.Repeat("ü", 600)} {
		b.server.Put("logs", name, []byte("theirs\n"), nil)
		for _, at := range []string{"logs/" + name, b.url + "/logs/" + name} {
			for _, command := range []string{"cat", "tail"} {
				if r := b.ok(b.run("", command, at)); r.stdout != "theirs\n" {
					t.Errorf("%s %.20s: %q", command, at, r.stdout)
				}
			}
		}
		b.fails(b.run("", "pipe", "logs/"+name), exitUsage, "is not valid")
	}
}

// A token that is none is refused in words that no redaction mangles.
func TestBadSAS(t *testing.T) {
	b := newBench(t)
	b.env = map[string]string{"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_SAS_TOKEN": "sv=SECRETMARKER"}
	r := b.run("", "ls", "logs")
	b.fails(r, exitUsage, "the SAS token has no signature: copy the whole of it, from sv to sig")
	if strings.Contains(r.stderr, "redacted") {
		t.Error(r.stderr)
	}
}

// A secret on the command line is refused, and says where it belongs.
func TestSecretFlags(t *testing.T) {
	b := newBench(t)
	for name, want := range map[string]string{
		"shared-key":        "set AZURE_STORAGE_KEY or --shared-key-file",
		"sas-token":         "set AZURE_STORAGE_SAS_TOKEN or --sas-token-file",
		"client-secret":     "set AZURE_CLIENT_SECRET or --client-secret-file",
		"connection-string": "set AZURE_STORAGE_CONNECTION_STRING",
	} {
		for _, command := range []string{"pipe", "tail", "cat", "ls", "doctor"} {
			b.fails(b.run("", command, "--"+name+"=SECRETMARKER", "logs/x"), exitUsage, "ps", want)
			b.fails(b.run("", command, "--"+name, "SECRETMARKER", "logs/x"), exitUsage, "ps", want)
		}
	}
}

// Every option of the table is a flag of some command, a secret, or left out on
// purpose; and no help shows a value from the environment.
func TestHelp(t *testing.T) {
	b := newBench(t)
	for i := range core.Options {
		if core.Options[i].Type() != "file" {
			b.env[core.Options[i].EnvName()] = "SECRETMARKER"
		}
	}
	all := ""
	for _, args := range [][]string{{"--help"}, {"pipe", "--help"}, {"tail", "--help"}, {"cat", "--help"}, {"ls", "--help"}, {"doctor", "--help"}, {"version", "--help"}, {"help", "pipe"}} {
		r := b.ok(b.run("", args...))
		if !strings.Contains(r.stdout, "Examples:\n  ") || r.stderr != "" {
			t.Errorf("%q: no example, or words on stderr:\n%s%s", args, r.stdout, r.stderr)
		}
		all += r.stdout
	}
	left := map[string]bool{}
	for _, name := range notHere {
		left[name] = true
	}
	for i := range core.Options {
		o := &core.Options[i]
		shown := strings.Contains(all, "--"+flagName(o.Name)+" ") || strings.Contains(all, "--"+flagName(o.Name)+"[")
		if want := !hidden(o) && !left[o.Name]; shown != want {
			t.Errorf("--%s is in the help: %v, want %v", flagName(o.Name), shown, want)
		}
	}
	for _, want := range []string{`(default 1s)`, `(default raw)`, "none, gzip, zstd", "(AZURE_STORAGE_ACCOUNT)", "Secrets are not flags"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is in no help", want)
		}
	}
}

func TestVersionAndCompletion(t *testing.T) {
	b := newBench(t)
	if r := b.ok(b.run("", "version")); !strings.HasPrefix(r.stdout, "azureblob ") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("%q", r.stdout)
	}
	if r := b.ok(b.run("", "completion", "bash")); !strings.Contains(r.stdout, "__azureblob") {
		t.Errorf("%.80q", r.stdout)
	}
}

func TestMessage(t *testing.T) {
	for in, want := range map[string]string{
		"a\n\tb\x1b[31m\u202e c":                             "a b?[31m? c",
		"auth_type is key, but shared_key is not set":        "--auth-type is key, but AZURE_STORAGE_KEY is not set",
		`read shared_key_file "/run/shared_key": not there`:  `read --shared-key-file "/run/shared_key": not there`,
		"commit logs/account_name: some_word":                "commit logs/account_name: some_word",
		"get https://h/c/n?sp=r&sig=SECRET%2B&se=x: refused": "get https://h/c/n?sp=r&sig=[redacted]&se=x: refused",
		"AccountName=x;AccountKey=SECRET==;y":                "AccountName=x;AccountKey=[redacted];y",
		"turn auto_create_container on (endpoint_suffix)":    "turn --auto-create-container on (--endpoint-suffix)",
		"no signature: copy the whole of it, from sv to sig": "no signature: copy the whole of it, from sv to sig",
		"set option container_name: bad":                     "set option container_name: bad",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) is %q, want %q", in, got, want)
		}
	}
}

// A cancelled context ends a run, whatever it waits for.
func TestCancel(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"pipe", "logs/x"}, {"tail", "-f", "logs/none"}} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w, _ := os.Pipe()
		defer r.Close()
		defer w.Close()
		code := make(chan int)
		var stderr buffer
		go func() { code <- run(ctx, args, b.lookup, r, io.Discard, &stderr) }()
		cancel()
		if got := <-code; got != exitFailed {
			t.Errorf("%q: exit code %d\n%s", args, got, stderr.String())
		}
	}
}
