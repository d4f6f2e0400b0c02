// Package dockertest is what the log driver's tests run against: a stand-in for
// dockerd's side of a log driver, control of the driver's real process, a real
// dockerd of the test's own, and checks that no line is lost or doubled. Only
// tests import it.
//
// # The stand-in
//
//	Container.Write ─ frame ─► FIFO ─────────────────────────────┐
//	Daemon ── POST /LogDriver.StartLogging, StopLogging … ──► the plugin's socket
//	Container.Logs ◄─ frames ── POST /LogDriver.ReadLogs ────────┘
//
// Everything is real but dockerd: named pipes, a unix socket, and a plugin that may
// be a process of its own (Plugin). The stand-in does what dockerd 20.10 does, its
// bad habits included, for a driver has to live with them: it holds its end of a
// FIFO open for reading too, so that frames outlive the plugin; it never sends
// StartLogging again; a write blocks while the FIFO is full, and holds off
// StopLogging; a refused StopLogging leaks the FIFO; a call that broke off after its
// body was sent is tried again without one.
//
// # The checks
//
// Numbered writes lines that carry their number, and finds the first that is
// missing, doubled or out of order in what a blob or docker logs hold.
//
// # Who owns what
//
// A Daemon owns its folder of FIFOs and closes its ends when the test is over. A
// Plugin owns its process, which ends with the test, or with the test's process at
// the latest. There is no goroutine that outlives the call that started it.
package dockertest
