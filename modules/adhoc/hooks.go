package adhoc

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp/form"
)

// A Request is somebody who wants a command run, or its next step.
type Request struct {
	disco.Query            // who asks whom, and the command's node
	Form        *form.Form // what was filled in, checked against what was asked; nil if nothing was
}

// A Step is one step of a command. The error is told to who asks: an
// *xmpp.Error, or any other as internal-server-error. A *form.Mistake lets him
// correct what he has filled in. It runs on the goroutine of who asks.
type Step func(context.Context, Request) (Result, error)

// A Result is what a step shows, and how to go on.
type Result struct {
	Form  *form.Form // asks for something where there is a next step, else says something
	Notes []Note
	Next  Step // nil: the command is done
}

// A Note is a sentence for a person (XEP-0050 §4.3).
type Note struct{ Type, Text string }

// Ask is the result of a step that wants a form filled in before the next.
func Ask(f *form.Form, next Step) (Result, error) { return Result{Form: f, Next: next}, nil }

// Done is the result of the last step, with a sentence that says so.
func Done(text string) (Result, error) {
	return Result{Notes: []Note{{"info", text}}}, nil
}

// Show is the result of the last step, with a form that says something.
func Show(f *form.Form) (Result, error) { return Result{Form: f}, nil }

// An Outcome is what the handlers of a command's hook have made of a request.
// The zero Outcome says that nobody knows the command.
type Outcome struct {
	Handled bool
	Result  Result
	Err     error
}

// The hooks of commands on the server.
var (
	LocalCommands = hooks.NewFold[Outcome, Request]("adhoc_local_commands", "A command of the server is to be run.")
	LocalItems    = hooks.NewFold[disco.Items, disco.Query]("adhoc_local_items", "Which commands of the server may somebody run?")
)

// The hooks of commands on a user's account.
var (
	SMCommands = hooks.NewFold[Outcome, Request]("adhoc_sm_commands", "A command of a user's account is to be run.")
	SMItems    = hooks.NewFold[disco.Items, disco.Query]("adhoc_sm_items", "Which commands of a user's account may somebody run?")
)
