// Package admin is what an operator can have the server do, whichever way they
// ask: gabberdctl, the HTTP API, an ad-hoc command in a client, a web page.
//
// A command is declared once, by the part of the server whose noun it moves:
//
//	admin.New("get_last", "Get last activity information.", m.getLast).Tags("last")
//
// Its arguments are the fields of what the function takes, its result is what
// the function returns; names, forms and exit codes are ejabberd's, so that
// scripts written for ejabberdctl and clients of /api go on working.
//
// The commands of a server live in one Registry, which picks the instance for a
// virtual host, asks for permission, keeps an audit log and bounds the time.
package admin

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/gabberd/gabberd/config"
)

// Latest is the API version of callers who do not name one: the newest form of
// each command.
const Latest = 1000000

// A Policy says who a command is meant for. The rules of api_permissions
// decide; a policy is what they, and people, can go by.
type Policy string

// The policies, as ejabberd names them.
const (
	Restricted Policy = "restricted" // those who were given it by name
	User       Policy = "user"       // also an account for itself
	Open       Policy = "open"       // anybody
	Admin      Policy = "admin"      // administrators
)

// A Description is all there is to say about a command.
type Description struct {
	Name    string
	Doc     string // one sentence
	Long    string // more of them, or ""
	Note    string // as in "added in 24.06"
	Module  string // ejabberd's name of the module it belongs to, or ""
	Tags    []string
	Policy  Policy
	Version int // the first API version that has this form
	Args    []config.Info
	Renames []Rename
	Result  Shape

	Rest          bool // the last argument takes all words that are left
	ExampleWords  []string
	ExampleResult string

	hostArg  string // names the virtual host; "" if none does
	eachHost bool
	endless  bool
}

// A Rename is an earlier name of an argument, still accepted in JSON.
type Rename struct{ Old, New string }

// Internal reports whether the command is for the web pages only; other doors
// neither list nor call it.
func (d *Description) Internal() bool { return slices.Contains(d.Tags, "internal") }

// Arg returns the argument of that name.
func (d *Description) Arg(name string) (config.Info, bool) {
	i := slices.IndexFunc(d.Args, func(a config.Info) bool { return a.Name == name })
	if i < 0 {
		return config.Info{}, false
	}
	return d.Args[i], true
}

// HostArg is the name of the argument that names the virtual host the command
// acts on, or "" if none does.
func (d *Description) HostArg() string { return d.hostArg }

// A Command is something an operator can have done. Its methods return a
// changed copy and are meant to be chained behind New.
type Command struct {
	about Description
	out   reflect.Type
	run   func(context.Context, decoder) (any, error)
}

// decoder sets the arguments of one call.
type decoder func(config.Declarer) error

// NoArgs is what a command without arguments takes.
type NoArgs struct{}

// Fields declares nothing.
func (*NoArgs) Fields(*config.Fields) {}

// New makes a command of a function. The fields of what it takes are the
// arguments, in order, all required that are not Optional; what it returns is
// the result (see Shape). run may be called many times at once, must end
// when its context does, and may panic at the cost of an error.
// New panics when Out has no form in ejabberd's terms.
func New[In, Out any, P config.Of[In]](name, doc string, run func(context.Context, In) (Out, error)) Command {
	out := reflect.TypeFor[Out]()
	shape, err := shapeOf(out, "res")
	if err != nil {
		panic(fmt.Sprintf("admin: result of %s: %v", name, err))
	}
	c := Command{out: out, about: Description{
		Name: name, Doc: doc, Policy: Restricted,
		Args: config.Describe(P(new(In))), Result: shape,
		endless: shape.Kind == KindStream,
	}}
	c.about.hostArg = usualHostArg(c.about.Args)
	c.run = func(ctx context.Context, decode decoder) (any, error) {
		var in In
		if err := decode(P(&in)); err != nil {
			return nil, err
		}
		return run(ctx, in)
	}
	return c
}

// About returns all there is to say about the command. The slices in it are
// shared and must not be changed.
func (c Command) About() Description { return c.about }

// Name is the command's name.
func (c Command) Name() string { return c.about.Name }

// Tags says what the command is about; the first is where it is documented.
func (c Command) Tags(tags ...string) Command {
	c.about.Tags = append(slices.Clip(c.about.Tags), tags...)
	return c
}

// Policy says who the command is meant for; without it, Restricted.
func (c Command) Policy(p Policy) Command {
	c.about.Policy = p
	return c
}

// Version says which API version brought this form of the command. Forms of
// the same name and different versions are commands of their own.
func (c Command) Version(n int) Command {
	c.about.Version = n
	return c
}

// Rename has JSON callers find the argument now called current under its
// earlier name as well.
func (c Command) Rename(old, current string) Command {
	if _, ok := c.about.Arg(current); !ok {
		panic(fmt.Sprintf("admin: %s has no argument %s to rename", c.about.Name, current))
	}
	c.about.Renames = append(slices.Clip(c.about.Renames), Rename{old, current})
	return c
}

// Result names the result and, for lists, the items at each depth:
// Result("contacts", "contact").
func (c Command) Result(name string, items ...string) Command {
	c.about.Result = c.about.Result.named(append([]string{name}, items...))
	return c
}

// Example shows a call and what it prints.
func (c Command) Example(result string, words ...string) Command {
	c.about.ExampleResult, c.about.ExampleWords = result, words
	return c
}

// Long adds what the one sentence leaves out.
func (c Command) Long(text string) Command {
	c.about.Long = text
	return c
}

// Note adds when the command came or changed: "added in 24.06".
func (c Command) Note(text string) Command {
	c.about.Note = text
	return c
}

// Module names the module that the command belongs to, for messages and docs.
func (c Command) Module(name string) Command {
	c.about.Module = name
	return c
}

// HostArg says which argument names the virtual host, where it is not one of
// localhost, serverhost and host: a domain of or under that host, or a JID on
// it. "" says that none does.
func (c Command) HostArg(name string) Command {
	if _, ok := c.about.Arg(name); !ok && name != "" {
		panic(fmt.Sprintf("admin: %s has no argument %s to name its host", c.about.Name, name))
	}
	c.about.hostArg = name
	return c
}

// EachHost has a command of a module that names no host, or the host "global",
// run on every host that has the module, one after the other: numbers are
// added up, lists joined. It panics for results that cannot be joined.
func (c Command) EachHost() Command {
	if !mergeable(c.out) {
		panic(fmt.Sprintf("admin: results of %s from several hosts cannot be joined", c.about.Name))
	}
	c.about.eachHost = true
	return c
}

// Endless takes the time limit from a command that may run for hours.
func (c Command) Endless() Command {
	c.about.endless = true
	return c
}

// RestOfWords has the last argument, a list, take all words that are left
// instead of one with commas.
func (c Command) RestOfWords() Command {
	if n := len(c.about.Args); n == 0 || c.about.Args[n-1].Shape != config.ShapeTexts {
		panic(fmt.Sprintf("admin: the last argument of %s is no list of texts", c.about.Name))
	}
	c.about.Rest = true
	return c
}
