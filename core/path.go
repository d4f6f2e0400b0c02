package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/lestrrat-go/strftime"
)

// Path is a template for blob names: text/template with Docker's functions, and
// strftime's verbs in the text between the braces' actions. Values that come out
// of an action are not looked at for verbs.
type Path struct {
	source string
	fields string // what {{.}} has, for errors
	dates  []*strftime.Strftime

	mu       sync.Mutex // an expansion at a time
	template *template.Template
	now      time.Time
}

// ParsePath reads a template. sample is data such as Expand will be given: the
// template is tried on it, so that a field that does not exist is an error here.
func ParsePath(source string, sample any) (*Path, error) {
	p := &Path{source: source, fields: fieldsOf(sample)}
	funcs := pathFuncs()
	funcs["date"] = func(i int) string { return p.dates[i].FormatString(p.now) }
	t, err := template.New("").Option("missingkey=error").Funcs(funcs).Parse(source)
	if err != nil {
		return nil, p.fail("read", err)
	}
	p.template = t
	for _, part := range t.Templates() {
		if part.Tree != nil {
			if err := p.findDates(part.Root); err != nil {
				return nil, p.fail("read", err)
			}
		}
	}
	if _, err := p.Expand(sample, time.Now()); err != nil {
		return nil, err
	}
	return p, nil
}

// Expand makes a blob name, cleaned by CleanName.
func (p *Path) Expand(data any, now time.Time) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	var b bytes.Buffer
	if err := p.template.Execute(&b, data); err != nil {
		return "", p.fail("expand", err)
	}
	if strings.TrimSpace(b.String()) == "" {
		return "", p.fail("expand", errors.New("the name is empty"))
	}
	return CleanName(b.String()), nil
}

func (p *Path) String() string { return p.source }

// fail makes one line of a template's error and says what there is.
func (p *Path) fail(verb string, err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	text = strings.TrimPrefix(text, "template: :")
	text = strings.TrimPrefix(text, "1: ")
	if _, cause, ok := strings.Cut(text, `: executing "" at `); ok {
		text = cause
	}
	return fmt.Errorf("%s path %q: %s; fields: %s; functions: %s", verb, p.source, text, p.fields,
		strings.Join(slices.Sorted(maps.Keys(pathFuncs())), ", "))
}

// findDates compiles the literal text that has verbs and puts a call in its
// place.
func (p *Path) findDates(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for i, node := range list.Nodes {
		var err error
		switch n := node.(type) {
		case *parse.TextNode:
			list.Nodes[i], err = p.date(n)
		case *parse.IfNode:
			err = errors.Join(p.findDates(n.List), p.findDates(n.ElseList))
		case *parse.RangeNode:
			err = errors.Join(p.findDates(n.List), p.findDates(n.ElseList))
		case *parse.WithNode:
			err = errors.Join(p.findDates(n.List), p.findDates(n.ElseList))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Path) date(text *parse.TextNode) (parse.Node, error) {
	if !bytes.ContainsRune(text.Text, '%') {
		return text, nil
	}
	format, err := strftime.New(string(text.Text))
	if err != nil {
		return nil, fmt.Errorf("%q has a %% that is not one of %%Y %%m %%d %%H %%M %%S %%j %%F %%T …: write %%%% for a percent sign", text.Text)
	}
	p.dates = append(p.dates, format)
	call, err := template.New("").Funcs(template.FuncMap{"date": func(int) string { return "" }}).
		Parse(fmt.Sprintf("{{date %d}}", len(p.dates)-1))
	if err != nil {
		return nil, err
	}
	return call.Root.Nodes[0], nil
}

// TagFuncs are the functions of Docker's log tags. truncate leaves characters whole.
var TagFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err := enc.Encode(v)
		return strings.TrimSpace(b.String()), err
	},
	"split": strings.Split,
	"join":  strings.Join,
	"title": strings.Title, //nolint:staticcheck // as Docker's
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"pad": func(s string, before, after int) string {
		if s == "" {
			return s
		}
		return strings.Repeat(" ", min(before, 1024)) + s + strings.Repeat(" ", min(after, 1024))
	},
	"truncate": func(s string, n int) string {
		if len(s) < n {
			return s
		}
		for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		return s[:n]
	},
}

// pathFuncs are those, and two more. A function: the command line, which has no
// templates, is not to link them.
func pathFuncs() template.FuncMap {
	f := maps.Clone(TagFuncs)
	f["env"] = func(name string) (string, error) { return EnvInName(name, os.LookupEnv) }
	f["hostname"] = os.Hostname
	return f
}

// fieldsOf lists what a template can say after {{ for data like sample.
func fieldsOf(sample any) string {
	v := reflect.ValueOf(sample)
	if !v.IsValid() {
		return "none"
	}
	var names []string
	for m := range v.Type().Methods() {
		if f := m.Type; f.NumIn() == 1 && (f.NumOut() == 1 || f.NumOut() == 2) {
			names = append(names, "."+m.Name)
		}
	}
	switch s := reflect.Indirect(v); s.Kind() {
	case reflect.Struct:
		for f := range s.Type().Fields() {
			if f.IsExported() {
				names = append(names, "."+f.Name)
			}
		}
	case reflect.Map:
		for _, k := range s.MapKeys() {
			names = append(names, "."+k.String())
		}
	}
	if names == nil {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
