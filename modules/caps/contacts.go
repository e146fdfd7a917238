package caps

import (
	"context"
	"sync"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// maxContacts bounds how many clients of contacts are kept for one session.
const maxContacts = 2000

// contacts is what the clients around a session say about themselves.
type contacts struct {
	mu   sync.Mutex
	caps map[xmpp.JID]Caps
}

// A sight is a Sighting whose features are not known yet.
type sight struct {
	session *sm.Session
	from    xmpp.JID
	first   bool
}

// received sees presence that a client is about to get. It learns from contacts
// of other servers, and tells who wants to know when features change. Presence
// of strangers is not looked at: asking them would tell them that the user is
// there.
func (m *module) received(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if s.Remote() {
		return st, hooks.Next // the client's own node sees to that
	}
	heard := Add.Heard(m.host.Hooks()) || Update.Heard(m.host.Hooks())
	remote := !m.host.Router.Serves(st.From.Domain())
	switch {
	case !heard && !remote:
	case st.Type == "":
		if c, ok := Read(st); ok && m.trusted(ctx, st.From, s.JID) {
			if heard {
				m.saw(ctx, c, st.From, s)
			} else {
				m.note(c, st.From)
			}
		}
	case heard && (st.Type == "unavailable" || st.Type == "error"):
		if k, ok := m.contacts.Get(s); ok {
			k.mu.Lock()
			delete(k.caps, st.From)
			k.mu.Unlock()
		}
	}
	return st, hooks.Next
}

// trusted reports whether user gets the presence of from because he wants to.
func (m *module) trusted(ctx context.Context, from, user xmpp.JID) bool {
	if from.Bare() == user.Bare() {
		return true
	}
	return sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user.Bare(), Other: from.Bare()}).SeenByUser()
}

// saw remembers what a client around s says, and tells who wants to know as soon
// as its meaning is known.
func (m *module) saw(ctx context.Context, c Caps, from xmpp.JID, s *sm.Session) {
	from, c = from.Clone(), c.clone()
	first, changed := m.keep(c, from, s)
	known, ok := m.cache.get(c)
	switch {
	case changed && ok:
		m.tell(ctx, sight{s, from, first}, known)
	case changed:
		m.note(c, from, sight{s, from, first})
	default:
		m.note(c, from)
	}
}

// keep remembers what from says about itself.
func (m *module) keep(c Caps, from xmpp.JID, s *sm.Session) (first, changed bool) {
	k, ok := m.contacts.Get(s)
	if !ok {
		k = &contacts{caps: map[xmpp.JID]Caps{}}
		m.contacts.Set(s, k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	old, had := k.caps[from]
	if !had && len(k.caps) >= maxContacts {
		return false, false
	}
	k.caps[from] = c
	return !had, old != c
}

// arrived tells those who wanted to know c that it is known now, if they still
// want to.
func (m *module) arrived(ctx context.Context, c Caps, features []string, waiting []sight) {
	for _, w := range waiting {
		k, ok := m.contacts.Get(w.session)
		if !ok {
			continue
		}
		k.mu.Lock()
		still := k.caps[w.from] == c
		k.mu.Unlock()
		select {
		case <-w.session.Done():
			still = false
		default:
		}
		if still {
			m.tell(ctx, w, features)
		}
	}
}

func (m *module) tell(ctx context.Context, w sight, features []string) {
	s := Sighting{From: w.from, To: w.session.JID, Features: features}
	if w.first {
		Add.Run(ctx, m.host.Hooks(), s)
		return
	}
	Update.Run(ctx, m.host.Hooks(), s)
}
