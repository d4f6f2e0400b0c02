// Package logopt decides what one container's log is to be: which blob, in which
// account, in what format, with which metadata.
//
// # How data flows
//
//	dockerd's Info ─┬─ log-opts ────┐
//	                │  profile ─────┼─ core.Load ─► core.Config ─┐
//	                │  environment ─┤                            ├─► Settings
//	                │  defaults ────┘                            │
//	                └─ name, labels, env, tag ───────────────────┘
//
// For each option the first of these that has it counts: the container's log-opts
// (azureblob-max-size=1G), the profile that the container or the plugin names (a file
// with AZUREBLOB_MAX_SIZE=1G), the plugin's environment (the same variable), and the
// defaults of core.Options and of the table of the driver's own options here.
//
// # What is guaranteed
//
// Settings are made without the network. The blob's name is made of Info alone, the
// time in it that of the container's creation: docker restart finds its blob again.
//
// All log-opts are looked at, and what is not known is refused with what was probably
// meant. A profile is read at every call, so an edit counts for the next container.
//
// Anyone who may use the Docker socket reads log-opts with docker inspect, and what is
// refused here is shown by docker run. So credentials are no log-opts, no log-opt aims
// the plugin's credentials at another host, and errors show no value of a profile or
// of a credential. Errors are one line.
//
// # Who owns what
//
// Nobody: a Host is read alone, and Settings are made anew at each call and not kept.
package logopt
