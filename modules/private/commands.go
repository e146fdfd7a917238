package private

import (
	"context"
	"errors"
	"regexp"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// commands are what an operator can do about private data.
func (m *private) commands() []admin.Command {
	return []admin.Command{
		admin.New("private_get", "Show some of a user's private data.", m.commandGet).Tags("private").
			Example("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>", "user1", "myserver.com", "storage", "storage:bookmarks"),
		admin.New("private_set", "Set some of a user's private data.", m.commandSet).Tags("private").
			Example("", "user1", "myserver.com", "<storage xmlns='storage:bookmarks'/>"),
	}
}

type getArgs struct {
	admin.OfUser
	Element, NS string
}

// Fields declares the arguments.
func (a *getArgs) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Element, "element", "", "Name of the element.")
	f.String(&a.NS, "ns", "", "Namespace of the element.")
}

type setArgs struct {
	admin.OfUser
	Element string
}

// Fields declares the arguments.
func (a *setArgs) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Element, "element", "", "The XML to store.")
}

// plainName is a name that an element may have.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (m *private) commandGet(ctx context.Context, in getArgs) (string, error) {
	user, err := in.JID()
	if err != nil {
		return "", err
	}
	if !plainName.MatchString(in.Element) {
		return "", admin.Usage.With("%q cannot be the name of an element", in.Element)
	}
	if in.NS == "" || in.NS == ns {
		return "", admin.Usage.With("%q is no namespace that private data has", in.NS)
	}
	el, err := m.get(ctx, user, []piece{{in.NS, xmpp.El(in.NS, in.Element)}})
	if err != nil {
		return "", err
	}
	return el.XML(), nil
}

func (m *private) commandSet(ctx context.Context, in setArgs) (admin.Rescode, error) {
	user, err := in.JID()
	if err != nil {
		return admin.False, err
	}
	el, err := xmpp.ParseElement([]byte(in.Element), "")
	if err != nil {
		return admin.False, admin.Usage.With("the element is no XML: %v", err)
	}
	if el.NS == "" || el.NS == ns || len(el.NS) > maxNamespace {
		return admin.False, admin.Usage.With("the element needs a namespace of its own: <%s xmlns='…'/>", el.Name)
	}
	ok, err := m.host.Auth.Exists(ctx, user)
	switch {
	case err != nil:
		return admin.False, err
	case !ok:
		return admin.False, admin.NotFound.With("there is no user %s", user)
	}
	if err = m.store.set(ctx, user, []piece{{el.NS, el}}); errors.Is(err, errFull) {
		return admin.False, admin.Failed.With("%s has no room for more private data: %d bytes in %d namespaces are allowed", user, maxBytes, maxPieces)
	}
	return admin.Whether(err == nil), err
}
