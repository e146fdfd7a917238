package register

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/xmpp"
)

var (
	errDenied     = xmpp.Forbidden.WithText("Access denied by service policy")
	errNotAllowed = xmpp.NotAllowed.WithText("Not allowed")
)

// set makes an account, or changes the sender's own password: the name decides.
func (m *module) set(ctx context.Context, r request, w wish) error {
	user, err := m.host.User(w.name)
	if err != nil {
		return xmpp.JIDMalformed.WithText("Malformed username")
	}
	if !r.stranger && r.iq.From.Bare() == user {
		return m.change(ctx, r, user, w)
	}
	if !r.stranger && !m.AccessFrom.Allows(m.host.Rules, acl.Subject{JID: r.iq.From}) {
		return errDenied
	}
	if r.invitation != nil {
		return m.redeem(ctx, r, user, w)
	}
	if !m.mayMake(r, user, name) {
		return errDenied
	}
	if Reserved.Run(ctx, m.host.Hooks(), false, user) {
		return errNotAllowed
	}
	return m.makeFor(ctx, r, user, func() error { return m.make(ctx, user, w.password) })
}

// makeFor has do make an account, if whoever wants it need not wait, and tells those
// who are to know.
func (m *module) makeFor(ctx context.Context, r request, user xmpp.JID, do func() error) error {
	done, err := m.recent.reserve(r.source, m.timeout(ctx), func() bool { return Recent.Run(ctx, m.host.Global, false, r.source) })
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		done(false)
		return err
	}
	done(true)
	Made.Run(ctx, m.host.Hooks(), r.source)
	m.tell(ctx, r, user)
	return nil
}

// mayMake asks the rules about a new account that is made through a module.
func (m *module) mayMake(r request, user xmpp.JID, module string) bool {
	if !m.through(module) {
		return false
	}
	from := acl.Subject{IP: r.addr}
	if r.session == nil && !r.stranger {
		from.JID = r.iq.From // somebody on another server
	}
	return m.Access.Allows(m.host.Rules, acl.Subject{JID: user}) && m.IPAccess.Allows(m.host.Rules, from)
}

// make makes the account, if the password is strong enough.
func (m *module) make(ctx context.Context, user xmpp.JID, password string) error {
	if err := m.strong(password); err != nil {
		return err
	}
	return told(m.host.Auth.Register(ctx, user, password))
}

func (m *module) strong(password string) error {
	if m.Strength > 0 && entropy(password) < m.Strength {
		return xmpp.NotAcceptable.WithText("The password is too weak")
	}
	return nil
}

// told is an error of package auth as the client is told it.
func told(err error) error {
	switch {
	case errors.Is(err, auth.ErrExists):
		return xmpp.Conflict.WithText("User already exists")
	case errors.Is(err, auth.ErrName):
		return xmpp.JIDMalformed.WithText("Malformed username")
	case errors.Is(err, auth.ErrPassword):
		return xmpp.NotAcceptable.WithText("The password contains unacceptable characters")
	case errors.Is(err, auth.ErrRefused), errors.Is(err, auth.ErrNoStore), errors.Is(err, auth.ErrNoUser):
		return errNotAllowed
	}
	return err
}

// change gives the sender another password (XEP-0077 §3.3).
func (m *module) change(ctx context.Context, r request, user xmpp.JID, w wish) error {
	if r.session == nil || r.session.Anonymous {
		return xmpp.NotAllowed.WithText("Changing password is not allowed")
	}
	if err := m.strong(w.password); err != nil {
		return err
	}
	if w.proof != "" && m.host.Auth.Check(ctx, user, w.proof) != nil {
		return xmpp.NotAuthorized.WithText("Incorrect password")
	}
	if err := m.host.Auth.SetPassword(ctx, user, w.password); err != nil {
		return told(err)
	}
	m.host.Log.Info("password changed by its owner", "user", user.String(), "address", r.addr.String())
	return nil
}

// replyKey finds, in a context, what is to be done when the account is gone but
// its sessions are still there.
type replyKey struct{}

// remove removes the sender's account (XEP-0077 §3.2). The answer goes out
// between the removal and the end of the sessions.
func (m *module) remove(ctx context.Context, r request, w wish) error {
	from := r.iq.From
	switch {
	case r.stranger:
		return xmpp.UnexpectedRequest.WithText("Log in first")
	case from.Domain() != m.host.Domain:
		return xmpp.NotAllowed.WithText("The query is only allowed from local users")
	case !m.AccessRemove.Allows(m.host.Rules, acl.Subject{JID: from}):
		return errDenied
	case r.session == nil || r.session.Anonymous:
		return xmpp.RegistrationRequired.WithText("There is no account to remove")
	}
	user := from.Bare()
	if w.hasName && !m.means(w.name, user) {
		return xmpp.Forbidden.WithText("Only the own account can be removed")
	}
	if w.hasPassword && m.host.Auth.Check(ctx, user, w.password) != nil {
		return xmpp.Forbidden.WithText("Incorrect password")
	}
	// What has begun must not stop halfway because the client has gone.
	ctx = context.WithoutCancel(ctx)
	reply := func() { r.session.Send(ctx, r.iq.Reply(nil)) }
	if err := m.host.Auth.Remove(context.WithValue(ctx, replyKey{}, reply), user); err != nil {
		return err
	}
	m.host.Log.Info("account removed by its owner", "user", user.String(), "address", r.addr.String())
	return router.ErrLater
}

// means reports whether a name, or an address, is that of user.
func (m *module) means(name string, user xmpp.JID) bool {
	if j, err := xmpp.Parse(name); err == nil && j == user {
		return true
	}
	j, err := m.host.User(name)
	return err == nil && j == user
}

func (m *module) removed(ctx context.Context, _ xmpp.JID) {
	if reply, ok := ctx.Value(replyKey{}).(func()); ok {
		reply()
	}
}

// tell tells the new user and the watchers.
func (m *module) tell(ctx context.Context, r request, user xmpp.JID) {
	source := r.source
	if r.addr.IsValid() {
		source = r.addr.Unmap().String()
	}
	m.host.Log.Info("account registered", "user", user.String(), "from", source)
	if w := m.Welcome; w != (welcome{}) {
		var parts []*xmpp.Element
		if w.Subject != "" {
			parts = append(parts, xmpp.TextEl(xmpp.NSClient, "subject", w.Subject))
		}
		parts = append(parts, xmpp.TextEl(xmpp.NSClient, "body", w.Body))
		m.host.Send(ctx, xmpp.NewMessage("chat", m.host.JID, user, parts...))
	}
	text := fmt.Sprintf("[%s] The account %s was registered from IP address %s using %s.", time.Now().Format(time.DateTime), user, source, name)
	for _, j := range m.Watchers {
		m.host.Send(ctx, xmpp.NewMessage("chat", m.host.JID, j, xmpp.TextEl(xmpp.NSClient, "body", text)))
	}
}

// entropy is ejabberd's estimate of how many bits a password has: its length
// times the bits of one byte, of as many as the kinds that it uses have. Digits
// count as nine, as there.
func entropy(password string) float64 {
	var digit, printable, low, high, other float64
	for _, c := range []byte(password) {
		switch {
		case 'a' <= c && c <= 'z':
			low = 26
		case '0' <= c && c <= '9':
			digit = 9
		case 'A' <= c && c <= 'Z':
			high = 26
		case 33 <= c && c <= 126:
			printable = 33
		default:
			other = 128
		}
	}
	if password == "" {
		return 0
	}
	return float64(len(password)) * math.Log2(digit+printable+low+high+other)
}
