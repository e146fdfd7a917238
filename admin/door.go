package admin

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/admin/control"
)

// Control does what gabberdctl asks for, as a control.Handler: it calls the
// command and prints its result in ejabberdctl's form, or what the HTTP API
// would answer. `help` is answered from the declarations.
func (r *Registry) Control(ctx context.Context, req control.Request, a *control.Answer) (exit int) {
	d := ctlDoor{r: r, req: req, a: a, version: Latest}
	if req.Version != nil {
		d.version = *req.Version
	}
	req = r.spoken(req, d.version)
	d.req = req
	name := plain(req.Command)
	if _, declared := r.Lookup(name, d.version); !declared || name == "help" {
		switch name {
		case "help", "":
			return d.help(req.Args)
		case "ping":
			a.Print("pong\n")
			return ExitOK
		case "status":
			a.Print("The server is running.\n")
			return ExitOK
		}
	}
	res, err := d.call(ctx)
	if err != nil {
		return d.fail(err)
	}
	if res.Shape.Kind == KindStream {
		return d.stream(ctx, res)
	}
	return d.show(res)
}

// ctlDoor is one request of gabberdctl.
type ctlDoor struct {
	r       *Registry
	req     control.Request
	a       *control.Answer
	version int
}

func (d *ctlDoor) call(ctx context.Context) (*Result, error) {
	who := Caller{Door: DoorCtl}
	if auth := d.req.Auth; auth != nil {
		if d.r.opt.Guard == nil {
			return nil, Unauthenticated.With("this server checks no passwords of accounts")
		}
		account, err := d.r.opt.Guard.Authenticate(ctx, auth.User, auth.Host, auth.Password)
		if err != nil {
			return nil, err
		}
		if account.IsZero() {
			return nil, Internal.With("the account that was checked has no address")
		}
		who.Account = account
	}
	about, _ := d.r.Lookup(d.req.Command, d.version)
	return d.r.Call(ctx, who, d.req.Command, d.version, arguments(&about, d.req.Args))
}

// show prints a result that is there.
func (d *ctlDoor) show(res *Result) int {
	if d.req.JSON {
		b, err := res.JSON()
		if err != nil {
			return d.fail(err)
		}
		d.a.Print(string(b) + "\n")
		return res.Exit()
	}
	text := res.Text()
	switch {
	case text == "":
	case res.Exit() != ExitOK:
		d.a.Complain(text + "\n")
	default:
		d.a.Print(text + "\n")
	}
	return res.Exit()
}

// stream prints a result line by line as it comes.
func (d *ctlDoor) stream(ctx context.Context, res *Result) int {
	for line, err := range res.Stream() {
		if err != nil {
			if ctx.Err() != nil {
				return ExitOK // nobody waits for it any more
			}
			return d.fail(err)
		}
		if d.req.JSON {
			line = string(textJSON(line))
		}
		d.a.Print(line + "\n")
		d.a.Flush()
		if ctx.Err() != nil {
			break
		}
	}
	return ExitOK
}

// fail prints an error. One with the number of arguments comes with the help of
// the command.
func (d *ctlDoor) fail(err error) int {
	if d.req.JSON {
		_, body := APIError(err)
		d.a.Complain(string(body) + "\n")
		_, exit := ctlError(err)
		return exit
	}
	about, known := d.r.Lookup(d.req.Command, d.version)
	var count wrongCount
	line, exit := ctlError(err)
	switch {
	case !known || !errors.Is(err, Usage):
	case errors.As(err, &count):
		d.a.Complain(d.page().command(&about))
	default:
		line += "\nUsage: " + d.program() + " " + synopsis(&about)
	}
	d.a.Complain(line + "\n")
	return exit
}

// program is what the caller calls us.
func (d *ctlDoor) program() string {
	if d.req.Program == "" {
		return "gabberdctl"
	}
	return clip(d.req.Program)
}
