// Package stats tells how many users the server has (XEP-0039).
package stats

import (
	"context"
	"strconv"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "http://jabber.org/protocol/stats"

// maxAsked bounds how many numbers one request gets.
const maxAsked = 32

// Module is mod_stats.
var Module = modules.Define("mod_stats", modules.Spec[options]{
	Doc:   "Tells how many users there are and how many of them are connected.",
	XEPs:  []string{"0039"},
	Start: start,
})

type options struct{}

// Fields declares nothing.
func (*options) Fields(*config.Fields) {}

type module struct{ host *modules.Host }

func start(h *modules.Host, _ options) error {
	m := &module{h}
	h.IQ(ns, m.answer)
	h.Feature(ns)
	return nil
}

// A number is one that can be asked for.
type number struct {
	name, unit string
	value      func(*module, context.Context) (int, error)
}

// numbers are all there are, under ejabberd's names.
func numbers() []number {
	return []number{
		{"users/online", "users", (*module).online},
		{"users/total", "users", (*module).total},
		{"users/all-hosts/online", "users", (*module).onlineEverywhere},
		{"users/all-hosts/total", "users", (*module).totalEverywhere},
	}
}

// answer lists the names of all numbers (XEP-0039 §2.1), or tells those that
// are asked for (§2.2).
func (m *module) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	query := iq.Payload()
	switch {
	case iq.Type != "get":
		return nil, xmpp.NotAllowed.WithText("Only get is allowed here")
	case query.Name != "query":
		return nil, xmpp.BadRequest
	case query.Attr("node") != "":
		return nil, xmpp.ItemNotFound.WithText("No such node")
	}
	b := xmpp.Build(ns, "query")
	asked := 0
	for c := range query.Children() {
		if !c.Is(ns, "stat") {
			continue
		}
		if asked++; asked > maxAsked {
			return nil, xmpp.ResourceConstraint.WithText("Too many numbers in one request")
		}
		if err := m.tell(ctx, b, c.Attr("name")); err != nil {
			return nil, err
		}
	}
	if asked == 0 {
		for _, n := range numbers() {
			b.Open("", "stat").Attr("name", n.name).Close()
		}
	}
	return b.Done(), nil
}

// tell writes one number; one that does not exist carries its own error
// (XEP-0039 §3).
func (m *module) tell(ctx context.Context, b *xmpp.Builder, name string) error {
	b.Open("", "stat").Attr("name", name)
	defer b.Close()
	for _, n := range numbers() {
		if n.name != name {
			continue
		}
		v, err := n.value(m, ctx)
		if err != nil {
			return err
		}
		b.Attr("units", n.unit).Attr("value", strconv.Itoa(v))
		return nil
	}
	b.Open("", "error").Attr("code", "404").Text("Not Found").Close()
	return nil
}

func (m *module) online(context.Context) (int, error) { return m.host.Sessions.Count(), nil }

func (m *module) total(ctx context.Context) (int, error) { return m.host.Auth.Count(ctx, "") }

func (m *module) onlineEverywhere(context.Context) (int, error) {
	sum := 0
	for _, h := range m.hosts() {
		sum += h.Sessions.Count()
	}
	return sum, nil
}

func (m *module) totalEverywhere(ctx context.Context) (int, error) {
	sum := 0
	for _, h := range m.hosts() {
		n, err := h.Auth.Count(ctx, "")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// hosts is every virtual host of the server.
func (m *module) hosts() []*local.Host {
	var out []*local.Host
	for _, r := range m.host.Router.Routes() {
		if h, ok := r.Handler.(*local.Host); ok {
			out = append(out, h)
		}
	}
	return out
}
