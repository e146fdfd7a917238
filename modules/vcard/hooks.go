package vcard

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// A Setting is who sets a vCard, and how.
type Setting struct {
	User xmpp.JID     // bare: whose vCard it is, and who sets it
	IQ   *xmpp.Stanza // the request; nil if an operator sets it
}

// An Update is a new vCard on its way to the database, or why it does not get
// there: an *xmpp.Error is what the client is told, any other error is logged.
type Update struct {
	Card *xmpp.Element
	Err  error
}

// Set is run when a vCard is set by who may do that. mod_vcard stores it at
// priority Normal: who comes earlier may change it, who comes later knows that
// it is stored. Whoever refuses it returns an Err and Stop.
var Set = hooks.NewFold[Update, Setting]("vcard_iq_set", "A user sets the own vCard. An error refuses it.").ByHand("JID VCARD", handSet)

// Changed runs when the vCard of a user, a bare address, may be another one in
// the database: also when a write has failed, for it may have been carried out.
// What is remembered of it is out of date. It is heard on all nodes. That the
// vCard has gone with its account is auth.Removed's to say.
var Changed = hooks.NewEvent[xmpp.JID]("vcard_changed", "A user's vCard is stored anew.").Everywhere(hooks.Text(xmpp.Parse))

// handSet reads the words JID VCARD.
func handSet(_ context.Context, words []string) (Update, Setting, error) {
	if len(words) != 2 {
		return Update{}, Setting{}, errors.New("two words are needed, the address of a user and a vCard")
	}
	user, err := xmpp.Parse(words[0])
	if err != nil {
		return Update{}, Setting{}, err
	}
	card, err := xmpp.ParseElement([]byte(words[1]), NS)
	return Update{Card: card}, Setting{User: user.Bare()}, err
}

// An Answer is a vCard, or why there is none: storage.ErrNotFound if the user
// has none. The zero Answer says that nobody was asked who knows.
type Answer struct {
	Card *xmpp.Element
	Err  error
}

// Wanted is run for a part of the server that wants a user's vCard; see Of.
var Wanted = hooks.NewFold[Answer, xmpp.JID]("vcard_get", "A part of the server wants the vCard of a user.").ByHand("JID", handWanted)

// handWanted reads the words JID.
func handWanted(_ context.Context, words []string) (Answer, xmpp.JID, error) {
	if len(words) != 1 {
		return Answer{}, xmpp.JID{}, errors.New("one word is needed, the address of a user")
	}
	user, err := xmpp.Parse(words[0])
	return Answer{}, user.Bare(), err
}

// Of is the vCard of a user, a bare address of the virtual host whose table t
// is. It returns storage.ErrNotFound if the user has none, or the host has no
// mod_vcard. It may wait for the database.
func Of(ctx context.Context, t *hooks.Table, user xmpp.JID) (*xmpp.Element, error) {
	a := Wanted.Run(ctx, t, Answer{}, user)
	if a.Card == nil && a.Err == nil {
		a.Err = storage.ErrNotFound
	}
	return a.Card, a.Err
}
