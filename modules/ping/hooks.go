package ping

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// TimedOut tells that a client has not answered the server's ping, before the
// option timeout_action decides what becomes of it.
var TimedOut = hooks.NewEvent[xmpp.JID]("user_ping_timeout", "A client has not answered a ping.")
