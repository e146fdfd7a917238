package admin

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Result is what a command returned, to be shown in the form of a door. It
// must not be used by two goroutines at once.
type Result struct {
	Shape   Shape
	Version int // of the API, as the caller asked for
	value   reflect.Value
}

// Exit is the exit code of gabberdctl for the result.
func (r *Result) Exit() int {
	if r.Shape.Kind == KindRescode && r.value.String() != "" {
		return ExitError
	}
	return ExitOK
}

// Stream returns the lines of a result of KindStream, and nil for others.
func (r *Result) Stream() Stream {
	s, _ := r.value.Interface().(Stream)
	return s
}

// Text is the result as ejabberdctl prints it, without the last line's end:
// items of a list on a line each, inside of one with commas between (in API
// version 0 semicolons), fields of a tuple with tabs.
func (r *Result) Text() string {
	var b strings.Builder
	switch r.Shape.Kind {
	case KindRescode:
		if word := r.value.String(); word != "" {
			b.WriteString("Error: " + word)
		}
	case KindRestuple:
		b.WriteString(r.value.Field(0).String())
	default:
		w := textWriter{&b, ","}
		if r.Version == 0 {
			w.comma = ";"
		}
		w.write(&r.Shape, r.value, "\n")
	}
	return b.String()
}

type textWriter struct {
	*strings.Builder
	comma string
}

// write appends v; between separates the items if it is a list.
func (w textWriter) write(s *Shape, v reflect.Value, between string) {
	switch s.Kind {
	case KindList:
		for i := range v.Len() {
			if i > 0 {
				w.WriteString(between)
			}
			w.write(s.Item, v.Index(i), w.comma)
		}
	case KindTuple:
		for i := range s.Fields {
			if i > 0 {
				w.WriteByte('\t')
			}
			w.write(&s.Fields[i], v.FieldByIndex(s.Fields[i].index), w.comma)
		}
	case KindInteger:
		w.WriteString(integer(v))
	case KindAtom:
		w.WriteString(quoteAtom(text(v)))
	case KindString:
		w.WriteString(text(v))
	}
}

var plainAtom = regexp.MustCompile(`^[a-z][A-Za-z0-9_@]*$`)

// quoteAtom writes an atom as Erlang does.
func quoteAtom(a string) string {
	if plainAtom.MatchString(a) {
		return a
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(a) + "'"
}

func integer(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return strconv.FormatInt(int64(time.Duration(v.Int())/time.Second), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	}
	return strconv.FormatInt(v.Int(), 10)
}

// text is the value of a string or atom.
func text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.String:
		if !v.Type().Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return v.String()
		}
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return ""
		}
		return x.UTC().Format("2006-01-02T15:04:05Z")
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		if err != nil {
			return fmt.Sprintf("(%v)", err)
		}
		return string(b)
	}
	return ""
}

// JSON is the result as ejabberd's HTTP API answers it: sorted lists, lists of
// names with values as objects, and in API version 0 single values wrapped in
// an object with their name.
func (r *Result) JSON() ([]byte, error) {
	switch r.Shape.Kind {
	case KindStream:
		return nil, Usage.With("%s answers until it is interrupted; only gabberdctl can call it", r.Shape.Name)
	case KindRescode:
		return strconv.AppendInt(nil, int64(r.Exit()), 10), nil
	case KindRestuple:
		return encodeJSON(r.value.Field(0).String())
	}
	var b bytes.Buffer
	writeJSON(&b, &r.Shape, r.value)
	if r.Version > 0 || !r.Shape.wrapped() {
		return b.Bytes(), nil
	}
	return fmt.Appendf(nil, `{%s:%s}`, textJSON(r.Shape.Name), b.Bytes()), nil
}

func writeJSON(b *bytes.Buffer, s *Shape, v reflect.Value) {
	switch s.Kind {
	case KindList:
		writeList(b, s, v)
	case KindTuple:
		b.WriteByte('{')
		for i := range s.Fields {
			f := &s.Fields[i]
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(textJSON(f.Name))
			b.WriteByte(':')
			writeJSON(b, f, v.FieldByIndex(f.index))
		}
		b.WriteByte('}')
	case KindInteger:
		b.WriteString(integer(v))
	default:
		b.Write(textJSON(text(v)))
	}
}

func writeList(b *bytes.Buffer, s *Shape, v reflect.Value) {
	begin, end, pairs := byte('['), byte(']'), s.Item.pairs()
	if pairs {
		begin, end = '{', '}'
	}
	b.WriteByte(begin)
	for i, item := range sorted(s.Item, v) {
		if i > 0 {
			b.WriteByte(',')
		}
		if pairs {
			b.Write(textJSON(text(item.FieldByIndex(s.Item.Fields[0].index))))
			b.WriteByte(':')
			f := &s.Item.Fields[1]
			writeJSON(b, f, item.FieldByIndex(f.index))
			continue
		}
		writeJSON(b, s.Item, item)
	}
	b.WriteByte(end)
}

// sorted returns the items of the list v in Erlang's order of terms. Pairs are
// ordered by their names alone.
func sorted(item *Shape, v reflect.Value) []reflect.Value {
	items := make([]reflect.Value, v.Len())
	for i := range items {
		items[i] = v.Index(i)
	}
	by := item
	if item.pairs() {
		by = &Shape{Kind: KindTuple, Fields: item.Fields[:1]}
	}
	slices.SortStableFunc(items, func(a, b reflect.Value) int { return compare(by, a, b) })
	return items
}

func compare(s *Shape, a, b reflect.Value) int {
	switch s.Kind {
	case KindInteger:
		if a.CanUint() {
			return cmp.Compare(a.Uint(), b.Uint())
		}
		return cmp.Compare(a.Int(), b.Int())
	case KindTuple:
		for i := range s.Fields {
			f := &s.Fields[i]
			if c := compare(f, a.FieldByIndex(f.index), b.FieldByIndex(f.index)); c != 0 {
				return c
			}
		}
		return 0
	case KindList:
		for i := range min(a.Len(), b.Len()) {
			if c := compare(s.Item, a.Index(i), b.Index(i)); c != 0 {
				return c
			}
		}
		return a.Len() - b.Len()
	}
	return strings.Compare(text(a), text(b))
}

// encodeJSON is json.Marshal without escapes for HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
