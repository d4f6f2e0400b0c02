package azuretest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"hash/crc64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// apply does what c asks for and gives the truthful answer. It is the one place
// that changes what the account holds on a request's behalf.
func (s *Server) apply(c *call) *reply {
	if c.refusal != nil {
		return failed(c.refusal)
	}
	if p := c.check(); p != nil {
		return failed(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.Op {
	case GetService:
		return s.getService()
	case ListContainers:
		return s.listContainers(c)
	case CreateContainer:
		return s.createContainer(c)
	}
	in := s.containers[c.Container]
	if in == nil {
		return failed(refuse("ContainerNotFound"))
	}
	switch c.Op {
	case GetContainer:
		return answer(http.StatusOK).stamp(in.etag, in.modified)
	case DeleteContainer:
		delete(s.containers, c.Container)
		return answer(http.StatusAccepted)
	case ListBlobs:
		return s.listBlobs(c, in)
	case PutBlock:
		return s.putBlock(c, in)
	case PutBlob, PutBlockList:
		return s.put(c, in)
	case GetBlockList:
		return s.getBlockList(c, in)
	}
	b := s.find(c.Container, c.Blob)
	if b == nil {
		return failed(refuse("BlobNotFound"))
	}
	switch c.Op {
	case SetMetadata:
		return s.setMetadata(c, b)
	case DeleteBlob:
		if p := b.condition(c); p != nil {
			return failed(p)
		}
		delete(in.blobs, c.Blob)
		return answer(http.StatusAccepted)
	}
	return b.read(c)
}

// check refuses what no state of the account could make right.
func (c *call) check() *problem {
	switch {
	case c.Op == "":
		return refuse("InvalidUri")
	case c.Container != "" && !validContainer(c.Container):
		return refuse("InvalidResourceName")
	case c.Header.Get("x-ms-lease-id") != "":
		return refuse("LeaseNotPresentWithBlobOperation")
	case c.Header.Get("If-Modified-Since") != "" || c.Header.Get("If-Unmodified-Since") != "" || c.Header.Get("x-ms-if-tags") != "":
		return refuse("ConditionHeadersNotSupported") // the stand-in's limit, not the service's
	}
	if p := checkBlobName(c.Blob); p != nil {
		return p
	}
	if want := c.Header.Get("Content-MD5"); want != "" {
		sum := md5.Sum(c.body)
		if raw, err := base64.StdEncoding.DecodeString(want); err != nil || len(raw) != len(sum) {
			return refuse("InvalidMd5")
		} else if !slices.Equal(raw, sum[:]) {
			return refuse("Md5Mismatch")
		}
	}
	if want := c.Header.Get("x-ms-content-crc64"); want != "" {
		sum := binary.LittleEndian.AppendUint64(nil, crc64.Checksum(c.body, crcTable))
		if want != base64.StdEncoding.EncodeToString(sum) {
			return refuse("Crc64Mismatch")
		}
	}
	return nil
}

var crcTable = crc64.MakeTable(0x9A6C9329AC4BC9B5)

// checkBlobName refuses what the service refuses, and what it would make another
// name of: backslashes become slashes, dots at a segment's end and slashes at the
// name's are lost. Empty segments are names like others.
func checkBlobName(name string) *problem {
	segments := strings.Split(name, "/")
	if utf8.RuneCountInString(name) > 1024 || len(segments) > 254 || strings.HasSuffix(name, "/") {
		return refuse("InvalidUri")
	}
	for _, s := range segments {
		if strings.HasSuffix(s, ".") {
			return refuse("InvalidUri")
		}
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return refuse("InvalidResourceName")
	}
	return nil
}

// parseTags reads index tags: ten at most, names of 1 to 128 characters, values
// of 256 at most.
func parseTags(query string) (map[string]string, *problem) {
	q, err := url.ParseQuery(query)
	if err != nil || len(q) > 10 {
		return nil, refuse("InvalidTag")
	}
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(" +-./:=_", r))
	}
	tags := map[string]string{}
	for k := range q {
		v := q.Get(k)
		if k == "" || len(k) > 128 || len(v) > 256 || strings.ContainsFunc(k+v, odd) {
			return nil, refuse("InvalidTag")
		}
		tags[k] = v
	}
	return tags, nil
}

func validContainer(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "--") || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

func (s *Server) putBlock(c *call, in *container) *reply {
	if len(c.body) == 0 {
		return failed(refuse("InvalidHeaderValue")) // Content-Length: 0
	}
	// Neither ETag nor Last-Modified changes: nothing that can be read has.
	b := in.blobs[c.Blob]
	if b == nil {
		b = &storedBlob{}
	}
	if p := b.stage(c.query.Get("blockid"), c.body); p != nil {
		return failed(p)
	}
	in.blobs[c.Blob] = b
	return answer(http.StatusCreated).echo(c)
}

// put serves the two commits, Put Blob and Put Block List: each replaces content,
// properties, metadata and tags in one step.
func (s *Server) put(c *call, in *container) *reply {
	if t := c.Header.Get("x-ms-blob-type"); c.Op == PutBlob && t != "BlockBlob" {
		if t == "" {
			return failed(refuse("MissingRequiredHeader"))
		}
		return failed(refuse("InvalidHeaderValue"))
	}
	p, bad := c.properties()
	if bad != nil {
		return failed(bad)
	}
	var list []entry
	if c.Op == PutBlockList {
		var ok bool
		if list, ok = parseBlockList(c.body); !ok {
			return failed(refuse("InvalidXmlDocument"))
		}
		if len(list) > maxBlocks {
			return failed(refuse("BlockListTooLong"))
		}
	}
	b := in.blobs[c.Blob]
	if b == nil {
		b = &storedBlob{}
	}
	if bad := b.condition(c); bad != nil {
		return failed(bad)
	}
	blocks := []*block{{data: c.body}}
	if c.Op == PutBlockList {
		var ok bool
		if blocks, ok = b.assemble(list); !ok {
			return failed(refuse("InvalidBlockList"))
		}
	}
	in.blobs[c.Blob] = b
	s.commit(b, blocks, p, c.arrived)
	return s.written(c, b, http.StatusCreated)
}

func (s *Server) setMetadata(c *call, b *storedBlob) *reply {
	if bad := b.condition(c); bad != nil {
		return failed(bad)
	}
	meta, bad := c.metadata()
	if bad != nil {
		return failed(bad)
	}
	b.meta = meta
	s.touch(b, c.arrived)
	return s.written(c, b, http.StatusOK)
}

// written is the answer to a request that gave b a new ETag.
func (s *Server) written(c *call, b *storedBlob, status int) *reply {
	r := answer(status).stamp(b.etag, b.modified).echo(c)
	if s.Versioning {
		s.ticks++
		r.set("x-ms-version-id", c.arrived.UTC().Add(time.Duration(s.ticks)*100).Format("2006-01-02T15:04:05.0000000Z"))
	}
	return r
}

func (r *reply) stamp(etag string, modified time.Time) *reply {
	r.set("ETag", etag)
	r.set("Last-Modified", modified.Format(http.TimeFormat))
	return r
}

// echo repeats the checksum that the body was held to.
func (r *reply) echo(c *call) *reply {
	r.set("x-ms-request-server-encrypted", "true")
	for _, name := range []string{"Content-MD5", "x-ms-content-crc64"} {
		if v := c.Header.Get(name); v != "" {
			r.set(name, v)
		}
	}
	return r
}

// condition checks If-Match and If-None-Match.
func (b *storedBlob) condition(c *call) *problem {
	match, none := c.Header.Get("If-Match"), c.Header.Get("If-None-Match")
	there := b.commits > 0
	switch {
	case match != "" && !(there && matches(match, b.etag)):
		return refuse("ConditionNotMet")
	case none == "" || !there || !matches(none, b.etag):
		return nil
	case none == "*" && (c.Op == PutBlob || c.Op == PutBlockList):
		return refuse("BlobAlreadyExists")
	}
	p := refuse("ConditionNotMet")
	if c.Op == GetBlob || c.Op == HeadBlob {
		p.status = http.StatusNotModified
	}
	return p
}

func matches(condition, etag string) bool {
	return condition == "*" || strings.Trim(condition, `"`) == strings.Trim(etag, `"`)
}

// properties are what a commit sets; what it does not send is cleared.
func (c *call) properties() (properties, *problem) {
	var p properties
	var bad *problem
	if p.meta, bad = c.metadata(); bad != nil {
		return p, bad
	}
	p.head = map[string]string{}
	for _, name := range [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control", "Content-MD5"} {
		v := c.Header.Get("x-ms-blob-" + name)
		if v == "" && c.Op == PutBlob { // there the body's own headers are the blob's
			v = c.Header.Get(name)
		}
		if v == "" && name == "Content-Type" {
			v = "application/octet-stream"
		}
		if v != "" {
			p.head[name] = v
		}
	}
	switch p.tier = c.Header.Get("x-ms-access-tier"); p.tier {
	case "", "Hot", "Cool", "Cold", "Archive":
	default:
		return p, refuse("InvalidBlobTier")
	}
	if v := c.Header.Get("x-ms-tags"); v != "" {
		if p.tags, bad = parseTags(v); bad != nil {
			return p, bad
		}
	}
	return p, nil
}

func (c *call) metadata() (map[string]string, *problem) {
	meta := map[string]string{}
	size := 0
	for k, v := range c.Header {
		name, ok := strings.CutPrefix(k, "X-Ms-Meta-")
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		for i := range len(name) {
			if ch := name[i]; !('a' <= ch && ch <= 'z' || ch == '_' || i > 0 && '0' <= ch && ch <= '9') {
				return nil, refuse("InvalidMetadata")
			}
		}
		value := strings.Join(v, ",")
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				return nil, refuse("InvalidMetadata")
			}
		}
		meta[name] = value
		size += len(name) + len(value)
	}
	if size > maxMetadata {
		return nil, refuse("MetadataTooLarge")
	}
	return meta, nil
}

// read serves GET and HEAD of a blob.
func (b *storedBlob) read(c *call) *reply {
	if p := b.condition(c); p != nil {
		rep := failed(p)
		if p.status == http.StatusNotModified {
			rep.stamp(b.etag, b.modified)
		}
		return rep
	}
	if b.tier == "Archive" && c.Op == GetBlob {
		return failed(refuse("BlobArchived"))
	}
	from, n, status := int64(0), b.size, http.StatusOK
	if c.Op == GetBlob {
		var p *problem
		if from, n, status, p = c.span(b.size); p != nil {
			rep := failed(p)
			rep.set("Content-Range", "bytes */"+itoa(b.size))
			return rep
		}
	}
	r := answer(status).stamp(b.etag, b.modified)
	r.length = n
	if c.Op == GetBlob {
		r.body = b.slice(from, n)
	}
	if status == http.StatusPartialContent {
		r.set("Content-Range", "bytes "+itoa(from)+"-"+itoa(from+n-1)+"/"+itoa(b.size))
	}
	for k, v := range b.head {
		if k == "Content-MD5" && status == http.StatusPartialContent {
			k = "x-ms-blob-content-md5" // Content-MD5 would be the range's
		}
		r.set(k, v)
	}
	for k, v := range b.meta {
		r.set("x-ms-meta-"+k, v)
	}
	if len(b.tags) > 0 {
		r.set("x-ms-tag-count", strconv.Itoa(len(b.tags)))
	}
	if c.Op == HeadBlob {
		if b.tier == "" {
			r.set("x-ms-access-tier", "Hot")
			r.set("x-ms-access-tier-inferred", "true")
		} else {
			r.set("x-ms-access-tier", b.tier)
		}
	}
	r.set("Accept-Ranges", "bytes")
	r.set("x-ms-blob-type", "BlockBlob")
	r.set("x-ms-creation-time", b.created.Format(http.TimeFormat))
	r.set("x-ms-lease-state", "available")
	r.set("x-ms-lease-status", "unlocked")
	r.set("x-ms-server-encrypted", "true")
	return r
}

// span is the part of size bytes that c asks for, by x-ms-range or Range.
func (c *call) span(size int64) (from, n int64, status int, p *problem) {
	v := c.Header.Get("x-ms-range")
	if v == "" {
		v = c.Header.Get("Range")
	}
	if v == "" {
		return 0, size, http.StatusOK, nil
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(v, "bytes="), "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !ok || err != nil || from < 0 {
		return 0, 0, 0, refuse("InvalidHeaderValue")
	}
	to := size - 1
	switch {
	case last != "":
		end, err := strconv.ParseInt(last, 10, 64)
		if err != nil || end < from {
			return 0, 0, 0, refuse("InvalidHeaderValue")
		}
		to = min(to, end)
	case c.Header.Get("x-ms-version") == "":
		// The first version of the protocol, which a request without the header
		// gets, knows no open ranges: it answers with everything.
		return 0, size, http.StatusOK, nil
	}
	if from >= size {
		return 0, 0, 0, refuse("InvalidRange")
	}
	return from, to - from + 1, http.StatusPartialContent, nil
}
