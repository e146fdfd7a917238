package adhoc

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
)

// A Command is something that can be run from a client.
type Command struct {
	Node, Name string
	// Allowed says who may see and run it, and is asked again at every step;
	// nil is everybody.
	Allowed func(context.Context, disco.Query) bool
	Run     Step
}

// A Menu is where commands come from. Its methods may be called at any time by
// many at once.
type Menu interface {
	// List is the commands that exist for who asks.
	List(context.Context, disco.Query) []Command
	// Find is the command with the node of the query.
	Find(context.Context, disco.Query) (Command, bool)
}

// Fixed is a Menu that is always the same.
type Fixed []Command

// List is all of them.
func (f Fixed) List(context.Context, disco.Query) []Command { return f }

// Find is the command with the node of the query.
func (f Fixed) Find(_ context.Context, q disco.Query) (Command, bool) {
	for _, c := range f {
		if c.Node == q.Node {
			return c, true
		}
	}
	return Command{}, false
}

// A Place is where commands are offered: the server, or its users' accounts.
type Place struct {
	commands hooks.Fold[Outcome, Request]
	items    hooks.Fold[disco.Items, disco.Query]
	identity hooks.Fold[[]disco.Identity, disco.Query]
	features hooks.Fold[disco.Features, disco.Query]
	below    hooks.Fold[disco.Items, disco.Query]
}

// Server is the server itself.
func Server() Place {
	return Place{LocalCommands, LocalItems, disco.LocalIdentity, disco.LocalFeatures, disco.LocalItems}
}

// Account is the bare addresses of users.
func Account() Place {
	return Place{SMCommands, SMItems, disco.SMIdentity, disco.SMFeatures, disco.SMItems}
}

// Offer has the commands of a menu listed, described and run at a place, as
// long as the module runs.
func Offer(h *modules.Host, at Place, prio hooks.Priority, m Menu) {
	o := offer{m}
	at.commands.Add(h, prio, o.run)
	at.items.Add(h, prio, o.list)
	at.identity.Add(h, prio, o.identity)
	at.features.Add(h, prio, o.features)
	at.below.Add(h, prio, o.below)
}

type offer struct{ menu Menu }

func (c Command) allows(ctx context.Context, q disco.Query) bool {
	return c.Allowed == nil || c.Allowed(ctx, q)
}

func (o offer) run(ctx context.Context, out Outcome, r Request) (Outcome, hooks.Flow) {
	if out.Handled {
		return out, hooks.Next
	}
	c, ok := o.menu.Find(ctx, r.Query)
	if !ok {
		return out, hooks.Next
	}
	out.Handled = true
	out.Result, out.Err = c.guarded(c.Run)(ctx, r)
	return out, hooks.Next
}

// guarded is a step, and all that follow it, for those only who may run the
// command at that moment.
func (c Command) guarded(s Step) Step {
	if s == nil {
		return nil
	}
	return func(ctx context.Context, r Request) (Result, error) {
		if !c.allows(ctx, r.Query) {
			return Result{}, xmpp.Forbidden.WithText("Access denied by service policy")
		}
		res, err := s(ctx, r)
		res.Next = c.guarded(res.Next)
		return res, err
	}
}

func (o offer) list(ctx context.Context, a disco.Items, q disco.Query) (disco.Items, hooks.Flow) {
	a = a.With()
	for _, c := range o.menu.List(ctx, q) {
		if c.allows(ctx, q) {
			a = a.With(disco.Item{JID: q.To, Node: c.Node, Name: c.Name})
		}
	}
	return a, hooks.Next
}

// found is the command that a question of service discovery is about.
func (o offer) found(ctx context.Context, q disco.Query) (Command, bool) {
	if q.Node == "" {
		return Command{}, false
	}
	return o.menu.Find(ctx, q)
}

func (o offer) identity(ctx context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
	if c, ok := o.found(ctx, q); ok && c.allows(ctx, q) {
		l = append(l, disco.Identity{Category: "automation", Type: "command-node", Name: c.Name})
	}
	return l, hooks.Next
}

func (o offer) features(ctx context.Context, a disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
	switch c, ok := o.found(ctx, q); {
	case !ok:
		return a, hooks.Next
	case !c.allows(ctx, q):
		return disco.Refuse[string](xmpp.Forbidden), hooks.Stop
	}
	return a.With(NS, "jabber:x:data"), hooks.Next
}

func (o offer) below(ctx context.Context, a disco.Items, q disco.Query) (disco.Items, hooks.Flow) {
	switch c, ok := o.found(ctx, q); {
	case !ok:
		return a, hooks.Next
	case !c.allows(ctx, q):
		return disco.Refuse[disco.Item](xmpp.Forbidden), hooks.Stop
	}
	return a.With(), hooks.Next
}
