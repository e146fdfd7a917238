package push

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// answerTime is how long an app server may take to answer.
const answerTime = 32 * time.Second

// A note says that something has come for a user.
type note struct {
	user   xmpp.JID
	st     *xmpp.Stanza // nil: a client is to come back, whatever for
	sent   bool         // the user has sent it, with another client
	absent bool         // only those are told of whose client is not there
	waits  *sm.Session  // it waits for its client: that one alone is told; nil for all
	page   *page
}

// A flightKey is a node of an app server, for one user.
type flightKey struct {
	user, service xmpp.JID
	node          string
}

// A flight is a notification to which the answer is due. What comes meanwhile waits,
// the latest alone.
type flight struct {
	next *notification // nil if nothing waits
}

// A notification is what one node is told.
type notification struct {
	target
	note
	summary *form.Form // nil for none
}

func (n *notification) key() flightKey { return flightKey{n.user, n.Service, n.Node} }

// run looks at what has come, and tells whom a round wakes, until ctx ends.
func (m *push) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-m.queue:
			m.look(ctx, n)
		case n := <-m.wakes:
			m.rouse(ctx, n)
		}
	}
}

// look finds out whom to tell.
func (m *push) look(ctx context.Context, n note) {
	list, err := m.targets(ctx, n.user)
	if err != nil {
		if ctx.Err() == nil {
			m.host.Log.Error("push services cannot be read", "user", n.user.String(), "error", err)
		}
		n.page.step("who is to be told cannot be read: %v", err)
		return
	}
	if len(list) == 0 {
		n.page.step("no client of the user has enabled notifications")
		return
	}
	if n.absent {
		if list = m.absent(list, n); len(list) == 0 {
			return
		}
	}
	if n.waits != nil {
		if list = ofSession(list, n.waits); len(list) == 0 {
			n.page.step("the client that is waited for has enabled no notifications")
			return
		}
	}
	st, sent := unwrap(n.st)
	n.sent = n.sent || sent
	text := textOf(st)
	if m.NotifyOn == "messages" && (text == "" || n.sent) {
		n.page.step("there is no text in it, or not for the user, and notify_on is messages: nothing is told")
		return
	}
	var summary *form.Form
	if text != "" && !n.sent {
		summary = m.summary(ctx, n.user, st, text)
	}
	for _, t := range list {
		m.tell(ctx, &notification{t, n, summary})
	}
}

// ofSession is those that a session has enabled.
func ofSession(list []target, s *sm.Session) (out []target) {
	for _, t := range list {
		if t.of(s.ID.Time) {
			out = append(out, t)
		}
	}
	return out
}

// absent is those whose client is not connected, to any node.
func (m *push) absent(list []target, n note) (out []target) {
	all := m.host.Sessions.User(n.user)
	for _, t := range list {
		there := false
		for _, s := range all {
			there = there || t.of(s.ID.Time)
		}
		if there {
			n.page.step("node %q of %s is that of a client that is connected", t.Node, t.Service)
			continue
		}
		out = append(out, t)
	}
	return out
}

// tell has a node told, now or when it has answered.
func (m *push) tell(ctx context.Context, n *notification) {
	k := n.key()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[k]; f != nil {
		if f.next != nil {
			f.next.page.step("a later message takes its place, for node %q of %s", n.Node, n.Service)
		}
		f.next = n
		n.page.step("%s owes an answer for node %q: this waits", n.Service, n.Node)
		return
	}
	if len(m.flights)-len(m.waking) >= maxFlights {
		n.page.step("too many services owe an answer: node %q of %s is not told", n.Node, n.Service)
		return
	}
	f := &flight{}
	m.flights[k] = f
	m.work.Go(func() { m.fly(ctx, k, f, n) })
}

// fly tells a node, and what has come until it has answered.
func (m *push) fly(ctx context.Context, k flightKey, f *flight, n *notification) {
	m.publish(ctx, n)
	for n = m.next(ctx, k, f); n != nil; n = m.next(ctx, k, f) {
		if !m.enabled(ctx, n) {
			n.page.step("node %q of %s was disabled in the meantime", n.Node, n.Service)
			continue
		}
		m.publish(ctx, n)
	}
}

// next is what waits for an answer that has come. Nil: nothing does, and the flight
// is over.
func (m *push) next(ctx context.Context, k flightKey, f *flight) (n *notification) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, f.next = f.next, nil; n == nil || ctx.Err() != nil {
		delete(m.flights, k)
		return nil
	}
	return n
}

// publish sends a notification and deals with the answer (XEP-0357 §7).
func (m *push) publish(ctx context.Context, n *notification) {
	iq := Send.Run(ctx, m.host.Hooks(), m.request(n), Notification{n.user, n.st})
	if iq == nil {
		n.page.step("a handler of push_send_notification has dropped it, for node %q of %s", n.Node, n.Service)
		return
	}
	n.page.step("node %q of %s is told", n.Node, n.Service)
	wait, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := m.host.Router.Ask(wait, iq)
	var refused *xmpp.Error
	switch {
	case err == nil:
		n.page.step("%s has taken it, for node %q", n.Service, n.Node)
	case ctx.Err() != nil:
		n.page.step("the module has stopped before %s has answered", n.Service)
	case errors.Is(err, context.DeadlineExceeded):
		n.page.step("%s has not answered within %v; it stays enabled", n.Service, answerTime)
	case !errors.As(err, &refused), passes(refused):
		n.page.step("%s could not be told: %v; it stays enabled", n.Service, err)
	default:
		n.page.step("%s refuses: %v; node %q is disabled", n.Service, err, n.Node)
		m.drop(ctx, n)
	}
}

// enabled reports whether a node is still to be told that has waited, perhaps for long.
func (m *push) enabled(ctx context.Context, n *notification) bool {
	list, err := m.targets(ctx, n.user)
	return err != nil || slices.ContainsFunc(list, func(t target) bool { return t.Service == n.Service && t.Node == n.Node })
}

// passes reports whether an error says nothing about the node (RFC 6120 §8.3.2): it
// asks to wait, or comes from where no service was reached.
func passes(e *xmpp.Error) bool {
	return e.Type == "wait" || errors.Is(e, xmpp.RemoteServerNotFound)
}

// drop disables a node that its service does not want to be told any more.
func (m *push) drop(ctx context.Context, n *notification) {
	if _, err := m.store.remove(ctx, n.user, n.Service, n.Node); err != nil {
		m.host.Log.Error("a node that its push service refuses could not be removed", "user", n.user.String(), "service", n.Service.String(), "error", err)
		return
	}
	m.host.Log.Info("a push service has refused a node, which is disabled", "user", n.user.String(), "service", n.Service.String())
	Changed.Run(ctx, m.host.Hooks(), n.user)
}
