// Package vcardxupdate puts the hash of the avatar in a user's vCard into the
// presence of all clients of that user, so that contacts know when to fetch it
// (XEP-0153).
package vcardxupdate

import (
	"context"
	"crypto/sha1" // the hash that XEP-0153 names
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "vcard-temp:x:update"

// maxCached bounds the hashes of a virtual host in memory, in bytes.
const maxCached = 64 << 20

// Module is mod_vcard_xupdate.
var Module = modules.Define("mod_vcard_xupdate", modules.Spec[options]{
	Doc:   "Puts the hash of a user's avatar into the presence of all clients of that user.",
	XEPs:  []string{"0153", "0398"},
	Needs: []string{"mod_vcard"},
	Start: start,
})

// options are those of a cache alone: the data is mod_vcard's.
type options struct{ backend modules.Backend }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) { o.backend.CacheFields(f) }

// An avatar is what the vCard of a user says about a photo.
type avatar struct {
	hash     string // SHA-1 in hex; empty: there is no photo
	external bool   // the photo is somewhere else
}

// xupdate is the module on one virtual host.
type xupdate struct {
	host  *modules.Host
	cache *modules.Cache[avatar]
	said  *sm.Slot[*said]
	later *later
}

func start(h *modules.Host, o options) error {
	m := &xupdate{
		host:  h,
		cache: modules.NewCache(h.CacheOf(o.backend), maxCached, func(a avatar) int { return len(a.hash) }),
		said:  sm.NewSlot[*said]("vcard_xupdate"),
		later: newLater(),
	}
	sm.SelfPresent.Add(h, hooks.Last, m.present) // ejabberd's: after whoever changes presence
	sm.UserSend.Add(h, hooks.Normal, m.directed)
	vcard.Set.Add(h, 90, m.changed) // ejabberd's: when it is stored
	m.listen()
	return nil
}

// directed is for presence to somebody, a room for example. What goes to
// everybody comes to present.
func (m *xupdate) directed(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st.Kind == xmpp.Presence && !st.To.IsZero() && st.To != s.JID.Bare() {
		st = m.stamped(ctx, st, s)
	}
	return st, hooks.Next
}

// stamped is available presence with what the user's vCard says in the place of
// what the client says.
func (m *xupdate) stamped(ctx context.Context, st *xmpp.Stanza, s *sm.Session) *xmpp.Stanza {
	if st.Type != "" || refuses(st) {
		return st
	}
	a, err := m.avatar(ctx, s.JID.Bare())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return without(st).With(xmpp.El(ns, "x"))
	case err != nil:
		m.host.Log.Error("presence goes out without the avatar's hash", "user", s.JID.Bare().String(), "error", err)
		return st
	case a.external:
		return without(st)
	}
	return without(st).With(xmpp.El(ns, "x", xmpp.TextEl(ns, "photo", a.hash)))
}

// refuses reports whether the client that sends st does not want to have an avatar
// (XEP-0398 §3).
func refuses(st *xmpp.Stanza) bool {
	x := st.Child(ns, "x")
	if x == nil {
		return false
	}
	photo := x.Child(ns, "photo")
	return photo != nil && photo.Text() == ""
}

func without(st *xmpp.Stanza) *xmpp.Stanza {
	if !st.Has(ns, "x") {
		return st
	}
	return st.Filter(func(el *xmpp.Element) bool { return !el.Is(ns, "x") })
}

// avatar is what is known of user's photo: storage.ErrNotFound if there is no
// vCard.
func (m *xupdate) avatar(ctx context.Context, user xmpp.JID) (avatar, error) {
	return m.cache.Get(user, func() (avatar, error) {
		card, err := vcard.Of(ctx, m.host.Hooks(), user)
		if err != nil {
			return avatar{}, err
		}
		return hashOf(card), nil
	})
}

// hashOf finds the photo in a vCard (XEP-0153 §3.1). One that is no base64 is
// none.
func hashOf(card *xmpp.Element) avatar {
	photo := card.Child("", "PHOTO")
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, photo.Child("", "BINVAL").Text())
	image, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err == nil && len(image) > 0:
		sum := sha1.Sum(image)
		return avatar{hash: hex.EncodeToString(sum[:])}
	case text == "" && photo.Child("", "EXTVAL").Text() != "":
		return avatar{external: true}
	}
	return avatar{}
}

// changed has the user's clients on this node send their presence again, as
// ejabberd does (reset_vcard_xupdate_resend_presence), so that contacts learn the
// hash at once.
func (m *xupdate) changed(ctx context.Context, u vcard.Update, set vcard.Setting) (vcard.Update, hooks.Flow) {
	m.allAgain(ctx, set.User)
	return u, hooks.Next
}

// allAgain sends the presence of all clients of user on this node once more.
func (m *xupdate) allAgain(ctx context.Context, user xmpp.JID) {
	for _, s := range slices.Clone(m.host.Sessions.Local(user)) {
		m.again(ctx, s)
	}
}
