package admin

import (
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// OnHost is the argument of commands about a virtual host, to be taken as it is
// or embedded in front of others.
type OnHost struct{ Host string }

// Fields declares host.
func (a *OnHost) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "Virtual host.")
}

// OfUser is the arguments of commands about an account, to be taken as they are
// or embedded in front of others.
type OfUser struct{ User, Host string }

// Fields declares user and host.
func (a *OfUser) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "Name of the account, the part before the @.")
	f.String(&a.Host, "host", "", "Virtual host of the account.")
}

// JID is the account's bare JID, or Usage if there can be none of that name.
func (a *OfUser) JID() (xmpp.JID, error) {
	if a.User == "" {
		return xmpp.JID{}, Usage.With("user: must not be empty")
	}
	j, err := xmpp.NewJID(a.User, a.Host, "")
	if err != nil {
		return j, Usage.With("%q at %q is no address: %v", clip(a.User), clip(a.Host), err)
	}
	return j, nil
}
