package logopt

// Variable is a setting of the whole plugin.
type Variable struct {
	Name, Default, Help string
}

// Process is the settings of the plugin's process, beside the options of its logs.
// The process reads them; the README and the managed plugin's config.json are made
// from them.
var Process = []Variable{
	{"AZUREBLOB_SOCKET", "azureblob",
		"name of the plugin's socket in /run/docker/plugins, or a path from / on"},
	{"AZUREBLOB_STATE_DIR", "/var/lib/azureblob",
		"folder for logs that wait for their upload, and for `docker logs`; the managed plugin has its own, which an upgrade keeps"},
	{"AZUREBLOB_PROFILE_DIR", "/etc/azureblob/profiles",
		"folder of profiles"},
	{"AZUREBLOB_CACHE_TOTAL", "1G",
		"how much of the logs of stopped containers stays on the disk, for `docker logs`"},
	{"AZUREBLOB_HOSTNAME", "",
		"this host's name in tags, paths and metadata; by default the system's"},
	{"AZUREBLOB_METRICS_ADDRESS", "",
		"where to serve `/metrics` (Prometheus) and `/healthz`, as `127.0.0.1:9151`; by default nowhere"},
	{"AZUREBLOB_LOG_LEVEL", "info",
		"how much the plugin says in its own log: `debug`, `info`, `warn`, `error`"},
	{"HTTPS_PROXY", "",
		"proxy for https, as `http://HOST:PORT`"},
	{"HTTP_PROXY", "",
		"proxy for http"},
	{"NO_PROXY", "",
		"hosts that are reached without a proxy, as `name,name`"},
	{"SSL_CERT_FILE", "",
		"file of certificate authorities, in place of those that come with the plugin"},
	{"SSL_CERT_DIR", "",
		"folder of certificate authorities, in place of the system's"},
}

func isProcess(name string) bool {
	for _, v := range Process {
		if v.Name == name {
			return true
		}
	}
	return false
}

// ProcessDefault is the value of a process setting that is not set.
func ProcessDefault(name string) string {
	for _, v := range Process {
		if v.Name == name {
			return v.Default
		}
	}
	return ""
}
