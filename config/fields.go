// Package config is the one way in which this server is told something: it
// turns ejabberd.yml, the words of a command line and the body of an API call
// into Go structs, and names every mistake with its place.
//
// What can be set is declared by whoever uses it, in a method Fields with one
// line per option. Type, default, check, message, help and documentation all
// come from that line.
package config

import (
	"errors"
	"math"
	"slices"
	"time"
)

// A Declarer says what it can hold. Fields is called on a fresh value, may be
// called often, and must do nothing but declare.
type Declarer interface{ Fields(*Fields) }

// Of is the constraint for a struct O whose pointer is a Declarer.
type Of[O any] interface {
	*O
	Declarer
}

// Infinity is the duration that never ends: what `infinity` in a file means.
const Infinity = time.Duration(math.MaxInt64)

// Unlimited is the number that is never reached: what `infinity` or
// `unlimited` in a file means for a number.
const Unlimited = math.MaxInt

// Fields collects what a Declarer says, in order.
type Fields struct {
	list   []field
	wholes []func() error
}

// Whole declares what must hold between options: f is called when all of them are
// decoded and none had a mistake. Its error is a sentence, which is reported at the
// place of the map that they are in.
func (f *Fields) Whole(check func() error) { f.wholes = append(f.wholes, check) }

// A field is a Field of any type.
type field interface {
	about() *Info
	reset(*scope)
	decode(*Node) error
	fromWord(string) *Node
}

// Info is what people may want to know about a field.
type Info struct {
	Name, Type, Default, Doc string

	Required bool     // must be there
	Optional bool     // as an argument: may be left out
	Secret   bool     // its value is shown to nobody
	Unbuilt  bool     // known, but does nothing yet
	Fatal    bool     // unbuilt, and a server without it must not start
	Old      []string // earlier names
	Rules    []string // each completes "must be …"
	Values   []string // all there are, for a choice
	Example  string   // YAML
	Shape    Shape    // for a JSON schema
	Infinite bool     // `infinity` is a value too
	Fields   []Info   // of a nested record, or of each item
}

// Shape is the form of a value, as far as a JSON schema cares.
type Shape string

// The shapes.
const (
	ShapeText    Shape = "text"
	ShapeBool    Shape = "bool"
	ShapeInt     Shape = "int"
	ShapeFloat   Shape = "float"
	ShapeSpan    Shape = "span"    // a duration: number or text
	ShapeChoice  Shape = "choice"  // one of Values
	ShapeTexts   Shape = "texts"   // a text or a list of them
	ShapeTextMap Shape = "textmap" // names to texts
	ShapeRecord  Shape = "record"  // Fields
	ShapeRecords Shape = "records" // a list of records
	ShapeNamed   Shape = "named"   // names to records
	ShapeAny     Shape = "any"
)

// A Field is one option. Its methods add to what is required of its value and
// to what is said about it; they return the field, so that they can be chained.
type Field[T any] struct {
	info  Info
	p     *T
	def   T
	read  func(*Field[T], *Node) (T, error)
	words func(string) *Node
	fresh func(T, *scope) T // the default where it stands; nil: def as it is
	rules []Rule[T]
	given *bool
	unit  time.Duration // what a bare number counts
	never T             // the value of infinity
}

// A Rule is a condition on a value, in words and in code.
type Rule[T any] struct {
	Says  string // completes "must be …"
	Holds func(T) bool
}

// Must adds rules that a value has to follow. The default is not checked.
func (f *Field[T]) Must(r ...Rule[T]) *Field[T] {
	for _, rule := range r {
		f.info.Rules = append(f.info.Rules, rule.Says)
	}
	f.rules = append(f.rules, r...)
	return f
}

// Required says that the option must be there. Arguments of commands need not
// say it: they are required unless Optional.
func (f *Field[T]) Required() *Field[T] {
	f.info.Required, f.info.Default = true, ""
	return f
}

// Optional says that an argument of a command may be left out.
func (f *Field[T]) Optional() *Field[T] {
	f.info.Optional = true
	return f
}

// Example adds a value as it could be written in YAML.
func (f *Field[T]) Example(yaml string) *Field[T] {
	f.info.Example = yaml
	return f
}

// Old adds earlier names, which are accepted with a warning.
func (f *Field[T]) Old(names ...string) *Field[T] {
	f.info.Old = append(f.info.Old, names...)
	return f
}

// Unbuilt says that the option is known and checked but does nothing yet;
// setting it gives a warning.
func (f *Field[T]) Unbuilt() *Field[T] {
	f.info.Unbuilt = true
	return f
}

// Fatal says of an unbuilt option that a server that ignored it would admit,
// lose or misplace something: setting it stops the start.
func (f *Field[T]) Fatal() *Field[T] {
	f.info.Unbuilt, f.info.Fatal = true, true
	return f
}

// Given has *set tell, after decoding, whether the option was written.
func (f *Field[T]) Given(set *bool) *Field[T] {
	f.given = set
	return f
}

// DefaultText replaces what is said about the default, for values that come
// from elsewhere: "value of use_cache".
func (f *Field[T]) DefaultText(text string) *Field[T] {
	f.info.Default = text
	return f
}

// InMillis says that a bare number counts milliseconds and not seconds. It is
// for durations only.
func (f *Field[T]) InMillis() *Field[T] {
	f.unit = time.Millisecond
	return f
}

// OrInfinity allows `infinity` (also `infinite`, `unlimited`) as a value, which
// is Infinity for durations and Unlimited for numbers; for those only.
func (f *Field[T]) OrInfinity() *Field[T] {
	switch never := any(&f.never).(type) {
	case *time.Duration:
		*never = Infinity
	case *int:
		*never = Unlimited
	case *int64:
		*never = math.MaxInt64
	case *float64:
		*never = math.Inf(1)
	default:
		panic("config: " + f.info.Name + " cannot be infinite")
	}
	f.info.Infinite = true
	f.info.Type += " | infinity"
	return f
}

func (f *Field[T]) about() *Info { return &f.info }

func (f *Field[T]) reset(s *scope) {
	*f.p = f.def
	if f.fresh != nil {
		*f.p = f.fresh(f.def, s)
	}
	if f.given != nil {
		*f.given = false
	}
}

// decode reads the value out of n and checks it. What is wrong leaves the
// default in place.
func (f *Field[T]) decode(n *Node) error {
	v, err := f.read(f, n)
	mistakes, warnings := sortOut(n, err)
	if len(mistakes) > 0 {
		return errors.Join(append(mistakes, warnings...)...)
	}
	for _, r := range f.rules {
		if r.Holds(v) {
			continue
		}
		if f.info.Secret {
			mistakes = append(mistakes, n.Errorf("must be %s", r.Says))
		} else {
			mistakes = append(mistakes, n.Errorf("must be %s, not %s", r.Says, brief(v)))
		}
	}
	if len(mistakes) == 0 {
		*f.p = v
	}
	if f.given != nil {
		*f.given = true
	}
	return errors.Join(append(mistakes, warnings...)...)
}

func (f *Field[T]) fromWord(w string) *Node {
	if f.words == nil {
		return word(w)
	}
	return f.words(w)
}

// declare adds a field. read may be called with any kind of node.
func declare[T any](f *Fields, p *T, info Info, def T, read func(*Field[T], *Node) (T, error)) *Field[T] {
	if slices.ContainsFunc(f.list, func(o field) bool { return o.about().Name == info.Name }) {
		panic("config: " + info.Name + " is declared twice")
	}
	info.Default = long(def)
	d := &Field[T]{info: info, p: p, def: def, read: read, unit: time.Second}
	f.list = append(f.list, d)
	return d
}

// Value declares an option of any other type: typ names it for people, decode
// reads it. decode may return plain errors, which are placed at the node, or
// those of Node.Errorf and Node.Warnf, also several joined.
func Value[T any](f *Fields, p *T, name, typ string, def T, doc string, decode func(*Node) (T, error)) *Field[T] {
	return declare(f, p, Info{Name: name, Type: typ, Doc: doc, Shape: ShapeAny}, def,
		func(_ *Field[T], n *Node) (T, error) { return decode(n) })
}

// Describe returns what d declares, in order.
func Describe(d Declarer) []Info {
	var f Fields
	d.Fields(&f)
	infos := make([]Info, len(f.list))
	for i, x := range f.list {
		infos[i] = *x.about()
	}
	return infos
}
