package router

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Filter sees every stanza that is routed, in the server's table. Nil drops it.
var Filter = hooks.NewFold[*xmpp.Stanza, struct{}]("filter_packet", "A stanza is about to be routed. Nil drops it.")
