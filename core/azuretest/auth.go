package azuretest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

// accountKey is 64 bytes, like a real one; it opens nothing.
var accountKey = base64.StdEncoding.EncodeToString([]byte("the key of the stand-in account, which is no secret to anybody!!"))

const maxSkew = 15 * time.Minute

// grant is a SAS token that the server has minted.
type grant struct {
	query   url.Values
	perm    string
	expires time.Time
}

// SAS mints an account SAS for all kinds of resource with the permissions of
// perm (letters of "rwdlact"), signed as the SDK signs it.
func (s *Server) SAS(perm string, expiry time.Time) string {
	token := accountSAS(accountName, accountKey, perm, expiry)
	v, err := url.ParseQuery(token)
	if err != nil {
		panic(err) // the SDK made it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[v.Get("sig")] = grant{query: v, perm: v.Get("sp"), expires: expiry}
	return token
}

func accountSAS(account, key, perm string, expiry time.Time) string {
	cred, err := blob.NewSharedKeyCredential(account, key)
	if err != nil {
		panic("azuretest: the account key is not base64")
	}
	q, err := sas.AccountSignatureValues{
		Protocol:      sas.ProtocolHTTPSandHTTP,
		ExpiryTime:    expiry.UTC(),
		Permissions:   perm,
		ResourceTypes: "sco",
	}.SignWithSharedKey(cred)
	if err != nil {
		panic(fmt.Sprintf("azuretest: sign SAS for %q: %v", perm, err))
	}
	return q.Encode()
}

// authorise checks who sent c and what they may do; nil: go on.
func (s *Server) authorise(c *call) *problem {
	scheme, proof, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	switch {
	case scheme == "SharedKey":
		return s.checkKey(c, proof)
	case scheme == "Bearer":
		if s.Token != "" && subtle.ConstantTimeCompare([]byte(proof), []byte(s.Token)) == 1 {
			return nil
		}
		return refuse("InvalidAuthenticationInfo")
	case scheme != "":
		return refuse("InvalidAuthenticationInfo")
	case c.query.Has("sig"):
		return s.checkSAS(c)
	case s.Public && (c.Op == GetBlob || c.Op == HeadBlob):
		return nil
	case c.Header.Get("x-ms-version") == "" && (c.Method == http.MethodGet || c.Method == http.MethodHead):
		return refuse("PublicAccessNotPermitted")
	}
	return refuse("NoAuthenticationInformation")
}

func (s *Server) checkKey(c *call, proof string) *problem {
	date := c.Header.Get("x-ms-date")
	if date == "" {
		date = c.Header.Get("Date")
	}
	at, err := http.ParseTime(date)
	if err != nil {
		return refuse("AuthenticationFailed").because("Request date header is missing or not a date: '" + date + "'")
	}
	if skew := c.arrived.Sub(at); skew > maxSkew || skew < -maxSkew {
		return refuse("AuthenticationFailed").because("Request date header too old: '" + date + "'")
	}
	account, signature, _ := strings.Cut(proof, ":")
	text := stringToSign(accountName, c.Method, c.Header, c.BodyBytes, c.rawPath, c.query)
	if account != accountName || !hmac.Equal([]byte(signature), []byte(sign(accountKey, text))) {
		return refuse("AuthenticationFailed").because("The MAC signature found in the HTTP request '" + signature +
			"' is not the same as any computed signature. Server used following string to sign: '" + text + "'.")
	}
	return nil
}

// dictionary makes header names sort as the service sorts them: hyphens do not
// count, and an underscore comes before digits and letters.
var dictionary = strings.NewReplacer("-", "", "_", "!")

// stringToSign is the text that a Shared Key signature covers. The account is
// named twice in path-style URLs: once for itself, once in the path.
func stringToSign(account, method string, h http.Header, length int64, rawPath string, query url.Values) string {
	var b strings.Builder
	b.Grow(512)
	b.WriteString(method)
	for _, name := range [...]string{
		"Content-Encoding", "Content-Language", "Content-Length", "Content-Md5", "Content-Type", "",
		"If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
	} {
		b.WriteByte('\n')
		switch {
		case name == "Content-Length":
			if length > 0 {
				b.WriteString(itoa(length))
			}
		case name != "":
			b.WriteString(h.Get(name))
		}
	}
	b.WriteByte('\n')
	type header struct{ rank, name, value string }
	var own [24]header
	headers := own[:0]
	for k, v := range h {
		if name := strings.ToLower(k); strings.HasPrefix(name, "x-ms-") {
			headers = append(headers, header{dictionary.Replace(name), name, strings.Join(v, ",")})
		}
	}
	slices.SortFunc(headers, func(a, b header) int { return strings.Compare(a.rank, b.rank) })
	for _, x := range headers {
		b.WriteString(x.name + ":" + x.value + "\n")
	}
	b.WriteByte('/')
	b.WriteString(account)
	b.WriteString(rawPath)
	names := make([]string, 0, 4)
	for k := range query {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		v := slices.Clone(query[k])
		slices.Sort(v)
		b.WriteString("\n" + strings.ToLower(k) + ":" + strings.Join(v, ","))
	}
	return b.String()
}

// sign is the signature of text under a base64 key.
func sign(key, text string) string {
	k, _ := base64.StdEncoding.DecodeString(key)
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// needs is the permissions of a SAS that each operation asks for: any one letter.
var needs = map[Op]string{
	PutBlob: "cw", PutBlock: "w", PutBlockList: "w", SetMetadata: "w", DeleteBlob: "d",
	GetBlob: "r", HeadBlob: "r", GetBlockList: "r",
	CreateContainer: "cw", GetContainer: "r", DeleteContainer: "d", ListBlobs: "l", ListContainers: "l", GetService: "r",
}

func (s *Server) checkSAS(c *call) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.tokens[c.query.Get("sig")]
	for k, v := range g.query {
		ok = ok && slices.Equal(v, c.query[k]) // a changed parameter breaks the signature
	}
	if !ok {
		return refuse("AuthenticationFailed").because("Signature did not match.")
	}
	if !c.arrived.Before(g.expires) {
		return refuse("AuthenticationFailed").because("Signature not valid in the specified time frame: Expiry [" +
			g.expires.UTC().Format(http.TimeFormat) + "] - Current [" + c.arrived.UTC().Format(http.TimeFormat) + "]")
	}
	need := needs[c.Op]
	if c.Op == PutBlob && s.find(c.Container, c.Blob) != nil {
		need = "w" // create alone does not overwrite
	}
	if !strings.ContainsAny(g.perm, need) || c.Header.Get("x-ms-tags") != "" && !strings.Contains(g.perm, "t") {
		return refuse("AuthorizationPermissionMismatch")
	}
	return nil
}
