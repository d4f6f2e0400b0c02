package core

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Calls on the container and the account, through a client that is made for
// blobs.
//
// The SDK's own clients for these are in packages that bring Apache Arrow along,
// megabytes of it; and its code that signs with an account key is internal, so
// that a pipeline of our own could not sign. But a blob client keeps whatever
// path and query its URL has, and signs that. So we aim one at
// CONTAINER?restype=container and pick the operation by its HTTP method: Upload
// is PUT, DownloadStream is GET, GetProperties is HEAD. What is left is to take
// off the headers that only a blob has.

// aimed is a client for requests to path ("" for the account, else "/container")
// with the given query.
func (a *Account) aimed(path string, query url.Values) (*blockblob.Client, error) {
	o := a.options
	o.PerCallPolicies = append([]policy.Policy{policyFunc(dropBlobHeaders)}, o.PerCallPolicies...)
	return a.newClient(a.endpoint+path+"?"+query.Encode(), &o)
}

func dropBlobHeaders(req *policy.Request) (*http.Response, error) {
	h := req.Raw().Header
	for k := range h {
		if l := strings.ToLower(k); strings.HasPrefix(l, "x-ms-blob-") || l == "x-ms-access-tier" || l == "content-type" {
			delete(h, k) // the SDK writes keys in lower case, which Del would miss
		}
	}
	if h.Get("Accept") != "" {
		h.Set("Accept", "application/xml")
	}
	return req.Next()
}

// put is a PUT without a body, get a GET whose XML answer goes into answer, head
// a HEAD whose answer's headers are returned. Each is one try.
func (a *Account) put(ctx context.Context, path string, query url.Values) error {
	client, err := a.aimed(path, query)
	if err != nil {
		return err
	}
	_, err = client.Upload(ctx, streaming.NopCloser(bytes.NewReader(nil)), nil)
	return err
}

func (a *Account) get(ctx context.Context, path string, query url.Values, answer any) error {
	client, err := a.aimed(path, query)
	if err != nil {
		return err
	}
	resp, err := client.DownloadStream(ctx, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("read the answer's XML: %w", err)
	}
	return nil
}

// head returns the headers of an answer that is an error as well, if there was
// one: even a refusal tells the time.
func (a *Account) head(ctx context.Context, path string, query url.Values) (http.Header, error) {
	client, err := a.aimed(path, query)
	if err != nil {
		return nil, err
	}
	var resp *http.Response
	_, err = client.GetProperties(policy.WithCaptureResponse(ctx, &resp), nil)
	if resp == nil {
		return nil, cmp.Or(err, errNoAnswer)
	}
	return resp.Header, err
}
