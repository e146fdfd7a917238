package acl

import (
	"net/netip"
	"regexp"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// what is the part of a subject that a matcher looks at.
type what uint8

const (
	byUser what = iota
	byServer
	byResource
	byNode
	byGroup
	byIP
	byList // membership of a named ACL
)

// A matcher is one condition on a subject. Text is compared as a whole, unless
// there is a pattern.
type matcher struct {
	what    what
	text    string         // the user, server, resource, group or list
	host    string         // of a user, a group or a node: only there; "" for every served host
	pattern *regexp.Regexp // instead of text
	server  *regexp.Regexp // of a node: for its domain
	net     netip.Prefix
	at      *config.Node // where a list is named, for warnings; may be nil
}

// holds reports whether m matches the subject of q. What is not known about a
// subject matches nothing.
func (m *matcher) holds(q question) bool {
	switch m.what {
	case byList:
		return q.in(m.text)
	case byIP:
		return q.who.IP.IsValid() && m.net.Contains(plainIP(q.who.IP))
	}
	j := q.who.JID
	if j.IsZero() {
		return false
	}
	switch m.what {
	case byUser:
		return m.matches(j.Local()) && m.placed(q, j.Domain())
	case byServer:
		return m.matches(j.Domain())
	case byResource:
		return (m.pattern != nil || !j.IsBare()) && m.matches(j.Resource())
	case byNode:
		return m.pattern.MatchString(j.Local()) && m.server.MatchString(j.Domain())
	case byGroup:
		return m.inGroup(q, j)
	}
	return false
}

func (m *matcher) matches(s string) bool {
	if m.pattern != nil {
		return m.pattern.MatchString(s)
	}
	return m.text == s
}

// placed reports whether domain is the one that m is about.
func (m *matcher) placed(q question, domain string) bool {
	if m.host != "" {
		return m.host == domain
	}
	return q.rs.serves(domain)
}

func (m *matcher) inGroup(q question, j xmpp.JID) bool {
	host := m.host
	if host == "" {
		host = j.Domain()
	}
	return q.rs.groups.in(j, m.text, host)
}

// plainIP is the address that a person would write: IPv4 also where the socket
// says it in IPv6, and without a zone.
func plainIP(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
