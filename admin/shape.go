package admin

import (
	"encoding"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"
)

// A Kind is the form of a result, in ejabberd's terms.
type Kind string

// The kinds, and the Go types they come from.
const (
	KindRescode  Kind = "rescode"  // Rescode
	KindRestuple Kind = "restuple" // Restuple
	KindInteger  Kind = "integer"  // whole numbers; time.Duration in seconds
	KindString   Kind = "string"   // string, time.Time, what can marshal itself to text
	KindAtom     Kind = "atom"     // Atom, bool
	KindList     Kind = "list"     // slices
	KindTuple    Kind = "tuple"    // structs, by their json tags
	KindStream   Kind = "stream"   // Stream
)

// A Shape is the form of a result with the names of its parts.
type Shape struct {
	Name   string
	Kind   Kind
	Item   *Shape  // of a list
	Fields []Shape // of a tuple
	index  []int   // where the field is in its struct
}

// A Rescode says whether it worked and nothing more: "" is yes, anything else
// the word that gabberdctl prints after "Error:". In JSON it is 0 or 1.
type Rescode string

// The results of most commands that return a Rescode.
const (
	OK    Rescode = ""
	False Rescode = "false"
)

// Whether returns OK if it is so and False if not, for commands that check.
func Whether(yes bool) Rescode {
	if yes {
		return OK
	}
	return False
}

// A Restuple says in a sentence what was done. What was not done is an error.
type Restuple struct{ Text string }

// An Atom is a text that ejabberd has as an Erlang atom: a word of a fixed set.
type Atom string

// A Stream is lines that come as things happen, until the caller goes or an
// error ends them. Only gabberdctl can show it.
type Stream iter.Seq2[string, error]

// String shows the shape in the notation of ejabberd's command list:
// contacts:list(contact:tuple(jid:string, nick:string)).
func (s Shape) String() string { return s.Name + ":" + s.Type() }

// Type is String without the name.
func (s Shape) Type() string {
	switch s.Kind {
	case KindList:
		return "list(" + s.Item.String() + ")"
	case KindTuple:
		parts := make([]string, len(s.Fields))
		for i, f := range s.Fields {
			parts[i] = f.String()
		}
		return "tuple(" + strings.Join(parts, ", ") + ")"
	}
	return string(s.Kind)
}

// pairs reports whether a list of s is an object in JSON: tuples of two with an
// atom, or name and value.
func (s *Shape) pairs() bool {
	if s.Kind != KindTuple || len(s.Fields) != 2 {
		return false
	}
	a, b := s.Fields[0], s.Fields[1]
	return a.Kind == KindAtom || a.Kind == KindString && a.Name == "name" && b.Name == "value"
}

// wrapped reports whether API version 0 puts such a result into an object with
// its name.
func (s *Shape) wrapped() bool {
	return s.Kind == KindInteger || s.Kind == KindString || s.Kind == KindAtom
}

// named returns s with names for itself and for the items at each depth.
func (s Shape) named(names []string) Shape {
	if len(names) == 0 {
		return s
	}
	old := s.Name
	s.Name = names[0]
	if s.Item != nil {
		item := *s.Item
		if item.Name == singular(old) {
			item.Name = singular(s.Name)
		}
		item = item.named(names[1:])
		s.Item = &item
	}
	return s
}

func singular(name string) string {
	if one, ok := strings.CutSuffix(name, "s"); ok && one != "" && one != "re" {
		return one
	}
	return "item"
}

// shapeOf derives the shape that values of t have.
func shapeOf(t reflect.Type, name string) (Shape, error) {
	s := Shape{Name: name}
	switch t {
	case reflect.TypeFor[Rescode]():
		s.Kind = KindRescode
		return s, nil
	case reflect.TypeFor[Restuple]():
		s.Kind = KindRestuple
		return s, nil
	case reflect.TypeFor[Stream]():
		s.Kind = KindStream
		return s, nil
	}
	return plainShape(t, s)
}

// plainShape is shapeOf for what can also be a part of a result.
func plainShape(t reflect.Type, s Shape) (Shape, error) {
	switch {
	case t == reflect.TypeFor[Atom](), t.Kind() == reflect.Bool:
		s.Kind = KindAtom
		return s, nil
	case t == reflect.TypeFor[time.Time](), t.Implements(reflect.TypeFor[encoding.TextMarshaler]()), t.Kind() == reflect.String:
		s.Kind = KindString
		return s, nil
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.Kind = KindInteger
		return s, nil
	case reflect.Slice:
		item, err := plainShape(t.Elem(), Shape{Name: singular(s.Name)})
		s.Kind, s.Item = KindList, &item
		return s, err
	case reflect.Struct:
		s.Kind = KindTuple
		err := s.addFields(t, nil)
		if err == nil && len(s.Fields) == 0 {
			err = errors.New("a tuple needs fields")
		}
		return s, err
	}
	return s, fmt.Errorf("%s has no form in ejabberd's terms", t)
}

// addFields appends the exported fields of the struct type t; those of an
// embedded struct stand in its place.
func (s *Shape) addFields(t reflect.Type, at []int) error {
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(at[:len(at):len(at)], f.Index...)
		switch {
		case f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct:
			if err := s.addFields(f.Type, index); err != nil {
				return err
			}
			continue
		case !f.IsExported() || tag == "-":
			continue
		case tag == "":
			tag = strings.ToLower(f.Name)
		}
		field, err := plainShape(f.Type, Shape{Name: tag})
		if err != nil {
			return fmt.Errorf("%s: %w", tag, err)
		}
		field.index = index
		if item := f.Tag.Get("item"); item != "" && field.Item != nil {
			field.Item.Name = item
		}
		s.Fields = append(s.Fields, field)
	}
	return nil
}
