package roster

import (
	"strings"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp"
)

const nsClient = xmpp.NSClient

// storeRequest is a subscription request as column askmessage keeps it (RFC 6121
// §3.1.3): like ejabberd only its status where there is nothing else in it, else
// the whole stanza. Of what is too long only the start of the status is kept.
func storeRequest(st *xmpp.Stanza) string {
	status, plain := "", true
	for c := range st.Children() {
		if c.Is(nsClient, "status") && status == "" && c.Attr("xml:lang") == "" {
			status = c.Text()
		} else {
			plain = false
		}
	}
	if !plain || looksLikeStanza(status) {
		if whole := st.XML(); len(whole) <= maxRequest {
			return whole
		}
		if looksLikeStanza(status) {
			return ""
		}
	}
	return clip(status, maxRequest)
}

// readRequest is what was stored, as a request of contact to user. Whoever sent
// it could write anything but the addresses.
func readRequest(stored string, contact, user xmpp.JID) *xmpp.Stanza {
	if looksLikeStanza(stored) {
		st, err := xmpp.ParseXML([]byte(stored))
		if err == nil && st.Kind == xmpp.Presence && st.Type == "subscribe" {
			return st.Readdressed(contact.Bare(), user)
		}
	}
	var children []*xmpp.Element
	if stored != "" {
		children = append(children, xmpp.TextEl(nsClient, "status", stored))
	}
	return xmpp.NewPresence("subscribe", contact.Bare(), user, children...)
}

func looksLikeStanza(s string) bool { return strings.HasPrefix(s, "<presence") }

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
