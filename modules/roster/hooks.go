package roster

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Contents is what is in a roster.
type Contents struct {
	// Items is shared: a handler may append to it, and replaces something in a
	// clone.
	Items []Item
	Err   error // why it cannot be told; Items is not to be relied on then

	stored *lists // whose items Items was
}

// The hooks of a roster. Those about who gets whose presence are in package sm.
var (
	// Get is answered by the roster's own store at priority 50.
	Get = hooks.NewFold[Contents, xmpp.JID]("roster_get", "The roster of a user (bare address), as his clients shall see it.").
		ByHand("USER", func(_ context.Context, words []string) (c Contents, user xmpp.JID, err error) {
			if len(words) != 1 {
				return c, user, errors.New("the address of one user is needed")
			}
			user, err = xmpp.Parse(words[0])
			return c, user.Bare(), err
		})
	// Waiting is answered by the roster's own store at priority 50.
	Waiting = hooks.NewFold[int, xmpp.JID]("roster_waiting_requests", "How many people wait for a user (bare address) to answer their subscription request?")
	// ProcessItem may change name, groups and state.
	ProcessItem = hooks.NewFold[Item, xmpp.JID]("roster_process_item", "A user (bare address) has set a contact in his roster; it is about to be stored.")
	// RemoteAccess is about an IQ from somebody else to the user's bare address.
	RemoteAccess = hooks.NewFold[bool, *xmpp.Stanza]("roster_remote_access", "Somebody asks for or changes another's roster. True lets him.")
)

// A Sight is what a user's clients shall see of a contact, where that is more than
// what is stored.
type Sight struct {
	User, Contact xmpp.JID // the user's is bare
	Item          *Item    // nil: the contact is not in the roster any more
}

// What modules need that put contacts of their own into rosters.
var (
	// Own is answered by the roster's own store at priority 50.
	Own = hooks.NewFold[*Item, sm.Pair]("roster_own_item", "A contact as the user has put him into his roster, nil if he has not.")
	// Push tells the user's clients on this node that have asked for the roster.
	Push = hooks.NewEvent[Sight]("roster_push", "A module has a contact in a user's roster changed, as the user's clients see it.")
)

// A Friendship is what a module arranges between a user and a contact on the
// user's behalf.
type Friendship struct {
	User, Contact xmpp.JID // bare
	// Mutual says that the contact's roster is told the same, so that neither has to
	// be asked. Else the user lets the contact see him and asks for the same.
	Mutual bool
}

// Befriended is what has become of a Friendship: the zero value says that there is no
// roster.
type Befriended struct {
	Done bool
	Err  error // an *xmpp.Error where the roster refuses
}

// Befriend is answered by the roster's own store at priority 50, which writes to
// the database and sends what has to be sent.
var Befriend = hooks.NewFold[Befriended, Friendship]("roster_befriend", "A module has a user and a contact see each other's presence.")

// A Change is a contact in a user's roster that is not stored as it was. What it
// is now is in the database.
type Change struct {
	User, Contact xmpp.JID // the user's is bare
	Visible       bool     // the user's clients are to hear of it
	Version       string   // the roster's after it, if versions are used and it is known
}

// Changed runs when a change is stored and the user's clients on this node have
// been told. Who handles it must not change the same roster.
var Changed = hooks.NewEvent[Change]("roster_changed", "A contact in a user's roster has changed, and that is stored.").
	Everywhere(hooks.Wire[Change]{Write: writeChange, Read: readChange})
