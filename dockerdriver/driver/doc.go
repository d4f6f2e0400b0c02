// Package driver keeps the logs of a Docker host's containers: it takes what their
// pipes bring, uploads it, and gives it back to docker logs.
//
// # How data flows
//
//	StartLogging ─► source: pipe ─ whole frames ─► spool ─┬─► uploader: joiner ─► record ─► liveblob.Writer
//	                                                      └─► replay: docker logs
//
// The two halves never wait for each other. A source's goroutine moves frames from
// its pipe to the disk, and stops only where the disk or the spool is full. The
// uploader's goroutine pulls from the spool, so that the disk is the only buffer: in
// an outage a container costs one batch of memory, however long it lasts.
//
// # Who owns what
//
// A container owns a folder, named by its ID: state.json (package file state.go) and
// the spool. It is in memory while it has users: a source each, the uploader until
// all is in the blob, docker logs while it reads. When the last one goes the folder
// is on the shelf, where it serves docker logs until newer ones need the room.
// container.life serialises all that changes the state; it is held across disk I/O
// and never across the network. Driver.mu guards the maps and users, container.mu the
// sources, shelf.mu the shelf. They are taken in this order: life, then one of these.
//
// # What is guaranteed
//
// A frame is taken out of the pipe after it is in the spool. A batch is committed
// together with the spool's offset behind it (cursor.go). So the process may die at
// any instant: the next one opens the pipes again that the state names, skips what
// it had appended and not yet taken, asks the blob for its cursor and goes on there.
//
// When the power fails, a line that has waited for its upload for longer than a few
// seconds is on the disk, and so is the state that it takes to upload it.
//
// A process that is asked to end reads on until its uploads are through, or their time
// is: a pipe is gone for good once its container's Stop has been answered.
//
// Starting and stopping a container never waits for the network. A blob is marked as
// complete when the container has stopped and all of its log is in: by the process
// that saw it stop, or by a later one.
//
// A pipe that was closed from the other side without StopLogging means that dockerd
// has died. With live-restore its containers go on and come back on new pipes; those
// that do not within Config.Orphan are taken for stopped.
package driver
