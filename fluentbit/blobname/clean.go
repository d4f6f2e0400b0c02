package blobname

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/liveblob/azureblob/core"
)

// The limits of core.CleanName.
const (
	maxWhole   = 960 // a cut name is longer than all that are not cut
	maxSlashes = 59
)

// build makes the name of values as appendValues writes them.
//
// core.CleanName takes a whole name, in which each / is a folder's. So it gets what
// stands between them, piece by piece, and what each / is to be is decided here.
func (t *Template) build(values []byte) string {
	pieces := []string{""}
	var folder []bool // for the / behind each piece but the last
	for i := range t.parts {
		p := &t.parts[i]
		text := p.text
		if p.kind != literal {
			size := binary.BigEndian.Uint32(values)
			text, values = string(values[4:4+size]), values[4+size:]
		}
		for j, piece := range strings.Split(text, "/") {
			if j > 0 {
				folder = append(folder, p.kind != field)
				pieces = append(pieces, "")
			}
			pieces[len(pieces)-1] += piece
		}
	}

	var name strings.Builder
	segment, slashes := 0, 0 // where the current segment begins
	for i, piece := range pieces {
		if piece != "" {
			name.WriteString(core.CleanName(piece))
		}
		if i == len(folder) {
			break
		}
		end := i+1 == len(folder) && pieces[i+1] == ""
		if folder[i] && !end && name.Len() > segment && slashes < maxSlashes {
			name.WriteByte('/')
			segment = name.Len()
			slashes++
		} else {
			name.WriteString("%2F")
		}
	}
	return cut(name.String())
}

// cut shortens a name that is too long, and adds a hash of the whole.
func cut(name string) string {
	if len(name) <= maxWhole {
		return name
	}
	end := maxWhole
	for !utf8.RuneStart(name[end]) {
		end--
	}
	if i := strings.LastIndexByte(name[:end], '%'); i > end-3 {
		end = i // not through an escape
	}
	sum := sha256.Sum256([]byte(name))
	return name[:end] + "-" + hex.EncodeToString(sum[:16])
}
