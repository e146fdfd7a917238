package auth

import (
	"net/netip"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// The hooks of an account's life. They run in the table of its virtual host;
// addresses are bare. PasswordSet and Removed are heard on all nodes: Add is for
// databases, AddElsewhere and AddEverywhere for memory and sessions.
var (
	CheckRegister = hooks.NewFold[bool, xmpp.JID]("check_register_user", "Somebody wants an account of this name. False refuses it.").ByHand("JID", handCheck)
	Registered    = hooks.NewEvent[xmpp.JID]("register_user", "An account was made, or an anonymous user is here for the first time.").ByHand("JID", handUser)
	PasswordSet   = hooks.NewEvent[xmpp.JID]("set_password", "An account has a new password.").ByHand("JID", handUser).Everywhere(hooks.Text(bare))
	Removed       = hooks.NewEvent[xmpp.JID]("remove_user", "An account was removed, or an anonymous user has left.").ByHand("JID", handUser).Everywhere(hooks.Text(bare))

	// Disabled is asked before any backend is: whoever keeps bans answers it.
	Disabled = hooks.NewFold[*Failure, xmpp.JID]("account_disabled", "Somebody is about to log in. A failure refuses them, whatever the password.").ByHand("JID", handDisabled)
	// Known is asked for accounts that no backend has.
	Known = hooks.NewFold[bool, xmpp.JID]("user_exists", "No backend has this account. True says that it exists all the same.").ByHand("JID", handKnown)
	// Elsewhere is asked of names that an anonymous user has or wants. It may ask
	// another machine, for a bounded time.
	Elsewhere = hooks.NewFold[bool, xmpp.JID]("anonymous_elsewhere", "Is an anonymous user of this name connected to another node?").ByHand("JID", handKnown)
	// Tokens is asked when somebody logs in with a token (XEP-0484). Whoever listens
	// has them. It may wait for the database.
	Tokens = hooks.NewFold[TokenList, Device]("fast_tokens", "A client logs in with a token. Which are there for its user agent?")
	// Revoked is run when a client is not to get in any more by what it was given.
	Revoked = hooks.NewEvent[Device]("revoke_device", "A user agent was forgotten: its tokens are not valid any more.")
	// Result is run when an attempt to log in has ended either way.
	Result = hooks.NewFold[*stream.Error, Attempt]("c2s_auth_result", "Somebody has logged in or failed to. An error ends the stream.")
)

// An Attempt is an attempt to log in that has ended.
type Attempt struct {
	Addr      netip.AddrPort
	User      xmpp.JID // who they are or claimed to be; zero if they did not get so far
	Mechanism string
	Failure   *Failure // nil: they are logged in
}

// bare reads the address of an account.
func bare(text string) (xmpp.JID, error) {
	j, err := xmpp.Parse(text)
	return j.Bare(), err
}
