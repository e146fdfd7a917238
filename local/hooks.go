package local

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// ToResource sees what is for the server but is no request to its bare domain:
// messages to it, and anything to one of its resources. Nil: it was dealt with.
var ToResource = hooks.NewFold[*xmpp.Stanza, *Host]("local_send_to_resource_hook", "A stanza has come for the server itself or a resource of it. Nil: it was dealt with.").
	ByHand("STANZA", handStanza)

// The hooks of a virtual host's life run in the server's table.
var (
	Up   = hooks.NewEvent[*Host]("host_up", "A virtual host has come up.")
	Down = hooks.NewEvent[*Host]("host_down", "A virtual host is about to go.")
)

// ClearCache runs in the table of each virtual host when an operator has changed
// a database behind the server's back: whoever keeps in memory what he has read
// forgets it. It is heard on all nodes: caches listen with AddEverywhere. A node
// that may have missed what others told it hears it, too (hooks.Hear).
var ClearCache = hooks.NewEvent[*Host]("clear_cache", "What is kept in memory of databases is to be read anew.").
	ByHand("", handHost).Everywhere(ofHost())
