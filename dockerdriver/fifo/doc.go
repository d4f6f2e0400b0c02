// Package fifo reads the pipe into which dockerd writes a container's log, so that
// no frame is lost or doubled when the reader is killed. It needs Linux.
//
// # How data flows
//
//	dockerd ── write ──► pipe ── tee ──► scratch pipe ── read ──► buffer ── take ──► spool
//	                      └── taken out only when take has returned nil ◄────────────┘
//
// A look copies what is in the pipe and leaves it there: tee(2) duplicates the
// references to its pages into a scratch pipe, and that one is read. What the bytes
// end with is as a rule a part of a frame; the whole frames before it are handed to
// the caller's take as one batch, which appends it to something that lasts. Only
// then are exactly those bytes taken out of the pipe, by one splice(2) to /dev/null:
// a signal cannot end it halfway, and it copies nothing.
//
// So every batch begins and ends at a frame's boundary, and the pipe begins with a
// frame, whenever the process is killed. A process that comes after lacks only one
// thing: whether the last batch is still in the pipe. Skip answers it. Frames
// carry their time in nanoseconds, so bytes at the pipe's head that equal the last
// batch are that batch.
//
// # Who owns what
//
// One goroutine of the host sits in Next. While nothing comes it is parked in Go's
// poller and costs no thread; while it naps, no write wakes anything up (bell). Any
// other goroutine may call Interrupt, then Drain, and Close. The buffers and scratch
// pipes belong to the process: there are four, and a look waits for a free one, so
// that a thousand pipes take 4 MiB.
//
// # When it looks
//
// A line that comes into a quiet pipe is looked at without delay. Looks follow each
// other after 5 ms at the earliest, so that one takes many lines, or sooner if they
// find the pipe half full. A pipe that is found to be busy is grown to 1 MiB,
// 32 of them at a time. A part
// of a frame is looked at again after a nap: kernels before 5.14 wake no
// edge-triggered poller, such as Go's, for more bytes in a pipe that was not empty,
// so nobody waits for it while anything is left in the pipe.
//
// The system refuses large pipes to a process without CAP_SYS_RESOURCE whose user
// has too many pages in pipes already (fs.pipe-user-pages-soft; 64 MiB, which a few
// hundred containers reach). It then sees as little as 8 KiB at a time, and treats a
// frame that it cannot see as a whole like one that the pipe cannot hold, see below.
//
// # What is not a frame
//
// Bytes at which no frame can begin are dropped up to the next one that is beyond
// doubt (frame.Resync), and so is a part of a frame whose writers have all gone.
// Pipe.Dropped tells. A frame that the pipe may not be able to hold, from half a
// MiB on, is collected in memory, up to frame.MaxSize, and handed over in batches
// that end anywhere; it alone is lost or cut when the process is killed meanwhile.
// dockerd makes none that is much larger than 16 KiB.
package fifo
