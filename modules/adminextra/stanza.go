package adminextra

import (
	"context"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// stanzaCommands send something in somebody's name.
func (m *module) stanzaCommands() []admin.Command {
	return []admin.Command{
		admin.New("send_message", "Send a message.", m.sendMessage).Tags("stanza").HostArg("from").
			Long("It may come from the virtual host, from a user of it or from a service on it. For a room, send a groupchat message from an occupant's full address.").
			Example("", "headline", "admin@localhost", "user1@localhost", "Restart", "In 5 minutes"),
		admin.New("send_stanza", "Send a stanza, between the addresses that are given.", m.sendStanza).Tags("stanza").HostArg("from").
			Example("", "admin@localhost", "user1@localhost", "<message><ext attr='value'/></message>"),
		admin.New("send_stanza_c2s", "Deal with a stanza as if a client had sent it.", m.sendFromClient).Tags("stanza").
			Example("", "admin", "myserver.com", "bot", "<message to='user1@localhost'><ext attr='value'/></message>"),
	}
}

type between struct{ From, To string }

func (a *between) fields(f *config.Fields) {
	f.String(&a.From, "from", "", "The sender's address.")
	f.String(&a.To, "to", "", "The recipient's address, bare or full.")
}

// addresses checks both.
func (a *between) addresses() (from, to xmpp.JID, err error) {
	if from, err = xmpp.Parse(a.From); err != nil {
		return from, to, admin.Usage.With("from: %v", err)
	}
	if to, err = xmpp.Parse(a.To); err != nil {
		return from, to, admin.Usage.With("to: %v", err)
	}
	return from, to, nil
}

type message struct {
	Type string
	between
	Subject, Body string
}

// Fields declares the arguments.
func (a *message) Fields(f *config.Fields) {
	f.Enum(&a.Type, "type", "normal", "The type of message.", "normal", "chat", "headline", "groupchat")
	a.between.fields(f)
	f.String(&a.Subject, "subject", "", "The subject, or nothing.")
	f.String(&a.Body, "body", "", "The text.")
}

func (m *module) sendMessage(ctx context.Context, in message) (admin.Rescode, error) {
	from, to, err := in.addresses()
	if err != nil {
		return admin.False, err
	}
	typ := in.Type
	if typ == "normal" {
		typ = "" // what it means (RFC 6121 §5.2.2)
	}
	st := xmpp.NewMessage(typ, from, to)
	if in.Subject != "" {
		st = st.With(xmpp.TextEl(xmpp.NSClient, "subject", in.Subject))
	}
	if in.Body != "" {
		st = st.With(xmpp.TextEl(xmpp.NSClient, "body", in.Body))
	}
	m.host.Send(ctx, st)
	return admin.OK, nil
}

type stanza struct {
	between
	Stanza string
}

// Fields declares the arguments.
func (a *stanza) Fields(f *config.Fields) {
	a.between.fields(f)
	f.String(&a.Stanza, "stanza", "", "A message, presence or iq in XML.")
}

func (m *module) sendStanza(ctx context.Context, in stanza) (admin.Rescode, error) {
	from, to, err := in.addresses()
	if err != nil {
		return admin.False, err
	}
	st, err := parse(in.Stanza)
	if err != nil {
		return admin.False, err
	}
	m.host.Send(ctx, st.Readdressed(from, to))
	return admin.OK, nil
}

// parse reads the stanza that an operator wrote.
func parse(text string) (*xmpp.Stanza, error) {
	st, err := xmpp.ParseXML([]byte(text))
	if err != nil {
		return nil, admin.Usage.With("stanza: %v", err)
	}
	return st, nil
}

type fromClient struct {
	admin.OfUser
	Resource, Stanza string
}

// Fields declares the arguments.
func (a *fromClient) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Resource, "resource", "", "The resource of the session.")
	f.String(&a.Stanza, "stanza", "", "A message, presence or iq in XML.")
}

func (m *module) sendFromClient(ctx context.Context, in fromClient) (admin.Rescode, error) {
	s, err := m.session(in.User, in.Resource)
	if err != nil {
		return admin.False, err
	}
	st, err := parse(in.Stanza)
	if err != nil {
		return admin.False, err
	}
	to := st.To
	if to.IsZero() && st.Kind != xmpp.Presence {
		to = s.JID.Bare() // RFC 6120 §10.3
	}
	m.submit(ctx, s, Submission{Session: s.JID, ID: s.ID.String(), Stanza: st.Readdressed(s.JID, to)})
	return admin.OK, nil
}
