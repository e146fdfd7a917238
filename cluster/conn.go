package cluster

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A conn is the way to a session on another node.
type conn struct {
	c    *Cluster
	a    sm.Address
	last atomic.Pointer[link] // the link that was used last
}

// Dial is the way to a session on another node. It does nothing yet.
func (c *Cluster) Dial(a sm.Address) sm.Conn { return &conn{c: c, a: a} }

// Send has the stanza brought to the session. It never blocks.
func (n *conn) Send(ctx context.Context, st *xmpp.Stanza) {
	h := n.c.host(n.a.Domain)
	if h == nil {
		n.c.opt.Router.Bounce(ctx, st, xmpp.ServiceUnavailable)
		return
	}
	if n.c.mute.silences(st) {
		return
	}
	if st.To.IsZero() {
		st = st.Readdressed(st.From, n.a.JID)
	}
	kind := byte(frameStanza)
	if st.Kind == xmpp.Presence && sm.Stays(ctx) {
		kind = frameStays
	}
	r := sm.ReceiptOf(ctx)
	r.Hold()
	switch err := n.send(copied{kind: kind, st: st, to: n.a.JID, host: h, receipt: r}); {
	case err == nil:
		return
	case errors.Is(err, errFull):
		n.c.opt.Router.Bounce(ctx, st, xmpp.ResourceConstraint.WithText("Too much waits for the server that the addressee is connected to; try again later"))
	default:
		n.c.astray(ctx, h, st)
	}
	r.Release()
}

// send appends to the link to the session's node.
func (n *conn) send(m copied) error {
	if l := n.last.Load(); l != nil {
		if err := l.send(m); !errors.Is(err, errOver) {
			return err
		}
	}
	l := n.c.link(n.a.ID.Node, n.a.Epoch)
	if l == nil {
		return errOver
	}
	n.last.Store(l)
	return l.send(m)
}

type astrayKey struct{}

// astray deals with a stanza for a session whose node is gone: it finds another
// one, or is kept, or bounces.
func (c *Cluster) astray(ctx context.Context, h *host, st *xmpp.Stanza) {
	switch {
	case st.Kind == xmpp.Presence, st.Kind == xmpp.IQ && !st.IsRequest():
	case ctx.Value(astrayKey{}) != nil:
		c.opt.Router.Bounce(ctx, st, xmpp.ServiceUnavailable)
	default:
		c.Counters.Rerouted.Add(1)
		h.Reroute(context.WithValue(ctx, astrayKey{}, true), st)
	}
}

// Close has the session ended with that error. It does not wait.
func (n *conn) Close(reason *stream.Error) {
	// A session of a node that is gone is gone.
	_ = n.send(copied{kind: frameClose, body: closeBody(n.a.Domain, n.a.JID, n.a.ID, reason)})
}

// Done is closed when the session is not known any more.
func (n *conn) Done() <-chan struct{} {
	if h := n.c.host(n.a.Domain); h != nil {
		return h.store.Gone(n.a.JID.Bare(), n.a.ID)
	}
	done := make(chan struct{})
	close(done)
	return done
}
