package router_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		what, xml, want string // want: the condition, or the answer's payload
	}{
		{"known", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='good'/></iq>`, "good"},
		{"white space around the child", "<iq type='get' id='1' from='a@x' to='y'>\n <q xmlns='good'/>\n</iq>", "good"},
		{"empty result", `<iq type='set' id='1' from='a@x' to='y'><q xmlns='empty'/></iq>`, "nothing"},
		{"unknown", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='other'/></iq>`, "service-unavailable"},
		{"stanza error", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='refused'/></iq>`, "not-allowed"},
		{"other error", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='broken'/></iq>`, "internal-server-error"},
		{"no database", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='unavailable'/></iq>`, "resource-constraint"},
		{"no room for writes", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='full'/></iq>`, "resource-constraint"},
		{"a refusal because of the database", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='both'/></iq>`, "not-allowed"},
		{"panic", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='panics'/></iq>`, "internal-server-error"},
		{"later", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='later'/></iq>`, ""},
		{"no child", `<iq type='get' id='1' from='a@x' to='y'/>`, "bad-request"},
		{"two children", `<iq type='get' id='1' from='a@x' to='y'><q xmlns='good'/><q xmlns='good'/></iq>`, "bad-request"},
		{"no id", `<iq type='get' from='a@x' to='y'><q xmlns='good'/></iq>`, "bad-request"},
		{"no type", `<iq id='1' from='a@x' to='y'><q xmlns='good'/></iq>`, "bad-request"},
		{"unknown type", `<iq type='push' id='1' from='a@x' to='y'><q xmlns='good'/></iq>`, "bad-request"},
		{"an answer", `<iq type='result' id='1' from='a@x' to='y'><q xmlns='good'/></iq>`, ""},
		{"an error", `<iq type='error' id='1' from='a@x' to='y'><q xmlns='good'/></iq>`, ""},
	} {
		r, _, log := newRouter()
		p := new(place)
		r.Register("x", "x", p)
		var table router.IQTable
		table.Handle("good", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return xmpp.El("good", "q"), nil })
		table.Handle("empty", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, nil })
		table.Handle("refused", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, xmpp.NotAllowed })
		table.Handle("broken", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, errors.New("disk on fire") })
		fails := func(err error) router.IQHandler {
			return func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, err }
		}
		table.Handle("unavailable", fails(fmt.Errorf("read disk on fire: %w", storage.ErrUnavailable)))
		table.Handle("full", fails(fmt.Errorf("write disk on fire: %w", storage.ErrFull)))
		table.Handle("both", fails(fmt.Errorf("%w: %w", storage.ErrUnavailable, xmpp.NotAllowed)))
		table.Handle("panics", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { panic("disk on fire") })
		table.Handle("later", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, router.ErrLater })
		r.Answer(context.Background(), &table, parse(t, c.xml))
		got := p.inbox()
		switch {
		case len(got) == 1 && got[0].Type == "result":
			name := "nothing"
			if el := got[0].Payload(); el != nil {
				name = el.NS
			}
			if name != c.want || got[0].ID != "1" || got[0].From.String() != "y" {
				t.Errorf("%s: got %v", c.what, got)
			}
		case condition(got) != c.want:
			t.Errorf("%s: got %v, want %s", c.what, got, c.want)
		}
		if logged := strings.Contains(log.String(), "disk on fire"); logged != slices.Contains([]string{"panic", "other error", "no database", "no room for writes"}, c.what) {
			t.Errorf("%s: logged: %s", c.what, log)
		}
		if c.want == "resource-constraint" && (len(got) != 1 || !strings.Contains(got[0].String(), "type='wait'") || !strings.Contains(got[0].String(), "try again later")) {
			t.Errorf("%s: the sender is not told to try again: %v", c.what, got)
		}
		if strings.Contains(strings.Join(texts(got), ""), "disk") {
			t.Errorf("%s: a stranger was told what is wrong inside: %v", c.what, got)
		}
	}
}

func texts(list []*xmpp.Stanza) (out []string) {
	for _, st := range list {
		out = append(out, st.String())
	}
	return out
}

func TestHandlersComeAndGo(t *testing.T) {
	r, _, _ := newRouter()
	p := new(place)
	r.Register("x", "x", p)
	var table router.IQTable
	if got := table.Namespaces(); len(got) != 0 {
		t.Errorf("a new table knows %q", got)
	}
	say := func(text string) router.IQHandler {
		return func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return xmpp.TextEl("ns", "q", text), nil }
	}
	ask := func() string {
		r.Answer(context.Background(), &table, parse(t, `<iq type='get' id='1' from='x' to='y'><q xmlns='ns'/></iq>`))
		return p.inbox()[0].Payload().Text()
	}
	first := table.Handle("ns", say("first"))
	second := table.Handle("ns", say("second"))
	table.Handle("a", say("other"))
	if got := ask(); got != "second" {
		t.Errorf("%q answered, want who came last", got)
	}
	if got := table.Namespaces(); !slices.Equal(got, []string{"a", "ns"}) {
		t.Errorf("namespaces %q", got)
	}
	second()
	second()
	if got := ask(); got != "first" {
		t.Errorf("%q answered, want who is left", got)
	}
	first()
	if got := table.Namespaces(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("namespaces %q", got)
	}
}
