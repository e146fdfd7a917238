package privacy

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A Change is a privacy list that is not stored as it was. What it is now is in
// the database.
type Change struct {
	User    xmpp.JID   `json:"user"`              // bare
	List    string     `json:"list,omitempty"`    // whose items have changed; empty: those of none, or it cannot be told
	Default bool       `json:"default,omitempty"` // sessions without an active list are concerned
	Blocked []xmpp.JID `json:"blocked,omitempty"` // what mod_blocking has put into it
	Freed   []xmpp.JID `json:"freed,omitempty"`   // what mod_blocking has taken out
	All     bool       `json:"all,omitempty"`     // Freed is all that there was
	// Hidden and Shown are contacts that do not get the user's presence any more, or
	// get it again.
	Hidden []xmpp.JID `json:"hidden,omitempty"`
	Shown  []xmpp.JID `json:"shown,omitempty"`
}

// Changed runs when a change is stored. Who handles it must not change a list.
var Changed = hooks.NewEvent[Change]("privacy_list_changed", "A privacy list of a user has changed, and that is stored.").
	Everywhere(hooks.JSON[Change]())

// A Blocklist is the addresses that a user's default list denies altogether.
type Blocklist struct {
	JIDs []xmpp.JID
	Err  error // why it cannot be told
}

// An Edit changes the blocklist of a user (XEP-0191 §3.3, §3.4).
type Edit struct {
	User    xmpp.JID // bare
	Block   []xmpp.JID
	Unblock []xmpp.JID
	All     bool // unblock all
}

// An Outcome is what has become of an Edit.
type Outcome struct{ Err error } // nil: it is stored

// The hooks with which mod_blocking reads and changes the default list. They are
// answered by this module at priority 50, and wait for the database.
var (
	Blocked = hooks.NewFold[Blocklist, xmpp.JID]("privacy_blocklist", "The addresses that a user (bare address) has blocked.").
		ByHand("USER", func(_ context.Context, words []string) (l Blocklist, user xmpp.JID, err error) {
			if len(words) != 1 {
				return l, user, errors.New("the address of one user is needed")
			}
			user, err = xmpp.Parse(words[0])
			return l, user.Bare(), err
		})
	Block = hooks.NewFold[Outcome, Edit]("privacy_block", "A user blocks or unblocks addresses. What comes out says why that is not stored.")
)
