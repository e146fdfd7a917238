package skeleton

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Greeted is a hook of our own: other modules may listen to it. Names are those
// that ejabberd has, where it has one.
var Greeted = hooks.NewEvent[xmpp.JID]("skeleton_greeted", "A user (bare address) has greeted the server.")
