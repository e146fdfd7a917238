// Package authfast gives clients tokens to log in with again, in one round trip and
// without their password (XEP-0484).
//
// A token belongs to one user agent and to one mechanism. There are two at the most:
// the one in use, and its successor, which takes its place when it is used for the
// first time. How a token is proved is in package auth; what is in here is who has
// which, and for how long.
package authfast

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:fast:0"

// mechanisms is how the names of all mechanisms for tokens begin.
const mechanisms = "HT-SHA-256-"

// Module is mod_auth_fast.
var Module = modules.Define("mod_auth_fast", modules.Spec[options]{
	Doc:    "Gives clients tokens with which they log in again, without their password.",
	XEPs:   []string{"0484"},
	Tables: modules.Tables{Keeper: "mod_auth_fast_sql", Versions: schema},
	Also:   []modules.Tables{{Keeper: "gabberd_auth_fast", Versions: countSchema}},
	Start:  start,
})

type options struct {
	modules.Backend
	Lifetime   time.Duration
	RefreshAge time.Duration
}

// Fields declares the options. There is no cache: what is not valid any more must not
// be remembered anywhere.
func (o *options) Fields(f *config.Fields) {
	o.DBField(f)
	f.Duration(&o.Lifetime, "token_lifetime", 30*24*time.Hour, "How long a token is valid.").Must(config.AtLeast(time.Second))
	f.Duration(&o.RefreshAge, "token_refresh_age", 24*time.Hour, "How old a token may be before a client that logs in with it gets a new one.").Must(config.AtLeast(time.Second))
}

// fast is the module on one virtual host.
type fast struct {
	options
	host  *modules.Host
	store store
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_auth_fast_sql", schema...)
	if err != nil {
		return err
	}
	if err := db.Migrate(h.Context(), "gabberd_auth_fast", countSchema...); err != nil {
		return err
	}
	m := &fast{o, h, store{db}}
	auth.Tokens.Add(h, hooks.Normal, m.tokens)
	sm.InlineLogin.Add(h, 10, m.loggedIn) // ejabberd's
	auth.PasswordSet.Add(h, hooks.Normal, m.forget)
	auth.Removed.Add(h, hooks.Normal, m.forget)
	sm.Kicked.Add(h, hooks.Normal, m.forget)
	auth.Revoked.Add(h, hooks.Normal, func(ctx context.Context, d auth.Device) { m.revoke(ctx, d.User, d.ID) })
	return nil
}

// tokens finds the tokens of a user agent.
func (m *fast) tokens(ctx context.Context, list auth.TokenList, d auth.Device) (auth.TokenList, hooks.Flow) {
	rows, err := m.store.tokens(ctx, d.User, d.ID)
	list.Err = err
	for _, r := range rows {
		list.Tokens = append(list.Tokens, auth.Token{
			Secret: r.secret, Mechanism: mechanismOf(r.secret), Expires: r.expires,
			Due: time.Since(r.created) > m.RefreshAge,
			Redeem: func(ctx context.Context, count uint64) (bool, error) {
				return m.store.redeem(ctx, d.User, d.ID, r, count)
			},
		})
	}
	return list, hooks.Next
}

// mechanismOf is what a token is good for, which it says itself: in the table there
// is no room for it. One that ejabberd has made says nothing, as it does not ask.
func mechanismOf(secret string) string {
	if end, _, ok := strings.Cut(secret, "."); ok {
		return mechanisms + end
	}
	return ""
}

// newToken makes a token that nobody can guess.
func newToken(mechanism string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.TrimPrefix(mechanism, mechanisms) + "." + base64.RawURLEncoding.EncodeToString(b[:])
}

// loggedIn gives a client that has logged in the token that it wants, or a new one if
// its own is old, and forgets it if it wants that (XEP-0484 §3.4 to §3.6).
func (m *fast) loggedIn(ctx context.Context, out sm.Answers, l *sm.Login) (sm.Answers, hooks.Flow) {
	if l.Agent == "" || l.Anonymous {
		return out, hooks.Next
	}
	user, due := l.Stream.User, l.TokenDue
	if strings.HasPrefix(l.Mechanism, mechanisms) && isTrue(l.Request.Child(ns, "fast").Attr("invalidate")) {
		if !m.revoke(ctx, user, l.Agent) {
			return out, hooks.Next
		}
		due = false
	}
	wanted := l.Request.Child(ns, "request-token").Attr("mechanism")
	if wanted == "" && due {
		wanted = l.Mechanism
	}
	for _, mechanism := range l.TokenMechanisms {
		if mechanism == wanted {
			return m.give(ctx, out, l, mechanism), hooks.Next
		}
	}
	return out, hooks.Next
}

// give makes a token and hands it to the client. The one that it has stays valid until
// the new one is used: the answer may get lost.
func (m *fast) give(ctx context.Context, out sm.Answers, l *sm.Login, mechanism string) sm.Answers {
	now := time.Now()
	secret, expires := newToken(mechanism), now.Add(m.Lifetime)
	if err := m.store.add(ctx, l.Stream.User, l.Agent, row{secret: secret, created: now, expires: expires}); err != nil {
		m.host.Log.Error("a token cannot be stored", "user", l.Stream.User.String(), "error", err)
		return out
	}
	return append(out, xmpp.Build(ns, "token").Attr("token", secret).Attr("expiry", expires.UTC().Format("2006-01-02T15:04:05Z")).Done())
}

// forget forgets all tokens of a user. An event has nobody to return an error to.
func (m *fast) forget(ctx context.Context, user xmpp.JID) {
	if err := m.store.removeUser(ctx, user); err != nil {
		m.host.Log.Error("tokens that should be forgotten are still valid", "user", user.String(), "error", err)
	}
}

// revoke forgets the tokens of a user agent, and reports whether that is done.
func (m *fast) revoke(ctx context.Context, user xmpp.JID, agent string) bool {
	if err := m.store.removeAgent(ctx, user, agent); err != nil {
		m.host.Log.Error("tokens that should be forgotten are still valid", "user", user.String(), "error", err)
		return false
	}
	return true
}

func isTrue(s string) bool { return s == "true" || s == "1" }
