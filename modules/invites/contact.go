package invites

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

var errNoRoster = errors.New("mod_roster is not enabled")

// befriend has a user and a contact see each other, or, unless that is mutual, the
// contact the user.
func (m *module) befriend(ctx context.Context, user, contact xmpp.JID, mutual bool) error {
	b := roster.Befriend.Run(ctx, m.host.Hooks(), roster.Befriended{}, roster.Friendship{User: user, Contact: contact, Mutual: mutual})
	if b.Err == nil && !b.Done {
		return errNoRoster
	}
	return b.Err
}

// received answers a subscription request with a token for the user who has made it
// (XEP-0379 §3.5): the contact is let see the user, and asked for the same. Whatever
// else is in a request is left to the user.
func (m *module) received(ctx context.Context, deliver bool, st *xmpp.Stanza) (bool, hooks.Flow) {
	user, from := st.To.Bare(), st.From.Bare()
	shown := st.Child(nsPARS, "preauth")
	if st.Type != "subscribe" || shown == nil || user == from || !roster.Befriend.Heard(m.host.Hooks()) {
		return deliver, hooks.Next
	}
	if sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: from}).SeesUser() {
		return deliver, hooks.Next // nothing is to be done for which it would be used up
	}
	i, ok, err := m.look(ctx, from.String(), shown.Attr("token"), func(_ context.Context, i *invite) (bool, error) {
		return i.kind == toContact && i.valid() && i.inviter == user.Local() && i.meant(from, m.host.Domain), nil
	})
	if ok && err == nil {
		ok, err = m.store.take(ctx, &i, from, i.account)
	}
	if ok && err == nil {
		if err = m.befriend(ctx, user, from, false); err != nil {
			m.giveBack(ctx, &i, from)
		}
	}
	if err != nil && !errors.Is(err, errGuesses) {
		m.host.Log.Error("an invitation is not answered, the user has to do it", "user", user.String(), "from", from.String(), "error", err)
	}
	if err != nil || !ok {
		return deliver, hooks.Next
	}
	m.host.Log.Info("invitation used", "inviter", user.String(), "by", from.String(), "kind", i.kind.word())
	return false, hooks.Stop
}

// meant reports whether somebody may become a contact by i: where an account was made
// by it, only who has that.
func (i *invite) meant(who xmpp.JID, domain string) bool {
	return i.account == "" || who.Local() == i.account && who.Domain() == domain
}
