package push

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Send runs before a notification goes to an app server.
var Send = hooks.NewFold[*xmpp.Stanza, Notification]("push_send_notification", "An app server is about to be told that something has come for a client. The request may be changed; nil drops it.")

// A Notification is what an app server is told of.
type Notification struct {
	User   xmpp.JID     // bare
	Stanza *xmpp.Stanza // what has come; nil where no single stanza is the reason
}

// String is the user and the stanza, for traces.
func (n Notification) String() string {
	if n.Stanza == nil {
		return n.User.String()
	}
	return n.User.String() + " " + n.Stanza.String()
}

// Wake has the push services of a session that waits for its client told, though
// nothing has come: nothing is with notify_on messages.
var Wake = hooks.NewEvent[*sm.Session]("push_wake", "A session that waits for its client is about to end: its client is to be woken.")

// WakeAll has the push services told of all clients (of the host with that address)
// that have no session, on any node, though nothing has come: nothing is with notify_on
// messages. It returns when that is done, which takes wakePace for each node of an app
// server, or the context ends.
var WakeAll = hooks.NewEvent[xmpp.JID]("push_wake_all", "A virtual host has started, and the sessions that it had were lost: clients that have none are to be woken.")

// Changed runs when the push services of a user (bare address) are stored anew.
var Changed = hooks.NewEvent[xmpp.JID]("push_sessions_changed", "The push services of a user (bare address) are stored anew.").Everywhere(hooks.Text(xmpp.Parse))
