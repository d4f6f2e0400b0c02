// Package core is what the hosts (the Docker log driver, the Fluent Bit output,
// the command line) share above the protocol of package liveblob: settings,
// credentials, blob names and streams.
//
// Data flows one way:
//
//	settings:  flags, log-opts, keys ─┐
//	           environment ───────────┼─► Load ─► Config ─► Open ─► Store ─► liveblob.Container
//	           a host's own defaults ─┘
//	names:     template + container or record ─► Path.Expand ─► CleanName ─► blob name
//	bytes:     host ─► Stream ─► liveblob.Writer ─► Azure
//
// One table, [Options], is the only place that knows an option's name, type,
// default, environment variable and help; every surface is derived from it.
//
// A [Store] owns the credentials of one container, which may be spread over several
// accounts: each log is in the one that a hash of its name says, so that nobody has
// to look that up (see accounts.go). Package liveblob sees clients
// that are ready to use and never a secret. Secrets are of type [Secret], which
// prints [redacted] however it is formatted; the only way to the value is
// Reveal. A secret that came from a file is read again when the file changes,
// and while that fails the last good value stays in use, so rotating a key needs
// no restart and a botched rotation stops nothing.
//
// What is guaranteed of names: CleanName gives a name that the service stores
// unchanged, and different texts give different names.
package core
