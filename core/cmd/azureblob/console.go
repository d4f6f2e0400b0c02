package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/liveblob/azureblob/core"
)

// console is stderr: lines for a person, and on a terminal one progress line
// below them that is written anew. It is safe for concurrent use.
type console struct {
	screen  bool // a terminal
	rewrite bool // one that can write a line anew

	mu   sync.Mutex
	w    io.Writer
	line bool // a progress line is on the screen
}

func newConsole(w io.Writer, env func(string) (string, bool)) *console {
	c := &console{w: w, screen: isTerminal(w)}
	kind, _ := env("TERM")
	c.rewrite = c.screen && kind != "dumb"
	return c
}

// colourful reports a terminal whose user wants colours.
func colourful(w any, env func(string) (string, bool)) bool {
	kind, _ := env("TERM")
	no, _ := env("NO_COLOR")
	return isTerminal(w) && kind != "dumb" && no == ""
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Write is for text of many lines, such as help.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	return c.w.Write(p)
}

// say writes one line.
func (c *console) say(format string, args ...any) {
	fmt.Fprintf(c, "azureblob: "+format+"\n", args...)
}

// erase takes the progress line away; mu is held.
func (c *console) erase() {
	if c.line {
		io.WriteString(c.w, "\r\x1b[K")
		c.line = false
	}
}

// progress shows what text returns, once a second until the returned function is
// called, which takes it away again.
func (c *console) progress(text func() string) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.mu.Lock()
				c.erase()
				io.WriteString(c.w, text())
				c.line = true
				c.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-gone
		c.mu.Lock()
		defer c.mu.Unlock()
		c.erase()
	})
}

// log is the console for packages that log.
func (c *console) log() *slog.Logger { return slog.New(consoleHandler{c}) }

type consoleHandler struct{ c *console }

func (h consoleHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h consoleHandler) WithAttrs([]slog.Attr) slog.Handler           { return h } // nobody here uses them
func (h consoleHandler) WithGroup(string) slog.Handler                { return h }

func (h consoleHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "err":
			text += ": " + a.Value.String()
		default:
			text += " (" + a.Key + " " + a.Value.String() + ")"
		}
		return true
	})
	h.c.say("%s", clean(text))
	return nil
}

// message is err in one line, in the words of the command line.
func message(err error) string { return clean(err.Error()) }

// clean is the last hand on every text that others made: it joins lines, takes
// out what a terminal would act on, and names options as they are set here. A
// signature that got this far in spite of all that is done against it ends here.
func clean(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)), " ")
	text = regexp.MustCompile(`(?i)(sig=|AccountKey=)[^&;:)\s"']+`).ReplaceAllString(text, "${1}[redacted]")
	return spell(text)
}

// spell writes the options that core's texts name as flags, or variables where
// there is no flag: auth_type is --auth-type here. What is in quotes is somebody's
// own text.
func spell(text string) string {
	word := regexp.MustCompile(`(^|[ (])[a-z]+(_[a-z]+)+\b`)
	parts := strings.Split(text, `"`)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = word.ReplaceAllStringFunc(parts[i], func(s string) string {
			name := strings.TrimLeft(s, " (")
			o := core.FindOption(name)
			switch {
			case o == nil, slices.Contains(notHere, name):
				return s
			case hidden(o):
				return strings.TrimSuffix(s, name) + o.EnvName()
			}
			return strings.TrimSuffix(s, name) + "--" + flagName(name)
		})
	}
	return strings.Join(parts, `"`)
}
