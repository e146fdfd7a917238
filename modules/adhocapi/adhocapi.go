// Package adhocapi lets people run the server's commands from their clients:
// those that gabberdctl and the HTTP API know, as ad-hoc commands with a form for
// their arguments. Each call goes by api_permissions.
package adhocapi

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
)

// Module is mod_adhoc_api.
var Module = modules.Define("mod_adhoc_api", modules.Spec[options]{
	Doc:   "Offers the server's commands as ad-hoc commands. It needs mod_adhoc.",
	Needs: []string{"mod_adhoc"},
	Start: start,
})

type options struct{ Version int }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	config.Value(f, &o.Version, "default_version", "number | release of ejabberd", admin.Latest,
		"The API version of the commands: 0 to 3, or the release of ejabberd that had it.", decodeVersion).
		DefaultText("the newest").Example("\"24.06\"")
}

var release = regexp.MustCompile(`^(\d\d)\.(\d\d)$`)

// decodeVersion reads an API version, or finds that of a release.
func decodeVersion(n *config.Node) (int, error) {
	text, _ := n.Scalar()
	if v, err := strconv.Atoi(text); err == nil && v >= 0 {
		return v, nil
	}
	r := release.FindStringSubmatch(text)
	switch {
	case r == nil:
		return 0, n.Wanted("a version such as 2, or a release of ejabberd such as \"24.06\"")
	case text >= "24.06":
		return 2, nil
	case text > "23.10":
		return 1, nil
	}
	return 0, nil
}

type module struct {
	options
	host *modules.Host
}

// first is ejabberd's priority for these commands: before those of other
// modules.
const first hooks.Priority = 40

// root is the node that the commands are under.
const root = "api-commands"

func start(h *modules.Host, o options) error {
	m := &module{o, h}
	adhoc.Offer(h, adhoc.Server(), first, m)
	disco.LocalIdentity.Add(h, first, m.rootIdentity)
	disco.LocalFeatures.Add(h, first, m.rootFeatures)
	disco.LocalItems.Add(h, first, m.rootItems)
	return nil
}

// visible reports whether the commands are listed to who asks. Which of them he
// may call is another matter: api_permissions are asked at each call.
func (m *module) visible(q disco.Query) bool {
	return m.host.Rules.Allows("configure", local.Subject(q.From))
}

// List is the commands that are shown to who asks.
func (m *module) List(_ context.Context, q disco.Query) []adhoc.Command {
	if !m.visible(q) {
		return nil
	}
	var out []adhoc.Command
	for _, d := range m.host.Commands.List(m.Version) {
		if fits(d) {
			out = append(out, m.command(d))
		}
	}
	return out
}

// Find is the command with the node of the query.
func (m *module) Find(_ context.Context, q disco.Query) (adhoc.Command, bool) {
	name, ok := strings.CutPrefix(q.Node, root+"/")
	if !ok {
		return adhoc.Command{}, false
	}
	d, ok := m.host.Commands.Lookup(name, m.Version)
	if !ok || d.Name != name || !fits(d) {
		return adhoc.Command{}, false
	}
	return m.command(d), true
}

// fits reports whether a command can be run from a form.
func fits(d admin.Description) bool { return !d.Internal() && d.Result.Kind != admin.KindStream }

func (m *module) command(d admin.Description) adhoc.Command {
	return adhoc.Command{
		Node: root + "/" + d.Name, Name: strings.ReplaceAll(d.Name, "_", " "),
		Run: func(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
			call := func(ctx context.Context, r adhoc.Request) (adhoc.Result, error) { return m.call(ctx, r, d) }
			if len(d.Args) == 0 {
				return call(ctx, r)
			}
			return adhoc.Ask(arguments(d, m.host.Domain), call)
		},
	}
}

// call has the command done.
func (m *module) call(ctx context.Context, r adhoc.Request, d admin.Description) (adhoc.Result, error) {
	who := admin.Caller{Door: admin.DoorAdhoc, Account: r.From.Bare()}
	if s := m.host.Sessions.Find(r.From); s != nil {
		who.Addr = s.Addr().Addr()
	}
	res, err := m.host.Commands.Call(ctx, who, d.Name, m.Version, admin.Named(words(d, r.Form)))
	if err != nil {
		return adhoc.Result{}, stanzaError(err)
	}
	if res.Exit() != admin.ExitOK {
		return adhoc.Result{Notes: []adhoc.Note{{Type: "error", Text: res.Text()}}}, nil
	}
	f, err := result(res)
	if err != nil {
		return adhoc.Result{}, fmt.Errorf("show the result of %s: %w", d.Name, err)
	}
	return adhoc.Show(f)
}

func (m *module) rootIdentity(_ context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
	if q.Node == root && m.visible(q) {
		l = append(l, disco.Identity{Category: "automation", Type: "command-list", Name: "API Commands"})
	}
	return l, hooks.Next
}

func (m *module) rootFeatures(_ context.Context, a disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
	if q.Node == root && m.visible(q) {
		a = a.With()
	}
	return a, hooks.Next
}

func (m *module) rootItems(ctx context.Context, a disco.Items, q disco.Query) (disco.Items, hooks.Flow) {
	if !m.visible(q) {
		return a, hooks.Next
	}
	switch q.Node {
	case "":
		a = a.With(disco.Item{JID: q.To, Node: root, Name: "API Commands"})
	case root:
		a = a.With()
		for _, c := range m.List(ctx, q) {
			a = a.With(disco.Item{JID: q.To, Node: c.Node, Name: c.Name})
		}
	}
	return a, hooks.Next
}
