package vcardxupdate

import (
	"context"
	"sync"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// said is the presence that a session has last sent to everybody, as it went out:
// also one that is just on its way, and also unavailable.
type said struct {
	mu     sync.Mutex
	last   *xmpp.Stanza
	refuse bool // the client does not want to have an avatar
}

func (x *said) get() (last *xmpp.Stanza, refuse bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last, x.refuse
}

// A repetition is presence that is sent again on behalf of a client.
type repetition struct {
	of   *xmpp.Stanza
	sent *xmpp.Stanza // as it goes out
}

type repeating struct{}

// present is for presence to everybody.
func (m *xupdate) present(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	refuse := refuses(st)
	out := m.stamped(ctx, st, s)
	x, ok := m.said.Get(s)
	if !ok {
		x = &said{}
		m.said.Set(s, x)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if r, ok := ctx.Value(repeating{}).(*repetition); ok {
		r.sent = out
		if x.last == r.of {
			x.last = out
		}
		return out, hooks.Next
	}
	x.last, x.refuse = out, refuse
	return out, hooks.Next
}

// again sends the last presence of a session once more, with what is known now. The
// client may be sending another at the same moment: should that have been
// overtaken, it is repeated too, so that the client always has the last word.
func (m *xupdate) again(ctx context.Context, s *sm.Session) {
	x, ok := m.said.Get(s)
	if !ok {
		return
	}
	st, refuse := x.get()
	if st.Type != "" || refuse {
		return
	}
	for {
		r := &repetition{of: st}
		m.host.Sessions.OwnPresence(context.WithValue(ctx, repeating{}, r), s, without(st))
		if r.sent == nil {
			return // somebody does not let it pass
		}
		switch now := m.host.Sessions.Find(s.JID); now {
		case s:
		case nil:
			// It has ended meanwhile, and must not be left available.
			m.host.Sessions.OwnPresence(ctx, s, xmpp.NewPresence("unavailable", s.JID, xmpp.JID{}))
			return
		default: // it was replaced
			m.again(ctx, now)
			return
		}
		if st, _ = x.get(); st == r.sent {
			return
		}
	}
}
