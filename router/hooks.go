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
