package xmpp

import (
	"errors"

	"mellium.im/xmpp/stanza"
)

// NSStanzas is the namespace of stanza error conditions (RFC 6120 §8.3).
const NSStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

// An Error is a stanza error (RFC 6120 §8.3): what the sender of a stanza is
// told. The variables of this package are its conditions with the type that the
// RFC recommends; WithText adds a sentence for a person.
type Error struct {
	Type      stanza.ErrorType
	Condition stanza.Condition
	Text      string
	App       *Element // an application-specific condition, or nil (§8.3.4)
}

// The conditions of RFC 6120 §8.3.3.
var (
	BadRequest            = &Error{Type: stanza.Modify, Condition: stanza.BadRequest}
	Conflict              = &Error{Type: stanza.Cancel, Condition: stanza.Conflict}
	FeatureNotImplemented = &Error{Type: stanza.Cancel, Condition: stanza.FeatureNotImplemented}
	Forbidden             = &Error{Type: stanza.Auth, Condition: stanza.Forbidden}
	Gone                  = &Error{Type: stanza.Cancel, Condition: stanza.Gone}
	InternalServerError   = &Error{Type: stanza.Wait, Condition: stanza.InternalServerError}
	ItemNotFound          = &Error{Type: stanza.Cancel, Condition: stanza.ItemNotFound}
	JIDMalformed          = &Error{Type: stanza.Modify, Condition: stanza.JIDMalformed}
	NotAcceptable         = &Error{Type: stanza.Modify, Condition: stanza.NotAcceptable}
	NotAllowed            = &Error{Type: stanza.Cancel, Condition: stanza.NotAllowed}
	NotAuthorized         = &Error{Type: stanza.Auth, Condition: stanza.NotAuthorized}
	PolicyViolation       = &Error{Type: stanza.Modify, Condition: stanza.PolicyViolation}
	RecipientUnavailable  = &Error{Type: stanza.Wait, Condition: stanza.RecipientUnavailable}
	RegistrationRequired  = &Error{Type: stanza.Auth, Condition: stanza.RegistrationRequired}
	RemoteServerNotFound  = &Error{Type: stanza.Cancel, Condition: stanza.RemoteServerNotFound}
	RemoteServerTimeout   = &Error{Type: stanza.Wait, Condition: stanza.RemoteServerTimeout}
	ResourceConstraint    = &Error{Type: stanza.Wait, Condition: stanza.ResourceConstraint}
	ServiceUnavailable    = &Error{Type: stanza.Cancel, Condition: stanza.ServiceUnavailable}
	SubscriptionRequired  = &Error{Type: stanza.Auth, Condition: stanza.SubscriptionRequired}
	UndefinedCondition    = &Error{Type: stanza.Cancel, Condition: stanza.UndefinedCondition}
	UnexpectedRequest     = &Error{Type: stanza.Wait, Condition: stanza.UnexpectedRequest}
)

// Error is the condition and, where there is one, the sentence.
func (e *Error) Error() string {
	if e.Text != "" {
		return string(e.Condition) + ": " + e.Text
	}
	return string(e.Condition)
}

// Is reports whether target is the same condition, whatever its text.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Condition == e.Condition
}

// WithText is e with a sentence for a person.
func (e *Error) WithText(s string) *Error {
	c := *e
	c.Text = s
	return &c
}

// WithApp is e with an application-specific condition.
func (e *Error) WithApp(el *Element) *Error {
	c := *e
	c.App = el
	return &c
}

// AsError is the stanza error in err's chain, or InternalServerError for any
// other error: a stranger is not told what went wrong inside.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return InternalServerError
}

// Element is the <error/> child of a stanza in ns jabber:client.
func (e *Error) Element() *Element {
	b := Build(NSClient, "error").Attr("type", string(e.Type))
	b.Open(NSStanzas, string(e.Condition)).Close()
	if e.Text != "" {
		b.Open(NSStanzas, "text").Attr("xml:lang", "en").Text(e.Text).Close()
	}
	if e.App != nil {
		b.Add(e.App)
	}
	return b.Done()
}

// ParseError reads the <error/> child of a stanza. It is nil if there is none.
func ParseError(st *Stanza) *Error {
	el := st.Child(NSClient, "error")
	if el == nil {
		return nil
	}
	e := &Error{Type: stanza.ErrorType(el.Attr("type")), Condition: stanza.UndefinedCondition}
	for c := range el.Children() {
		switch {
		case c.NS != NSStanzas:
			e.App = c
		case c.Name == "text":
			e.Text = c.Text()
		default:
			e.Condition = stanza.Condition(c.Name)
		}
	}
	return e
}
