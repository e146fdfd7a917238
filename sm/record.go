package sm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// recordVersion is the version of a Record: it changes when an older gabberd
// would misunderstand it.
const recordVersion = 1

// Bounds on what stands in Redis for one session, in bytes.
const (
	maxPresence  = 16 << 10 // a longer one is kept without what others do not route by
	maxRecord    = 64 << 10 // nothing that we write is longer
	keptDirected = 8 << 10  // of the addresses that have directed presence; others do not hear of a dead node
)

// A Record is a session as it stands in Redis, so that other nodes, and people
// with redis-cli, know who is where. Times are in microseconds since 1970.
type Record struct {
	V         int    `json:"v"`
	Node      string `json:"node"`
	Epoch     uint64 `json:"epoch"` // of the node: it tells a live session from what a dead process has left
	JID       string `json:"jid"`
	Opened    int64  `json:"opened"`
	N         uint64 `json:"n"`               // with Opened and Node the ID
	Priority  *int   `json:"priority"`        // null for a client that is not available
	Since     int64  `json:"since,omitempty"` // of the presence
	IP        string `json:"ip,omitempty"`    // with the port
	Conn      string `json:"conn,omitempty"`  // c2s_tls, …
	Auth      string `json:"auth,omitempty"`  // the backend that let the client in
	Anonymous bool   `json:"anonymous,omitempty"`
	Device    string `json:"device,omitempty"`
	Lang      string `json:"lang,omitempty"`
	Rules     string `json:"rules,omitempty"`    // the active privacy list
	Copied    bool   `json:"copied,omitempty"`   // it wants copies of messages (XEP-0280)
	Presence  string `json:"presence,omitempty"` // XML; left out in the index of a virtual host

	// Who has directed presence and is to be told when the node has died; left out
	// like the presence.
	Directed []string `json:"directed,omitempty"`
}

// RecordOf is the record of a session of this node, as it is now.
func RecordOf(s *Session, epoch uint64) Record {
	r := Record{
		V: recordVersion, Node: s.ID.Node, Epoch: epoch, JID: s.JID.String(), Opened: s.ID.Time.UnixMicro(), N: s.ID.N,
		Conn: s.Transport(), Auth: s.Auth, Anonymous: s.Anonymous, Device: s.Device, Lang: s.Lang,
		Rules: s.ActiveList(), Copied: s.Copied(),
	}
	if addr := s.Addr(); addr.IsValid() {
		r.IP = addr.String()
	}
	if p, since := s.Presence(); p != nil {
		prio, _ := s.Priority()
		r.Priority, r.Since = &prio, since.UnixMicro()
		r.Presence = presenceText(p, prio)
	}
	r.Directed = s.directedTo(keptDirected)
	return r
}

// nsCaps is XEP-0115: what a client can do, which decides what it is sent.
const nsCaps = "http://jabber.org/protocol/caps"

// presenceText is the presence as it is kept: whole, or of one that is too long
// only what others need for routing.
func presenceText(p *xmpp.Stanza, prio int) string {
	text := p.XML()
	if len(text) <= maxPresence {
		return text
	}
	short := xmpp.NewPresence("", p.From, xmpp.JID{})
	for el := range p.Children() {
		if el.NS == xmpp.NSClient && (el.Name == "show" || el.Name == "priority") || el.NS == nsCaps && el.Name == "c" {
			short = short.With(el)
		}
	}
	if text = short.XML(); len(text) <= maxPresence {
		return text
	}
	return xmpp.NewPresence("", p.From, xmpp.JID{}, xmpp.TextEl(xmpp.NSClient, "priority", strconv.Itoa(prio))).XML()
}

// Short is the record without its presence, and who was sent another.
func (r Record) Short() Record {
	r.Presence, r.Directed = "", nil
	return r
}

// directed are those who have directed presence, for a session whose node is dead.
func (r Record) directed() map[xmpp.JID]struct{} {
	var all map[xmpp.JID]struct{}
	for _, text := range r.Directed {
		j, err := xmpp.Parse(text)
		if err != nil {
			continue // somebody else has written it
		}
		if all == nil {
			all = map[xmpp.JID]struct{}{}
		}
		all[j] = struct{}{}
	}
	return all
}

// String is the record as JSON.
func (r Record) String() string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read it
	if err := enc.Encode(r); err != nil {
		panic(err) // there is nothing in it that cannot be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ID is the ID of the session.
func (r Record) ID() ID { return ID{Time: time.UnixMicro(r.Opened), N: r.N, Node: r.Node} }

// errNotOurs is the error of every record that no gabberd of this version has
// written.
var errNotOurs = errors.New("not a record of a session")

// ParseRecord reads a record that has been found in Redis under the field field,
// where anybody may have written anything.
func ParseRecord(field, text string) (Record, error) {
	var r Record
	if len(text) > maxRecord {
		return r, fmt.Errorf("%w: it has %d bytes", errNotOurs, len(text))
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	id, ok := parseID(field)
	switch {
	case r.V != recordVersion:
		return r, fmt.Errorf("%w: it is of version %d, not %d", errNotOurs, r.V, recordVersion)
	case !ok || r.ID() != id:
		return r, fmt.Errorf("%w: it does not belong to its field", errNotOurs)
	case r.Priority != nil && (*r.Priority < -128 || *r.Priority > 127):
		return r, fmt.Errorf("%w: there is no priority %d", errNotOurs, *r.Priority)
	}
	return r, nil
}

// session is the session on another node that the record tells of.
func (r Record) session(domain string, nodes Nodes) (*Session, error) {
	s, err := r.read(domain)
	if err != nil {
		return nil, err
	}
	s.remote, s.epoch = true, r.Epoch
	conn := nodes.Dial(Address{Domain: domain, JID: s.JID, ID: s.ID, Epoch: r.Epoch})
	s.conn.Store(&conn)
	return s, nil
}

// read is the session that the record tells of, without a connection.
func (r Record) read(domain string) (*Session, error) {
	j, err := xmpp.Parse(r.JID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	if j.Domain() != domain || j.Local() == "" || j.Resource() == "" {
		return nil, fmt.Errorf("%w: %s is no session of %s", errNotOurs, r.JID, domain)
	}
	s := &Session{
		ID: r.ID(), JID: j, transport: r.Conn, Auth: r.Auth, Anonymous: r.Anonymous, Device: r.Device, Opened: time.UnixMicro(r.Opened), Lang: r.Lang,
	}
	s.addr, _ = netip.ParseAddrPort(r.IP) // some have none
	if r.Rules != "" {
		s.rules.Store(&r.Rules)
	}
	s.copied.Store(r.Copied)
	if r.Priority != nil {
		s.priority.Store(int32(*r.Priority))
		s.available.Store(true)
		s.since = time.UnixMicro(r.Since)
	}
	if r.Presence != "" {
		p, err := xmpp.ParseXML([]byte(r.Presence))
		if err != nil || p.Kind != xmpp.Presence || r.Priority == nil {
			return nil, fmt.Errorf("%w: what it has for a presence is none", errNotOurs)
		}
		s.presence = p
	}
	return s, nil
}

// parseID reads what ID.String has written on a server that has a name.
func parseID(text string) (ID, bool) {
	at, rest, ok := strings.Cut(text, "-")
	if !ok {
		return ID{}, false
	}
	n, node, ok := strings.Cut(rest, "@")
	if !ok || node == "" {
		return ID{}, false
	}
	micro, err := strconv.ParseInt(at, 10, 64)
	if err != nil || micro < 0 {
		return ID{}, false
	}
	num, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		return ID{}, false
	}
	id := ID{Time: time.UnixMicro(micro), N: num, Node: node}
	return id, id.String() == text
}
