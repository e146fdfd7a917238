package form

import (
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// The functions of this file make the fields of a form that asks, or answers.

// HiddenField is not shown and comes back as it is.
func HiddenField(name, value string) Field {
	return Field{Var: name, Type: Hidden, Values: []string{value}}
}

// FixedField is a text between the others, a heading for example.
func FixedField(text string) Field {
	return Field{Type: Fixed, Values: []string{text}}
}

// BoolField asks yes or no.
func BoolField(name, label string, value bool) Field {
	v := "0"
	if value {
		v = "1"
	}
	return Field{Var: name, Type: Boolean, Label: label, Values: []string{v}}
}

// TextField asks for a line; the value that is there may be empty.
func TextField(name, label, value string) Field {
	return Field{Var: name, Type: TextSingle, Label: label, Values: present(value)}
}

// PrivateField asks for a line that is not shown while it is typed. It never
// has a value of its own: that would be on the screen of who asks for the form.
func PrivateField(name, label string) Field {
	return Field{Var: name, Type: TextPrivate, Label: label}
}

// LinesField asks for lines of text.
func LinesField(name, label, text string) Field {
	return Field{Var: name, Type: TextMulti, Label: label, Values: lines(text)}
}

// JIDField asks for an address; the zero JID leaves it open.
func JIDField(name, label string, value xmpp.JID) Field {
	return Field{Var: name, Type: JIDSingle, Label: label, Values: present(value.String())}
}

// JIDsField asks for addresses.
func JIDsField(name, label string, values ...xmpp.JID) Field {
	fd := Field{Var: name, Type: JIDMulti, Label: label}
	for _, j := range values {
		fd.Values = append(fd.Values, j.String())
	}
	return fd
}

// ListField asks for one of the options; the value that is there may be empty.
func ListField(name, label, value string, options ...Option) Field {
	return Field{Var: name, Type: ListSingle, Label: label, Values: present(value), Options: options}
}

// ListsField asks for any number of the options.
func ListsField(name, label string, values []string, options ...Option) Field {
	return Field{Var: name, Type: ListMulti, Label: label, Values: values, Options: options}
}

// Require is the same field that must be filled in.
func (fd Field) Require() Field {
	fd.Required = true
	return fd
}

// Describe is the same field with a longer explanation.
func (fd Field) Describe(desc string) Field {
	fd.Desc = desc
	return fd
}

// present is a list of value, or of nothing if it is empty.
func present(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// lines splits a text into lines, however they end (XEP-0004 §3.3).
func lines(text string) []string {
	if text == "" {
		return nil
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}
