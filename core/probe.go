package core

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// What `azureblob doctor` asks an account. Each question stands alone, so that one
// that the credentials do not allow leaves the others' answers.

// Reach is what any answer tells, a refusal included.
type Reach struct {
	Took   time.Duration
	Server time.Time     // the server's clock
	Skew   time.Duration // this machine's clock ahead of the server's, to a second
}

// Reach asks for the container and takes any answer. Signatures are refused when
// the clocks are more than 15 minutes apart. The error is that of getting there,
// not the service's refusal.
func (a *Account) Reach(ctx context.Context) (Reach, error) {
	var r Reach
	err := a.do(ctx, "reach", a.endpoint, func(ctx context.Context) error {
		start := time.Now()
		h, err := a.head(ctx, a.containerPath(), url.Values{"restype": {"container"}})
		if h == nil {
			return err
		}
		now := time.Now()
		r.Took = now.Sub(start)
		if at, err := http.ParseTime(h.Get("Date")); err == nil {
			r.Server = at
			// The header has whole seconds, cut off: half of one is the best guess.
			r.Skew = start.Add(r.Took / 2).Sub(at.Add(time.Second / 2)).Round(time.Second)
		}
		return nil
	})
	return r, err
}

// ContainerProperties is what there is to know of the container.
type ContainerProperties struct {
	Public    string // "blob" or "container" where everybody may read; else ""
	Immutable bool   // has an immutability policy: blobs cannot be rewritten
	LegalHold bool
}

// Properties asks for the container's properties. A missing container is an
// error with the code ContainerNotFound.
func (a *Account) Properties(ctx context.Context) (ContainerProperties, error) {
	var p ContainerProperties
	err := a.do(ctx, "get properties of", a.container, func(ctx context.Context) error {
		h, err := a.head(ctx, a.containerPath(), url.Values{"restype": {"container"}})
		if err != nil {
			if re := (*azcore.ResponseError)(nil); errors.As(err, &re) && re.StatusCode == http.StatusNotFound && re.ErrorCode == "" {
				re.ErrorCode = "ContainerNotFound" // a HEAD has no body to say so
			}
			return err
		}
		p.Public = h.Get("x-ms-blob-public-access")
		p.Immutable = h.Get("x-ms-has-immutability-policy") == "true"
		p.LegalHold = h.Get("x-ms-has-legal-hold") == "true"
		return nil
	})
	return p, err
}

// ServiceProperties is what the account says of its blob service.
type ServiceProperties struct {
	SoftDelete int // days that an overwritten blob is kept; 0: off
}

// ServiceProperties asks for the account's blob service properties, which takes
// more rights than writing logs does.
func (a *Account) ServiceProperties(ctx context.Context) (ServiceProperties, error) {
	var answer struct {
		DeleteRetentionPolicy struct {
			Enabled bool
			Days    int
		}
	}
	err := a.do(ctx, "get service properties of", a.endpoint, func(ctx context.Context) error {
		return a.get(ctx, "/", url.Values{"restype": {"service"}, "comp": {"properties"}}, &answer)
	})
	var p ServiceProperties
	if answer.DeleteRetentionPolicy.Enabled {
		p.SoftDelete = answer.DeleteRetentionPolicy.Days
	}
	return p, err
}
