package main_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/liveblob/azureblob/core/azuretest"
	"github.com/liveblob/azureblob/fluentbit/flbtest"
)

// run starts Fluent Bit on an account whose connection string is changed before, and
// holds it to refuse the start with one line of the plugin.
func refused(t *testing.T, set settings, change func(connection string) string, pattern string) {
	t.Helper()
	flbtest.FindFluentBit(t)
	s := azuretest.New()
	connection := change(s.ConnectionString(s.Start(t)))
	output, err := flbtest.RunFluentBit(t, flbtest.FluentBitConfig{
		Conf:    set.String(),
		Library: flbtest.Library(t),
		Env:     map[string]string{"CONNECTION": connection},
	})
	if err == nil {
		t.Errorf("Fluent Bit started")
	}
	saidOnce(t, output, `^\[.*\] \[error\] \[output:azureblob.*$`)
	saidOnce(t, output, pattern)
	_, secret, _ := strings.Cut(connection, "AccountKey=")
	if secret, _, _ = strings.Cut(secret, ";"); secret != "" && strings.Contains(output, secret) {
		t.Errorf("the key is in Fluent Bit's output:\n%s", output)
	}
}

func unchanged(connection string) string { return connection }

func TestFluentBitRefusals(t *testing.T) {
	t.Parallel()
	t.Run("wrong key", func(t *testing.T) {
		t.Parallel()
		refused(t, settings{}, func(connection string) string {
			return strings.Replace(connection, "AccountKey=", "AccountKey=AAAA", 1)
		}, `\[output:azureblob.*cannot be used`)
	})
	t.Run("no container", func(t *testing.T) {
		t.Parallel()
		refused(t, settings{output: []string{"auto_create_container off"}}, unchanged, `\[output:azureblob.*"logs"`)
	})
	t.Run("bad value", func(t *testing.T) {
		t.Parallel()
		refused(t, settings{output: []string{"compress lz4"}}, unchanged, `\[output:azureblob.*compress.*lz4`)
	})
	t.Run("bad path", func(t *testing.T) {
		t.Parallel()
		refused(t, settings{output: []string{"path a/$TAG[x].log"}}, unchanged, `\[output:azureblob.*path`)
	})
}

// startup_probe off starts with a key that is wrong, and keeps what comes.
func TestFluentBitWithoutProbe(t *testing.T) {
	t.Parallel()
	flbtest.FindFluentBit(t)
	s := azuretest.New()
	s.Fault = always(azuretest.Denied)
	p := startPipelineOn(t, s, s.Start(t), settings{output: []string{"startup_probe off"}})
	p.write("a", 10)
	eventually(t, 20*time.Second, "the first flush has failed", func() error {
		if s.Counts()[azuretest.PutBlob] == 0 && s.Counts()[azuretest.HeadBlob] == 0 {
			return errors.New("there was none")
		}
		return nil
	})
	s.SetFault(nil)
	p.readable()
	p.Stop()
}

// A Fluent Bit that ends has not ended its logs, unless complete_on_exit says so.
func TestFluentBitCompletes(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"on", "off"} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			p := startPipeline(t, settings{output: []string{"complete_on_exit " + on}})
			p.write("a", 10)
			p.write("b", 10)
			p.readable()
			p.Stop()
			for _, name := range []string{"a.log", "b.log"} {
				blob, _ := p.s.Blob("logs", name)
				if got := blob.Metadata["complete"] == "1"; got != (on == "on") {
					t.Errorf("complete_on_exit %s: %s has the metadata %v", on, name, blob.Metadata)
				}
			}
			p.check("logs", "")
		})
	}
}
