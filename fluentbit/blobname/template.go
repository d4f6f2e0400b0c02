package blobname

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/lestrrat-go/strftime"

	"github.com/liveblob/azureblob/core"
	"github.com/liveblob/azureblob/fluentbit/chunk"
)

// Template is what names are made by.
type Template struct {
	source string
	parts  []part

	roots []chunk.Field // the fields of the record, at its top, that parts begin with
	step  int64         // the seconds for which the time in a name stays; 0: there is none
}

type kind uint8

const (
	literal kind = iota
	wholeTag
	tagPart
	field
	clock
)

// part is a piece of the template between two others.
type part struct {
	kind  kind
	text  string // of a literal; else as it is written
	index int    // of a tagPart
	field chunk.Field
	clock *strftime.Strftime
}

// there is what a template may have, for errors.
const there = "there are $TAG, $TAG[0], $TAG[-1], $field, $kubernetes['pod_name'], ${ENVIRONMENT}, %Y-%m-%d and the like, $$ and %%"

// Parse reads a template for names. The error shows where it is wrong, and what there
// is.
func Parse(text string, lookupEnv func(string) (string, bool)) (*Template, error) {
	t, err := ParseText(text, lookupEnv)
	if err != nil {
		return nil, err
	}
	if len(t.parts) > 0 && t.parts[0].kind == literal {
		t.parts[0].text = strings.TrimPrefix(t.parts[0].text, "/")
	}
	if err := t.checkName(); err != nil {
		return nil, fmt.Errorf("parse template %q: %w", text, err)
	}
	return t, nil
}

// checkName refuses what cannot be a name with any values.
func (t *Template) checkName() error {
	var like strings.Builder
	for i := range t.parts {
		if t.parts[i].kind == literal {
			like.WriteString(t.parts[i].text)
		} else {
			like.WriteByte('x')
		}
	}
	switch name := like.String(); {
	case name == "":
		return errors.New("the name is empty")
	case strings.HasSuffix(name, "/"):
		return errors.New("it ends in /: a name is wanted and no folder, write $TAG.log behind it; or was a ${NAME} there not set?")
	case strings.HasPrefix(name, "/"), strings.Contains(name, "//"):
		return errors.New("a part between two / is empty: was a ${NAME} there not set?")
	default:
		if err := core.CheckBlobName(name); err != nil {
			return errors.New("it has control characters, backslashes, dots at a part's end, or is too long: none of these can be in a name")
		}
	}
	return nil
}

// ParseText reads a template for other texts than names: see Text.
func ParseText(text string, lookupEnv func(string) (string, bool)) (*Template, error) {
	t := &Template{source: text}
	known := make(map[string]bool) // roots
	for rest := text; rest != ""; {
		n := strings.IndexAny(rest, "$%")
		if n != 0 {
			if n < 0 {
				n = len(rest)
			}
			t.add(part{text: rest[:n]})
			rest = rest[n:]
			continue
		}
		p, n, err := next(rest, lookupEnv)
		if err != nil {
			return nil, t.fail(rest, err)
		}
		if p.kind == field {
			if root := rest[:rootEnd(rest)]; !known[root] {
				known[root] = true
				f, err := parseField(root)
				if err != nil {
					return nil, t.fail(rest, err)
				}
				t.roots = append(t.roots, f)
			}
		}
		if p.kind == clock {
			if s := lasts(p.text); t.step == 0 || s < t.step {
				t.step = s
			}
		}
		t.add(p)
		rest = rest[n:]
	}
	return t, nil
}

// fail says where rest, the part of the template that is not read yet, begins.
func (t *Template) fail(rest string, err error) error {
	if rest == t.source {
		return fmt.Errorf("parse template %q: %w", t.source, err)
	}
	return fmt.Errorf("parse template %q: at %.40q: %w", t.source, rest, err)
}

// add appends p. Literals that follow one another become one.
func (t *Template) add(p part) {
	if last := len(t.parts) - 1; p.kind == literal && last >= 0 && t.parts[last].kind == literal {
		t.parts[last].text += p.text
		return
	}
	t.parts = append(t.parts, p)
}

// next reads what begins with the $ or % that s begins with, and its length.
func next(s string, lookupEnv func(string) (string, bool)) (part, int, error) {
	switch {
	case strings.HasPrefix(s, "$$"), strings.HasPrefix(s, "%%"):
		return part{text: s[:1]}, 2, nil
	case s[0] == '%':
		return nextVerb(s)
	case strings.HasPrefix(s, "${"):
		return nextEnv(s, lookupEnv)
	case strings.HasPrefix(s, "$UUID"):
		return part{}, 0, errors.New("$UUID would make a new blob at each try: leave it out, azureblob appends to one blob")
	case strings.HasPrefix(s, "$TAG["):
		return nextTagPart(s)
	case strings.HasPrefix(s, "$TAG"): // whatever follows, as Fluent Bit reads it
		return part{kind: wholeTag, text: s[:4]}, 4, nil
	}
	n := fieldEnd(s)
	if n == 1 {
		return part{}, 0, fmt.Errorf("a $ stands before nothing known: write $$ for a dollar; %s", there)
	}
	f, err := parseField(s[:n])
	if err != nil {
		return part{}, 0, fmt.Errorf("%w; %s", err, there)
	}
	return part{kind: field, text: s[:n], field: f}, n, nil
}

// parseField takes $['a-b']['c'] as well, in place of $a-b['c']: behind a plain name
// a - is the template's own.
func parseField(s string) (chunk.Field, error) {
	if key, ok := strings.CutPrefix(s, "$['"); ok {
		if key, rest, ok := strings.Cut(key, "']"); ok {
			s = "$" + key + rest
		}
	}
	return chunk.ParseField(s)
}

func nextVerb(s string) (part, int, error) {
	n := 2
	if len(s) > 1 && (s[1] == '-' || s[1] == '#') { // no padding
		n = 3
	}
	switch {
	case len(s) < n:
		return part{}, 0, fmt.Errorf("a %% stands at the end: write %%%% for a percent sign; %s", there)
	case strings.HasPrefix(s, "%L"), strings.HasPrefix(s, "%3N"), strings.HasPrefix(s, "%9N"):
		return part{}, 0, errors.New("parts of a second would make a blob of nearly every line: leave them out, azureblob appends to one blob")
	}
	f, err := strftime.New(s[:n])
	if err != nil || s[n-1] == 'n' || s[n-1] == 't' || s[n-1] == '%' {
		return part{}, 0, fmt.Errorf("there is no verb %q: write %%%% for a percent sign; %s", s[:n], there)
	}
	return part{kind: clock, text: s[:n], clock: f}, n, nil
}

func nextEnv(s string, lookupEnv func(string) (string, bool)) (part, int, error) {
	name, _, closed := strings.Cut(s[2:], "}")
	odd := func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	if !closed || name == "" || strings.ContainsFunc(name, odd) {
		return part{}, 0, fmt.Errorf("${ begins the name of an environment variable, as in ${HOSTNAME}; %s", there)
	}
	value, err := core.EnvInName(name, lookupEnv)
	if err != nil {
		return part{}, 0, err
	}
	return part{text: value}, len("${}") + len(name), nil
}

func nextTagPart(s string) (part, int, error) {
	number, _, closed := strings.Cut(s[len("$TAG["):], "]")
	i, err := strconv.Atoi(number)
	if !closed || err != nil {
		return part{}, 0, fmt.Errorf("$TAG[ wants the number of a part, as $TAG[0], or $TAG[-1] for the last; %s", there)
	}
	n := len("$TAG[]") + len(number)
	return part{kind: tagPart, text: s[:n], index: i}, n, nil
}

// fieldEnd is the length of the field that s begins with, brackets included; 1: there
// is none.
func fieldEnd(s string) int {
	n := nameEnd(s)
	for n < len(s) && s[n] == '[' {
		end := bracketEnd(s[n:])
		if end == 0 {
			return len(s) // it never ends, which ParseField says
		}
		n += end
	}
	return n
}

// rootEnd is the length of the field's part at the top of the record.
func rootEnd(s string) int {
	if n := nameEnd(s); n > 1 {
		return n
	}
	return 1 + bracketEnd(s[1:])
}

// nameEnd is the length of s's dollar and of the name behind it.
func nameEnd(s string) int {
	n := 1
	for n < len(s) && (s[n] == '_' || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'z' || n > 1 && '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return n
}

// bracketEnd is the length of s up to the ] that is not within quotes; 0: there is none.
func bracketEnd(s string) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '\'':
			quoted = !quoted // '' within quotes ends them and begins them again
		case s[i] == ']' && !quoted:
			return i + 1
		}
	}
	return 0
}

// lasts is for how many seconds the verb's text stays the same, at least.
func lasts(verb string) int64 {
	switch verb[len(verb)-1] {
	case 'M', 'R':
		return 60
	case 'H', 'I', 'k', 'l', 'p':
		return 60 * 60
	case 'A', 'a', 'B', 'b', 'C', 'D', 'd', 'e', 'F', 'G', 'g', 'h', 'j', 'm', 'U', 'u', 'V', 'v', 'W', 'w', 'x', 'Y', 'y', 'Z', 'z':
		return 24 * 60 * 60
	}
	return 1
}

func (t *Template) String() string { return t.source }

// OfTag reports that names depend on nothing but the tag: Name does not look at the
// event then.
func (t *Template) OfTag() bool { return len(t.roots) == 0 && t.step == 0 }

// Splits reports that the tag or the record decides: what has another one may go into
// another blob. Without, all goes into one, of its time.
func (t *Template) Splits() bool {
	for i := range t.parts {
		if k := t.parts[i].kind; k != literal && k != clock {
			return true
		}
	}
	return false
}

// Static is the template's own text: what is left without tag, fields and time.
func (t *Template) Static() (text string, all bool) {
	all = true
	for i := range t.parts {
		if t.parts[i].kind == literal {
			text += t.parts[i].text
		} else {
			all = false
		}
	}
	return text, all
}
