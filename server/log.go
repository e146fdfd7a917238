package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// Forms of the time at the beginning of a line.
const (
	timeOnTerminal = "15:04:05"
	timeInFile     = "2006-01-02 15:04:05.000"
)

// logHandler writes lines for people:
//
//	18:52:54 INFO    listening module=ejabberd_c2s address=[::]:5222
//
// The levels have ejabberd's names. Whatever a stranger has put into a value
// cannot begin a line, nor move the cursor of a terminal.
type logHandler struct {
	out    *logOutput
	level  slog.Leveler
	attrs  string // those of With, written already
	groups string // with a dot at the end
}

// logOutput is what handlers made from one another share.
type logOutput struct {
	mu     sync.Mutex
	w      io.Writer
	layout string // of the time; empty: none
}

// newLogHandler returns a handler that writes to w. The time has a date unless
// somebody is watching, and is left to the journal of systemd where that keeps
// the log.
func newLogHandler(w io.Writer, level slog.Leveler) *logHandler {
	layout := timeInFile
	if f, ok := w.(*os.File); ok {
		st, err := f.Stat()
		switch {
		case err == nil && journal(st):
			layout = ""
		case err == nil && st.Mode()&os.ModeCharDevice != 0:
			layout = timeOnTerminal
		}
	}
	return &logHandler{out: &logOutput{w: w, layout: layout}, level: level}
}

// journal reports whether that file is the journal of systemd (systemd.exec(5),
// JOURNAL_STREAM).
func journal(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, h.groups, a)
	}
	c.attrs += b.String()
	return &c
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.groups += name + "."
	}
	return &c
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.out.layout != "" {
		b.WriteString(r.Time.Format(h.out.layout) + " ")
	}
	fmt.Fprintf(&b, "%-7s %s%s", strings.ToUpper(levelName(r.Level)), tame(r.Message), h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, h.groups, a)
		return true
	})
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, b.String())
	return err
}

func writeAttr(b *strings.Builder, groups string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups += a.Key + "."
		}
		for _, inner := range v.Group() {
			writeAttr(b, groups, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	text := v.String()
	if v.Kind() == slog.KindTime {
		text = v.Time().Format(time.RFC3339)
	}
	b.WriteString(" " + tame(groups+a.Key) + "=")
	switch {
	case a.Key == "stack":
		// Nobody can read that on one line. What it holds cannot be taken for
		// lines of the log.
		for line := range strings.Lines(text) {
			b.WriteString("\n        | " + tame(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    ")))
		}
	case text == "" || strings.ContainsAny(text, ` "=`) || tame(text) != text:
		b.WriteString(strconv.Quote(text))
	default:
		b.WriteString(text)
	}
}

// tame is text with everything escaped that a terminal would not simply show.
func tame(text string) string {
	plain := utf8.ValidString(text)
	for _, r := range text {
		plain = plain && strconv.IsPrint(r)
	}
	if plain {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
