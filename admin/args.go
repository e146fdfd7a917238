package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabberd/gabberd/config"
)

// Args are the arguments of a call, as a door got them.
type Args struct {
	words []string
	named map[string][]string
	body  []byte
}

// Words are arguments in their order, as on a command line: the items of a list
// with commas between, the fields of a tuple with colons, anything deeper as
// JSON. A backslash takes the meaning from a comma or colon behind it.
func Words(words ...string) Args { return Args{words: words} }

// JSON is an object with the arguments by name, the body of an API call.
func JSON(body []byte) Args {
	if body == nil {
		body = []byte{}
	}
	return Args{body: body}
}

// Named are arguments by name in words, as in a form or a query. A list is
// several words, or one with commas.
func Named(args map[string][]string) Args {
	if args == nil {
		args = map[string][]string{}
	}
	return Args{named: args}
}

// A member is a name with its value in a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// members are the arguments of one call, under their current names.
type members []member

func (m members) has(name string) bool {
	return slices.ContainsFunc(m, func(x member) bool { return x.name == name })
}

// text returns the argument as the text that config reads from it, which takes
// a number for a text too; "" if it is missing or neither.
func (m members) text(name string) string {
	for _, x := range m {
		if x.name != name || len(x.value) == 0 || x.value[0] == '{' || x.value[0] == '[' {
			continue
		}
		if x.value[0] != '"' {
			return string(x.value)
		}
		var s string
		if err := json.Unmarshal(x.value, &s); err != nil {
			return ""
		}
		return s
	}
	return ""
}

// object is the arguments as one JSON object.
func (m members) object() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(textJSON(x.name))
		b.WriteByte(':')
		b.Write(x.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// members brings the arguments into one form. Their values are not yet checked.
func (a Args) members(d *Description) (members, error) {
	switch {
	case a.body != nil:
		return a.fromJSON(d)
	case a.named != nil:
		return a.fromNamed(d)
	}
	return a.fromWords(d)
}

func (a Args) fromWords(d *Description) (members, error) {
	least := len(d.Args)
	for least > 0 && (d.Args[least-1].Optional || d.Rest && least == len(d.Args)) {
		least--
	}
	switch n := len(a.words); {
	case n < least:
		return nil, countMistake(d.Name, least-n, "more")
	case n > len(d.Args) && !d.Rest:
		return nil, countMistake(d.Name, n-len(d.Args), "less")
	}
	var out members
	for i, info := range d.Args {
		if i >= len(a.words) {
			break
		}
		if d.Rest && i == len(d.Args)-1 {
			out = append(out, member{info.Name, arrayJSON(a.words[i:], textJSON)})
			break
		}
		v, err := wordJSON(info, a.words[i])
		if err != nil {
			return nil, Usage.With("%s.%s: %v", d.Name, info.Name, err)
		}
		out = append(out, member{info.Name, v})
	}
	return d.withEmptyLists(out), nil
}

// wrongCount is the mistake of a wrong number of words, a case of Usage.
type wrongCount struct{ usage *Error }

func (w wrongCount) Error() string { return w.usage.Error() }

func (w wrongCount) Unwrap() error { return w.usage }

func countMistake(command string, n int, which string) error {
	s := "s"
	if n == 1 {
		s = ""
	}
	return wrongCount{Usage.With("the command '%s' requires %d %s argument%s.", command, n, which, s)}
}

func (a Args) fromNamed(d *Description) (members, error) {
	names := make([]string, 0, len(a.named))
	for name := range a.named {
		names = append(names, name)
	}
	slices.Sort(names)
	var out members
	for _, name := range names {
		words := a.named[name]
		current := d.current(name)
		info, _ := d.Arg(current)
		if out.has(current) {
			return nil, Usage.With("%s.%s: given twice", d.Name, current)
		}
		var v json.RawMessage
		var err error
		switch {
		case len(words) == 1:
			v, err = wordJSON(info, words[0])
		case info.Shape == config.ShapeTexts:
			v = arrayJSON(words, textJSON)
		default:
			err = fmt.Errorf("takes one value, not %d", len(words))
		}
		if err != nil {
			return nil, Usage.With("%s.%s: %v", d.Name, name, err)
		}
		out = append(out, member{current, v})
	}
	return d.withEmptyLists(out), nil
}

func (a Args) fromJSON(d *Description) (members, error) {
	var out members
	body := bytes.TrimSpace(a.body)
	if len(body) == 0 {
		return d.withEmptyLists(out), nil
	}
	if body[0] != '{' {
		return nil, Usage.With("%s: expected a JSON object with the arguments", d.Name)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token()
	for err == nil && dec.More() {
		var name json.Token
		var v json.RawMessage
		if name, err = dec.Token(); err != nil {
			break
		}
		if err = dec.Decode(&v); err != nil {
			break
		}
		current := d.current(fmt.Sprint(name))
		if out.has(current) {
			return nil, Usage.With("%s.%s: given twice", d.Name, current)
		}
		out = append(out, member{current, v})
	}
	if err == nil {
		_, err = dec.Token()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	if err != nil {
		return nil, Usage.With("Invalid JSON input: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, Usage.With("Invalid JSON input: something follows the object")
	}
	return d.withEmptyLists(out), nil
}

// current is the name that an argument has now.
func (d *Description) current(name string) string {
	if _, ok := d.Arg(name); ok {
		return name
	}
	for _, r := range d.Renames {
		if r.Old == name {
			return r.New
		}
	}
	for _, info := range d.Args {
		if slices.Contains(info.Old, name) {
			return info.Name
		}
	}
	return name
}

// withEmptyLists adds the lists that were left out, which ejabberd takes for
// empty ones.
func (d *Description) withEmptyLists(m members) members {
	for _, info := range d.Args {
		if isList(info.Shape) && !info.Optional && !m.has(info.Name) {
			m = append(m, member{info.Name, json.RawMessage("[]")})
		}
	}
	return m
}

func isList(s config.Shape) bool { return s == config.ShapeTexts || s == config.ShapeRecords }

// wordJSON is the argument in word as JSON.
func wordJSON(info config.Info, word string) (json.RawMessage, error) {
	if !utf8.ValidString(word) {
		return nil, errors.New("is not UTF-8 text")
	}
	switch info.Shape {
	case config.ShapeTexts:
		return arrayJSON(items(word), func(s string) json.RawMessage { return textJSON(unescape(s)) }), nil
	case config.ShapeRecords:
		var errs []error
		list := arrayJSON(items(word), func(s string) json.RawMessage {
			v, err := recordJSON(info.Fields, s)
			errs = append(errs, err)
			return v
		})
		return list, errors.Join(errs...)
	case config.ShapeRecord:
		return recordJSON(info.Fields, word)
	case config.ShapeTextMap:
		var m members
		for _, item := range items(word) {
			name, value := item, ""
			if p := split(item, ':'); len(p) > 1 {
				name, value = p[0], item[len(p[0])+1:]
			}
			m = append(m, member{unescape(name), textJSON(unescape(value))})
		}
		return m.object(), nil
	case config.ShapeNamed, config.ShapeAny:
		if w := strings.TrimSpace(word); w != "" && (w[0] == '{' || w[0] == '[') {
			if !json.Valid([]byte(w)) {
				return nil, errors.New("is not valid JSON")
			}
			return json.RawMessage(w), nil
		}
	}
	return textJSON(word), nil
}

// recordJSON reads a tuple. Its last field takes what is left, so that a value
// may have colons in it.
func recordJSON(fields []config.Info, word string) (json.RawMessage, error) {
	parts := split(word, ':')
	if len(parts) < len(fields) {
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.Name
		}
		return json.RawMessage("null"), fmt.Errorf("expected %s, not %q", strings.Join(names, ":"), word)
	}
	var m members
	for i, f := range fields {
		part := parts[i]
		if i == len(fields)-1 {
			part = strings.Join(parts[i:], ":")
		}
		m = append(m, member{f.Name, textJSON(unescape(part))})
	}
	return m.object(), nil
}

func arrayJSON(words []string, each func(string) json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, w := range words {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, each(w)...)
	}
	return append(b, ']')
}

// items cuts a list at its commas. As in ejabberdctl, spaces around an item do
// not count, nor do empty items.
func items(word string) []string {
	var out []string
	for _, s := range split(word, ',') {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// split cuts word at each sep that has no backslash before it.
func split(word string, sep byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] == '\\' && i+1 < len(word):
			i++
		case word[i] == sep:
			parts, start = append(parts, word[start:i]), i+1
		}
	}
	return append(parts, word[start:])
}

// unescape takes away the backslashes before commas, colons and backslashes.
func unescape(word string) string {
	if !strings.Contains(word, `\`) {
		return word
	}
	return strings.NewReplacer(`\,`, ",", `\:`, ":", `\\`, `\`).Replace(word)
}
