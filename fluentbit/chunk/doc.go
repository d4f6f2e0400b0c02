// Package chunk reads the chunks that Fluent Bit hands to an output, and writes
// the records of a blob from them.
//
//	chunk ─ Decoder.Next ─► Event ─ Field.Find ─► value     (which blob, which line)
//	                          └──── Encoder.Append ─► bytes of the blob
//
// A chunk is a row of msgpack values. Each is an event, in one of two shapes, or
// a marker that opens or closes a group of events and looks like an event:
//
//	[time, body]              version 1
//	[[time, metadata], body]  version 2
//
//	time   extension type 0, 8 bytes: seconds and nanoseconds, big-endian uint32
//	       or an integer or a float: seconds
//	marker time with seconds 0xFFFFFFFF (opens; its body is the group's
//	       attributes) or 0xFFFFFFFE (closes) and no nanoseconds
//
// Nothing is copied or built: an Event is slices of the chunk, and the encoder
// goes from msgpack to text in one pass over them. The decoder has then seen
// that the msgpack is well-formed, and no more than 100 arrays and maps within
// each other, so that what works on an Event cannot fail. Neither allocates for
// an event.
//
// The chunk's bytes are the caller's and are only read. A Decoder and an Event
// refer to them until they are given others; an Encoder keeps nothing of them.
// They are trusted for nothing: a length or count beyond the chunk's end is
// damage, and costs no more than to see that. Damage costs the events that cannot
// be read, never those before it, and is reported.
package chunk
