package keys

// builtInKey is a key of Fluent Bit's azure_blob output.
type builtInKey struct {
	name    string
	inert   bool   // it does nothing here
	refused bool   // to ignore it would surprise
	here    string // what it does here, or why nothing
}

const (
	ofFiles  = "it is for whole files that the input blob reads, which this output does not take"
	ofBuffer = "each flush is appended to its blob at once, and only Fluent Bit's own chunks wait on a disk"
	ofRemote = "no settings are fetched from elsewhere; write account_name, container_name, path and the credentials here, or the credentials into files (shared_key_file, sas_token_file), which are read again when they change"
)

// builtIn are all keys of azure_blob, in its own order, as of Fluent Bit 5.1.
var builtIn = []builtInKey{
	{name: "account_name", here: "the same"},
	{name: "container_name", here: "the same; by default `logs`"},
	{name: "auto_create_container", here: "the same, without a request that only asks whether it is there"},
	{name: "blob_type", inert: true, here: "every log is one block blob that grows at its end, for as long as it is written"},
	{name: "compress", here: "compresses the blob itself, and says so in its Content-Encoding"},
	{name: "compress_blob", here: "`on` is `compress gzip`, where `compress` is not set"},
	{name: "emulator_mode", here: "`on`: Azurite's account, key and address (`http://127.0.0.1:10000`) where they are not set"},
	{name: "shared_key", here: "the same"},
	{name: "endpoint", here: "the same; https where no scheme is written, but for `emulator_mode`"},
	{name: "path", here: "the same where it is a plain folder: the tag is added, `path logs` is `logs/$TAG`. With a tag, a field or an extension in it, it is the blob's whole name: `logs/$TAG.log`. `$TAG`, `$TAG[n]` and `%Y` are the same; `$UUID`, `%3N`, `%9N` and `%L` are refused, because a blob is appended to"},
	{name: "date_key", here: "another name of `time_key`"},
	{name: "auth_type", here: "the same, and identities; by default what is set decides"},
	{name: "sas_token", here: "the same"},
	{name: "database_file", inert: true, here: "what has been written is read from the blob itself"},
	{name: "part_size", inert: true, here: ofFiles},
	{name: "file_delivery_attempt_limit", inert: true, here: ofFiles},
	{name: "part_delivery_attempt_limit", inert: true, here: ofFiles},
	{name: "upload_parts_timeout", inert: true, here: ofFiles},
	{name: "upload_part_freshness_limit", inert: true, here: ofFiles},
	{name: "configuration_endpoint_url", refused: true, here: ofRemote},
	{name: "configuration_endpoint_username", refused: true, here: ofRemote},
	{name: "configuration_endpoint_password", refused: true, here: ofRemote},
	{name: "configuration_endpoint_bearer_token", refused: true, here: ofRemote},
	{name: "buffering_enabled", inert: true, here: ofBuffer},
	{name: "buffer_dir", inert: true, here: ofBuffer},
	{name: "upload_timeout", inert: true, here: ofBuffer},
	{name: "upload_file_size", inert: true, here: ofBuffer + "; max_size makes a log go on in a new blob"},
	{name: "azure_blob_buffer_key", inert: true, here: ofBuffer},
	{name: "store_dir_limit_size", inert: true, here: ofBuffer},
	{name: "buffer_file_delete_early", inert: true, here: ofBuffer},
	{name: "blob_uri_length", inert: true, here: "path is the blob's name, and nothing random is added"},
	{name: "unify_tag", inert: true, here: ofBuffer + "; a path without $TAG puts all tags into one blob"},
	{name: "scheduler_max_retries", inert: true, here: "Fluent Bit's own Retry_Limit says how often a flush is tried"},
	{name: "delete_on_max_upload_error", inert: true, here: ofBuffer},
	{name: "io_timeout", inert: true, here: "requests have limits of their own, and flush_timeout is that of a flush"},
}

// notes tells which keys do nothing.
func (l *loader) notes() {
	for _, k := range builtIn {
		if k.inert && l.value(k.name) != "" {
			l.note("%s does nothing here: %s", k.name, k.here)
		}
	}
	if l.value("flush_interval") != "" {
		l.note("flush_interval does nothing here: %s", ofPace)
	}
}

const ofPace = "a flush is committed at once, and Fluent Bit's own Flush (in SERVICE) says how often there is one"
