package auth

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp"
)

// externalStep is the mechanism EXTERNAL (RFC 4422 appendix A, XEP-0178): the
// client has shown a certificate that the listener has verified.
type externalStep struct {
	h           *Host
	certificate *x509.Certificate
	user        xmpp.JID
}

func (e *externalStep) claims() xmpp.JID { return e.user }

// clientCertificate is the verified certificate of a client, nil without one.
func clientCertificate(s Stream) *x509.Certificate {
	if s.TLS == nil || len(s.TLS.VerifiedChains) == 0 || len(s.TLS.PeerCertificates) == 0 {
		return nil
	}
	return s.TLS.PeerCertificates[0]
}

func (e *externalStep) step(ctx context.Context, response []byte) ([]byte, *Identity, error) {
	user, f := e.choose(string(response))
	if f != nil {
		return nil, nil, f
	}
	e.user = user
	if f := Disabled.Run(ctx, e.h.hooks, nil, user); f != nil {
		return nil, nil, f
	}
	return nil, &Identity{User: user, Method: "external"}, nil
}

// choose finds the user that the certificate is for. One whose address is the
// domain alone is for every user of it, who then has to be named. A certificate
// without an address is for nobody: being signed by somebody whom the system
// trusts does not say who one is.
func (e *externalStep) choose(authzid string) (xmpp.JID, *Failure) {
	no := &Failure{Condition: "not-authorized", Text: "The certificate is not for this user"}
	var wanted xmpp.JID
	if authzid != "" {
		var err error
		if wanted, err = xmpp.Parse(authzid); err != nil || wanted.Local() == "" || !wanted.IsBare() {
			return xmpp.JID{}, &Failure{Condition: "invalid-authzid", Text: "This is not the address of a user"}
		}
		if wanted.Domain() != e.h.domain {
			return xmpp.JID{}, no
		}
	}
	var mine []xmpp.JID
	for _, a := range addresses(e.certificate) {
		if a.Domain() == e.h.domain && !slices.Contains(mine, a.Bare()) {
			mine = append(mine, a.Bare())
		}
	}
	host, err := xmpp.NewJID("", e.h.domain, "")
	switch {
	case err != nil:
		return xmpp.JID{}, temporary(err)
	case wanted.IsZero() && len(mine) == 1 && mine[0].Local() != "":
		return mine[0], nil
	case !wanted.IsZero() && (slices.Contains(mine, wanted) || slices.Contains(mine, host)):
		return wanted, nil
	}
	return xmpp.JID{}, no
}

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidXMPPAddr       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5}
)

// addresses are the XMPP addresses in a certificate (RFC 6120 §13.7.1.4).
func addresses(c *x509.Certificate) (list []xmpp.JID) {
	for _, ext := range c.Extensions {
		if !ext.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(ext.Value, &names); err != nil || len(rest) > 0 {
			return nil
		}
		for _, n := range names {
			if a, ok := xmppAddr(n); ok {
				list = append(list, a)
			}
		}
	}
	return list
}

// xmppAddr reads an otherName of type id-on-xmppAddr, which is a UTF8String.
func xmppAddr(n asn1.RawValue) (xmpp.JID, bool) {
	const otherName = 0
	if n.Class != asn1.ClassContextSpecific || n.Tag != otherName {
		return xmpp.JID{}, false
	}
	var oid asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(n.Bytes, &oid)
	if err != nil || !oid.Equal(oidXMPPAddr) {
		return xmpp.JID{}, false
	}
	var outer, text asn1.RawValue
	if rest, err = asn1.Unmarshal(rest, &outer); err != nil || len(rest) > 0 {
		return xmpp.JID{}, false
	}
	rest, err = asn1.Unmarshal(outer.Bytes, &text)
	if err != nil || len(rest) > 0 || text.Tag != asn1.TagUTF8String || !utf8.Valid(text.Bytes) {
		return xmpp.JID{}, false
	}
	a, err := xmpp.Parse(string(text.Bytes))
	return a, err == nil
}
