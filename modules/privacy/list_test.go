package privacy

import (
	"context"
	"log/slog"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

type owner struct{ t *hooks.Table }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.t }
func (owner) OnStop(func())         {}

// TestWhatAListSays: who is first in order has the word, and the most exact
// address is not before others (XEP-0016 §2.1, §2.2).
func TestWhatAListSays(t *testing.T) {
	table := hooks.NewTable(slog.New(slog.DiscardHandler))
	sm.JIDInfo.Add(owner{table}, hooks.Normal, func(_ context.Context, c sm.Contact, p sm.Pair) (sm.Contact, hooks.Flow) {
		if p.Other.Bare() == juliet {
			c = sm.Contact{Subscription: "both", Groups: []string{"Lovers"}}
		}
		return c, hooks.Next
	})
	j := func(s string, order int64) item { return item{match: byJID, jid: xmpp.MustParse(s), order: order} }
	allow := func(i item) item { i.allow = true; return i }
	about := func(k kinds, i item) item { i.kinds = k; return i }
	group := item{match: byGroup, value: "Lovers", order: 5}
	none := item{match: bySubscription, value: "none", order: 5}
	for name, c := range map[string]struct {
		list []item
		peer string
		kind kinds
		want bool
	}{
		"empty list":               {nil, "a@b", messages, true},
		"nothing fits":             {[]item{j("x@y", 1)}, "a@b", messages, true},
		"bare, any device":         {[]item{j("a@b", 1)}, "a@b/c", messages, false},
		"full":                     {[]item{j("a@b/c", 1)}, "a@b/c", messages, false},
		"full, another device":     {[]item{j("a@b/c", 1)}, "a@b/d", messages, true},
		"full, the bare address":   {[]item{j("a@b/c", 1)}, "a@b", messages, true},
		"domain":                   {[]item{j("b", 1)}, "a@b/c", messages, false},
		"domain itself":            {[]item{j("b", 1)}, "b", messages, false},
		"not a subdomain":          {[]item{j("b.example", 1)}, "a@x.b.example", messages, true},
		"domain with resource":     {[]item{j("b/c", 1)}, "b/c", messages, false},
		"domain, other resource":   {[]item{j("b/c", 1)}, "b/d", messages, true},
		"allowed before":           {[]item{j("b", 2), allow(j("a@b", 1))}, "a@b", messages, true},
		"allowed too late":         {[]item{j("b", 1), allow(j("a@b", 2))}, "a@b", messages, false},
		"other kind":               {[]item{about(messages, j("a@b", 1))}, "a@b", iqs, true},
		"kind":                     {[]item{about(messages|iqs, j("a@b", 1))}, "a@b", iqs, false},
		"kind, then all":           {[]item{about(messages, allow(j("a@b", 1))), j("a@b", 2)}, "a@b", iqs, false},
		"what goes out":            {[]item{about(fourKinds, j("a@b", 1))}, "a@b", everything, true},
		"what goes out, all":       {[]item{j("a@b", 1)}, "a@b", everything, false},
		"group":                    {[]item{group}, "juliet@localhost/x", messages, false},
		"not in the group":         {[]item{group}, "a@b", messages, true},
		"strangers":                {[]item{none}, "a@b", messages, false},
		"strangers, a friend":      {[]item{none}, "juliet@localhost", messages, true},
		"all others":               {[]item{allow(j("a@b", 1)), {match: anybody, order: 2}}, "c@b", messages, false},
		"all others, but not he":   {[]item{allow(j("a@b", 1)), {match: anybody, order: 2}}, "a@b", messages, true},
		"blocked at equal order":   {[]item{{match: anybody, allow: true}, j("a@b", 0)}, "a@b", messages, false},
		"group before the address": {[]item{allow(group), j("juliet@localhost", 6)}, "juliet@localhost", messages, true},
	} {
		l := newList("x", c.list)
		if got := l.allows(t.Context(), table, romeo, xmpp.MustParse(c.peer), c.kind); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		xml     string
		in, out kinds
	}{
		{`<message/>`, messages, everything},
		{`<iq type='get'><x xmlns='x'/></iq>`, iqs, everything},
		{`<presence/>`, presenceIn, presenceOut},
		{`<presence type='unavailable'/>`, presenceIn, presenceOut},
		{`<presence type='subscribe'/>`, everything, everything},
		{`<presence type='probe'/>`, everything, everything},
	} {
		st, err := xmpp.ParseXML([]byte(c.xml))
		if err != nil {
			t.Fatal(err)
		}
		if in, out := kindOf(st, sm.In), kindOf(st, sm.Out); in != c.in || out != c.out {
			t.Errorf("%s: %v, %v", c.xml, in, out)
		}
	}
}
