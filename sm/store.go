package sm

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/xmpp"
)

// ErrAway says that it cannot be told now who is connected to other nodes.
var ErrAway = errors.New("the session store cannot be asked at the moment")

// A Store remembers the sessions of one virtual host: those of this node, and
// those of the other nodes that share it. What it must ask another machine for is
// bounded in time. Slices that it returns must not be changed.
type Store interface {
	// Add makes s known, and returns the sessions of its user as they are now, s
	// among them. Sessions with the same address may exist beside it. A store that
	// is away keeps s in mind and is no error.
	Add(ctx context.Context, s *Session) ([]*Session, error)
	// Changed makes the presence of s known, and returns when that is done or
	// cannot be done now.
	Changed(ctx context.Context, s *Session)
	// Remove forgets s, and no other session with its address.
	Remove(ctx context.Context, s *Session) error
	// Local is the sessions of a user on this node, in no order. It never waits.
	Local(bare xmpp.JID) []*Session
	// User is the sessions of a user on all nodes, in no order. With an error that
	// wraps ErrAway it is those that are known of.
	User(bare xmpp.JID) ([]*Session, error)
	// Fresh is User as it is now, not as a cache remembers it.
	Fresh(bare xmpp.JID) ([]*Session, error)
	// Here is every session on this node, in no order.
	Here() []*Session
	// All is every session on all nodes, in no order; errors are as with User.
	All() ([]*Session, error)
	// Count is how many there are on all nodes; errors are as with User.
	Count() (int, error)
}
