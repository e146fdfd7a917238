// Package acl answers who may do what, and how fast: the lists, rules and
// shapers that an operator names in ejabberd.yml and that every other part of
// the server asks.
//
// An ACL says who somebody is: matchers of which one must hold. An access rule
// says what they may: an ordered list of allow and deny, each with matchers that
// must all hold; the first such entry decides, and without one the answer is no.
// A shaper rule has the same form and gives a rate or a number.
//
// Rules are kept per virtual host. What a rule names is looked up when it is
// asked, so a reload changes the answer of every rule at once.
package acl

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/xmpp"
)

// A Subject is somebody about whom a rule is asked. What is not known stays
// zero; a matcher for it then does not hold.
type Subject struct {
	JID xmpp.JID
	IP  netip.Addr // an IPv4 address inside IPv6 counts as the IPv4 address
}

// A Ruleset is what holds on one virtual host, or for the server as a whole. It
// stays the same pointer for as long as the host is served; Replace changes what
// it holds. All its methods may be called from anywhere and never block.
type Ruleset struct {
	host    string
	serves  func(domain string) bool
	groups  *Groups
	current atomic.Pointer[Options]
}

// NewRuleset returns an empty ruleset, which allows nobody anything, for a host
// ("" for the server as a whole). Serves tells which domains are virtual hosts
// of this server, which `user` without a host asks; groups answers
// `shared_group`. Both may be nil: nothing is served, nobody is in a group.
func NewRuleset(host string, serves func(domain string) bool, groups *Groups) *Ruleset {
	if serves == nil {
		serves = func(string) bool { return false }
	}
	rs := &Ruleset{host: host, serves: serves, groups: groups}
	rs.current.Store(&Options{})
	return rs
}

// Replace puts o in the place of what rs held. Whoever asks gets an answer of
// either the old rules or the new ones, never of a mixture.
func (rs *Ruleset) Replace(o Options) { rs.current.Store(&o) }

// Host is the virtual host whose rules these are, "" for the whole server's.
func (rs *Ruleset) Host() string { return rs.host }

// Allows asks the access rule called name. A rule that does not exist allows
// nobody; `all` and `none` always exist.
func (rs *Ruleset) Allows(name string, who Subject) bool {
	return NewAccess(name).Allows(rs, who)
}

// In reports whether who is in the ACL called name. An ACL that does not exist
// has nobody in it; `all` and `none` always exist.
func (rs *Ruleset) In(name string, who Subject) bool {
	return question{rs, rs.current.Load(), who}.in(name)
}

// A question is a subject and the rules of one moment, so that an answer never
// mixes old and new ones.
type question struct {
	rs  *Ruleset
	o   *Options
	who Subject
}

func (rs *Ruleset) about(who Subject) question {
	return question{rs, rs.current.Load(), who}
}

func (q question) in(name string) bool {
	switch name {
	case "all":
		return true
	case "none":
		return false
	}
	for i := range q.o.Lists[name].matchers {
		if q.o.Lists[name].matchers[i].holds(q) {
			return true
		}
	}
	return false
}

// Groups finds out who is in which shared roster group. The module that knows
// provides an answer for its host while it runs.
type Groups struct {
	mu   sync.RWMutex
	ask  map[string]func(user xmpp.JID, group string) bool
	turn map[string]int
}

// Provide has f answer for the groups of host until remove is called. A later
// provider takes the place of an earlier one. F may be called from anywhere.
func (g *Groups) Provide(host string, f func(user xmpp.JID, group string) bool) (remove func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ask == nil {
		g.ask, g.turn = map[string]func(xmpp.JID, string) bool{}, map[string]int{}
	}
	g.turn[host]++
	mine := g.turn[host]
	g.ask[host] = f
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.turn[host] == mine {
			delete(g.ask, host)
		}
	}
}

// in reports whether user is in the group of a host; nobody is while nobody
// answers for that host.
func (g *Groups) in(user xmpp.JID, group, host string) bool {
	if g == nil {
		return false
	}
	g.mu.RLock()
	f := g.ask[host]
	g.mu.RUnlock()
	return f != nil && f(user.Bare(), group)
}
