package keys

import (
	"maps"
	"slices"
	"strings"

	"github.com/liveblob/azureblob/core"
)

// synonyms are names that people bring along from other outputs and tools, for keys
// that are there.
var synonyms = map[string]string{
	"account":                    "account_name",
	"storage_account":            "account_name",
	"storage_account_name":       "account_name",
	"key":                        "shared_key",
	"account_key":                "shared_key",
	"access_key":                 "shared_key",
	"storage_key":                "shared_key",
	"storage_access_key":         "shared_key",
	"storage_account_key":        "shared_key",
	"sas":                        "sas_token",
	"sas_key":                    "sas_token",
	"shared_access_signature":    "sas_token",
	"storage_sas_token":          "sas_token",
	"connection":                 "connection_string",
	"conn_string":                "connection_string",
	"auth":                       "auth_type",
	"auth_mode":                  "auth_type",
	"use_managed_identity":       "auth_type",
	"managed_identity":           "auth_type",
	"managed_identity_client_id": "client_id",
	"msi_client_id":              "client_id",
	"app_id":                     "client_id",
	"secret":                     "client_secret",
	"tenant":                     "tenant_id",
	"federated_token_file":       "workload_identity_token_file",
	"token_file":                 "workload_identity_token_file",
	"url":                        "endpoint",
	"service_url":                "endpoint",
	"blob_endpoint":              "endpoint",
	"storage_endpoint":           "endpoint",

	"container":         "container_name",
	"blob_container":    "container_name",
	"storage_container": "container_name",
	"bucket":            "container_name",
	"bucket_name":       "container_name",
	"create_container":  "auto_create_container",
	"prefix":            "path",
	"blob":              "path",
	"blob_name":         "path",
	"blob_path":         "path",
	"blob_prefix":       "path",
	"file":              "path",
	"filename":          "path",
	"file_name":         "path",
	"object_key_format": "path",
	"s3_key_format":     "path",

	"output_format":    "format",
	"data_format":      "format",
	"message_key":      "log_key",
	"msg_key":          "log_key",
	"line_key":         "log_key",
	"data_key":         "log_key",
	"json_date_key":    "time_key",
	"timestamp_key":    "time_key",
	"json_date_format": "time_format",
	"date_format":      "time_format",
	"timestamp_format": "time_format",
	"compression":      "compress",
	"compression_type": "compress",
	"store_as":         "compress",

	"total_file_size":   "max_size",
	"max_blob_size":     "max_size",
	"max_file_size":     "max_size",
	"rotate_size":       "max_size",
	"idle_time":         "idle_timeout",
	"labels":            "metadata",
	"blob_metadata":     "metadata",
	"blob_tags":         "tags",
	"index_tags":        "tags",
	"tier":              "tier_on_complete",
	"access_tier":       "tier_on_complete",
	"storage_class":     "tier_on_complete",
	"host_name":         "hostname",
	"node":              "hostname",
	"node_name":         "hostname",
	"probe":             "startup_probe",
	"emulator":          "emulator_mode",
	"use_put_object":    "", // of the output s3; there is nothing like it
	"upload_chunk_size": "",
}

// nearMisses warns of keys that Fluent Bit accepted and nobody reads, as far as their
// names can be guessed. Keys that do nothing anyway are not guessed. Of what is found
// only the name is shown.
func (l *loader) nearMisses() {
	known := known()
	taken := make(map[string]bool)
	for _, name := range known {
		taken[name] = true
	}
	for _, k := range builtIn {
		taken[k.name] = true
	}
	try := func(name []byte, meant string) {
		if l.key(string(name)) == "" || taken[string(name)] {
			return
		}
		taken[string(name)] = true // once is enough
		if meant == "" {
			l.warn("unknown key %q is ignored: the README lists the keys", name)
		} else {
			l.warn("unknown key %q is ignored: did you mean %s?", name, meant)
		}
	}
	for _, name := range known {
		spellings(name, func(s string) { try([]byte(s), name) })
	}
	for _, s := range slices.Sorted(maps.Keys(synonyms)) {
		for _, prefix := range prefixes {
			try([]byte(prefix+s), synonyms[s])
		}
	}
	for _, name := range known {
		edits(name, func(s []byte) { try(s, name) })
	}
}

// known are the keys that do something.
func known() []string {
	var names []string
	for i := range core.Options {
		names = append(names, core.Options[i].Name)
	}
	for _, k := range own {
		names = append(names, k.name)
	}
	return names
}

var prefixes = []string{"", "azure_", "azureblob_", "azure_blob_"}

// spellings gives the other ways in which people write a name. Fluent Bit does not tell
// upper and lower case apart.
func spellings(name string, try func(string)) {
	for i, prefix := range prefixes {
		full := prefix + name
		if i > 0 {
			try(full)
		}
		if strings.Contains(full, "_") {
			try(strings.ReplaceAll(full, "_", "-"))
			try(strings.ReplaceAll(full, "_", "."))
			try(strings.ReplaceAll(full, "_", ""))
		}
	}
	if o := core.FindOption(name); o != nil {
		try(strings.ToLower(o.EnvName()))
	}
}

const letters = "abcdefghijklmnopqrstuvwxyz_"

// edits gives all names that are one edit away: a letter more, less or another, two that
// are swapped. The slice is good until try returns.
func edits(name string, try func([]byte)) {
	b := make([]byte, len(name), len(name)+1)
	for i := range name {
		copy(b, name)
		try(append(b[:i], name[i+1:]...))

		copy(b, name)
		if i > 0 && b[i] != b[i-1] {
			b[i-1], b[i] = b[i], b[i-1]
			try(b)
			copy(b, name)
		}
		for _, c := range []byte(letters) {
			if c != name[i] {
				b[i] = c
				try(b)
			}
		}
	}
	b = b[:len(name)+1]
	for i := range len(b) {
		copy(b, name[:i])
		copy(b[i+1:], name[i:])
		for _, c := range []byte(letters) {
			b[i] = c
			try(b)
		}
	}
}
