package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
	"github.com/liveblob/azureblob/fluentbit/keys"
)

// What users copy from conf/fluentbit is held to what it promises: each file's settings
// are ones that there are, and a real Fluent Bit runs with it, moved into a folder of
// the test's own.

func confFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "conf", "fluentbit", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// configMap is the configuration inside daemonset.yaml.
func configMap(t testing.TB) string {
	t.Helper()
	_, rest, found := strings.Cut(confFile(t, "daemonset.yaml"), "\n  fluent-bit.conf: |\n")
	text, _, ended := strings.Cut(rest, "\n---\n")
	if !found || !ended {
		t.Fatal("daemonset.yaml has no fluent-bit.conf in it")
	}
	return regexp.MustCompile(`(?m)^ {4}`).ReplaceAllString(text, "") + "\n"
}

// outputKeys is the settings of the azureblob output in a configuration of either kind.
// Fluent Bit itself knows no variables there but those of its environment.
func outputKeys(conf string) map[string]string {
	found := map[string]string{}
	inside := false
	for line := range strings.Lines(conf) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "[") || strings.HasPrefix(line, "- ") {
			inside = false
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "- "), " ")
		name, value = strings.ToLower(strings.TrimSuffix(name, ":")), strings.TrimSpace(value)
		if name == "name" && value == "azureblob" {
			inside = true
		} else if inside && name != "" {
			found[name] = os.Expand(value, func(name string) string {
				if strings.ToUpper(name) == name && name != "TAG" {
					return "from-the-environment"
				}
				return "$" + name
			})
		}
	}
	return found
}

func TestConfKeys(t *testing.T) {
	t.Parallel()
	own := map[string]bool{"match": true, "workers": true, "retry_limit": true, "storage.total_limit_size": true} // Fluent Bit's
	for name, conf := range map[string]string{
		"fluent-bit.conf": confFile(t, "fluent-bit.conf"),
		"fluent-bit.yaml": confFile(t, "fluent-bit.yaml"),
		"daemonset.yaml":  configMap(t),
	} {
		t.Run(name, func(t *testing.T) {
			given := outputKeys(conf)
			asked := map[string]bool{}
			set, err := keys.Load(func(name string) string {
				asked[strings.ToLower(name)] = true
				return given[strings.ToLower(name)]
			}, func(string) (string, bool) { return "", false })
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Warnings)+len(set.Notes) > 0 {
				t.Errorf("it is warned of %q and noted %q", set.Warnings, set.Notes)
			}
			for name := range given {
				if !own[name] && !asked[name] {
					t.Errorf("there is no key %q", name)
				}
			}
			for name := range own {
				if given[name] == "" {
					t.Errorf("it does not set %s", name)
				}
			}
		})
	}
}

// The image has the plugin where the configurations look for it.
func TestConfPaths(t *testing.T) {
	t.Parallel()
	const path = "/fluent-bit/plugins/out_azureblob.so"
	for _, name := range []string{"plugins.conf", "fluent-bit.yaml"} {
		if !strings.Contains(confFile(t, name), path+"\n") {
			t.Errorf("%s does not load %s", name, path)
		}
	}
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"/out_azureblob.so /fluent-bit/plugins/\n", "conf/fluentbit/plugins.conf /fluent-bit/etc/\n"} {
		if !strings.Contains(string(dockerfile), line) {
			t.Errorf("the Dockerfile has no line that ends in %q", line)
		}
	}
}

// moved is a configuration whose folders are in dir.
func moved(t testing.TB, conf, dir string) string {
	t.Helper()
	plugins := strings.ReplaceAll(confFile(t, "plugins.conf"), "/fluent-bit/plugins/out_azureblob.so", flbtest.Library(t))
	if err := os.WriteFile(filepath.Join(dir, "plugins.conf"), []byte(plugins), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"state", "in"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	conf = strings.NewReplacer(
		"/fluent-bit/plugins/out_azureblob.so", flbtest.Library(t),
		"/fluent-bit/etc/plugins.conf", filepath.Join(dir, "plugins.conf"),
		"/var/lib/fluent-bit", filepath.Join(dir, "state"),
		"/var/log/app", filepath.Join(dir, "in"),
		"/var/log/containers", filepath.Join(dir, "in"),
		"2020", "${HTTP_PORT}",
		"0.0.0.0", "127.0.0.1",
	).Replace(conf)
	return conf
}

func TestFluentBitConf(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"fluent-bit.conf", "fluent-bit.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flbtest.FindFluentBit(t)
			s := azuretest.New()
			dir := t.TempDir()
			cfg := flbtest.FluentBitConfig{
				Conf: moved(t, confFile(t, name), dir),
				YAML: strings.HasSuffix(name, ".yaml"),
				Env: map[string]string{
					"AZURE_STORAGE_CONNECTION_STRING": s.ConnectionString(s.Start(t)),
					"HOSTNAME":                        "node1",
				},
				Dir: dir,
			}
			if output, err := flbtest.RunFluentBit(t, cfg, "--dry-run"); err != nil || !strings.Contains(output, "configuration test is successful") {
				t.Fatalf("a dry run failed: %v\n%s", err, output)
			}
			p := &pipeline{t: t, s: s, lines: flbtest.Numbered{Size: 60}, FluentBit: flbtest.StartFluentBit(t, cfg)}
			for range 3 {
				p.write("web", 10)
				p.write("db", 10)
			}
			for round := range 2 {
				eventually(t, 20*time.Second, "all lines are readable", func() error {
					for _, tag := range []string{"web", "db"} {
						blob, _ := s.Blob("logs", "node1/app."+tag+".log")
						lines, err := flbtest.BlobLines(blob, "raw")
						if err == nil {
							err = p.lines.Check(lines, tag)
						}
						if err != nil {
							return err
						}
					}
					return nil
				})
				if round == 0 {
					p.Stop()
					p.Start()
					p.write("web", 10)
				}
			}
			p.Stop()
		})
	}
}

// The DaemonSet's configuration, with log files as a node has them and an API server
// that knows the pod. A pod of the DaemonSet that replaces another goes on in its blobs.
func TestFluentBitDaemonSet(t *testing.T) {
	t.Parallel()
	flbtest.FindFluentBit(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/shop/pods/web-6d4b" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"metadata":{"name":"web-6d4b","namespace":"shop","uid":"4f","labels":{"app.kubernetes.io/name":"web"}},"spec":{"nodeName":"node1"},"status":{}}`)
	}))
	t.Cleanup(api.Close)

	s := azuretest.New()
	dir := t.TempDir()
	conf := moved(t, configMap(t), dir)
	conf = regexp.MustCompile(`(?m)^ +account_name .*\n +auth_type .*\n`).ReplaceAllLiteralString(conf, "    connection_string ${CONNECTION}\n")
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf = regexp.MustCompile(`(?m)^ +Name +kubernetes\n`).ReplaceAllString(conf, "$0    Kube_URL "+api.URL+"\n    Kube_Token_File "+token+
		"\n    Kube_Tag_Prefix kube."+strings.ReplaceAll(strings.Trim(dir, "/"), "/", ".")+".in.\n")
	f := flbtest.StartFluentBit(t, flbtest.FluentBitConfig{
		Conf: conf,
		Env:  map[string]string{"CONNECTION": s.ConnectionString(s.Start(t)), "NODE_NAME": "node1"},
		Dir:  dir,
	})

	id := strings.Repeat("0123456789abcdef", 4)
	write := func(pod, container, text string) {
		t.Helper()
		name := filepath.Join(dir, "in", pod+"_shop_"+container+"-"+id+".log")
		file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			_, err = file.WriteString(text)
			file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	holds := func(name, want string) {
		t.Helper()
		eventually(t, 20*time.Second, name+" is readable", func() error {
			blob, _ := s.Blob("logs", name)
			if string(blob.Content) != want {
				return fmt.Errorf("it holds %q, want %q", blob.Content, want)
			}
			return nil
		})
	}
	const first, second = "2026-11-23T02:08:25.743042951Z stdout F started\n", "2026-11-23T02:08:26.000000001Z stderr F two parts\n"
	write("web-6d4b", "nginx", first+"2026-11-23T02:08:26.000000001Z stderr P two \n2026-11-23T02:08:26.000000001Z stderr F parts\n")
	write("gone-1", "job", first) // which the API server does not know any more
	holds("shop/web-6d4b/nginx.log", first+second)
	holds("shop/gone-1/job.log", first)
	blob, _ := s.Blob("logs", "shop/web-6d4b/nginx.log")
	if blob.Metadata["stream"] != "node1" || blob.Metadata["namespace"] != "shop" || blob.Metadata["app"] != "web" {
		t.Errorf("the blob has metadata %v", blob.Metadata)
	}
	f.Stop()

	f.Start()
	const third = "2026-11-23T02:08:27.000000001Z stdout F after the roll\n"
	write("web-6d4b", "nginx", third)
	holds("shop/web-6d4b/nginx.log", first+second+third)
	f.Stop()
	if names := s.Blobs("logs"); len(names) != 2 {
		t.Errorf("the blobs are %q, want two", names)
	}
}
