// Package flbtest is what the Fluent Bit output's tests run against: chunks as Fluent
// Bit makes them, a host that drives the real library as Fluent Bit does, a real Fluent
// Bit where there is one, and checks that no line is lost or doubled. Only tests import
// it.
//
// # Chunks
//
// V1, V2, GroupStart and GroupEnd make events, Chunk puts them together, and LogChunk
// makes the chunks of the tail input. Map and Ext say what Go's own values cannot.
//
// # The host
//
//	Host.Flush ── command + chunk ──► host (host/host.c) ── dlopen ──► out_azureblob.so
//	           ◄── result, stack depth ──┘   threads, coroutine-like stacks
//
// The host is a C program, for the library holds a Go runtime of its own, which cannot
// share a process with that of the test. It does what flb_plugin_proxy.c and
// proxy/go/go.c do, in their order, and no more. Its line protocol is described where
// it is read, at the top of host.c.
//
// # The checks
//
// Numbered makes lines that carry their number, and finds the first that is missing,
// doubled or out of order in what blobs hold.
//
// # Who owns what
//
// A Host owns its process, which ends with the test, or with the test's process at the
// latest. The programs are built once in a test process, into a folder that goes when it
// ends, however it ends.
package flbtest
