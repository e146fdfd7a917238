package auth

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"

	"github.com/gabberd/gabberd/xmpp"
)

// anonymous admits users who have no account. It knows those who are here on
// this node; Elsewhere and Known are asked of the others. A name that the server
// makes up is unique on all nodes, since nobody can guess it. One that is chosen
// may be taken on two nodes at the same moment: who watches over sessions then
// ends the later one.
type anonymous struct {
	h      *Host
	mu     sync.Mutex
	online map[xmpp.JID]int // how many sessions
}

// Name is how auth_method calls it.
func (a *anonymous) Name() string { return "anonymous" }

// Exists reports whether an anonymous user of this name is here.
func (a *anonymous) Exists(_ context.Context, user xmpp.JID) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.online[user.Bare()] > 0, nil
}

// Enter counts a session of an anonymous user who has bound a resource, and
// runs register_user for the first. ErrTaken: somebody else has the name and
// several sessions are not allowed; the session must end. Leave is then not to
// be called.
func (h *Host) Enter(ctx context.Context, id Identity) error {
	if !id.Anonymous {
		return nil
	}
	user := id.User.Bare()
	h.anonymous.mu.Lock()
	n := h.anonymous.online[user]
	if n > 0 && !h.options().MultipleConnections {
		h.anonymous.mu.Unlock()
		return ErrTaken
	}
	h.anonymous.online[user]++
	h.anonymous.mu.Unlock()
	if n == 0 {
		Registered.Run(ctx, h.hooks, user)
	}
	return nil
}

// ShareNames reports whether several anonymous sessions may have one name.
func (h *Host) ShareNames() bool { return h.options().MultipleConnections }

// Leave is told that a session that Enter let in has ended. It runs remove_user
// after the last of a user on all nodes, so that nothing is kept of them.
func (h *Host) Leave(ctx context.Context, id Identity) {
	if !id.Anonymous {
		return
	}
	user := id.User.Bare()
	h.anonymous.mu.Lock()
	h.anonymous.online[user]--
	last := h.anonymous.online[user] <= 0
	if last {
		delete(h.anonymous.online, user)
	}
	h.anonymous.mu.Unlock()
	// A name that was made up is on no other node.
	if last && (id.Mechanism == "ANONYMOUS" || !Elsewhere.Run(ctx, h.hooks, false, user)) {
		Removed.Run(ctx, h.hooks, user)
	}
}

// Admits lets user in by name with any password, if that is switched on, no
// account has the name and nobody else uses it.
func (a *anonymous) Admits(ctx context.Context, user xmpp.JID, _ string) (bool, error) {
	s := a.h.state.Load()
	if s.options.AnonymousProtocol == "sasl_anon" {
		return false, nil
	}
	for _, b := range s.backends {
		if b == Backend(a) {
			continue
		}
		if there, err := b.Exists(ctx, user); there || err != nil {
			return false, err
		}
	}
	if s.options.MultipleConnections {
		return true, nil
	}
	here, err := a.Exists(ctx, user)
	return !here && !Elsewhere.Run(ctx, a.h.hooks, false, user), err
}

// anonymousStep is the mechanism ANONYMOUS (RFC 4505). The trace that the client
// sends is not used.
type anonymousStep struct{ h *Host }

func (a *anonymousStep) step(ctx context.Context, _ []byte) ([]byte, *Identity, error) {
	name := make([]byte, 16)
	_, _ = rand.Read(name) // never fails
	user, err := xmpp.NewJID(hex.EncodeToString(name), a.h.domain, "")
	if err != nil {
		return nil, nil, err
	}
	if f := Disabled.Run(ctx, a.h.hooks, nil, user); f != nil {
		return nil, nil, f
	}
	return nil, &Identity{User: user, Method: "anonymous", Anonymous: true}, nil
}

func (a *anonymousStep) claims() xmpp.JID { return xmpp.JID{} }
