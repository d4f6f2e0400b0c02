// Package spool is a durable byte queue, one folder per container. It stands
// between a reader that must never wait for the network and an uploader that
// often does, and it is what docker logs reads. It uses the standard library only.
//
// # How data flows
//
//	FIFO reader ── Append ──► segment files ──► Reader ── uploader ──► blob ─┐
//	                                       └──► Reader ── docker logs        │
//	         oldest segments removed ◄── Commit(offset) ◄────────────────────┘
//
// One goroutine appends batches of bytes. Each becomes one checksummed record in
// the newest segment, by one write(2). Any number of Readers follow; they share
// nothing with the writer but a published size, so they never see a part of a
// batch. A byte has an offset in the stream that is its own for ever: offsets go
// on across restarts and removals and are never given out twice. Commit says that
// everything before an offset is safe elsewhere. Segments that are committed as a
// whole remain as a cache of Config.Cache bytes; then the oldest go. Those that
// are not go only by DropOldest.
//
// # Who owns what
//
// The process that has the folder open owns it: a lock on the file state keeps
// others out. The appending goroutine owns the newest segment's file, each Reader
// a file of its own, Commit and DropOldest the state and the removal of segments.
// Spool.mu guards the list of segments and is never held across I/O. There is no
// goroutine, and nothing that wakes up while nothing is appended.
//
// # What is guaranteed
//
// When the process dies (kill -9, a panic, out of memory), all batches for which
// Append returned are there when the spool is opened again, in order and once;
// the page cache outlives the process. The batch that was being written is there
// as a whole, or not at all. See LastAppend for telling which.
//
// When the machine dies (power, kernel), what an fsync covered is there: all that
// was appended before the last Sync that returned, or before a Close that left some
// of it uncommitted. Of later batches any may be missing. Offsets that may have been
// given out before are not given out again: on a new boot the stream goes on at
// the next multiple of 1 TiB. So a position that was stored elsewhere, such as a
// blob's cursor with the spool's ID, may lie behind what is still held, but never
// behind bytes that are new. A reader gets a GapError with Unsized set, unless the
// spool had been closed in order. (Power that fails within seconds of the first
// Append after a Close may hide that it was not.) A Commit may
// be forgotten; the host makes it again from the cursor.
//
// Bytes that are damaged on disk are never handed out. A record's header and data
// are checksummed apart: where only the data is bad, that batch is lost; where the
// header is, the scan goes on to the next header that is good. A reader gets a
// GapError with the range, and all else stays readable. A segment whose own header
// is bad is read with what its name and the state say.
//
// When the disk is full, Append fails and takes nothing; what was written of the
// batch is cut off, and a later Append goes on. Commit needs no new space.
//
// # Files
//
//	000000000000a000.seg   a segment; the name is the offset of its first byte
//	state                  what is committed; format.go
//	*.bad                  a segment that does not belong here, set aside by Open
package spool
