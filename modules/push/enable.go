package push

import (
	"context"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const nsOptions = "http://jabber.org/protocol/pubsub#publish-options"

// Bounds on what a client can have stored, in bytes.
const (
	maxNode = 1024
	maxForm = 16 << 10
)

// answer switches the notifications of the user's clients on and off (XEP-0357 §5,
// §6).
func (m *push) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user, el := iq.From.Bare(), iq.Payload()
	switch {
	case user != iq.To.Bare():
		return nil, xmpp.Forbidden.WithText("Notifications are switched by the account's own clients")
	case iq.Type != "set":
		return nil, xmpp.NotAllowed.WithText("Notifications are switched on or off, not asked for")
	case el.Name != "enable" && el.Name != "disable":
		return nil, xmpp.BadRequest.WithText("Notifications are switched with <enable/> and <disable/>")
	}
	service, err := xmpp.Parse(el.Attr("jid"))
	if err != nil {
		return nil, xmpp.BadRequest.WithText("jid is the address of a push service")
	}
	node := el.Attr("node")
	if len(node) > maxNode {
		return nil, xmpp.NotAcceptable.WithText("This node is too long")
	}
	if el.Name == "disable" {
		return nil, m.disable(ctx, user, service, node)
	}
	return nil, m.enable(ctx, iq, service, node, el)
}

func (m *push) enable(ctx context.Context, iq *xmpp.Stanza, service xmpp.JID, node string, el *xmpp.Element) error {
	if node == "" {
		return xmpp.FeatureNotImplemented.WithText("Notifications without a node are not supported")
	}
	text, err := publishOptions(el)
	if err != nil {
		return err
	}
	s := m.host.Sessions.Find(iq.From)
	if s == nil {
		return xmpp.NotAllowed.WithText("Notifications are for clients that are connected here")
	}
	user := iq.From.Bare()
	if err := m.store.put(ctx, user, s.ID.Time, target{Service: service, Node: node, form: text}); err != nil {
		return err
	}
	enabled.Set(s, true)
	Changed.Run(ctx, m.host.Hooks(), user)
	return nil
}

// publishOptions is the form that the app server wants back with each notification,
// empty if there is none.
func publishOptions(el *xmpp.Element) (string, error) {
	f, err := form.Find(el)
	switch {
	case err != nil:
		return "", err
	case f == nil:
		return "", nil
	case f.Kind != form.Submit || f.FormType() != nsOptions:
		return "", xmpp.BadRequest.WithText("The form must be one of publish-options that was filled in")
	}
	text := el.Child(form.NS, "x").XML()
	if len(text) > maxForm {
		return "", xmpp.NotAcceptable.WithText("This form is too long")
	}
	return text, nil
}

func (m *push) disable(ctx context.Context, user, service xmpp.JID, node string) error {
	n, err := m.store.remove(ctx, user, service, node)
	if err != nil {
		return err
	}
	if n == 0 {
		return xmpp.ItemNotFound.WithText("Nothing of this service is enabled")
	}
	Changed.Run(ctx, m.host.Hooks(), user)
	return nil
}
