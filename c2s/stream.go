package c2s

import (
	"strings"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Namespaces of the stream itself (RFC 6120 §4.8, §5, §6, §7).
const (
	nsStream  = "http://etherx.jabber.org/streams"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsSASL2   = "urn:xmpp:sasl:2"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	nsBind2   = "urn:xmpp:bind:0"
	nsFast    = "urn:xmpp:fast:0"
	nsSession = "urn:ietf:params:xml:ns:xmpp-session"
	nsCB      = "urn:xmpp:sasl-cb:0"
)

// open answers the client's stream header (RFC 6120 §4.2).
func (c *Conn) open(fr *stream.Frame) error {
	if c.state != greeting && c.state != returning {
		return stream.BadFormat.With("The stream is open already")
	}
	if string(fr.NS) != nsStream {
		return stream.InvalidNamespace.With("A stream begins with <stream:stream> in " + nsStream)
	}
	if string(fr.Name) != "stream" {
		return stream.BadFormat.With("A stream begins with <stream:stream>")
	}
	if string(c.framer.Namespace("")) != xmpp.NSClient {
		return stream.InvalidNamespace.With("The content of a client's stream is in " + xmpp.NSClient)
	}
	if lang := string(fr.Attr("xml:lang")); len(lang) <= 35 && !strings.ContainsAny(lang, "&<'\"") {
		c.stream.Lang = strings.Clone(lang)
	}
	if err := c.address(fr); err != nil {
		return err
	}
	if err := c.claim(fr); err != nil {
		return err
	}
	if v := string(fr.Attr("version")); !strings.HasPrefix(v, "1.") {
		return stream.UnsupportedVersion.With("This server speaks version 1.0")
	}
	if e := sm.StreamStarted.Run(c.ctx, c.host.Parts.Hooks, nil, &c.stream); e != nil {
		return e
	}
	c.greet(c.features())
	c.state++
	return nil
}

// address finds the virtual host that the client wants.
func (c *Conn) address(fr *stream.Frame) error {
	to := string(fr.Attr("to"))
	if to == "" {
		return stream.ImproperAddressing.With("The stream header must say to whom it is")
	}
	j, err := xmpp.Parse(to)
	if err != nil || j.Local() != "" || !j.IsBare() {
		return stream.ImproperAddressing.With("The to of a stream is a domain")
	}
	h := c.l.server.Host(j.Domain())
	if h == nil {
		return stream.HostUnknown.With("This server does not serve " + j.Domain())
	}
	if c.state == returning && h != c.host {
		return stream.HostUnknown.With("You have logged in at " + c.host.Domain)
	}
	c.host = h
	c.out.serves(h.Domain)
	c.stream.Sessions, c.stream.Local = h.Sessions, h.JID
	return nil
}

// claim remembers who the client says it is, which it can do where it is told what
// it may log in with (XEP-0388 §2.1). Nobody believes it.
func (c *Conn) claim(fr *stream.Frame) error {
	from, err := xmpp.ParseBytes(stream.AppendValue(nil, fr.Attr("from")))
	if err != nil || c.state != greeting || !c.offersSASL2() {
		return nil
	}
	if from.Domain() != c.host.Domain {
		return stream.InvalidFrom.With("You cannot log in here for " + from.Domain())
	}
	if from.Local() != "" {
		c.login.from = from.Bare().Clone()
	}
	return nil
}

// features is what the client may do next, in ejabberd's order.
func (c *Conn) features() []byte {
	b := []byte("<stream:features>")
	switch c.state {
	case greeting:
		b = c.earlyFeatures(b)
	case bound:
		b = c.lateFeatures(b)
	default:
		b = append(b, "<bind xmlns='"+nsBind+"'/><session xmlns='"+nsSession+"'><optional/></session>"...)
		b = c.lateFeatures(b)
	}
	return append(b, "</stream:features>"...)
}

func (c *Conn) lateFeatures(b []byte) []byte {
	for _, el := range sm.PostAuth.Run(c.ctx, c.host.Parts.Hooks, nil, &c.stream) {
		b = el.AppendXML(b, xmpp.NSClient)
	}
	return b
}

func (c *Conn) earlyFeatures(b []byte) []byte {
	if c.mustEncrypt() {
		return append(b, "<starttls xmlns='"+nsTLS+"'><required/></starttls>"...)
	}
	b = append(b, "<mechanisms xmlns='"+nsSASL+"'>"...)
	for _, m := range c.host.Auth.Mechanisms(c.forAuth()) {
		b = append(append(append(b, "<mechanism>"...), m...), "</mechanism>"...)
	}
	b = append(b, "</mechanisms>"...)
	if types := c.host.Auth.Bindings(c.forAuth()); len(types) > 0 {
		b = append(b, "<sasl-channel-binding xmlns='"+nsCB+"'>"...)
		for _, t := range types {
			b = append(append(append(b, "<channel-binding type='"...), t...), "'/>"...)
		}
		b = append(b, "</sasl-channel-binding>"...)
	}
	if c.mayEncrypt() {
		b = append(b, "<starttls xmlns='"+nsTLS+"'/>"...)
	}
	if c.offersSASL2() {
		b = c.sasl2Feature(b)
	}
	for _, el := range sm.PreAuth.Run(c.ctx, c.host.Parts.Hooks, nil, &c.stream) {
		b = el.AppendXML(b, xmpp.NSClient)
	}
	return b
}

func (c *Conn) mayEncrypt() bool { return c.tls == nil && c.l.StartTLS }

func (c *Conn) mustEncrypt() bool { return c.tls == nil && c.l.StartTLSRequired }

// forAuth is what a login may know of the stream.
func (c *Conn) forAuth() auth.Stream {
	return auth.Stream{TLS: c.stream.TLS, Addr: c.stream.Addr, Lang: c.stream.Lang, ServerCertificate: c.cert, Both: c.offersSASL2()}
}
