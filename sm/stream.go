package sm

import (
	"crypto/tls"
	"net/netip"

	"github.com/gabberd/gabberd/xmpp"
)

// A Stream is a client's XML stream, as those see it who add to what it offers.
// It belongs to the goroutine that reads the stream; hooks run there.
type Stream struct {
	Sessions *Sessions // of the virtual host the client has asked for
	Addr     netip.AddrPort
	TLS      *tls.ConnectionState // nil while the stream is not encrypted
	Lang     string
	User     xmpp.JID // bare, once the client has logged in
	Local    xmpp.JID // the domain the client has asked for

	// Reply sends a stanza to a client that has no session yet.
	Reply func(*xmpp.Stanza)
}
