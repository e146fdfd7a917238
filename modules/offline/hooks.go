package offline

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Keeping is a user for whom another node has stored messages.
type Keeping struct {
	User xmpp.JID `json:"user"` // bare address
	N    uint64   `json:"n"`    // by which who has stored them knows the answer
}

// Kept runs when a message is stored for a user who has come to another node since it
// was found that nobody is there.
var Kept = hooks.NewEvent[Keeping]("offline_message_kept", "A message is stored for a user who has come to another node in the meantime.").
	Everywhere(hooks.JSON[Keeping]())

// Given answers Kept: the user's client, if it is there, has been given what waits.
var Given = hooks.NewEvent[Keeping]("offline_messages_given", "A client has been given the messages that another node has stored.").
	Everywhere(hooks.JSON[Keeping]())
