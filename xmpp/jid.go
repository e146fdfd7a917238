package xmpp

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"

	"mellium.im/xmpp/jid"
)

// maxPart is the longest a part of a JID may be, in bytes (RFC 7622 §3.1).
const maxPart = 1023

// A JID is an address: a domain, perhaps a user before it and a resource behind
// it (RFC 7622). It can only be made valid and normal, so two JIDs mean the same
// exactly when they are ==, and it can be the key of a map. The zero JID is no
// address at all.
type JID struct {
	s        string // the whole, as it is written
	domain   uint16 // where the domain starts; 0: no user
	resource uint16 // where the resource starts; 0: none
}

// ErrJID is what every error about a malformed address wraps.
var ErrJID = errors.New("malformed address")

// Parse reads an address. Names that RFC 7622 refuses but older servers stored
// (RFC 6122, stringprep) are accepted too; CheckName holds new accounts to the
// stricter rules. The error wraps ErrJID.
func Parse(s string) (JID, error) {
	if j, ok := parseCanonical(s); ok {
		return j, nil
	}
	return parseSlow(s)
}

// MustParse is Parse for addresses known when the program is written. It panics
// if s is malformed.
func MustParse(s string) JID {
	j, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}

// ParseBytes is Parse without a copy for canonical addresses: b must never
// change afterwards.
func ParseBytes(b []byte) (JID, error) {
	return Parse(unsafe.String(unsafe.SliceData(b), len(b)))
}

// NewJID makes an address of its parts; local and resource may be empty. The
// error wraps ErrJID.
func NewJID(local, domain, resource string) (JID, error) {
	if strings.ContainsAny(local, "@/") || strings.ContainsAny(domain, "@/") {
		return JID{}, fmt.Errorf("%w: %q", ErrJID, local+"@"+domain)
	}
	s := domain
	if local != "" {
		s = local + "@" + domain
	}
	if resource != "" {
		s += "/" + resource
	}
	return Parse(s)
}

// parseCanonical accepts addresses that are ASCII and already in their normal
// form: nearly all there are.
func parseCanonical(s string) (JID, bool) {
	i, n := 0, len(s)
	for i < n && s[i] < 0x80 && class[s[i]]&inLocal != 0 {
		i++
	}
	domain := 0
	if i < n && s[i] == '@' {
		if i == 0 || i > maxPart {
			return JID{}, false
		}
		domain = i + 1
	}
	i = domain
	for i < n && s[i] < 0x80 && class[s[i]]&inDomain != 0 {
		i++
	}
	// A trailing dot, an empty label or an IPv6 address take the slow way.
	if i == domain || i-domain > maxPart || s[i-1] == '.' || s[domain] == '.' || s[domain] == '-' || s[i-1] == '-' {
		return JID{}, false
	}
	if d := s[domain:i]; strings.Contains(d, "..") || strings.Contains(d, "--") || strings.Contains(d, ".-") || strings.Contains(d, "-.") {
		return JID{}, false
	}
	if i == n {
		return JID{s: s, domain: uint16(domain)}, true
	}
	if s[i] != '/' || i+1 == n || n-i-1 > maxPart || s[i+1] == ' ' || s[n-1] == ' ' {
		return JID{}, false
	}
	for _, c := range []byte(s[i+1:]) {
		if c < 0x20 || c >= 0x7f {
			return JID{}, false
		}
	}
	return JID{s, uint16(domain), uint16(i + 1)}, true
}

const (
	inLocal  = 1 << iota // may stand in a normal localpart
	inDomain             // may stand in a normal domain
)

// class says where an ASCII character may stand.
var class = func() (t [128]uint8) {
	for c := byte(0x21); c < 0x7f; c++ {
		switch {
		case 'A' <= c && c <= 'Z', strings.IndexByte(`"&'/:<>@`, c) >= 0:
		default:
			t[c] |= inLocal
		}
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_' {
			t[c] |= inDomain
		}
	}
	return t
}()

// parseSlow normalises: PRECIS first, and stringprep for what PRECIS refuses.
func parseSlow(s string) (JID, error) {
	local, domain, resource := split(s)
	if !utf8.ValidString(s) || domain == "" || strings.HasPrefix(s, "@") || strings.HasSuffix(s, "/") && resource == "" {
		return JID{}, fmt.Errorf("%w: %q", ErrJID, clip(s))
	}
	domain, err := normalDomain(domain)
	if err != nil {
		return JID{}, fmt.Errorf("%w: %q: %v", ErrJID, clip(s), err)
	}
	if local != "" {
		if local, err = normalLocal(local); err != nil {
			return JID{}, fmt.Errorf("%w: %q: %v", ErrJID, clip(s), err)
		}
	}
	if resource != "" {
		if resource, err = normalResource(resource); err != nil {
			return JID{}, fmt.Errorf("%w: %q: %v", ErrJID, clip(s), err)
		}
	}
	return join(local, domain, resource), nil
}

func join(local, domain, resource string) JID {
	var j JID
	if local != "" {
		j.s, j.domain = local+"@", uint16(len(local)+1)
	}
	j.s += domain
	if resource != "" {
		j.s += "/" + resource
		j.resource = uint16(len(j.s) - len(resource))
	}
	return j
}

// split cuts at the first slash, then at the first at-sign before it (RFC 7622
// §3.1).
func split(s string) (local, domain, resource string) {
	s, resource, _ = strings.Cut(s, "/")
	if l, d, ok := strings.Cut(s, "@"); ok {
		return l, d, resource
	}
	return "", s, resource
}

// clip keeps a stranger's input from filling logs.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128] + "…"
	}
	return s
}

// CheckName reports why local may not be the name of a new account: the rules
// of RFC 7622 §3.3 without what is only kept for old ones. The error wraps
// ErrJID.
func CheckName(local string) error {
	if _, err := jid.New(local, "localhost", ""); err != nil || local == "" {
		return fmt.Errorf("%w: %q cannot be a user's name", ErrJID, clip(local))
	}
	return nil
}

// Local is the user's part, empty for a domain.
func (j JID) Local() string {
	if j.domain == 0 {
		return ""
	}
	return j.s[:j.domain-1]
}

// Domain is the server's or service's part.
func (j JID) Domain() string {
	if j.resource == 0 {
		return j.s[j.domain:]
	}
	return j.s[j.domain : j.resource-1]
}

// Resource is the device's part, empty in a bare address.
func (j JID) Resource() string {
	if j.resource == 0 {
		return ""
	}
	return j.s[j.resource:]
}

// Bare is the address without its resource.
func (j JID) Bare() JID {
	if j.resource == 0 {
		return j
	}
	return JID{s: j.s[:j.resource-1], domain: j.domain}
}

// Host is the address of the domain alone.
func (j JID) Host() JID { return JID{s: j.Domain()} }

// WithResource is the bare address of j with resource r. The error wraps ErrJID.
func (j JID) WithResource(r string) (JID, error) {
	if r == "" {
		return j.Bare(), nil
	}
	return Parse(j.Bare().s + "/" + r)
}

// IsBare reports whether j has no resource.
func (j JID) IsBare() bool { return j.resource == 0 }

// IsZero reports whether j is no address at all.
func (j JID) IsZero() bool { return j.s == "" }

// String is the address as it is written.
func (j JID) String() string { return j.s }

// Clone is j with memory of its own, for those who keep an address of a stanza
// longer than the stanza.
func (j JID) Clone() JID {
	j.s = strings.Clone(j.s)
	return j
}

// MarshalText writes the address, for JSON and XML.
func (j JID) MarshalText() ([]byte, error) { return []byte(j.s), nil }

// UnmarshalText reads an address. The error wraps ErrJID.
func (j *JID) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	*j = v
	return err
}
