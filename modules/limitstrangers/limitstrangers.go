// Package limitstrangers bounds to how many people who are not in his roster a
// user can write in a while: a stolen or made account is of little use for spam.
package limitstrangers

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_limit_strangers. ejabberd has none.
var Module = modules.Define("mod_limit_strangers", modules.Spec[options]{
	Doc:   "Bounds to how many strangers a user can write. Each node counts for itself.",
	Start: start,
})

type options struct {
	Access   acl.Access
	Count    int
	Interval time.Duration
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "none", "Who can write to as many as they like.")
	f.Int(&o.Count, "count", 20, "To how many strangers a user can write in an interval. Rooms and services do not count.").Must(config.Between(1, 1000))
	f.Duration(&o.Interval, "interval", time.Hour, "The time over which they are counted.")
}

// maxCounted bounds the users who are counted at once.
const maxCounted = 10_000

// limiter is the module on one virtual host.
type limiter struct {
	options
	host *modules.Host

	mu  sync.Mutex
	all map[xmpp.JID]*written
}

// written is the strangers to whom a user has written since start.
type written struct {
	start time.Time
	to    map[xmpp.JID]struct{}
	full  bool // that is logged
}

func start(h *modules.Host, o options) error {
	m := &limiter{options: o, host: h, all: map[xmpp.JID]*written{}}
	sm.UserSend.Add(h, hooks.Early, m.sent)
	return nil
}

func (m *limiter) sent(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message || st.Type == "error" || st.Type == "groupchat" || st.To.Local() == "" {
		return st, hooks.Next
	}
	user, to := s.JID.Bare(), st.To.Bare()
	if user == to || s.Directed(st.To) || m.knows(ctx, user, to) || m.Access.Allows(m.host.Rules, local.Subject(user)) || m.pass(user, to) {
		return st, hooks.Next
	}
	s.Send(ctx, st.Bounce(xmpp.PolicyViolation.WithText("You have written to too many strangers, try again later")))
	return nil, hooks.Stop
}

func (m *limiter) knows(ctx context.Context, user, who xmpp.JID) bool {
	c := sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: who})
	return c.SeesUser() || c.SeenByUser()
}

// pass counts a stranger and reports whether there are not too many.
func (m *limiter) pass(user, to xmpp.JID) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.all[user]
	if w == nil {
		m.tidy(now)
		w = &written{}
		m.all[user.Clone()] = w
	}
	if now.Sub(w.start) > m.Interval {
		*w = written{start: now, to: map[xmpp.JID]struct{}{}}
	}
	if _, ok := w.to[to]; ok {
		return true
	}
	if len(w.to) < m.Count {
		w.to[to.Clone()] = struct{}{}
		return true
	}
	if !w.full {
		w.full = true
		m.host.Log.Warn("a user writes to too many strangers", "user", user.String())
	}
	return false
}

// tidy makes room: for those whose interval is over, or where that does not help,
// for anybody.
func (m *limiter) tidy(now time.Time) {
	if len(m.all) < maxCounted {
		return
	}
	for j, w := range m.all {
		if now.Sub(w.start) > m.Interval {
			delete(m.all, j)
		}
	}
	for j := range m.all {
		if len(m.all) < maxCounted {
			return
		}
		delete(m.all, j)
	}
}
