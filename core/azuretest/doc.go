// Package azuretest is what the project's tests run against: a stand-in for the
// Azure Blob service that speaks its REST API on the wire and fails on demand,
// and the suite of protocol rules that the stand-in, Azurite and a real account
// must all pass. Only tests import it.
//
// # The stand-in
//
// A request goes one way through a Server, whether it came over a socket (Start,
// StartTLS) or straight from a client in the same goroutine (Transport, which
// works inside a testing/synctest bubble):
//
//	parse → count, ask Fault → authorise → [fault before] → apply → [fault after] → answer
//
// The real SDK is always in front of it: nothing here stands in for azblob.
//
// Who owns what: Server.mu guards all state and is held only while a request is
// applied, never while bytes move or a fault waits. Blocks are immutable once
// staged, so a commit moves references, never content, and a GET writes from the
// blocks it saw when it was applied: one answer is a snapshot. Calls of the
// Fault function are made one at a time, in the order of Request.N, so it may
// keep counters without a lock; it must not block (Fault.Hold is for that).
// A Request is in the log before its answer leaves, so a test that has the answer
// finds the entry.
//
// # What it keeps that Azurite does not
//
// At most 50,000 blocks in a commit and 100,000 uncommitted ones, 416 at the end
// of a blob, uncommitted blocks that go with every Put Blob, the tier that
// outlives a commit, CRC64, block IDs of one length, and names and tags that Azure
// takes as they are. It leaves out leases,
// snapshots, append and page blobs, copies, CORS, and conditions on times and tags:
// a request that asks for one is refused, never half served.
//
// # The suite
//
// Conform checks, through the SDK, each rule of the service that the project
// rests on. Backends gives every backend that is at hand; a package's own suite
// runs over the same ones:
//
//	for _, b := range azuretest.Backends(t) {
//		t.Run(b.Name, func(t *testing.T) { … b.Client(b.NewContainer(t), "name") … })
//	}
//
// Where Azurite is known to differ, Quirks says so and the suite checks that it
// still does: a quirk that Azurite has mended fails the suite, and is taken out.
package azuretest
