package azuretest

import (
	"context"
	"net/http"
	"time"
)

// Op is the operation that a request asks for; "" is one the server does not know.
type Op string

const (
	PutBlob         Op = "PutBlob"
	PutBlock        Op = "PutBlock"
	PutBlockList    Op = "PutBlockList"
	GetBlockList    Op = "GetBlockList"
	GetBlob         Op = "GetBlob"
	HeadBlob        Op = "HeadBlob"
	DeleteBlob      Op = "DeleteBlob"
	SetMetadata     Op = "SetMetadata"
	CreateContainer Op = "CreateContainer"
	GetContainer    Op = "GetContainer"
	DeleteContainer Op = "DeleteContainer"
	ListBlobs       Op = "ListBlobs"
	ListContainers  Op = "ListContainers"
	GetService      Op = "GetService"
)

// Request is what a fault can be chosen by.
type Request struct {
	N               int // running number, from 1
	Op              Op
	Container, Blob string
	Method          string
	Header          http.Header // names in Go's canonical form
	BodyBytes       int64       // the declared length of the body; -1: none was declared
}

// FaultKind is what goes wrong with one request.
type FaultKind int

const (
	None            FaultKind = iota
	LostAnswer                // takes effect; then the connection is cut without an answer
	CutBefore                 // the connection is cut; no effect
	CutBody                   // GetBlob: half of the body, then the connection is cut
	Busy                      // 503 ServerBusy
	Internal                  // 500 InternalError
	Throttled                 // 429 TooManyRequests
	Timeout                   // 500 OperationTimedOut
	Effect500                 // takes effect; answers 500 InternalError
	OtherWriter               // another writer replaces the blob; then the request is served truthfully
	Denied                    // 403 AuthenticationFailed
	BlackHole                 // never answers; ends with the request's context or the server
	Late                      // the connection is cut at once; takes effect Delay later
	DropUncommitted           // the blob's uncommitted blocks vanish; then the request is served truthfully
	ContainerGone             // 404 ContainerNotFound
)

func (k FaultKind) String() string {
	return [...]string{
		"None", "LostAnswer", "CutBefore", "CutBody", "Busy", "Internal", "Throttled", "Timeout", "Effect500",
		"OtherWriter", "Denied", "BlackHole", "Late", "DropUncommitted", "ContainerGone",
	}[k]
}

// Faults is every kind but None, for tables.
func Faults() []FaultKind {
	var all []FaultKind
	for k := LostAnswer; k <= ContainerGone; k++ {
		all = append(all, k)
	}
	return all
}

// Fault is what happens to one request. A kind that answers with an error does
// so before it reads the body, as the real service's front end may: over a
// socket, the client of a body above 256 KiB may then see a broken connection
// instead of the answer.
type Fault struct {
	Kind FaultKind

	// Delay holds the request before anything happens to it, or, for Late, its
	// effect. A request whose client gives up in the meantime has no effect;
	// Late is the one that has.
	Delay time.Duration

	// Hold is Delay without a clock: the request waits until it is closed.
	Hold <-chan struct{}

	// RetryAfter is sent with an error answer, in seconds or, if it is not whole
	// seconds, in milliseconds. 0: not sent.
	RetryAfter time.Duration

	// Code replaces the error code of a kind that answers with an error, and its
	// status too where the code has one of its own: {Kind: Denied, Code:
	// "LeaseIdMissing"} answers 412.
	Code string
}

// wait sits out Delay and Hold; false means that the client went away.
func (f Fault) wait(ctx context.Context) bool {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// refusal is the error that the kind answers with in place of serving, if it does.
func (f Fault) refusal() (code string, status int) {
	switch f.Kind {
	case Busy:
		return "ServerBusy", http.StatusServiceUnavailable
	case Internal:
		return "InternalError", http.StatusInternalServerError
	case Throttled:
		return "TooManyRequests", http.StatusTooManyRequests
	case Timeout:
		return "OperationTimedOut", http.StatusInternalServerError
	case Denied:
		return "AuthenticationFailed", http.StatusForbidden
	case ContainerGone:
		return "ContainerNotFound", http.StatusNotFound
	}
	return "", 0
}

// fail is an error answer with f's own code and Retry-After, if it has them.
func (f Fault) fail(code string, status int) *reply {
	if f.Code != "" {
		code = f.Code
		if known, ok := problems[code]; ok {
			status = known.status
		}
	}
	p := refuse(code)
	p.status = status
	rep := failed(p)
	switch {
	case f.RetryAfter <= 0:
	case f.RetryAfter%time.Second == 0:
		rep.set("Retry-After", itoa(int64(f.RetryAfter/time.Second)))
	default:
		rep.set("x-ms-retry-after-ms", itoa(max(1, f.RetryAfter.Milliseconds())))
	}
	return rep
}

// later lets c take effect after its client was cut off.
func (s *Server) later(c *call, f Fault) {
	effect := func() {
		rep := s.apply(c)
		s.note(c, rep.status, 0)
	}
	if f.Hold == nil {
		time.AfterFunc(f.Delay, effect)
		return
	}
	go func() { // ends when the test lets go
		f.wait(context.Background())
		effect()
	}()
}
