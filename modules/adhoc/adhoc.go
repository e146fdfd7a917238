// Package adhoc lets people run commands from their clients (XEP-0050). The
// commands themselves come from other modules, which Offer them.
package adhoc

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// NS is the namespace of commands, and the node where they are listed.
const NS = "http://jabber.org/protocol/commands"

// Module is mod_adhoc.
var Module = modules.Define("mod_adhoc", modules.Spec[options]{
	Doc:   "Lets users run commands of the server from their clients.",
	XEPs:  []string{"0050"},
	Start: start,
})

type options struct{ ReportNode bool }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Bool(&o.ReportNode, "report_commands_node", false, "Name the node of the commands among the items of the server, for clients that do not look for it themselves.")
}

type module struct {
	options
	host     *modules.Host
	sessions *sessions
}

// afterModules is ejabberd's priority for what is said about the list of
// commands: behind the modules, before mod_disco.
const afterModules hooks.Priority = 99

func start(h *modules.Host, o options) error {
	m := &module{o, h, newSessions()}
	m.listAt(Server())
	m.listAt(Account())
	Offer(h, Server(), hooks.Last, Fixed{{Node: "ping", Name: "Ping", Run: ping}})
	h.IQ(NS, m.handler(LocalCommands))
	h.UserIQ(NS, m.handler(SMCommands))
	h.Feature(NS)
	h.UserFeature(NS)
	sm.Closed.Add(h, hooks.Normal, func(_ context.Context, s *sm.Session) { m.sessions.forget(s.JID) })
	return nil
}

func ping(context.Context, Request) (Result, error) { return Done("Pong") }

// listAt has the node of the commands described and listed.
func (m *module) listAt(p Place) {
	p.identity.Add(m.host, afterModules, func(_ context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
		if q.Node == NS {
			l = append(l, disco.Identity{Category: "automation", Type: "command-list", Name: "Commands"})
		}
		return l, hooks.Next
	})
	p.features.Add(m.host, afterModules, func(_ context.Context, a disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
		if q.Node == NS {
			a = a.With(NS)
		}
		return a, hooks.Next
	})
	p.below.Add(m.host, afterModules, func(ctx context.Context, a disco.Items, q disco.Query) (disco.Items, hooks.Flow) {
		switch {
		case q.Node == NS:
			a = a.With(p.items.Run(ctx, m.host.Hooks(), disco.Items{}, q).List...)
		case q.Node == "" && m.ReportNode:
			a = a.With(disco.Item{JID: q.To, Node: NS, Name: "Commands"})
		}
		return a, hooks.Next
	})
}

// The actions of a request (XEP-0050 §4.1). Without one it is execute.
const (
	execute  = "execute"
	next     = "next"
	complete = "complete"
	cancel   = "cancel"
	prev     = "prev"
)

// handler answers requests whose commands are those of a hook.
func (m *module) handler(commands hooks.Fold[Outcome, Request]) router.IQHandler {
	return func(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
		el := iq.Payload()
		if iq.Type != "set" || el.Name != "command" {
			return nil, xmpp.BadRequest
		}
		f, err := form.Find(el)
		if err != nil {
			return nil, err
		}
		r := Request{Query: disco.Query{From: iq.From, To: iq.To, Node: el.Attr("node"), Lang: iq.Lang, Module: "mod_adhoc"}, Form: f}
		action := el.Attr("action")
		switch action {
		case "", execute, next, complete, cancel:
		case prev:
			return nil, refuse("bad-action", "There is no way back")
		default:
			return nil, refuse("malformed-action", "There is no such action")
		}
		if f != nil && f.Kind == form.Cancel {
			action = cancel
		}
		if id := el.Attr("sessionid"); id != "" {
			return m.goOn(ctx, id, action, r)
		}
		if action == cancel {
			return nil, refuse("bad-sessionid", "There is nothing to cancel")
		}
		return m.begin(ctx, commands, r)
	}
}

// refuse is an error of this protocol (XEP-0050 §4.4).
func refuse(condition, text string) error {
	return xmpp.BadRequest.WithText(text).WithApp(xmpp.El(NS, condition))
}

// begin runs the first step. Who knows the command may send its form at once,
// and has the second step run too.
func (m *module) begin(ctx context.Context, commands hooks.Fold[Outcome, Request], r Request) (*xmpp.Element, error) {
	filled := r.Form
	r.Form = nil
	out := commands.Run(ctx, m.host.Hooks(), Outcome{}, r)
	switch {
	case !out.Handled:
		return nil, xmpp.ItemNotFound.WithText("There is no such command")
	case out.Err != nil:
		return nil, out.Err
	}
	if filled != nil && out.Result.Next != nil {
		var err error
		if r, err = answered(r, out.Result.Form, filled); err != nil {
			return nil, stanzaError(err)
		}
		if out.Result, err = out.Result.Next(ctx, r); err != nil {
			return nil, stanzaError(err)
		}
	}
	return m.reply(r, newID(), out.Result)
}

// goOn runs the next step of a command.
func (m *module) goOn(ctx context.Context, id, action string, r Request) (*xmpp.Element, error) {
	s := m.sessions.take(id, r.From, r.To, r.Node)
	if s == nil {
		return nil, refuse("bad-sessionid", "There is no such session, or it has expired")
	}
	if action == cancel {
		return xmpp.Build(NS, "command").Attr("node", r.Node).Attr("sessionid", id).Attr("status", "canceled").Done(), nil
	}
	r, err := answered(r, s.asked, r.Form)
	var res Result
	if err == nil {
		res, err = s.next(ctx, r)
	}
	var mistake *form.Mistake
	if errors.As(err, &mistake) && !m.sessions.put(id, s) {
		return nil, tooMany()
	}
	if err != nil {
		return nil, stanzaError(err)
	}
	return m.reply(r, id, res)
}

// answered is r with its form checked against what was asked.
func answered(r Request, asked, filled *form.Form) (Request, error) {
	r.Form = nil
	if asked == nil {
		return r, nil
	}
	f, err := asked.Accept(filled)
	r.Form = f
	return r, err
}

// stanzaError is what is told of an error.
func stanzaError(err error) error {
	var mistake *form.Mistake
	if errors.As(err, &mistake) {
		return xmpp.NotAcceptable.WithText(mistake.Error())
	}
	return err
}

func tooMany() error {
	return xmpp.ResourceConstraint.WithText("Too many commands are waiting for their next step")
}

// reply says what a step has brought, and waits for the next if there is one.
func (m *module) reply(r Request, id string, res Result) (*xmpp.Element, error) {
	b := xmpp.Build(NS, "command").Attr("node", r.Node).Attr("sessionid", id)
	if res.Next == nil {
		b.Attr("status", "completed")
	} else {
		s := &session{owner: r.From.Clone(), at: r.To.Clone(), node: r.Node, asked: res.Form, next: res.Next}
		if !m.sessions.put(id, s) {
			return nil, tooMany()
		}
		b.Attr("status", "executing").Open("", "actions").Attr("execute", complete).Open("", complete).Close().Close()
	}
	if res.Form != nil {
		b.Add(res.Form.Element())
	}
	for _, n := range res.Notes {
		b.Open("", "note").Attr("type", n.Type).Text(n.Text).Close()
	}
	return b.Done(), nil
}
