package sm

import (
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Nodes is what a Store that several nodes share must know of them. Its methods
// may be called by anyone, at any time, and never wait.
type Nodes interface {
	// Name is the name of this node.
	Name() string
	// Epoch is the epoch of this node: it grows whenever the node starts, or was
	// taken for dead.
	Epoch() uint64
	// Current reports whether what the node named name has written in that epoch
	// still holds: the node lives, as far as is known, and has not begun anew.
	Current(name string, epoch uint64) bool
	// Settled reports whether everybody has written his sessions since Redis was last
	// found empty, as far as can be known.
	Settled() bool
	// Emptied says that Redis has lost what this node has written.
	Emptied()
	// Dial is the way to a session on another node.
	Dial(a Address) Conn
}

// An Address is where a session on another node is found.
type Address struct {
	Domain string // the virtual host
	JID    xmpp.JID
	ID     ID     // with the node's name
	Epoch  uint64 // of that node
}

// End ends the session with that ID if it is on this node, and reports whether it
// was.
func (ss *Sessions) End(user xmpp.JID, id ID, reason *stream.Error) bool {
	for _, s := range ss.store.Local(user.Bare()) {
		if s.ID == id {
			s.Close(reason)
			return true
		}
	}
	return false
}
