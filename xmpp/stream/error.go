package stream

import "unicode/utf8"

// nsStreams qualifies the conditions of stream errors (RFC 6120 §4.9.2).
const nsStreams = "urn:ietf:params:xml:ns:xmpp-streams"

// An Error is a stream error (RFC 6120 §4.9): the stream cannot go on, whoever
// meets one writes it to the peer and closes. The variables of this package
// are one per defined condition; With gives one of them a text.
type Error struct {
	Condition string // the name of the condition's element, "not-well-formed"
	Text      string // for people, in English; may be empty
	Host      string // where to connect instead, for see-other-host only
	App       string // an application-specific condition (§4.9.4) as XML; may be empty
}

// The conditions of RFC 6120 §4.9.3. They are values to compare with
// (errors.Is) and to start from (With); nobody may change them.
var (
	BadFormat              = &Error{Condition: "bad-format"}
	BadNamespacePrefix     = &Error{Condition: "bad-namespace-prefix"}
	Conflict               = &Error{Condition: "conflict"}
	ConnectionTimeout      = &Error{Condition: "connection-timeout"}
	HostGone               = &Error{Condition: "host-gone"}
	HostUnknown            = &Error{Condition: "host-unknown"}
	ImproperAddressing     = &Error{Condition: "improper-addressing"}
	InternalServerError    = &Error{Condition: "internal-server-error"}
	InvalidFrom            = &Error{Condition: "invalid-from"}
	InvalidNamespace       = &Error{Condition: "invalid-namespace"}
	InvalidXML             = &Error{Condition: "invalid-xml"}
	NotAuthorized          = &Error{Condition: "not-authorized"}
	NotWellFormed          = &Error{Condition: "not-well-formed"}
	PolicyViolation        = &Error{Condition: "policy-violation"}
	RemoteConnectionFailed = &Error{Condition: "remote-connection-failed"}
	Reset                  = &Error{Condition: "reset"}
	ResourceConstraint     = &Error{Condition: "resource-constraint"}
	RestrictedXML          = &Error{Condition: "restricted-xml"}
	SeeOtherHost           = &Error{Condition: "see-other-host"}
	SystemShutdown         = &Error{Condition: "system-shutdown"}
	UndefinedCondition     = &Error{Condition: "undefined-condition"}
	UnsupportedEncoding    = &Error{Condition: "unsupported-encoding"}
	UnsupportedFeature     = &Error{Condition: "unsupported-feature"}
	UnsupportedStanzaType  = &Error{Condition: "unsupported-stanza-type"}
	UnsupportedVersion     = &Error{Condition: "unsupported-version"}
)

// Error says the condition and, if there is one, the text.
func (e *Error) Error() string {
	if e.Text == "" {
		return "stream error: " + e.Condition
	}
	return "stream error: " + e.Condition + ": " + e.Text
}

// Is reports whether target is a stream error of the same condition, so that
// errors.Is(err, PolicyViolation) holds whatever the text.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Condition == e.Condition
}

// With returns the same error with a text for people.
func (e *Error) With(text string) *Error {
	c := *e
	c.Text = text
	return &c
}

// At returns the same error naming the host to connect to; it has a meaning
// for SeeOtherHost only (RFC 6120 §4.9.3.19).
func (e *Error) At(host string) *Error {
	c := *e
	c.Host = host
	return &c
}

// AppendXML appends the error as it goes over the wire, <stream:error>…, and
// not the end of the stream that has to follow it. The prefix "stream" must be
// bound by the stream header.
func (e *Error) AppendXML(b []byte) []byte {
	b = append(b, "<stream:error>"...)
	b = e.appendCondition(b)
	return append(b, "</stream:error>"...)
}

// AppendDocument appends the error as a document of its own, with the
// namespace of streams declared on it, as framing without a stream header
// needs it (RFC 7395 §3.4).
func (e *Error) AppendDocument(b []byte) []byte {
	b = append(b, "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>"...)
	b = e.appendCondition(b)
	return append(b, "</stream:error>"...)
}

func (e *Error) appendCondition(b []byte) []byte {
	b = append(append(b, '<'), e.Condition...)
	b = append(b, " xmlns='"+nsStreams+"'"...)
	if e.Host != "" {
		b = AppendEscaped(append(b, '>'), e.Host)
		b = append(append(append(b, "</"...), e.Condition...), '>')
	} else {
		b = append(b, "/>"...)
	}
	if e.Text != "" {
		b = append(b, "<text xmlns='"+nsStreams+"' xml:lang='en'>"...)
		b = append(AppendEscaped(b, e.Text), "</text>"...)
	}
	return append(b, e.App...)
}

// AppendEscaped appends s so that it may stand in text and in an attribute
// value between either quotes. What XML cannot carry at all (controls, bytes
// that are not UTF-8) becomes U+FFFD.
func AppendEscaped(b []byte, s string) []byte {
	done := 0
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		if esc := escape(r, n); esc != "" {
			b = append(append(b, s[done:i]...), esc...)
			done = i + n
		}
		i += n
	}
	return append(b, s[done:]...)
}

// escape says what has to stand for r, which took n bytes; "" for r itself.
func escape(r rune, n int) string {
	switch {
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '&':
		return "&amp;"
	case r == '\'':
		return "&apos;"
	case r == '"':
		return "&quot;"
	case r == '\t':
		return "&#9;" // as it is, an attribute value would make it a space
	case r == '\n':
		return "&#10;"
	case r == '\r':
		return "&#13;"
	case !isChar(r) || r == utf8.RuneError && n == 1:
		return "\uFFFD"
	}
	return ""
}

// isChar reports whether XML knows the character r (XML 1.0 §2.2).
func isChar(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
