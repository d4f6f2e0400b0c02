package azuretest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// problem is an error answer before it is written.
type problem struct {
	code    string
	status  int
	message string
	detail  string // of a failed authentication
}

// problems are the service's error codes, as it words them.
var problems = map[string]problem{
	"AuthenticationFailed":               {status: 403, message: "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."},
	"AuthorizationFailure":               {status: 403, message: "This request is not authorized to perform this operation."},
	"AuthorizationPermissionMismatch":    {status: 403, message: "This request is not authorized to perform this operation using this permission."},
	"AccountIsDisabled":                  {status: 403, message: "The specified account is disabled."},
	"BlobAlreadyExists":                  {status: 409, message: "The specified blob already exists."},
	"BlobArchived":                       {status: 409, message: "This operation is not permitted on an archived blob."},
	"BlobImmutableDueToPolicy":           {status: 409, message: "This operation is not permitted as the blob is immutable due to a policy."},
	"BlobNotFound":                       {status: 404, message: "The specified blob does not exist."},
	"BlockCountExceedsLimit":             {status: 409, message: "The uncommitted block count cannot exceed the maximum limit of 100,000 blocks."},
	"BlockListTooLong":                   {status: 400, message: "The block list may not contain more than 50,000 blocks."},
	"ConditionHeadersNotSupported":       {status: 400, message: "Condition headers are not supported."},
	"ConditionNotMet":                    {status: 412, message: "The condition specified using HTTP conditional header(s) is not met."},
	"ContainerAlreadyExists":             {status: 409, message: "The specified container already exists."},
	"ContainerBeingDeleted":              {status: 409, message: "The specified container is being deleted. Try operation later."},
	"ContainerDisabled":                  {status: 409, message: "The specified container has been disabled by the administrator."},
	"ContainerNotFound":                  {status: 404, message: "The specified container does not exist."},
	"Crc64Mismatch":                      {status: 400, message: "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server."},
	"InternalError":                      {status: 500, message: "Server encountered an internal error. Please try again after some time."},
	"InvalidAuthenticationInfo":          {status: 401, message: "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."},
	"InvalidBlobOrBlock":                 {status: 400, message: "The specified blob or block content is invalid."},
	"InvalidBlobTier":                    {status: 400, message: "The specified blob tier is invalid."},
	"InvalidBlobType":                    {status: 409, message: "The blob type is invalid for this operation."},
	"InvalidBlockList":                   {status: 400, message: "The specified block list is invalid."},
	"InvalidHeaderValue":                 {status: 400, message: "The value for one of the HTTP headers is not in the correct format."},
	"InvalidMd5":                         {status: 400, message: "The MD5 value specified in the request is invalid. MD5 value must be 128 bits and base64 encoded."},
	"InvalidMetadata":                    {status: 400, message: "The metadata specified is invalid. It has characters that are not permitted."},
	"InvalidQueryParameterValue":         {status: 400, message: "Value for one of the query parameters specified in the request URI is invalid."},
	"InvalidRange":                       {status: 416, message: "The range specified is invalid for the current size of the resource."},
	"InvalidResourceName":                {status: 400, message: "The specified resource name contains invalid characters."},
	"InvalidTag":                         {status: 400, message: "The tags specified are invalid. It contains characters that are not permitted."},
	"InvalidUri":                         {status: 400, message: "The requested URI does not represent any resource on the server."},
	"InvalidXmlDocument":                 {status: 400, message: "XML specified is not syntactically valid."},
	"KeyBasedAuthenticationNotPermitted": {status: 403, message: "Key based authentication is not permitted on this storage account."},
	"LeaseIdMissing":                     {status: 412, message: "There is currently a lease on the blob and no lease ID was specified in the request."},
	"LeaseNotPresentWithBlobOperation":   {status: 412, message: "There is currently no lease on the blob."},
	"Md5Mismatch":                        {status: 400, message: "The MD5 value specified in the request did not match with the MD5 value calculated by the server."},
	"MetadataTooLarge":                   {status: 400, message: "The metadata specified exceeds the maximum allowed limit (8 KB)."},
	"MissingContentLengthHeader":         {status: 411, message: "Content-Length HTTP header is missing."},
	"MissingRequiredHeader":              {status: 400, message: "An HTTP header that's mandatory for this request is not specified."},
	"NoAuthenticationInformation":        {status: 401, message: "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."},
	"OperationTimedOut":                  {status: 500, message: "Operation could not be completed within the specified time."},
	"OutOfRangeInput":                    {status: 400, message: "One of the request inputs is out of range."},
	"OutOfRangeQueryParameterValue":      {status: 400, message: "One of the query parameters specified in the request URI is outside the permissible range."},
	"PublicAccessNotPermitted":           {status: 409, message: "Public access is not permitted on this storage account."},
	"RequestBodyTooLarge":                {status: 413, message: "The request body is too large and exceeds the maximum permissible limit."},
	"ServerBusy":                         {status: 503, message: "The server is busy."},
	"TooManyRequests":                    {status: 429, message: "Too many requests."},
}

// refuse is the problem with that code.
func refuse(code string) *problem {
	p := problems[code]
	p.code = code
	return &p
}

func (p *problem) because(detail string) *problem {
	p.detail = detail
	return p
}

// reply is an answer before it is written. Its body's parts are immutable.
type reply struct {
	status int
	code   string   // x-ms-error-code, or ""
	header []string // names and values by turns
	body   [][]byte
	length int64 // of body
	cut    bool  // half of the body, then nothing
	note   *problem
}

func (r *reply) set(name, value string) { r.header = append(r.header, name, value) }

func answer(status int) *reply { return &reply{status: status} }

func failed(p *problem) *reply {
	r := answer(p.status)
	r.code, r.note = p.code, p
	return r
}

// xml makes doc the body, with the byte order mark that the service sends.
func (r *reply) xml(doc string) *reply {
	r.set("Content-Type", "application/xml")
	b := []byte("\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>" + doc)
	r.body, r.length = [][]byte{b}, int64(len(b))
	return r
}

// finish gives an error its body, which names the request and the time.
func (r *reply) finish(c *call) {
	if r.note == nil || r.status == http.StatusNotModified {
		return
	}
	doc := fmt.Sprintf("<Error><Code>%s</Code><Message>%s\nRequestId:%s\nTime:%s</Message>",
		escape(r.code), escape(r.note.message), c.id, c.arrived.UTC().Format("2006-01-02T15:04:05.0000000Z"))
	if r.note.detail != "" {
		doc += "<AuthenticationErrorDetail>" + escape(r.note.detail) + "</AuthenticationErrorDetail>"
	}
	r.xml(doc + "</Error>")
}

// write sends the first out bytes of the body, under the headers of all of it.
func (r *reply) write(w http.ResponseWriter, c *call, out int64) {
	h := w.Header()
	for i := 0; i < len(r.header); i += 2 {
		h.Set(r.header[i], r.header[i+1])
	}
	h["Server"] = []string{"Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"}
	h["Date"] = []string{c.arrived.UTC().Format(http.TimeFormat)}
	h["X-Ms-Request-Id"] = []string{c.id}
	if v := c.Header["X-Ms-Version"]; v != nil {
		h["X-Ms-Version"] = v[:1]
	}
	if v := c.Header["X-Ms-Client-Request-Id"]; v != nil {
		h["X-Ms-Client-Request-Id"] = v[:1]
	}
	if r.code != "" {
		h["X-Ms-Error-Code"] = []string{r.code}
	}
	if r.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer authorization_uri=https://login.standin.test/tenant/oauth2/authorize resource_id=https://storage.azure.com")
	}
	if r.status != http.StatusNotModified {
		h["Content-Length"] = []string{itoa(r.length)}
	}
	w.WriteHeader(r.status)
	for _, part := range r.body {
		if out <= 0 {
			break
		}
		part = part[:min(out, int64(len(part)))]
		out -= int64(len(part))
		if _, err := w.Write(part); err != nil {
			return // the client has gone
		}
	}
	if r.cut {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

// entry is one line of a block list: an ID and where to look for it, which is
// "Latest", "Committed" or "Uncommitted".
type entry struct{ where, id string }

// parseBlockList reads
//
//	<?xml …?><BlockList><Latest>ID</Latest><Committed>ID</Committed>…</BlockList>
//
// by hand: a list may have 50,000 entries, which encoding/xml takes a tenth of a
// second to read.
func parseBlockList(doc []byte) ([]entry, bool) {
	s := string(bytes.TrimPrefix(doc, []byte("\ufeff")))
	s = strings.TrimLeft(s, space)
	if strings.HasPrefix(s, "<?xml ") {
		_, rest, ok := strings.Cut(s, "?>")
		if !ok {
			return nil, false
		}
		s = strings.TrimLeft(rest, space)
	}
	for _, empty := range []string{"<BlockList/>", "<BlockList />"} {
		if rest, ok := strings.CutPrefix(s, empty); ok {
			return nil, strings.Trim(rest, space) == ""
		}
	}
	s, ok := strings.CutPrefix(s, "<BlockList>")
	if !ok {
		return nil, false
	}
	list := make([]entry, 0, len(s)/33)
	for {
		s = strings.TrimLeft(s, space)
		if rest, ok := strings.CutPrefix(s, "</BlockList>"); ok {
			return list, strings.Trim(rest, space) == ""
		}
		var e entry
		for _, where := range [...]string{"Latest", "Committed", "Uncommitted"} {
			if len(s) > len(where)+1 && s[0] == '<' && s[1:1+len(where)] == where && s[1+len(where)] == '>' {
				e.where = where
				s = s[len(where)+2:]
				break
			}
		}
		end := strings.IndexByte(s, '<')
		if e.where == "" || end < 0 {
			return nil, false
		}
		e.id = strings.Trim(s[:end], space)
		for i := range len(e.id) {
			if !isBase64(e.id[i]) {
				return nil, false
			}
		}
		s = s[end:]
		n := len(e.where)
		if len(s) < n+3 || s[1] != '/' || s[2:2+n] != e.where || s[2+n] != '>' {
			return nil, false
		}
		s = s[n+3:]
		list = append(list, e)
	}
}

const space = " \t\r\n"

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '='
}

// tag writes <name>value</name>.
func tag(b *strings.Builder, name, value string) {
	b.WriteString("<" + name + ">" + escape(value) + "</" + name + ">")
}

func escape(s string) string {
	if !strings.ContainsAny(s, "<>&'\"\t\r\n") {
		return s
	}
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s)) // a Buffer does not fail
	return b.String()
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// hex12 is n in 12 hexadecimal digits.
func hex12(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return strings.Repeat("0", max(0, 12-len(s))) + s
}
