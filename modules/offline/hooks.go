package offline

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Kept runs when a message is stored for a user (bare address) who has come to
// another node since it was found that nobody is there.
var Kept = hooks.NewEvent[xmpp.JID]("offline_message_kept", "A message is stored for a user who has come to another node in the meantime.").
	Everywhere(hooks.Text(xmpp.Parse))
