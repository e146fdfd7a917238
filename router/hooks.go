package router

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Filter sees every stanza that is routed, in the server's table. Nil drops it.
var Filter = hooks.NewFold[*xmpp.Stanza, struct{}]("filter_packet", "A stanza is about to be routed. Nil drops it.").
	ByHand("STANZA", handStanza)

// handStanza reads the words STANZA.
func handStanza(_ context.Context, words []string) (st *xmpp.Stanza, none struct{}, err error) {
	if len(words) != 1 {
		return nil, none, errors.New("one word is needed, the stanza")
	}
	st, err = xmpp.ParseXML([]byte(words[0]))
	return st, none, err
}

// Unasked runs in the table of a virtual host with an answer to a question that this
// node has not asked, or does not wait for any more.
var Unasked = hooks.NewEvent[*xmpp.Stanza]("iq_answer_unasked", "A client has answered a question of the server that this node does not wait for.")
