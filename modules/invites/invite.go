package invites

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

// tokenLength is how many letters and digits ejabberd's tokens have, which is more
// than anybody can guess.
const tokenLength = 24

// newToken makes a token: 120 bits in letters and digits that need no escape in a URI.
func newToken() string { return rand.Text()[:tokenLength] }

// maxToken is how long a token may be that is looked for.
const maxToken = 128

// isToken reports whether text may be a token, of ours or of ejabberd's.
func isToken(text string) bool {
	return text != "" && len(text) <= maxToken && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// new makes an invitation of a user, or of the server itself if the name is empty.
func (m *module) new(k kind, inviter, name string) *invite {
	now := time.Now().UTC().Truncate(time.Second)
	return &invite{token: newToken(), inviter: inviter, created: now, expires: now.Add(time.Duration(m.Expire) * time.Second), kind: k, account: name}
}

// user is the bare address of an account of that name, zero if there can be none.
func (m *module) user(name string) xmpp.JID {
	if name == "" {
		return xmpp.JID{}
	}
	j, err := m.host.User(name)
	if err != nil {
		return xmpp.JID{}
	}
	return j
}

// mayInvite reports whether a user may invite people to make accounts.
func (m *module) mayInvite(user xmpp.JID) bool {
	return user.Local() != "" && user.Domain() == m.host.Domain && m.CreateAccount.Allows(m.host.Rules, local.Subject(user.Bare()))
}

// uri is the link that an invitation consists of (XEP-0379 §3.2, XEP-0401 §5,
// XEP-0445 §2).
func (m *module) uri(ctx context.Context, i *invite) string {
	switch {
	case i.kind == toContact:
		uri := "xmpp:" + escaped(i.inviter) + "@" + m.host.Domain + "?roster;preauth=" + i.token
		if m.mayInvite(m.user(i.inviter)) && m.makesAccounts(ctx) {
			uri += ";ibr=y"
		}
		return uri
	case i.account != "":
		return "xmpp:" + escaped(i.account) + "@" + m.host.Domain + "?register;preauth=" + i.token
	}
	return "xmpp:" + m.host.Domain + "?register;preauth=" + i.token
}

// escaped is a name as it stands in a URI (RFC 5122 §2.2).
func escaped(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$()*+,="
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(name) {
		if strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// page is the URL of the page about an invitation, empty if there is none.
func (m *module) page(i *invite, uri string) string {
	return m.Landing.page(m.host.Domain, i.token, uri)
}

// stamp is a time as XEP-0082 has it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
