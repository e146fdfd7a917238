package sm_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// copied has the house tell who is to have copies of what.
func copied(h *house) func() string {
	var list []string
	sm.Copies.Add(h, hooks.Normal, func(_ context.Context, c sm.Copying) {
		who := []string{c.Stanza.ID}
		for _, s := range c.For {
			who = append(who, s.JID.Resource())
		}
		slices.Sort(who[1:])
		list = append(list, strings.Join(who, " "))
	})
	return func() string {
		got := strings.Join(list, ", ")
		list = nil
		return got
	}
}

func TestWhoIsToHaveCopies(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	a, b, low, plain := h.available("juliet@localhost/a", "5"), h.available("juliet@localhost/b", "5"), h.available("juliet@localhost/low", "-1"), h.available("juliet@localhost/plain", "1")
	got := copied(h)
	to := func(resource, id string) *xmpp.Stanza {
		j := xmpp.MustParse("juliet@localhost")
		if resource != "" {
			j = xmpp.MustParse("juliet@localhost/" + resource)
		}
		return xmpp.New(xmpp.Message, "chat", xmpp.MustParse("romeo@localhost/x"), j, id)
	}
	h.Route(ctx, to("", "1"))
	if s := got(); s != "" {
		t.Errorf("nobody wants copies, and still: %s", s)
	}
	for _, c := range []*client{a, b, low} {
		h.SetCopied(ctx, c.Session, true)
	}
	for _, st := range []*xmpp.Stanza{to("", "2"), to("a", "3"), to("plain", "4"), to("gone", "5"), to("a", "6").WithType("groupchat"), to("a", "7").WithType("error")} {
		h.Route(ctx, st)
	}
	if s, want := got(), "2 low, 3 b low, 4 a b low, 5 low"; s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	// What was given to somebody already has its copies.
	h.Reroute(ctx, to("a", "8"))
	// What only had to wait has not.
	release := h.Detain(xmpp.MustParse("juliet@localhost"))
	h.Route(ctx, to("a", "9"))
	if s := got(); s != "" {
		t.Errorf("too early: %s", s)
	}
	release(ctx, []sm.Returned{{Stanza: to("a", "10")}})
	if s := got(); s != "9 b low" {
		t.Errorf("got %s", s)
	}
	h.SetCopied(ctx, b.Session, false)
	low.leave()
	h.Route(ctx, to("plain", "11"))
	if s := got(); s != "11 a" {
		t.Errorf("got %s", s)
	}
	a.leave()
	if h.Copying() {
		t.Error("somebody is said to want copies, and nobody is left who does")
	}
	h.SetCopied(ctx, a.Session, false)
	h.SetCopied(ctx, a.Session, true) // too late
	if h.Copying() {
		t.Error("a session that is over wants copies")
	}
	_ = plain
}

// TestNobodyWaitsForACopy: the message counts as handled whatever becomes of copies
// of it.
func TestNobodyWaitsForACopy(t *testing.T) {
	h := newHouse(t)
	a, b := h.available("juliet@localhost/a", "5"), h.available("juliet@localhost/b", "5")
	h.SetCopied(t.Context(), b.Session, true)
	var held *sm.Receipt
	sm.Copies.Add(h, hooks.Normal, func(ctx context.Context, c sm.Copying) {
		held = sm.ReceiptOf(ctx)
		for _, s := range c.For {
			h.Copy(ctx, s, xmpp.NewMessage("chat", xmpp.JID{}, xmpp.JID{}, xmpp.El("urn:xmpp:carbons:2", "received")))
		}
	})
	settled := false
	r := sm.NewReceipt(func() { settled = true })
	h.Route(sm.WithReceipt(t.Context(), r), xmpp.New(xmpp.Message, "chat", xmpp.MustParse("romeo@localhost/x"), a.JID, "1"))
	if held != r {
		t.Fatal("the test is wrong: there is no receipt to be kept from")
	}
	r.Release()
	if !settled {
		t.Error("somebody holds the receipt")
	}
	if got := b.inbox(); len(got) != 1 || !sm.IsCopy(got[0]) || got[0].From != b.JID.Bare() || got[0].To != b.JID {
		t.Errorf("got %v", got)
	}
}
