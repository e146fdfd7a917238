// Package erlterm reads and writes Erlang terms as text. ejabberd keeps some
// things as printed terms in a column of its database: the options of a room
// and of a shared roster group, the lists of archive preferences.
//
// What is read is what Erlang prints with ~w and ~p and reads back as source:
// atoms, numbers, characters, strings, binaries, lists, tuples and maps.
// Processes, references and functions, which Erlang itself cannot read back,
// are errors. What is written is read by Erlang as the same term.
package erlterm

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// A Term is an Erlang term: Atom, Int, Big, Float, Binary, String, List, Tuple
// or Map. A nil Term is none.
type Term interface {
	// append writes the term as Erlang source.
	append([]byte) []byte
}

type (
	// Atom is a name: true, all_users, 'a b'.
	Atom string
	// Int is a whole number that fits.
	Int int64
	// Big is a whole number that does not fit into an Int, in decimal.
	Big string
	// Float is a number with a fraction.
	Float float64
	// Binary is <<"bytes">>. Texts in ejabberd are binaries in UTF-8.
	Binary string
	// String is "text", which to Erlang is the list of its code points.
	String string
	// List is [A, B].
	List []Term
	// Tuple is {A, B}.
	Tuple []Term
	// Map is #{K => V}, in the order it was written.
	Map []Pair
)

// Improper is a list whose tail is not a list: [A | B].
type Improper struct {
	Items List
	Tail  Term
}

// Pair is a key of a Map with its value.
type Pair struct{ Key, Value Term }

// Bool is true or false.
func Bool(b bool) Atom {
	if b {
		return "true"
	}
	return "false"
}

// Text is the text of an atom, a binary, a string or a list of characters. A
// string of bytes that are UTF-8, which is how ejabberd would have a text in a
// list, is that text. ok is false for anything else. The empty list is the
// empty text.
func Text(t Term) (text string, ok bool) {
	switch t := t.(type) {
	case Atom:
		return string(t), true
	case Binary:
		return string(t), true
	case String:
		return decoded([]rune(string(t))), true
	case List:
		var chars []rune
		for _, item := range t {
			c, ok := item.(Int)
			if !ok || c < 0 || c > utf8.MaxRune || !valid(rune(c)) {
				return "", false
			}
			chars = append(chars, rune(c))
		}
		return decoded(chars), true
	}
	return "", false
}

// decoded is the text of characters, which may be the bytes of one.
func decoded(chars []rune) string {
	var bytes []byte
	for _, c := range chars {
		if c > 255 {
			return string(chars)
		}
		bytes = append(bytes, byte(c))
	}
	if utf8.Valid(bytes) {
		return string(bytes)
	}
	return string(chars)
}

// Items are the elements of a list, of a string as well, which is one. ok is
// false for what is no list.
func Items(t Term) (items []Term, ok bool) {
	switch t := t.(type) {
	case List:
		return t, true
	case String:
		for _, c := range string(t) {
			items = append(items, Int(c))
		}
		return items, true
	}
	return nil, false
}

// Get finds the value of a key in a list of options, [{key, Value}, key], or in
// a map. A lone atom stands for {key, true}. Nil: it is not there.
func Get(options Term, key string) Term {
	switch options := options.(type) {
	case List:
		for _, item := range options {
			if item == Term(Atom(key)) {
				return Atom("true")
			}
			if pair, ok := item.(Tuple); ok && len(pair) == 2 && pair[0] == Term(Atom(key)) {
				return pair[1]
			}
		}
	case Map:
		for _, p := range options {
			if p.Key == Term(Atom(key)) {
				return p.Value
			}
		}
	}
	return nil
}

// Equal reports whether Erlang would find a =:= b. A string equals the list of
// its code points; maps need not have the same order.
func Equal(a, b Term) bool {
	if x, ok := Items(a); ok {
		y, ok := Items(b)
		return ok && slices.EqualFunc(x, y, Equal)
	}
	switch a := a.(type) {
	case Tuple:
		b, ok := b.(Tuple)
		return ok && slices.EqualFunc(a, b, Equal)
	case Improper:
		b, ok := b.(Improper)
		return ok && slices.EqualFunc(a.Items, b.Items, Equal) && Equal(a.Tail, b.Tail)
	case Map:
		b, ok := b.(Map)
		return ok && len(a) == len(b) && !slices.ContainsFunc(a, func(p Pair) bool {
			return !slices.ContainsFunc(b, func(q Pair) bool { return Equal(p.Key, q.Key) && Equal(p.Value, q.Value) })
		})
	}
	switch b.(type) {
	case List, String, Tuple, Improper, Map:
		return false
	}
	return a == b
}

// Format writes a term as Erlang source, without a full stop, as ejabberd does.
func Format(t Term) string { return string(t.append(nil)) }

// A SyntaxError says why a text is no term.
type SyntaxError struct {
	Offset int
	Text   string
}

// Error says where and what.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("Erlang term, byte %d: %s", e.Offset, e.Text)
}
