// Package output is one configured instance of the Fluent Bit output: chunks in,
// live blobs out.
//
// # How data flows
//
//	Flush(tag, chunk) ─ events ─► name of the blob ─► batch of records, one for each blob
//	     │ all batches of a chunk join their streams' queues together, flushes of a tag in the order of their events
//	     ▼
//	stream ─ takes all that is queued, leaves out what the blob has already ─► liveblob.Writer ─► Azure
//	     │
//	     ▼ OK when every batch of the chunk is readable
//
// # What is guaranteed
//
// Flush answers OK only when all records of the chunk are readable. A chunk that is
// given again, because Flush answered Retry or because Fluent Bit did not live to see
// the answer, is written once, into each blob that it has records for.
//
// That needs no memory but the blob's own: the cursor of every commit has a hash of
// each of the last chunks, and of those that will come again (see recent). When a
// commit fails, its outcome may be open, so the Writer is dropped and the next one
// reads the cursor before it writes: either the chunk is there, and is acknowledged
// when it comes again, or it is not, and what may still be under way is refused by the
// service (If-Match), since the next Writer has committed first. A chunk of which
// nothing is in doubt is never taken for one that is there, though all its bytes are
// the same: only what a failed commit left open, and what the process before this one
// had committed, is looked for.
//
// Once a flush has had no answer from storage for as long as it may take, those after
// it cost their thread two seconds at most, and no memory afterwards: Fluent Bit has
// the chunk, and its own queue and disk. Where there are several storage accounts, each
// is waited for by the blobs in it alone.
//
// # Who owns what
//
// An Output owns its streams and the goroutine that ends idle ones. A stream is owned
// by the goroutine that runs while it has work, which is the only one to touch the
// Writer. A batch belongs to its flush until it is queued and after it is done. The
// chunk's bytes are Fluent Bit's and are not looked at once Flush has returned.
package output
