package sharedroster

import (
	"cmp"
	"context"
	"slices"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// A Change is something about groups that is not as it was.
type Change struct {
	Group string   `json:"group,omitempty"` // empty: all that have every account
	User  xmpp.JID `json:"user,omitzero"`   // who has come or gone; zero: the group itself has changed
	// Passing is set where the user has come or gone with his presence.
	Passing bool `json:"passing,omitempty"`
}

// Changed runs when a change is stored.
var Changed = hooks.NewEvent[Change]("shared_roster_changed", "A shared roster group, or who is in it, has changed.").
	Everywhere(hooks.JSON[Change]())

func byAddress(a, b roster.Item) int { return cmp.Compare(a.JID.String(), b.JID.String()) }

// changed takes up what is in the database now, and tells the clients on this node.
func (m *shared) changed(ctx context.Context, c Change) {
	switch {
	case c.User.IsZero():
		m.regrouped(ctx)
		return
	case c.Group == "":
		m.memory.change(func(s *state) {
			if s.everybody != nil {
				s.everybody[c.User.Clone()] = struct{}{}
			}
		})
	case c.Passing:
		if _, err := m.host.Sessions.Fresh(c.User); err != nil {
			m.host.Log.Warn("it cannot be told now whether a user is there", "user", c.User.String(), "error", err)
		}
	default:
		m.member(ctx, c)
	}
	m.tell(ctx, c.User, func(g *group) bool { return g.name == c.Group || c.Group == "" && g.all })
}

// member takes up whether somebody is in a group by name. That is asked under the
// lock, so that the last word is the database's.
func (m *shared) member(ctx context.Context, c Change) {
	m.memory.change(func(s *state) {
		in, err := m.store.in(ctx, c.User, c.Group)
		switch {
		case err != nil:
			m.lost(err)
			s.stale = true
		case in:
			s.add(c.User, c.Group)
		default:
			s.take(c.User, c.Group)
		}
	})
}

// users is those with a session on this node.
func (m *shared) users() []xmpp.JID {
	seen := map[xmpp.JID]bool{}
	for _, s := range m.host.Sessions.Here() {
		seen[s.JID.Bare()] = true
	}
	out := make([]xmpp.JID, 0, len(seen))
	for j := range seen {
		out = append(out, j)
	}
	return out
}

// tell has everybody on this node see whether user is in these groups, and user
// see who is displayed to them.
func (m *shared) tell(ctx context.Context, user xmpp.JID, concerns func(*group) bool) {
	s, done, err := m.memory.read(ctx)
	if err != nil {
		m.lost(err)
		return
	}
	var pairs []sm.Pair
	for _, u := range m.users() {
		m.memory.shows(s, u, func(g *group) bool {
			if u != user && concerns(g) {
				pairs = append(pairs, sm.Pair{User: u, Other: user})
				return false
			}
			return true
		})
	}
	if len(m.host.Sessions.Local(user)) > 0 {
		seen := map[xmpp.JID]bool{user: true}
		for _, g := range s.groups {
			if !concerns(g) {
				continue
			}
			for _, name := range g.displayed {
				if d := s.groups[name]; d != nil {
					m.memory.everyone(s, d, func(j xmpp.JID) {
						if !seen[j] {
							seen[j] = true
							pairs = append(pairs, sm.Pair{User: user, Other: j})
						}
					})
				}
			}
		}
	}
	done()
	for _, p := range pairs {
		m.refresh(ctx, p.User, p.Other)
	}
}

// regrouped has everybody on this node see what has changed since groups were
// another thing.
func (m *shared) regrouped(ctx context.Context) {
	users := m.users()
	before := m.sights(ctx, users)
	m.memory.drop()
	after := m.sights(ctx, users)
	for _, u := range users {
		for j, labels := range after[u] {
			if !slices.Equal(labels, before[u][j]) {
				m.refresh(ctx, u, j)
			}
		}
		for j := range before[u] {
			if _, ok := after[u][j]; !ok {
				m.refresh(ctx, u, j)
			}
		}
	}
}

func (m *shared) sights(ctx context.Context, users []xmpp.JID) map[xmpp.JID]map[xmpp.JID][]string {
	s, done, err := m.memory.read(ctx)
	if err != nil {
		m.lost(err)
		return nil
	}
	defer done()
	out := map[xmpp.JID]map[xmpp.JID][]string{}
	for _, u := range users {
		out[u] = m.memory.sight(s, u)
		for _, labels := range out[u] {
			slices.Sort(labels)
		}
	}
	return out
}

// refresh tells the user's clients on this node what a contact is now, and the
// contact whether they are there.
func (m *shared) refresh(ctx context.Context, user, contact xmpp.JID) {
	labels := m.labels(ctx, user, contact)
	m.push(ctx, user, contact, labels)
	c := sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: contact})
	for _, s := range m.host.Sessions.Local(user) {
		p, _ := s.Presence()
		switch {
		case p == nil:
		case len(labels) > 0:
			m.send(ctx, s, p.Readdressed(s.JID, contact))
			m.send(ctx, s, xmpp.NewPresence("probe", s.JID, contact))
		case !c.SeesUser():
			m.send(ctx, s, xmpp.NewPresence("unavailable", s.JID, contact))
		}
	}
}

// send sends presence that the user's own rules let out.
func (m *shared) send(ctx context.Context, s *sm.Session, st *xmpp.Stanza) {
	if sm.Privacy.Run(ctx, m.host.Hooks(), true, sm.PrivacyCheck{User: s.JID, Stanza: st, Direction: sm.Out, Session: s}) {
		m.host.Send(ctx, st)
	}
}

func (m *shared) push(ctx context.Context, user, contact xmpp.JID, labels []string) {
	t := m.host.Hooks()
	it := roster.Own.Run(ctx, t, nil, sm.Pair{User: user, Other: contact})
	if len(labels) > 0 {
		base := roster.Item{JID: contact}
		if it != nil {
			base = *it
		}
		seen := merged(base, labels)
		it = &seen
	}
	roster.Push.Run(ctx, t, roster.Sight{User: user, Contact: contact, Item: it})
}

// edited shows a contact as he is in shared groups behind what the user's own
// roster has told.
func (m *shared) edited(ctx context.Context, c roster.Change) {
	if !c.Visible {
		return
	}
	if labels := m.labels(ctx, c.User, c.Contact); len(labels) > 0 {
		m.push(ctx, c.User, c.Contact, labels)
	}
}

// passing is the groups that users are in as long as they are there.
func (m *shared) passing(ctx context.Context) (out []string) {
	s, done, err := m.memory.read(ctx)
	if err != nil {
		m.lost(err)
		return nil
	}
	defer done()
	for _, g := range s.special {
		if g.online {
			out = append(out, g.name)
		}
	}
	return out
}

// arrived tells others that a user is there, when his first client is.
func (m *shared) arrived(ctx context.Context, s *sm.Session) {
	if _, known := m.present.Get(s); known {
		return
	}
	m.present.Set(s, struct{}{})
	m.passed(ctx, s)
}

func (m *shared) left(ctx context.Context, l sm.Leaving) {
	m.present.Delete(l.Session)
	m.passed(ctx, l.Session)
}

func (m *shared) passed(ctx context.Context, s *sm.Session) {
	groups := m.passing(ctx)
	if len(groups) == 0 {
		return
	}
	user := s.JID.Bare()
	for _, o := range m.host.Sessions.Available(user) {
		if o.ID != s.ID {
			return // another client is there, before and after
		}
	}
	for _, g := range groups {
		Changed.Run(ctx, m.host.Hooks(), Change{Group: g, User: user, Passing: true})
	}
}

func (m *shared) registered(ctx context.Context, user xmpp.JID) {
	Changed.Run(ctx, m.host.Hooks(), Change{User: user})
}

// removed takes a user who is no more out of the database.
func (m *shared) removed(ctx context.Context, user xmpp.JID) {
	if err := m.store.remove(ctx, user); err != nil {
		m.host.Log.Error("a removed user is still in shared roster groups", "user", user.String(), "error", err)
	}
}

// gone takes him out of memory and out of others' rosters, on each node.
func (m *shared) gone(ctx context.Context, user xmpp.JID) {
	var groups []string
	all := false
	m.memory.change(func(s *state) {
		groups = slices.Clone(s.of[user])
		for _, g := range groups {
			s.take(user, g)
		}
		_, all = s.everybody[user]
		delete(s.everybody, user)
	})
	if all || len(groups) > 0 {
		m.tell(ctx, user, func(g *group) bool { return all && g.all || slices.Contains(groups, g.name) })
	}
}
