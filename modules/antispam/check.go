package antispam

import (
	"context"
	"strings"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// maxWords bounds what of a message is looked at.
const maxWords = 2000

// received keeps spam from the user.
func (m *antispam) received(ctx context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
	switch {
	case st == nil:
		return nil, hooks.Next
	case st.Kind == xmpp.Message && st.Type != "groupchat" && st.Type != "error", st.Kind == xmpp.Presence && st.Type == "subscribe":
	default:
		return st, hooks.Next
	}
	if m.spared(ctx, st) || !m.spam(ctx, st) {
		return st, hooks.Next
	}
	m.reject(ctx, st)
	return nil, hooks.Stop
}

// spared reports whether nothing is looked at: the user knows the sender, or wants
// to have it all.
func (m *antispam) spared(ctx context.Context, st *xmpp.Stanza) bool {
	user := st.To.Bare()
	if st.From.Bare() == user || st.From.Bare() == m.host.JID {
		return true
	}
	if m.Access.Allows(m.host.Rules, local.Subject(user)) {
		return true
	}
	return m.knows(ctx, user, st.From) || m.knows(ctx, user, st.From.Host())
}

func (m *antispam) knows(ctx context.Context, user, who xmpp.JID) bool {
	c := sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: who})
	return c.SeesUser() || c.SeenByUser() || c.Ask == "subscribe"
}

func (m *antispam) spam(ctx context.Context, st *xmpp.Stanza) bool {
	from := st.From.Bare()
	m.mu.RLock()
	l := m.lists
	by := l.jids[from.String()] || m.bad(from.Domain())
	m.mu.RUnlock()
	if by || m.senders.has(from.String()) {
		return true
	}
	if st.Kind != xmpp.Message || len(l.urls)+len(l.jids) == 0 || !l.mentioned(st.Body()) {
		return false
	}
	Marked.Run(ctx, m.host.Hooks(), Mark{JID: from.String(), Spam: true})
	return true
}

// bad reports whether the domain is a spammer's, with m.mu held.
func (m *antispam) bad(domain string) bool {
	if m.lists.good[domain] {
		return false
	}
	if spam, said := m.added[domain]; said {
		return spam
	}
	return m.lists.domains[domain]
}

// mentioned reports whether a link or an address on the lists is in the text.
func (l *lists) mentioned(text string) bool {
	n := 0
	for word := range strings.FieldsSeq(text) {
		if n++; n > maxWords {
			return false
		}
		if i := strings.Index(strings.ToLower(word), "http"); i >= 0 && i < len(word) {
			if u, err := link(word[i:]); err == nil && l.urls[u] {
				return true
			}
		}
		if strings.Contains(word, "@") && l.named(word) {
			return true
		}
	}
	return false
}

// named reports whether an address on the list is in a word, such as
// <xmpp:buy@spam.example?message>.
func (l *lists) named(word string) bool {
	word = strings.Trim(word, "<>()[]{}\"'.,;:!?")
	if len(word) > len("xmpp:") && strings.EqualFold(word[:len("xmpp:")], "xmpp:") {
		word = word[len("xmpp:"):]
	}
	word, _, _ = strings.Cut(word, "?")
	j, err := bareAddress(word)
	return err == nil && l.jids[j]
}

// reject answers spam, and writes down what it was.
func (m *antispam) reject(ctx context.Context, st *xmpp.Stanza) {
	if m.dump != nil {
		m.dump.put(st)
	} else {
		m.host.Log.Info("spam was refused", "from", st.From.String(), "to", st.To.String(), "kind", st.Kind.String())
	}
	Rejected.Run(ctx, m.host.Hooks(), st)
	if st.Type == "headline" {
		return
	}
	m.host.Router.Bounce(ctx, st, xmpp.PolicyViolation.WithText("Your traffic is unsolicited"))
}
