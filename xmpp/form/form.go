// Package form reads, writes and checks the forms that servers and clients
// hand each other: the settings of a room, the fields of a search, the filter
// of an archive query (XEP-0004), and what kind of form each is (XEP-0068).
//
// A Form is made of an element by Parse and becomes one by Element. Who asked
// for something hands what came back to Accept, which refuses what was not
// offered; what it lets through can be read with the typed methods.
package form

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// NS is the namespace of forms.
const NS = "jabber:x:data"

// typeVar is the field that says what kind of form one is (XEP-0068 §3).
const typeVar = "FORM_TYPE"

// Kind is what a form is there for (XEP-0004 §3.1).
type Kind string

// The kinds of forms.
const (
	Ask    Kind = "form"   // asks to be filled in
	Submit Kind = "submit" // was filled in
	Cancel Kind = "cancel" // will not be filled in
	Result Kind = "result" // says something
)

// A Type is what may be filled into a field (XEP-0004 §3.3).
type Type string

// The types of fields. In a form that was filled in, fields may lack one.
const (
	Boolean     Type = "boolean"
	Fixed       Type = "fixed"
	Hidden      Type = "hidden"
	JIDMulti    Type = "jid-multi"
	JIDSingle   Type = "jid-single"
	ListMulti   Type = "list-multi"
	ListSingle  Type = "list-single"
	TextMulti   Type = "text-multi"
	TextPrivate Type = "text-private"
	TextSingle  Type = "text-single"
)

// multi reports whether a field of that type may have many values.
func (t Type) multi() bool {
	return t == ListMulti || t == JIDMulti || t == TextMulti || t == Hidden
}

// A Form is a form. Its fields are in the order in which they are shown.
type Form struct {
	Kind         Kind
	Title        string
	Instructions []string
	Fields       []Field
	Reported     []Field   // the columns of a table of results
	Items        [][]Field // its rows
}

// A Field is a question, an answer, or both.
type Field struct {
	Var         string
	Type        Type
	Label, Desc string
	Required    bool
	Values      []string
	Options     []Option
	Extra       []*xmpp.Element // what other specifications put into fields
}

// An Option is one of the values that a list offers.
type Option struct{ Label, Value string }

// New makes a form. What kind of form it is, formType, becomes its first
// field; it may be empty.
func New(kind Kind, formType string, fields ...Field) *Form {
	f := &Form{Kind: kind}
	if formType != "" {
		f.Fields = append(f.Fields, Field{Var: typeVar, Type: Hidden, Values: []string{formType}})
	}
	f.Fields = append(f.Fields, fields...)
	return f
}

// FormType says what kind of form f is; it is empty where nothing counts as
// saying so (XEP-0068 §3): the field must be hidden, except in an answer, whose
// fields need no type.
func (f *Form) FormType() string {
	fd := f.field(typeVar)
	if fd == nil || fd.Type != Hidden && (f.Kind != Submit || fd.Type != "") || len(fd.Values) == 0 {
		return ""
	}
	return fd.Values[0]
}

func (f *Form) field(name string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Var == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// Has reports whether there is such a field. One without a value, which in an
// answer means that the value is to be unset (XEP-0004 §3.6), is there.
func (f *Form) Has(name string) bool { return f.field(name) != nil }

// Values are all values of a field.
func (f *Form) Values(name string) []string {
	if fd := f.field(name); fd != nil {
		return fd.Values
	}
	return nil
}

// Value is the first value of a field, empty if there is none.
func (f *Form) Value(name string) string {
	if v := f.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Text is all values of a field as the lines of one text.
func (f *Form) Text(name string) string { return strings.Join(f.Values(name), "\n") }

// Bool is the value of a boolean field; without a value it is false. The error
// is a *Mistake.
func (f *Form) Bool(name string) (bool, error) {
	v := f.Value(name)
	if v == "" {
		return false, nil
	}
	b, ok := parseBool(v)
	if !ok {
		return false, &Mistake{name, "must be true or false"}
	}
	return b, nil
}

// parseBool knows what xs:boolean allows.
func parseBool(s string) (value, ok bool) {
	return s == "1" || s == "true", s == "1" || s == "true" || s == "0" || s == "false"
}

// Int is the value of a field that has to be a whole number. The error, also if
// there is no value, is a *Mistake.
func (f *Form) Int(name string) (int, error) {
	n, err := strconv.Atoi(f.Value(name))
	if err != nil {
		return 0, &Mistake{name, "must be a whole number"}
	}
	return n, nil
}

// JID is the value of a field that has to be an address. The error, also if
// there is no value, is a *Mistake.
func (f *Form) JID(name string) (xmpp.JID, error) {
	j, err := xmpp.Parse(f.Value(name))
	if err != nil {
		return xmpp.JID{}, &Mistake{name, "must be an address"}
	}
	return j, nil
}

// JIDs are the values of a field that have to be addresses, each once. Values
// that are empty do not count. The error is a *Mistake.
func (f *Form) JIDs(name string) ([]xmpp.JID, error) {
	var list []xmpp.JID
	for _, v := range f.Values(name) {
		if v == "" {
			continue
		}
		j, err := xmpp.Parse(v)
		if err != nil {
			return nil, &Mistake{name, "must have addresses only"}
		}
		if !slices.Contains(list, j) {
			list = append(list, j)
		}
	}
	return list, nil
}
