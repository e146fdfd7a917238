package caps

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A Sighting is a user's client that has become aware of what another client
// can do: one of a contact whose presence it gets, or one of the same user.
type Sighting struct {
	From     xmpp.JID // full: whose features they are
	To       xmpp.JID // full: who has got the presence
	Features []string // in order; not to be changed
}

// The hooks run once the features are known and verified, which may be some
// time after the presence came.
var (
	Add    = hooks.NewEvent[Sighting]("caps_add", "A client has got the first presence of another one whose features are known.")
	Update = hooks.NewEvent[Sighting]("caps_update", "A client has got presence of another one that has other features now.")
)
