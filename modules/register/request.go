package register

import (
	"context"
	"errors"
	"net/netip"

	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// The kinds of forms (XEP-0077 §3.1, §3.2, §3.3).
const (
	formRegister = ns
	formChange   = ns + ":changepassword"
	formCancel   = ns + ":cancel"
)

// A request is what somebody wants, and who it is.
type request struct {
	iq       *xmpp.Stanza
	query    *xmpp.Element
	addr     netip.Addr  // where the client is; not valid if that is not known
	source   string      // who is not to make too many accounts
	stranger bool        // has not logged in
	session  *sm.Session // of a user of this host, nil for anybody else

	invitation *Invitation // of a stranger, nil without one
}

// answer answers those who have logged in, here or elsewhere.
func (m *module) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	r := request{iq: iq, query: iq.Payload(), source: iq.From.Bare().String(), session: m.host.Sessions.Find(iq.From)}
	if r.session != nil {
		r.addr = r.session.Addr().Addr()
	}
	payload, err := m.do(ctx, r)
	if err != nil && !errors.Is(err, router.ErrLater) {
		m.host.Send(ctx, m.refusal(iq, err))
		err = router.ErrLater
	}
	return payload, err
}

// refusal is the error that answers iq, without what was in it: that may be a
// password (XEP-0077 §3.3).
func (m *module) refusal(iq *xmpp.Stanza, err error) *xmpp.Stanza {
	var known *xmpp.Error
	if !errors.As(err, &known) {
		m.host.Log.Error("request about an account failed", "from", iq.From.String(), "error", err)
		known = xmpp.InternalServerError
	}
	return xmpp.NewIQ("error", iq.To, iq.From, iq.ID, known.Element())
}

func (m *module) do(ctx context.Context, r request) (*xmpp.Element, error) {
	switch {
	case !r.query.Is(ns, "query"):
		return nil, xmpp.BadRequest.WithText("A request about an account is a <query/>")
	case r.iq.To.Local() != "" && r.iq.To.Bare() != r.iq.From.Bare():
		return nil, xmpp.NotAllowed.WithText("This account is somebody else's")
	case r.iq.Type == "get":
		return m.get(ctx, r)
	}
	w, err := read(r.query)
	if err != nil {
		return nil, err
	}
	switch {
	case w.remove:
		return nil, m.remove(ctx, r, w)
	case !w.hasName || !w.hasPassword:
		if r.stranger {
			return nil, xmpp.NotAcceptable.WithText("A username and a password are needed")
		}
		return nil, xmpp.BadRequest.WithText("A username and a password are needed")
	}
	return nil, m.set(ctx, r, w)
}

const instructions = "Choose a username and password to register with this server"

// get says what is needed for an account, or that there is one.
func (m *module) get(ctx context.Context, r request) (*xmpp.Element, error) {
	b := xmpp.Build(ns, "query")
	if from := r.iq.From; !r.stranger && from.Domain() == m.host.Domain {
		there, err := m.host.Auth.Exists(ctx, from.Bare())
		if err != nil {
			return nil, err
		}
		if there {
			b.Open("", "registered").Close()
			b.Open("", "instructions").Text(instructions).Close()
			b.Open("", "username").Text(from.Local()).Close()
			return b.Open("", "password").Done(), nil
		}
	}
	switch invited := r.invitation; {
	case invited != nil:
		return needed(b, invited.Name), nil
	case m.Redirect != "":
		b.Open("", "instructions").Text("To register, visit " + m.Redirect).Close()
		return b.Open("jabber:x:oob", "x").Open("", "url").Text(m.Redirect).Done(), nil
	case !m.open(name):
		return nil, xmpp.ServiceUnavailable.WithText("Accounts cannot be made here")
	}
	return needed(b, ""), nil
}

// needed asks for a name, which may be known, and a password.
func needed(b *xmpp.Builder, name string) *xmpp.Element {
	b.Open("", "instructions").Text(instructions).Close()
	b.Open("", "username").Text(name).Close()
	b.Open("", "password").Close()
	f := form.New(form.Ask, formRegister, form.TextField("username", "User", name).Require(), form.PrivateField("password", "Password").Require())
	f.Instructions = []string{instructions}
	return b.Add(f.Element()).Done()
}

// wish is what is in a request.
type wish struct {
	remove                bool
	hasName, hasPassword  bool
	name, password, proof string // proof: the password so far
}

// read reads a request: the elements of XEP-0077, or a form.
func read(query *xmpp.Element) (w wish, err error) {
	w.remove = query.Child(ns, "remove") != nil
	field := func(name string) (string, bool) {
		el := query.Child(ns, name)
		return el.Text(), el != nil
	}
	if query.Child(form.NS, "x") != nil {
		answer, err := form.Find(query)
		switch {
		case err != nil:
			return w, err
		case answer.Kind != form.Submit:
			return w, xmpp.BadRequest.WithText("A form that was filled in is expected")
		}
		switch answer.FormType() {
		case "", formRegister, formChange:
		case formCancel:
			w.remove = true
		default:
			return w, xmpp.BadRequest.WithText("This is the answer to another form")
		}
		w.proof = answer.Value("old_password")
		field = func(name string) (string, bool) { return answer.Value(name), answer.Has(name) }
	}
	w.name, w.hasName = field("username")
	w.password, w.hasPassword = field("password")
	if w.password == "" {
		w.hasPassword = false // XEP-0077 §3.3: never a null password
	}
	if w.name == "" {
		w.hasName = false
	}
	return w, nil
}
