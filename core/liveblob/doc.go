// Package liveblob writes a log to Azure Blob Storage so that it is readable at
// every commit, and follows such a log while it grows. It knows only bytes.
//
// # How data flows
//
// A host hands a [Writer] some bytes and a cursor (its own position after those
// bytes). The Writer plans one attempt, stages what it needs with Put Block, and
// makes it the blob with one Put Block List under If-Match; while the whole blob
// is at most 64 KiB, one Put Blob does both. Commit returns when a reader can see
// the bytes. A [Reader] polls the blob with conditional range requests and hands
// over what is new. Nothing else is shared between the two but the blob.
//
// # What a commit guarantees
//
// Data, cursor, writer and sequence number are stored by the same request, so
// they change together or not at all. A host that starts again resumes the blob,
// reads the cursor, and goes on exactly behind the last byte that is readable:
// nothing is lost and nothing is doubled, with no local database.
//
// An answer can be lost after the request took effect. One HEAD then decides:
// the blob carries this writer's nonce and this attempt's number (it landed), or
// it still has the ETag from before (it did not: the same attempt is sent again
// under the same condition, so a late arrival of the first one changes nothing),
// or somebody else has committed: the writer is fenced and stops. Nothing is ever
// overwritten. An attempt is immutable until one of the three is known.
//
// # The block list
//
// A commit sends the whole list of block IDs, so the list must stay short, and a
// flush must not be uploaded again and again. Both are had by carrying in base 16:
//
//	flush        list, a digit is a block of that level, | the end of what is sealed
//	1…15         |0 00 000 … 000000000000000
//	16           |1                               one Put Block of 16 flushes
//	17           |10
//	256          |2                               15 of level 1, 15 of level 0, and the new one
//	window       ■|                               all of the tail and the new one: sealed
//
// Each flush is one Put Block, whatever it merges. When the tail reaches the
// window, it becomes one sealed block that is never sent again. The window grows by
// 4 KiB with each commit, from 256 KiB to 16 MiB: the more often a list is sent, the
// more a shorter one is worth. On a slow line it stays at what takes a second. So a byte is uploaded about log16(window/flush) + 1
// times, three to five for the flushes that logs make, and a commit costs in the
// hundred-thousandth flush what it cost in the thousandth: after 500,000 flushes of
// 4 KiB (2 GB) the list has some 150 blocks, where one block a flush would have died
// at 50,000.
//
// The tail's bytes are a cache under a process-wide [Budget]. A merge whose bytes
// are gone reads them back with one GET; so idle writers need no memory, and a
// resumed writer merges what its predecessor left. A large merge that finds no room,
// because other writers are making theirs, is put off: the flush is staged alone, and
// the next one merges more.
//
// A block ID is 12 raw bytes, 16 characters in base64:
//
//	+----------------+-----------------+
//	| writer's nonce | counter         |
//	| 6 random bytes | 6, big-endian   |
//	+----------------+-----------------+
//
// The nonce keeps a late request of an earlier writer from replacing a committed
// block: the service looks for an ID among uncommitted blocks first.
//
// # Metadata of a live blob
//
//	stream    who the log belongs to; no other stream ever writes to the blob
//	origin    made up when the blob was made, and kept
//	writer    12 hex digits, the nonce of the writer that made the commit
//	seq       number of the commit
//	cursor    the host's position
//	complete  "1": the source has ended, there is no more to come
//	next      the log was rolled over and goes on in this blob
package liveblob
