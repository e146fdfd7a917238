package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Mistake is something wrong in what a person wrote: where it is and what to
// do about it. The zero File and Line mean that there is no file, as in an API
// call.
type Mistake struct {
	File         string
	Line, Column int    // from 1; 0: not known
	Path         string // as in modules.mod_ping.ping_interval
	Text         string
	Warning      bool // worth saying, but no reason to stop
}

// Error says it in the form file:line:column: path: text.
func (m *Mistake) Error() string {
	var b strings.Builder
	if m.File != "" {
		b.WriteString(m.File)
		if m.Line > 0 {
			fmt.Fprintf(&b, ":%d", m.Line)
			if m.Column > 0 {
				fmt.Fprintf(&b, ":%d", m.Column)
			}
		}
		b.WriteString(": ")
	}
	if m.Path != "" {
		b.WriteString(m.Path)
		b.WriteString(": ")
	}
	b.WriteString(m.Text)
	return b.String()
}

// Under returns err with prefix put before the path of every mistake in it, so
// that what was decoded for a command says the command's name:
// `get_last.usr: no such argument`.
func Under(err error, prefix string) error {
	var out []error
	for _, e := range flatten(err) {
		var m *Mistake
		if errors.As(e, &m) {
			c := *m
			if c.Path == "" {
				c.Path = prefix
			} else {
				c.Path = prefix + "." + c.Path
			}
			e = &c
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// flatten takes apart what errors.Join put together.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}

// sortOut separates warnings from what is really wrong. Errors that do not yet
// know their place are put at n.
func sortOut(n *Node, err error) (mistakes, warnings []error) {
	for _, e := range flatten(err) {
		var m *Mistake
		if !errors.As(e, &m) {
			m = n.mistake(e.Error())
		}
		if m.Warning {
			warnings = append(warnings, m)
		} else {
			mistakes = append(mistakes, m)
		}
	}
	return mistakes, warnings
}

// inOrder sorts by file, line and column, keeps the order of files, and drops
// what is said twice.
func inOrder(list []error, files []string) []error {
	rank := func(e error) (int, int, int) {
		var m *Mistake
		if !errors.As(e, &m) {
			return -1, 0, 0
		}
		i := slices.Index(files, m.File)
		if i < 0 {
			i = len(files)
		}
		return i, m.Line, m.Column
	}
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b error) int {
		fa, la, ca := rank(a)
		fb, lb, cb := rank(b)
		if fa != fb {
			return fa - fb
		}
		if la != lb {
			return la - lb
		}
		return ca - cb
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(out, func(e error) bool {
		s := e.Error()
		if seen[s] {
			return true
		}
		seen[s] = true
		return false
	})
}
