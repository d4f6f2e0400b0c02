package liveblob

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Errors that a caller acts on. They come wrapped in an *Error that names the
// blob and says what to do.
var (
	// ErrFenced: another writer has committed to the blob since this one
	// looked. This writer must not write any more; see FencedError.
	ErrFenced = errors.New("another writer has taken over the blob")
	// ErrTaken: the name is held by another stream and Config.Fork is off.
	ErrTaken = errors.New("the name is taken by another log")
	// ErrNotFound: there is no such blob.
	ErrNotFound = errors.New("no such blob")
	// ErrReplaced: the blob under a reader is no longer the one it read from.
	ErrReplaced = errors.New("the blob was replaced by another one")
)

// Error says what could not be done, to which blob, why, and what helps.
type Error struct {
	Op   string // "commit", "stage", "read", "resume", …
	Blob string // container/name, or what else the work was on
	Code string // the service's error code, or "" where no answer came
	Hint string // what the user can do, or ""
	Err  error  // the cause, free of URLs and headers (they carry SAS tokens)
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Blob, e.Err)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// class is what an answer means for the request that got it.
type class int

const (
	permanent class = iota // trying again will not help until somebody acts
	transient              // the same request may pass a moment later
	ambiguous              // it may or may not have taken effect: ask (commits only)
	missing                // the container is not there
	absent                 // the blob is not there
	stale                  // the staged blocks are gone, or foreign ones are in the way
)

// classify sorts an SDK error by status and code; facts: the table "error | what
// it means here" of the service's documentation. A transient answer to a commit
// may hide that it took effect, which is why commits resolve before they retry.
func classify(err error) (class, string) {
	var re *azcore.ResponseError
	if !errors.As(err, &re) {
		if isLocal(err) {
			return permanent, ""
		}
		return transient, "" // no answer: network, deadline of one try, cut connection
	}
	switch re.ErrorCode {
	case "ContainerNotFound":
		return missing, re.ErrorCode
	case "BlobNotFound", "ResourceNotFound":
		return absent, re.ErrorCode
	case "ConditionNotMet", "BlobAlreadyExists", "InvalidBlockList", "BlobTypeMismatch":
		return ambiguous, re.ErrorCode
	case "InvalidBlobOrBlock":
		return stale, re.ErrorCode
	case "ContainerBeingDeleted", "ContainerBeingCreated", "ServerBusy", "OperationTimedOut", "InternalError":
		return transient, re.ErrorCode
	}
	switch re.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return transient, re.ErrorCode
	case http.StatusPreconditionFailed:
		if re.ErrorCode == "" { // others are about leases
			return ambiguous, re.ErrorCode
		}
	case http.StatusNotFound: // a HEAD's answer has no body to carry a code
		return absent, re.ErrorCode
	}
	return permanent, re.ErrorCode
}

// isLocal reports errors that arose before any request was sent and that no
// retry can mend, such as a credential that cannot be read.
func isLocal(err error) bool {
	var l interface{ NonRetriable() }
	return errors.As(err, &l) // azidentity's and azcore's own mark
}

// hints maps the service's codes to what a user can do about them.
var hints = map[string]string{
	"AuthenticationFailed":                "the account key or SAS token is wrong or expired, or this machine's clock is more than 15 minutes off",
	"AuthorizationFailure":                "the account's firewall or the SAS token does not allow this: check its network rules, and the token's services, resource types and permissions (an emulator says so for a wrong key or an expired token too)",
	"AuthorizationPermissionMismatch":     "the identity or SAS token lacks a permission: give it the role Storage Blob Data Contributor, or a SAS with read, create, write and list",
	"AuthorizationServiceMismatch":        "the SAS token is not for the blob service",
	"AuthorizationResourceTypeMismatch":   "the SAS token needs the resource types container and object",
	"InvalidAuthenticationInfo":           "the credentials are not in a form the account accepts",
	"KeyBasedAuthenticationNotPermitted":  "the account does not allow keys: use a managed or workload identity",
	"NoAuthenticationInformation":         "no credentials were sent: set a key, a SAS token or an identity",
	"PublicAccessNotPermitted":            "the container is private: set a key, a SAS token or an identity",
	"ContainerNotFound":                   "check its name, or create it",
	"ContainerDisabled":                   "the container is disabled: ask the account's owner",
	"AccountIsDisabled":                   "the storage account is disabled: ask its owner",
	"LeaseIdMissing":                      "somebody holds a lease on the blob: break the lease",
	"BlobImmutableDueToPolicy":            "an immutability policy forbids overwriting: log to a container without one",
	"BlobArchived":                        "the blob is in the archive tier: rehydrate it first",
	"BlobUsesCustomerSpecifiedEncryption": "the blob is encrypted with a customer's key: log to another name",
	"InvalidResourceName":                 "the container's or blob's name is not valid",
	"InvalidUri":                          "the blob's name is not valid",
	"InvalidMetadata":                     "a metadata name or value is not valid",
	"InvalidTag":                          "an index tag is not valid",
	"BlockListTooLong":                    "the blob has more than 50,000 blocks",
	"FeatureNotYetSupportedForHierarchicalNamespaceAccounts": "the account has a hierarchical namespace, which does not support this (index tags, say)",
}

// wrap makes err fit for the user: one line, with the cause and what to do, and
// never a URL or a header, either of which may carry a secret.
func wrap(op, blob string, err error) *Error {
	var have *Error
	if errors.As(err, &have) {
		return have
	}
	e := &Error{Op: op, Blob: blob, Err: redact(err)}
	var re *azcore.ResponseError
	if errors.As(err, &re) {
		e.Code = re.ErrorCode
		what := re.ErrorCode
		if what == "" {
			what = http.StatusText(re.StatusCode)
		}
		e.Err = &answerError{text: fmt.Sprintf("%d %s", re.StatusCode, what), err: err}
		e.Hint = hints[re.ErrorCode]
		if e.Hint == "" && re.StatusCode == http.StatusForbidden {
			e.Hint = "access is denied: check the credentials, their permissions and this machine's clock"
		}
		return e
	}
	if errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) {
		e.Err = &answerError{text: "the connection was cut", err: e.Err}
	}
	if errors.Is(e.Err, http.ErrSchemeMismatch) {
		e.Hint = "the endpoint speaks plain HTTP: write http:// before it"
	} else if isNoAnswer(e.Err) {
		e.Hint = "check the endpoint, DNS, proxy and firewall"
	}
	return e
}

// isNoAnswer reports that nobody answered, or that there was no way to ask.
func isNoAnswer(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.Is(err, errTryDeadline) || errors.As(err, &op) || errors.As(err, &dns)
}

// answerError is the service's answer in a few words; the SDK's own text runs
// over ten lines.
type answerError struct {
	text string
	err  error
}

func (e *answerError) Error() string { return e.text }
func (e *answerError) Unwrap() error { return e.err }

// redact drops the URL that net/http puts into its errors: its query is the SAS
// token.
func redact(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return redact(ue.Err)
	}
	if s := err.Error(); strings.ContainsRune(s, '\n') {
		first, _, _ := strings.Cut(s, "\n")
		return &answerError{text: first, err: err}
	}
	return err
}
