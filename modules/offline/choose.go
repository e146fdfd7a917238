package offline

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// maxHeaders bounds the messages that are listed, maxNodes those named in one
// request.
const (
	maxHeaders = 10_000
	maxNodes   = 256
)

// own reports whether the question is about the messages of who asks. Asking
// for them says that the client wants to choose (XEP-0013 §2.1).
func (m *offline) own(q disco.Query) bool {
	if q.Node != nsOffline || q.From.Bare() != q.To.Bare() {
		return false
	}
	m.chooses(q.From)
	m.flying.wait(m.ctx, q.From.Bare())
	return true
}

// chooses remembers that a client looks for itself.
func (m *offline) chooses(full xmpp.JID) {
	if s := m.host.Sessions.Find(full); s != nil {
		m.state(s).chooses.Store(true)
	}
}

func (m *offline) identity(_ context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
	if m.own(q) {
		l = append(l, disco.Identity{Category: "automation", Type: "message-list"})
	}
	return l, hooks.Next
}

func (m *offline) features(_ context.Context, f disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
	if m.own(q) {
		f = f.With(nsOffline)
	}
	return f, hooks.Next
}

// number says how many messages wait (XEP-0013 §2.2).
func (m *offline) number(ctx context.Context, forms []*xmpp.Element, q disco.Query) ([]*xmpp.Element, hooks.Flow) {
	if q.To.Local() == "" || !m.own(q) {
		return forms, hooks.Next
	}
	err := m.takeAll(ctx, q.To.Bare())
	n := 0
	if err == nil {
		n, err = m.store.count(ctx, q.To.Bare(), countAll)
	}
	if err != nil {
		m.host.Log.Error("waiting messages cannot be counted", "user", q.To.Bare().String(), "error", err)
		return forms, hooks.Next
	}
	f := form.New(form.Result, nsOffline, form.TextField("number_of_messages", "", strconv.Itoa(n)))
	return append(forms, f.Element()), hooks.Next
}

// headers lists the messages that wait (XEP-0013 §2.3).
func (m *offline) headers(ctx context.Context, items disco.Items, q disco.Query) (disco.Items, hooks.Flow) {
	if !m.own(q) {
		return items, hooks.Next
	}
	var list []disco.Item
	err := m.takeAll(ctx, q.To.Bare())
	if err == nil {
		list, err = m.listed(ctx, q.To.Bare())
	}
	if err != nil {
		m.host.Log.Error("waiting messages cannot be listed", "user", q.To.Bare().String(), "error", err)
		return disco.Refuse[disco.Item](xmpp.InternalServerError), hooks.Stop
	}
	return items.With(list...), hooks.Next
}

func (m *offline) listed(ctx context.Context, user xmpp.JID) (list []disco.Item, err error) {
	err = m.store.all(ctx, user, func(w message) error {
		if w.stanza != nil {
			list = append(list, disco.Item{JID: user, Node: node(w.seq), Name: w.stanza.From.String()})
		}
		if len(list) == maxHeaders {
			return errPage
		}
		return nil
	})
	if errors.Is(err, errPage) {
		err = nil
	}
	return list, err
}

// node is the name of a message, in order with those before and after it.
func node(seq int64) string { return fmt.Sprintf("%020d", seq) }

// answer reads and removes messages by their names, or all of them (XEP-0013
// §2.4–2.7).
func (m *offline) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user := iq.To.Bare()
	if iq.From.Bare() != user {
		return nil, xmpp.Forbidden.WithText("Messages are for whom they were sent to")
	}
	s := m.host.Sessions.Find(iq.From)
	if s == nil || !iq.Payload().Is(nsOffline, "offline") {
		return nil, xmpp.BadRequest
	}
	m.chooses(iq.From)
	m.flying.wait(ctx, user)
	ask := iq.Payload()
	switch {
	case iq.Type == "get" && ask.Child(nsOffline, "fetch") != nil:
		return nil, m.fetch(ctx, s, iq)
	case iq.Type == "set" && ask.Child(nsOffline, "purge") != nil:
		_, err := m.store.clear(ctx, user)
		m.counts.changed(user)
		return nil, err
	}
	seqs, err := named(ask, map[string]string{"get": "view", "set": "remove"}[iq.Type])
	if err != nil {
		return nil, err
	}
	if iq.Type == "get" {
		return nil, m.view(ctx, s, seqs)
	}
	return nil, m.remove(ctx, user, seqs)
}

// named reads which messages are meant.
func named(ask *xmpp.Element, action string) (seqs []int64, err error) {
	for c := range ask.Children() {
		if !c.Is(nsOffline, "item") || c.Attr("action") != action {
			return nil, xmpp.BadRequest.WithText("Every item has the action " + action)
		}
		seq, err := strconv.ParseInt(c.Attr("node"), 10, 64)
		if err != nil {
			return nil, xmpp.ItemNotFound
		}
		seqs = append(seqs, seq)
	}
	switch {
	case len(seqs) == 0:
		return nil, xmpp.BadRequest.WithText("No message is named")
	case len(seqs) > maxNodes:
		return nil, xmpp.ResourceConstraint.WithText("Too many messages at once")
	}
	return seqs, nil
}

// show sends the client a message that stays where it is.
func (m *offline) show(ctx context.Context, s *sm.Session, w message) {
	name := xmpp.Build(nsOffline, "offline").Open("", "item").Attr("node", node(w.seq)).Done()
	st := w.stanza.With(name)
	if sm.Privacy.Run(ctx, m.host.Hooks(), true, sm.PrivacyCheck{User: s.JID, Stanza: st, Direction: sm.In, Session: s}) {
		s.Send(ctx, st)
	}
}

func (m *offline) view(ctx context.Context, s *sm.Session, seqs []int64) error {
	var found []message
	size := 0
	for _, seq := range seqs {
		w, err := m.store.one(ctx, s.JID.Bare(), seq)
		if err == nil {
			one := []message{w}
			_, err = m.fill(ctx, s.JID.Bare(), one)
			w = one[0]
		}
		switch {
		case errors.Is(err, storage.ErrNotFound) || err == nil && (w.stanza == nil || w.absent):
			return xmpp.ItemNotFound
		case err != nil:
			return err
		}
		if size += len(w.text); size > 4*pageBytes {
			return xmpp.ResourceConstraint.WithText("The messages are too long to be sent at once")
		}
		found = append(found, w)
	}
	for _, w := range found {
		m.show(ctx, s, w)
	}
	return nil
}

func (m *offline) remove(ctx context.Context, user xmpp.JID, seqs []int64) error {
	n, err := m.store.delete(ctx, user, seqs)
	m.counts.changed(user)
	if err == nil && n == 0 {
		return xmpp.ItemNotFound
	}
	return err
}

// fetch sends all messages, which stay where they are, and then the answer.
func (m *offline) fetch(ctx context.Context, s *sm.Session, iq *xmpp.Stanza) error {
	last, more, err := m.showPage(ctx, s, 0)
	if err != nil || !more {
		return err
	}
	x := m.state(s)
	if x.feeding.Swap(true) {
		return xmpp.ResourceConstraint.WithText("Messages are being sent already")
	}
	started := m.later.Apart(func() {
		defer x.feeding.Store(false)
		var err error
		for err == nil && more && m.read(s) {
			last, more, err = m.showPage(m.ctx, s, last)
		}
		if err != nil {
			m.host.Router.Bounce(m.ctx, iq, xmpp.AsError(err))
			return
		}
		m.host.Send(m.ctx, iq.Reply(nil))
	})
	if !started {
		return xmpp.ServiceUnavailable
	}
	return router.ErrLater
}

func (m *offline) showPage(ctx context.Context, s *sm.Session, after int64) (last int64, more bool, err error) {
	page, more, err := m.next(ctx, s.JID.Bare(), after)
	for _, w := range page {
		last = max(last, w.seq)
		if w.stanza != nil && !w.absent {
			m.show(ctx, s, w)
		}
	}
	return last, more, err
}
