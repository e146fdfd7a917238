package config

import (
	"errors"
	"fmt"
	"strings"
)

// ParseArgs sets what d declares from the words of a command line, in the order
// of the fields. A list is one word with commas ("a,b"), a record one with
// colons ("name:value"); a backslash takes the meaning from the comma or colon
// behind it. Every argument is required that is not Optional.
func ParseArgs(words []string, d Declarer) error {
	f := collect([]Declarer{d})
	if len(words) > len(f.list) {
		return fmt.Errorf("too many arguments: %d given, at most %d expected (%s)", len(words), len(f.list), strings.Join(f.names(), " "))
	}
	n := &Node{kind: KindMap}
	for i, w := range words {
		n.put(word(f.list[i].about().Name), f.list[i].fromWord(w))
	}
	mistakes, _ := decodeAll(n, argument, n.rest(), d)
	return errors.Join(mistakes...)
}

// split cuts w at each sep that has no backslash before it. The empty text has
// no parts.
func split(w string, sep byte) []string {
	if w == "" {
		return nil
	}
	var parts []string
	start := 0
	for i := 0; i < len(w); i++ {
		switch {
		case w[i] == '\\' && i+1 < len(w):
			i++
		case w[i] == sep:
			parts, start = append(parts, w[start:i]), i+1
		}
	}
	return append(parts, w[start:])
}

// unescape takes away the backslashes before commas, colons and backslashes.
func unescape(w string) string {
	if !strings.Contains(w, `\`) {
		return w
	}
	return strings.NewReplacer(`\,`, ",", `\:`, ":", `\\`, `\`).Replace(w)
}

// listOfWords reads a list off a command line.
func listOfWords(w string) *Node {
	list := &Node{kind: KindList}
	for _, part := range split(w, ',') {
		list.add(word(unescape(part)))
	}
	return list
}

// mapOfWords reads names with texts off a command line: "a:1,b:2".
func mapOfWords(w string) *Node {
	m := &Node{kind: KindMap}
	for _, part := range split(w, ',') {
		name, value := part, ""
		if p := split(part, ':'); len(p) > 1 {
			name, value = p[0], part[len(p[0])+1:]
		}
		m.put(word(unescape(name)), word(unescape(value)))
	}
	return m
}

// recordOfWords reads a record off a command line: its values in the order of
// fields, with colons between. The last value takes what is left.
func recordOfWords(w string, fields []Info) *Node {
	m := &Node{kind: KindMap}
	parts := split(w, ':')
	for i, info := range fields {
		if i >= len(parts) {
			break
		}
		value := parts[i]
		if i == len(fields)-1 {
			value = strings.Join(parts[i:], ":")
		}
		m.put(word(info.Name), word(unescape(value)))
	}
	return m
}

func join(errs ...error) error { return errors.Join(errs...) }
