package disco_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

type none struct{}

func (*none) Fields(*config.Fields) {}

type sink struct{}

func (*sink) Route(context.Context, *xmpp.Stanza) {}

// friends is a module that has juliet let her presence go to romeo, and that
// serves another domain and a node.
var friends = modules.Define("mod_test_friends", modules.Spec[none]{
	Start: func(h *modules.Host, _ none) error {
		sm.JIDInfo.Add(h, hooks.Normal, func(_ context.Context, c sm.Contact, p sm.Pair) (sm.Contact, hooks.Flow) {
			if p.User.String() == "juliet@localhost" && p.Other.String() == "romeo@localhost" {
				c.Subscription = "from"
			}
			return c, hooks.Next
		})
		disco.LocalFeatures.Add(h, hooks.Normal, func(_ context.Context, a disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
			switch q.Node {
			case "shop":
				a = a.With("urn:test:shop")
			case "closed":
				a = disco.Refuse[string](xmpp.Forbidden)
			}
			return a, hooks.Next
		})
		h.Feature("urn:test:feature")
		h.UserFeature("urn:test:account")
		h.Serve("chat.localhost", new(sink))
		return nil
	},
})

const info, items = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"

func ask(c *modtest.Client, to, ns, node string) *xmpp.Stanza {
	return c.Ask(`<iq type='get' id='d' to='` + to + `'><query xmlns='` + ns + `' node='` + node + `'/></iq>`)
}

// vars are the values of an attribute of all children with that name.
func vars(st *xmpp.Stanza, name, attr string) []string {
	var out []string
	for c := range st.Payload().Children() {
		if c.Name == name {
			out = append(out, c.Attr(attr))
		}
	}
	return out
}

func condition(st *xmpp.Stanza) string {
	if st.Type != "error" {
		return st.Type
	}
	return string(xmpp.ParseError(st).Condition)
}

func TestServerSaysWhatItIs(t *testing.T) {
	s := modtest.Start(t, `
modules:
  mod_disco:
    name: Verona
    extra_domains: [elsewhere.example]
`, disco.Module, friends)
	c := s.Login("romeo@localhost/orchard")

	got := ask(c, "localhost", info, "")
	id := got.Payload().Child(info, "identity")
	if id.Attr("category") != "server" || id.Attr("type") != "im" || id.Attr("name") != "Verona" {
		t.Errorf("identity is %v", id)
	}
	f := vars(got, "feature", "var")
	for _, want := range []string{info, items, "urn:test:feature"} {
		if !slices.Contains(f, want) {
			t.Errorf("features %v lack %s", f, want)
		}
	}
	if slices.Contains(f, "urn:test:account") || !slices.IsSorted(f) {
		t.Errorf("features are %v", f)
	}
	if got := vars(ask(c, "localhost", items, ""), "item", "jid"); !slices.Equal(got, []string{"elsewhere.example", "chat.localhost"}) {
		t.Errorf("items are %v", got)
	}
}

func TestNodesAreAskedOfTheHooks(t *testing.T) {
	s := modtest.Start(t, "", disco.Module, friends)
	c := s.Login("romeo@localhost/orchard")
	if got := ask(c, "localhost", info, "shop"); got.Payload().Attr("node") != "shop" || !slices.Equal(vars(got, "feature", "var"), []string{"urn:test:shop"}) {
		t.Errorf("the node says %v", got)
	}
	for node, want := range map[string]string{"closed": "forbidden", "nowhere": "item-not-found"} {
		if got := condition(ask(c, "localhost", info, node)); got != want {
			t.Errorf("node %s: got %s, want %s", node, got, want)
		}
	}
	if got := condition(ask(c, "localhost", items, "nowhere")); got != "item-not-found" {
		t.Errorf("items of an unknown node: %s", got)
	}
}

func TestAccountIsKnownToFriendsOnly(t *testing.T) {
	s := modtest.Start(t, "", disco.Module, friends)
	juliet := s.Available("juliet@localhost/balcony")
	s.Login("juliet@localhost/silent")
	romeo, paris := s.Login("romeo@localhost/orchard"), s.Login("paris@localhost/street")

	for _, c := range []*modtest.Client{juliet, romeo} {
		got := ask(c, "juliet@localhost", info, "")
		if id := got.Payload().Child(info, "identity"); id.Attr("category") != "account" || id.Attr("type") != "registered" {
			t.Errorf("%s is told %v", c.JID, got)
		}
		if f := vars(got, "feature", "var"); !slices.Contains(f, "urn:test:account") || slices.Contains(f, "urn:test:feature") {
			t.Errorf("%s is told the features %v", c.JID, f)
		}
		if got := vars(ask(c, "juliet@localhost", items, ""), "item", "jid"); !slices.Equal(got, []string{"juliet@localhost/balcony"}) {
			t.Errorf("%s is told the resources %v", c.JID, got)
		}
	}
	// A stranger cannot tell an account from none.
	for _, ns := range []string{info, items} {
		for _, who := range []string{"juliet@localhost", "nobody@localhost"} {
			got := ask(paris, who, ns, "")
			if condition(got) != "service-unavailable" || xmpp.ParseError(got).Text != "" {
				t.Errorf("a stranger asks %s of %s and is told %v", ns, who, got)
			}
		}
	}
	// Nor does juliet learn about romeo, who has not let her.
	if got := condition(ask(juliet, "romeo@localhost", items, "")); got != "service-unavailable" {
		t.Errorf("juliet is told %s", got)
	}
}

func TestContactAddresses(t *testing.T) {
	s := modtest.Start(t, `
modules:
  mod_disco:
    server_info:
      - modules: all
        name: abuse-addresses
        urls: ["mailto:abuse@localhost", "xmpp:prince@localhost"]
      - modules: [mod_muc]
        name: support-addresses
        urls: ["mailto:muc@localhost"]
`, disco.Module)
	c := s.Login("romeo@localhost/orchard")
	x := ask(c, "localhost", info, "").Payload().Child("jabber:x:data", "x")
	got := x.XML()
	for _, want := range []string{"serverinfo", "abuse-addresses", "mailto:abuse@localhost", "xmpp:prince@localhost"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if strings.Contains(got, "support-addresses") {
		t.Errorf("the server gives away another module's address: %s", got)
	}
	forms := disco.Forms.Run(context.Background(), s.Hooks, nil, disco.Query{To: xmpp.MustParse("chat.localhost"), Module: "mod_muc"})
	if len(forms) != 1 || !strings.Contains(forms[0].XML(), "mailto:muc@localhost") {
		t.Errorf("mod_muc is given %v", forms)
	}
	if x := ask(c, "romeo@localhost", info, "").Payload().Child("jabber:x:data", "x"); x != nil {
		t.Errorf("an account has %v", x)
	}
}

func TestOnlyGetIsAnswered(t *testing.T) {
	s := modtest.Start(t, "", disco.Module)
	c := s.Login("romeo@localhost/orchard")
	for _, to := range []string{"localhost", "romeo@localhost"} {
		if got := condition(c.Ask(`<iq type='set' id='1' to='` + to + `'><query xmlns='` + info + `'/></iq>`)); got != "not-allowed" {
			t.Errorf("set to %s: %s", to, got)
		}
		if got := condition(c.Ask(`<iq type='get' id='1' to='` + to + `'><other xmlns='` + items + `'/></iq>`)); got != "bad-request" {
			t.Errorf("another element to %s: %s", to, got)
		}
	}
}

func TestNothingIsLeftWhenItStops(t *testing.T) {
	s := modtest.Start(t, "", disco.Module)
	c := s.Login("romeo@localhost/orchard")
	s.Stop()
	if got := condition(ask(c, "localhost", info, "")); got != "service-unavailable" {
		t.Errorf("got %s", got)
	}
	if got := s.Features(); len(got) != 0 {
		t.Errorf("features left: %v", got)
	}
}
