// Package replay reads a container's log for docker logs: what only the blob still
// has, then what the spool holds, then what comes.
//
//	blob's log ─ lines ─► records ─► parts ─┐ up to the seam
//	spool ─ batches ─► frames ──────────────┴─► tail ─► since, until ─► entries ─► Stream ─► dockerd
//
// # What is handed over
//
// The same entries as json-file gives, in the same order: each part of a line that
// dockerd has cut is one, for Tail too. Tail counts first, then Since and Until pick
// from what it left; the first entry after Until ends it all. Without Follow, reading
// ends where the spool ended when Read was called.
//
// dockerd drops what came before Since itself, so an entry does also where its clock
// was set back, which json-file has shown since Docker 23. And Follow ends when Until
// has passed, where json-file waits for one more line.
//
// # The seam
//
// The blob has all that was committed, the spool all from its oldest batch on. Frames
// have offsets, records have not, so the place where the two meet is found by what
// they say: the blob's lines are handed over up to the one that is the first to end in
// the spool, by time in nanoseconds, stream and text. From there on the spool is read.
// If that line is not found, it is not committed yet, and all of the blob was older.
//
// In the blob a line stands whole where it ended; in the spool its parts stand where
// they came. A line of which the spool holds only later parts is handed over from the
// blob, and those parts are left out. The line that a stream had begun when the other
// one went on may stand some way behind the seam, so another 4 MiB of the blob are
// looked through for long lines that began before it.
//
// This is what holds, with nanosecond times: no entry of the log is missing and none
// comes twice, and each stream is in its order. Between the streams, a line that is
// read from the blob has the place of its last part. Exceptions, all of them where a
// line of over 16 KiB lies across the place up to which the spool was evicted:
//
//   - if its end lies more than 4 MiB behind the seam, its first parts are left out;
//   - if it has not ended yet and is not valid UTF-8 in a blob of json, a part of it
//     may come twice;
//   - if the clock was set back just there, another long line may come twice.
//
// Bytes that are no UTF-8 are U+FFFD where they come from a blob of json, and a line
// of them may be cut into more parts there. What the uploader adds to the blob, such
// as a note about lines that were dropped, is handed over like any line.
//
// # When something is missing
//
// docker logs shows what there is, and one line of stderr, which begins with
// "azureblob: ", in place of what there is not: the blob cannot be read, or its format
// is raw; the spool has a damaged batch, or dropped a batch before it could be read.
// Such a line has the time of its neighbours and is within Since and Until.
//
// A storage that does not answer costs 1.5 s at the beginning and 5 s later on.
//
// # Who owns what
//
// A Read belongs to the goroutine that calls it and starts none of its own. It keeps
// one batch or one answer of storage (4 MiB) and one line in memory, and neither while
// it waits for more to come. The spool must stay open until Read returns.
package replay
