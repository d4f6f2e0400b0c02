//go:build cgo

// Command out_azureblob is the Fluent Bit output, built as a shared library (make
// fluentbit). It only hands over: what is done with a chunk is in package output, and
// that knows nothing of C.
//
//	Fluent Bit                           │ this package                        │ package output
//	                                     │                                     │
//	start      ─ FLBPluginInit ──────────┼─► start: keys.Load, output.New ─────┼─► *Output
//	worker     ─ FLBPluginFlushCtx (C) ──┼─ pipe ─► serve: a goroutine each ───┼─► Flush
//	   waits on a semaphore ◄────────────┼─────────── answer ◄─────────────────┼── OK, Retry, Error
//	end        ─ FLBPluginExitCtx ───────┼─► stop ─────────────────────────────┼─► Close
//
// # The stack of a flush
//
// Fluent Bit flushes on coroutines, whose stacks have 24 KiB in versions of before July
// 2026 and 64 KiB since. Go cannot know where such a stack ends, and takes 32 KiB for
// granted. So no Go code runs there: FLBPluginFlushCtx is C, puts a pointer to what it
// was given into a pipe, and waits. Init and Exit run on the stacks of real threads,
// where Go may be called.
//
// # Who owns what
//
// The chunk and the tag are Fluent Bit's, and the flush that points to them lives on the
// waiting coroutine's stack: all three are gone once the flush was answered. The pipe
// and the goroutine that reads it belong to the process, for a Go library is never
// unloaded: Fluent Bit's hot reload registers it anew, and both stay. An instance belongs
// to Fluent Bit from Init to Exit. fluent-bit-go keeps what it needs to find it, some 100
// bytes, for ever.
//
// # What is guaranteed
//
// Every flush is answered. A panic is one line in the log; the chunk comes again, and
// Fluent Bit goes on. What fails in Init is one line, and Fluent Bit does not start. The
// library sets no signal handler of its own.
//
// Fluent Bit's -d (daemon on) forks after it has loaded its plugins, and no Go library
// outlives that, for its threads are not there in the child. Init fails then, where it
// would hang otherwise.
package main
