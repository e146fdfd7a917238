package form

import (
	"slices"
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// A Mistake is what is wrong with a field that was filled in. On the wire it is
// the stanza error not-acceptable with the mistake as its text (XEP-0004 §4).
type Mistake struct{ Var, Text string }

// Error names the field and what is wrong with it.
func (m *Mistake) Error() string { return "field " + m.Var + ": " + m.Text }

// Unwrap is the stanza error that answers the mistake.
func (m *Mistake) Unwrap() error { return xmpp.NotAcceptable.WithText(m.Error()) }

// Accept checks an answer to f. What it returns has those fields of the answer
// that f asks for, in f's order and with f's types; booleans are 0 or 1,
// addresses in their canonical form and each once. Fields that f does not have
// are ignored, as are fixed ones; of those that the answer lacks nothing is
// said, their values stay as they are (XEP-0004 §3.5). A hidden field is taken
// as it comes: whoever answers may have changed it.
//
// The error is a *Mistake, or a *xmpp.Error bad-request if the answer is no
// answer at all or one to another form.
func (f *Form) Accept(answer *Form) (*Form, error) {
	if answer == nil || answer.Kind != Submit {
		return nil, bad("a form that was filled in is expected")
	}
	if got, want := answer.FormType(), f.FormType(); got != "" && want != "" && got != want {
		return nil, bad("the answer to another form, " + got)
	}
	accepted := &Form{Kind: Submit}
	for _, asked := range f.Fields {
		if asked.Type == Fixed {
			continue
		}
		given := answer.field(asked.Var)
		if given == nil {
			if asked.Required {
				return nil, &Mistake{asked.Var, "is required"}
			}
			continue
		}
		values, err := asked.accept(given.Values)
		if err != nil {
			return nil, err
		}
		accepted.Fields = append(accepted.Fields, Field{Var: asked.Var, Type: asked.Type, Label: asked.Label, Values: values})
	}
	return accepted, nil
}

// accept checks the values for one field.
func (fd Field) accept(values []string) ([]string, error) {
	if fd.typed() {
		// There is no way to unset a value that every client uses; an empty one
		// is such a way (XEP-0004 §3.6), unless it is on offer.
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" && !fd.offers("") })
	}
	if fd.Required && strings.Join(values, "") == "" && !fd.offers("") {
		return nil, &Mistake{fd.Var, "is required"}
	}
	if len(values) > 1 && !fd.Type.multi() {
		return nil, &Mistake{fd.Var, "has more than one value"}
	}
	switch fd.Type {
	case Boolean:
		return fd.acceptBool(values)
	case JIDSingle, JIDMulti:
		return fd.acceptJIDs(values)
	case ListSingle, ListMulti:
		return fd.acceptOptions(values)
	case TextMulti:
		var all []string
		for _, v := range values {
			if v == "" {
				all = append(all, v)
			}
			all = append(all, lines(v)...)
		}
		return all, nil
	}
	return values, nil
}

// typed reports whether values are more than text.
func (fd Field) typed() bool {
	switch fd.Type {
	case Boolean, JIDSingle, JIDMulti, ListSingle, ListMulti:
		return true
	}
	return false
}

func (fd Field) acceptBool(values []string) ([]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	switch v, ok := parseBool(values[0]); {
	case !ok:
		return nil, &Mistake{fd.Var, "must be true or false"}
	case v:
		return []string{"1"}, nil
	}
	return []string{"0"}, nil
}

func (fd Field) acceptJIDs(values []string) ([]string, error) {
	var list []string
	for _, v := range values {
		j, err := xmpp.Parse(v)
		if err != nil {
			return nil, &Mistake{fd.Var, "must have addresses only"}
		}
		if s := j.String(); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list, nil
}

func (fd Field) acceptOptions(values []string) ([]string, error) {
	var list []string
	for _, v := range values {
		if !fd.offers(v) && !fd.open() {
			return nil, &Mistake{fd.Var, "has a value that is not on offer"}
		}
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list, nil
}

// offers reports whether v is one of the options.
func (fd Field) offers(v string) bool {
	return slices.ContainsFunc(fd.Options, func(o Option) bool { return o.Value == v })
}

// open reports whether values beside the options are welcome (XEP-0122 §3.2.2).
func (fd Field) open() bool {
	const ns = "http://jabber.org/protocol/xdata-validate"
	return slices.ContainsFunc(fd.Extra, func(e *xmpp.Element) bool {
		return e.Is(ns, "validate") && e.Child(ns, "open") != nil
	})
}
