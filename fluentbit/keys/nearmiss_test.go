package keys

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agnivade/levenshtein"

	"github.com/liveblob/azureblob/core"
)

func TestNearMisses(t *testing.T) {
	t.Parallel()
	for wrote, meant := range map[string]string{
		"acount_name":            "account_name",
		"Acount_Name":            "account_name",
		"accountt_name":          "account_name",
		"accuont_name":           "account_name",
		"account_nane":           "account_name",
		"account-name":           "account_name",
		"accountName":            "account_name",
		"azure_account_name":     "account_name",
		"AZURE_STORAGE_ACCOUNT":  "account_name",
		"storage_account_name":   "account_name",
		"azureblob_path":         "path",
		"azureblob-account-name": "account_name",
		"azure_container":        "container_name",
		"azure_storage_key":      "shared_key",
		"azure_sas_token":        "sas_token",
		"bucket":                 "container_name",
		"pth":                    "path",
		"paths":                  "path",
		"prefix":                 "path",
		"formats":                "format",
		"log-key":                "log_key",
		"json_date_key":          "time_key",
		"json_date_format":       "time_format",
		"total_file_size":        "max_size",
		"tag":                    "tags",
		"host_name":              "hostname",
		"startup.probe":          "startup_probe",
		"complete_on_exits":      "complete_on_exit",
		"azure_storage_key_file": "shared_key_file",
		"compression":            "compress",
		"AZUREBLOB_IDLE_TIMEOUT": "idle_timeout",
	} {
		s := mustLoad(t, conf{wrote: "secret-or-not"}, nil)
		want := []string{fmt.Sprintf("unknown key %q is ignored: did you mean %s?", strings.ToLower(wrote), meant)}
		if !slices.Equal(s.Warnings, want) {
			t.Errorf("%s: %q", wrote, s.Warnings)
		}
	}
	if got := mustLoad(t, conf{"use_put_object": "on"}, nil).Warnings; len(got) != 1 || got[0] != `unknown key "use_put_object" is ignored: the README lists the keys` {
		t.Errorf("%q", got)
	}
	if got := mustLoad(t, conf{"something_else": "on"}, nil).Warnings; got != nil {
		t.Errorf("%q", got)
	}
	if got := mustLoad(t, conf{"tgs": "x", "tagss": "y", "bucket": "z"}, nil).Warnings; len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// reserved are the keys that Fluent Bit reads itself for an output.
func reserved(name string) bool {
	for _, prefix := range []string{"tls", "net.", "storage.", "oauth2", "_debug."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"name", "match", "match_regex", "alias", "host", "port", "ipv6", "workers", "retry_limit", "log_level",
		"log_suppress_interval", "processors", "id"}, name)
}

// What is asked for: not too often, nothing of Fluent Bit's own, and each name that does
// something once at least.
func TestAsked(t *testing.T) {
	t.Parallel()
	asked := make(map[string]int)
	count := 0
	if _, err := Load(func(name string) string { asked[name]++; count++; return "" }, conf{}.lookup); err != nil {
		t.Fatal(err)
	}
	t.Logf("asked %d times, for %d names", count, len(asked))
	if count > 40_000 { // at some 250 ns each through cgo, 10 ms
		t.Errorf("asked %d times", count)
	}
	for name := range asked {
		if reserved(name) {
			t.Errorf("asked for %q, which is Fluent Bit's", name)
		}
		if name == "" || name != strings.ToLower(name) {
			t.Errorf("asked for %q", name)
		}
	}
	for _, name := range known() {
		if asked[name] == 0 {
			t.Errorf("nobody asks for %q", name)
		}
	}
	for _, k := range builtIn {
		if asked[k.name] == 0 {
			t.Errorf("nobody asks for %q", k.name)
		}
	}
}

func TestEdits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "ab", "path", "tags", "account_name", "aab"} {
		got := make(map[string]bool)
		edits(name, func(s []byte) {
			if string(s) == name {
				t.Errorf("%s: the name itself", name)
			}
			if d := levenshtein.ComputeDistance(name, string(s)); d > 2 { // a swap is two
				t.Errorf("%s: %s is %d edits away", name, s, d)
			}
			got[string(s)] = true
		})
		want := make(map[string]bool)
		for i := range len(name) + 1 {
			if i < len(name) {
				want[name[:i]+name[i+1:]] = true
			}
			if i+1 < len(name) {
				want[name[:i]+name[i+1:i+2]+name[i:i+1]+name[i+2:]] = true
			}
			for _, c := range letters {
				want[name[:i]+string(c)+name[i:]] = true
				if i < len(name) {
					want[name[:i]+string(c)+name[i+1:]] = true
				}
			}
		}
		delete(want, name)
		for s := range want {
			if !got[s] {
				t.Errorf("%s: %q is not tried", name, s)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d names, want %d", name, len(got), len(want))
		}
	}
}

func TestSynonyms(t *testing.T) {
	t.Parallel()
	names := known()
	for s, meant := range synonyms {
		if slices.Contains(names, s) || reserved(s) || slices.ContainsFunc(builtIn, func(k builtInKey) bool { return k.name == s }) {
			t.Errorf("%s is a key", s)
		}
		if meant != "" && !slices.Contains(names, meant) {
			t.Errorf("%s is for %s, which is no key", s, meant)
		}
	}
	for _, name := range names {
		if reserved(name) {
			t.Errorf("%s is Fluent Bit's", name)
		}
	}
	for i := range core.Options {
		if o := &core.Options[i]; slices.ContainsFunc(own, func(k ownKey) bool { return k.name == o.Name }) {
			t.Errorf("%s is there twice", o.Name)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	keys, env := conf{}, conf{"HOSTNAME": "h"}
	for b.Loop() {
		if _, err := Load(keys.key, env.lookup); err != nil {
			b.Fatal(err)
		}
	}
}
