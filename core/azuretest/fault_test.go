package azuretest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// overBoth runs f on a fresh stand-in behind a socket and behind Transport.
func overBoth(t *testing.T, f func(*testing.T, *Server, *subject)) {
	for _, how := range []string{"socket", "transport"} {
		t.Run(how, func(t *testing.T) {
			s := New()
			b := StandIn(s, TransportEndpoint, s.Transport())
			if how == "socket" {
				b = StandIn(s, s.Start(t), newTransport(t))
			}
			s.MakeContainer("logs")
			f(t, s, &subject{T: t, Client: b.Client("logs", "x"), b: b, container: "logs", name: "x"})
		})
	}
}

// once is a Fault function for the first request of that kind.
func once(op Op, f Fault) func(Request) Fault {
	done := false
	return func(r Request) Fault {
		if r.Op != op || done {
			return Fault{}
		}
		done = true
		return f
	}
}

// Each kind meets a commit of "one" → "onetwo" under If-Match.
func TestFaults(t *testing.T) {
	const cut = "no answer"
	want := map[FaultKind]struct{ answer, content string }{
		LostAnswer:      {cut, "onetwo"},
		CutBefore:       {cut, "one"},
		CutBody:         {"success", "onetwo"}, // is for GETs; see below
		Busy:            {"503 ServerBusy", "one"},
		Internal:        {"500 InternalError", "one"},
		Throttled:       {"429 TooManyRequests", "one"},
		Timeout:         {"500 OperationTimedOut", "one"},
		Effect500:       {"500 InternalError", "onetwo"},
		OtherWriter:     {"412 ConditionNotMet", "another writer was here\n"},
		Denied:          {"403 AuthenticationFailed", "one"},
		BlackHole:       {cut, "one"},
		Late:            {cut, "one"},
		DropUncommitted: {"400 InvalidBlockList", "one"},
		ContainerGone:   {"404 ContainerNotFound", "one"},
	}
	for _, kind := range Faults() {
		w, ok := want[kind]
		if !ok {
			t.Errorf("%v has no line in the table", kind)
		}
		t.Run(kind.String(), func(t *testing.T) {
			overBoth(t, func(t *testing.T, s *Server, x *subject) {
				x.stage(1, "one")
				etag := x.commit(ids(1), nil)
				x.stage(2, "two")

				hold := make(chan struct{})
				f := Fault{Kind: kind, Hold: hold}
				if kind != Late {
					close(hold)
				} else {
					defer close(hold)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				meet := once(PutBlockList, f)
				s.SetFault(func(r Request) Fault {
					f := meet(r)
					if f.Kind == BlackHole {
						cancel() // the client gives up when the request has arrived
					}
					return f
				})
				_, err := x.CommitBlockList(ctx, ids(1, 2), &blockblob.CommitBlockListOptions{AccessConditions: ifMatch(etag)})
				s.SetFault(nil)
				got := code(err)
				var re *azcore.ResponseError
				if err != nil && !errors.As(err, &re) {
					got = cut
				}
				if got != w.answer {
					t.Errorf("the client sees %s (%v), want %s", got, err, w.answer)
				}
				if kind == BlackHole && !errors.Is(err, context.Canceled) {
					t.Errorf("the client sees %v, want its own context's end", err)
				}
				x.holds(w.content)
			})
		})
	}
}

func TestCutBody(t *testing.T) {
	overBoth(t, func(t *testing.T, s *Server, x *subject) {
		content := strings.Repeat("0123456789", 1000)
		x.put(content, nil)
		s.SetFault(once(GetBlob, Fault{Kind: CutBody}))
		r, err := x.DownloadStream(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != content[:len(content)/2] || *r.ContentLength != int64(len(content)) {
			t.Errorf("got %d of %d bytes, then %v; want half and an unexpected EOF", len(got), *r.ContentLength, err)
		}
		log := s.Log()
		if e := log[len(log)-1]; e.Op != GetBlob || e.Status != http.StatusOK || e.BytesOut != int64(len(got)) {
			t.Errorf("the log has a %s with status %d and %d bytes", e.Op, e.Status, e.BytesOut)
		}
		x.holds(content)
	})
}

func TestFaultAnswers(t *testing.T) {
	overBoth(t, func(t *testing.T, s *Server, x *subject) {
		for _, c := range []struct {
			f          Fault
			want       string
			header, is string
		}{
			{Fault{Kind: Busy, RetryAfter: 3 * time.Second}, "503 ServerBusy", "Retry-After", "3"},
			{Fault{Kind: Busy, RetryAfter: 1500 * time.Millisecond}, "503 ServerBusy", "X-Ms-Retry-After-Ms", "1500"},
			{Fault{Kind: Busy}, "503 ServerBusy", "Retry-After", ""},
			{Fault{Kind: Denied, Code: "LeaseIdMissing"}, "412 LeaseIdMissing", "X-Ms-Error-Code", "LeaseIdMissing"},
			{Fault{Kind: ContainerGone, Code: "ContainerBeingDeleted"}, "409 ContainerBeingDeleted", "X-Ms-Error-Code", "ContainerBeingDeleted"},
			{Fault{Kind: Internal, Code: "SomethingElse"}, "500 SomethingElse", "X-Ms-Error-Code", "SomethingElse"},
			{Fault{Kind: Effect500, Code: "OperationTimedOut"}, "500 OperationTimedOut", "X-Ms-Error-Code", "OperationTimedOut"},
		} {
			s.SetFault(once(PutBlob, c.f))
			_, err := x.Upload(t.Context(), body("x"), nil)
			x.refused("put blob", err, c.want)
			var re *azcore.ResponseError
			if !errors.As(err, &re) {
				continue
			}
			if got := re.RawResponse.Header.Get(c.header); got != c.is {
				t.Errorf("%v: %s is %q, want %q", c.f, c.header, got, c.is)
			}
		}
	})
}

// An error that comes before the body was read must not upset a client that is
// still sending it.
func TestEarlyAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, s *Server, x *subject) {
		big := strings.Repeat("x", 200<<10) // net/http drains this much before it closes
		s.SetFault(once(PutBlob, Fault{Kind: Busy}))
		_, err := x.Upload(t.Context(), body(big), nil)
		x.refused("put blob", err, "503 ServerBusy")
		x.put(big, nil)
		x.holds(big)
		log := s.Log()
		if log[0].BytesIn != 0 || log[0].BodyBytes != int64(len(big)) || log[1].BytesIn != int64(len(big)) {
			t.Errorf("the log has %d of %d bytes, then %d", log[0].BytesIn, log[0].BodyBytes, log[1].BytesIn)
		}
	})
}

func TestFaultsOnFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		s.MakeContainer("logs")
		b := StandIn(s, TransportEndpoint, s.Transport())
		x := &subject{T: t, Client: b.Client("logs", "x"), b: b}

		// A late request takes effect behind its client's back.
		x.put("one", nil)
		s.SetFault(once(PutBlob, Fault{Kind: Late, Delay: time.Minute}))
		begin := time.Now()
		var ne net.Error
		if _, err := x.Upload(t.Context(), body("late"), nil); !errors.As(err, &ne) || time.Since(begin) != 0 {
			t.Errorf("a late request ends after %v with %v, want at once with a net.Error", time.Since(begin), err)
		}
		time.Sleep(time.Minute - 1)
		x.holds("one")
		time.Sleep(1)
		synctest.Wait()
		x.holds("late")

		// A delayed one is served when its time has come,
		s.SetFault(once(PutBlob, Fault{Delay: 10 * time.Second}))
		begin = time.Now()
		x.put("two", nil)
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("a request delayed by 10s took %v", d)
		}
		// and not at all when its client gave up.
		s.SetFault(once(PutBlob, Fault{Delay: 10 * time.Second}))
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		if _, err := x.Upload(ctx, body("three"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request given up on ends with %v", err)
		}
		x.holds("two")

		// A black hole takes exactly as long as its client.
		s.SetFault(once(GetBlob, Fault{Kind: BlackHole}))
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin = time.Now()
		if _, err := x.DownloadStream(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Hour {
			t.Errorf("a black hole ends after %v with %v", time.Since(begin), err)
		}
		x.holds("two")

		// Hold needs no clock.
		hold := make(chan struct{})
		s.SetFault(once(PutBlob, Fault{Hold: hold}))
		done := make(chan error)
		go func() {
			_, err := x.Upload(t.Context(), body("held"), nil)
			done <- err
		}()
		synctest.Wait()
		x.holds("two")
		close(hold)
		if err := <-done; err != nil {
			t.Error(err)
		}
		x.holds("held")
	})
}

// The server's end releases what a fault holds, and a second start finds the
// account as it was.
func TestRestart(t *testing.T) {
	s := New()
	s.MakeContainer("logs")
	arrived := make(chan struct{})
	ended := make(chan error, 1)
	t.Run("first", func(t *testing.T) {
		b := StandIn(s, s.Start(t), newTransport(t))
		x := &subject{T: t, Client: b.Client("logs", "x")}
		x.put("one", nil)
		s.SetFault(func(r Request) Fault {
			if r.Op != GetBlob {
				return Fault{}
			}
			close(arrived)
			return Fault{Kind: BlackHole}
		})
		go func() {
			_, err := x.DownloadStream(context.Background(), nil)
			ended <- err
		}()
		<-arrived
	})
	if err := <-ended; err == nil {
		t.Error("a black hole answered when the server ended")
	}
	s.SetFault(nil)
	b := StandIn(s, s.Start(t), newTransport(t))
	(&subject{T: t, Client: b.Client("logs", "x")}).holds("one")
}

func TestOtherWriterOnCreate(t *testing.T) {
	overBoth(t, func(t *testing.T, s *Server, x *subject) {
		s.SetFault(once(PutBlob, Fault{Kind: OtherWriter}))
		_, err := x.Upload(t.Context(), body("mine"), &blockblob.UploadOptions{AccessConditions: ifNoneMatch("*")})
		x.refused("create", err, "409 BlobAlreadyExists")
		if w := lookUp(x.head().Metadata, "writer"); w != "another" {
			t.Errorf("the blob's writer is %q", w)
		}
		// A reader sees the other's commit as news.
		old := x.put("mine", nil)
		s.SetFault(once(GetBlob, Fault{Kind: OtherWriter}))
		got, _ := x.get(&blob.DownloadStreamOptions{AccessConditions: ifNoneMatch(old)})
		if got != "another writer was here\n" {
			t.Errorf("read %q", got)
		}
	})
}

func TestLogAndCounts(t *testing.T) {
	overBoth(t, func(t *testing.T, s *Server, x *subject) {
		x.stage(1, "one")
		s.SetFault(once(PutBlockList, Fault{Kind: LostAnswer}))
		if _, err := x.CommitBlockList(t.Context(), ids(1), nil); err == nil {
			t.Error("a lost answer arrived")
		}
		x.head()
		x.holds("one")
		type line struct {
			n      int
			op     Op
			status int
			out    int64
		}
		var got []line
		for _, e := range s.Log() {
			got = append(got, line{e.N, e.Op, e.Status, e.BytesOut})
			if e.Container != "logs" || e.Blob != "x" || e.Header.Get("X-Ms-Version") == "" {
				t.Errorf("entry %d is of %s/%s with %v", e.N, e.Container, e.Blob, e.Header)
			}
		}
		want := []line{{1, PutBlock, 201, 0}, {2, PutBlockList, 0, 0}, {3, HeadBlob, 200, 0}, {4, GetBlob, 200, 3}}
		if len(got) != len(want) {
			t.Fatalf("the log is %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("entry %d is %v, want %v", i, got[i], want[i])
			}
		}
		s.ResetLog()
		s.NoLog = true
		x.head()
		if n := s.Counts(); len(s.Log()) != 0 || n[HeadBlob] != 1 || n[PutBlock] != 0 {
			t.Errorf("after a reset and with NoLog the log has %d entries and the counts are %v", len(s.Log()), n)
		}
	})
}

// A client of the in-process transport meets the same refusals as one of net/http.
func TestTransportRefusesBadHeaders(t *testing.T) {
	s := New()
	req, _ := http.NewRequest(http.MethodGet, TransportEndpoint, nil)
	req.Header["x-ms-meta-a"] = []string{"two\nlines"}
	if _, err := s.Transport().RoundTrip(req); err == nil || !strings.Contains(err.Error(), "header") {
		t.Errorf("a header with a line break: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Transport().RoundTrip(req.WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("a request whose context has ended: %v", err)
	}
	if len(s.Log()) != 0 {
		t.Error("a request that was never sent is in the log")
	}
}
