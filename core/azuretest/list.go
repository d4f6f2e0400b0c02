package azuretest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (s *Server) createContainer(c *call) *reply {
	if s.containers[c.Container] != nil {
		return failed(refuse("ContainerAlreadyExists"))
	}
	in := s.makeContainer(c.Container, c.arrived)
	return answer(http.StatusCreated).stamp(in.etag, in.modified)
}

func (s *Server) getService() *reply {
	retention := "<DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>"
	if s.SoftDelete {
		retention = "<DeleteRetentionPolicy><Enabled>true</Enabled><Days>7</Days></DeleteRetentionPolicy>"
	}
	const off = "<Version>1.0</Version><Enabled>false</Enabled><RetentionPolicy><Enabled>false</Enabled></RetentionPolicy>"
	return answer(http.StatusOK).xml("<StorageServiceProperties>" +
		"<Logging><Version>1.0</Version><Read>false</Read><Write>false</Write><Delete>false</Delete><RetentionPolicy><Enabled>false</Enabled></RetentionPolicy></Logging>" +
		"<HourMetrics>" + off + "</HourMetrics><MinuteMetrics>" + off + "</MinuteMetrics>" +
		"<Cors />" + retention + "<StaticWebsite><Enabled>false</Enabled></StaticWebsite></StorageServiceProperties>")
}

func (s *Server) getBlockList(c *call, in *container) *reply {
	b := in.blobs[c.Blob]
	if b == nil {
		return failed(refuse("BlobNotFound"))
	}
	kind := strings.ToLower(c.query.Get("blocklisttype"))
	line := func(w *strings.Builder, x *block) {
		w.WriteString("<Block><Name>" + x.id + "</Name><Size>" + strconv.Itoa(len(x.data)) + "</Size></Block>")
	}
	var w strings.Builder
	w.WriteString("<BlockList>")
	if kind != "uncommitted" {
		w.WriteString("<CommittedBlocks>")
		for _, x := range b.committed {
			if x.id != "" {
				line(&w, x)
			}
		}
		w.WriteString("</CommittedBlocks>")
	}
	if kind == "uncommitted" || kind == "all" {
		w.WriteString("<UncommittedBlocks>")
		for _, id := range slices.Sorted(maps.Keys(b.staged)) {
			line(&w, b.staged[id])
		}
		w.WriteString("</UncommittedBlocks>")
	}
	w.WriteString("</BlockList>")
	r := answer(http.StatusOK).xml(w.String())
	if b.commits > 0 {
		r.stamp(b.etag, b.modified)
	}
	r.set("x-ms-blob-content-length", itoa(b.size))
	return r
}

// page is what a listing asks for.
type page struct {
	prefix, delimiter, marker string
	max                       int
}

func (c *call) page() (page, *problem) {
	p := page{c.query.Get("prefix"), c.query.Get("delimiter"), c.query.Get("marker"), 5000}
	if v := c.query.Get("maxresults"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return p, refuse("OutOfRangeQueryParameterValue")
		}
		p.max = min(p.max, n)
	}
	return p, nil
}

// walk calls item for each sorted name on the page, and folded for each group of
// names up to the delimiter; it returns where the next page begins.
func (p page) walk(names []string, item, folded func(string)) (next string) {
	last, n := "", 0
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, p.prefix)
		if !ok || name < p.marker {
			continue
		}
		group := ""
		if p.delimiter != "" {
			if i := strings.Index(rest, p.delimiter); i >= 0 {
				group = p.prefix + rest[:i+len(p.delimiter)]
				if group == last {
					continue
				}
			}
		}
		if n == p.max {
			return name
		}
		n++
		if group == "" {
			item(name)
		} else {
			folded(group)
			last = group
		}
	}
	return ""
}

// open writes the head of a listing; the caller closes the root.
func (p page) open(w *strings.Builder, root string) {
	w.WriteString(root)
	tag(w, "Prefix", p.prefix)
	tag(w, "Marker", p.marker)
	tag(w, "MaxResults", strconv.Itoa(p.max))
	if p.delimiter != "" {
		tag(w, "Delimiter", p.delimiter)
	}
}

func (s *Server) listBlobs(c *call, in *container) *reply {
	p, bad := c.page()
	if bad != nil {
		return failed(bad)
	}
	withMeta := slices.Contains(strings.Split(c.query.Get("include"), ","), "metadata")
	var w strings.Builder
	p.open(&w, `<EnumerationResults ServiceEndpoint="`+escape(TransportEndpoint)+`/" ContainerName="`+escape(c.Container)+`">`)
	w.WriteString("<Blobs>")
	next := p.walk(s.names(c.Container), func(name string) {
		b := in.blobs[name]
		w.WriteString("<Blob>")
		tag(&w, "Name", name)
		w.WriteString("<Properties>")
		tag(&w, "Creation-Time", b.created.Format(http.TimeFormat))
		tag(&w, "Last-Modified", b.modified.Format(http.TimeFormat))
		tag(&w, "Etag", strings.Trim(b.etag, `"`))
		tag(&w, "Content-Length", itoa(b.size))
		for _, k := range [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-MD5", "Cache-Control", "Content-Disposition"} {
			tag(&w, k, b.head[k])
		}
		tag(&w, "BlobType", "BlockBlob")
		if b.tier == "" {
			w.WriteString("<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>")
		} else {
			tag(&w, "AccessTier", b.tier)
		}
		w.WriteString("<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>")
		if withMeta {
			w.WriteString("<Metadata>")
			for _, k := range slices.Sorted(maps.Keys(b.meta)) {
				tag(&w, k, b.meta[k])
			}
			w.WriteString("</Metadata>")
		}
		w.WriteString("</Blob>")
	}, func(group string) {
		w.WriteString("<BlobPrefix>")
		tag(&w, "Name", group)
		w.WriteString("</BlobPrefix>")
	})
	w.WriteString("</Blobs>")
	tag(&w, "NextMarker", next)
	w.WriteString("</EnumerationResults>")
	return answer(http.StatusOK).xml(w.String())
}

func (s *Server) listContainers(c *call) *reply {
	p, bad := c.page()
	if bad != nil {
		return failed(bad)
	}
	p.delimiter = ""
	var w strings.Builder
	p.open(&w, `<EnumerationResults ServiceEndpoint="`+escape(TransportEndpoint)+`/">`)
	w.WriteString("<Containers>")
	next := p.walk(slices.Sorted(maps.Keys(s.containers)), func(name string) {
		in := s.containers[name]
		w.WriteString("<Container>")
		tag(&w, "Name", name)
		w.WriteString("<Properties>")
		tag(&w, "Last-Modified", in.modified.Format(http.TimeFormat))
		tag(&w, "Etag", in.etag)
		w.WriteString("<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState></Properties></Container>")
	}, nil)
	w.WriteString("</Containers>")
	tag(&w, "NextMarker", next)
	w.WriteString("</EnumerationResults>")
	return answer(http.StatusOK).xml(w.String())
}
