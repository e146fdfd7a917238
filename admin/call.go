package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"

	"github.com/gabberd/gabberd/config"
)

// Call has a command done and returns its result. It blocks until the command
// ends, ctx does, or the registry's limit is reached. Errors are *Error, those
// of the command, or ctx's. Every call that names a command is logged, with who
// called and for which host, but with no other argument than whom it concerns.
func (r *Registry) Call(ctx context.Context, who Caller, name string, version int, args Args) (*Result, error) {
	r.mu.RLock()
	f := r.lookup(plain(name), version)
	var about Description
	if f != nil {
		about = f.any().about
	}
	r.mu.RUnlock()
	if f == nil {
		return nil, Unknown.With("unknown command '%s'.%s", clip(name), didYouMean(plain(name), r.Names(version)))
	}
	c := call{r: r, who: who, about: about, version: version}
	res, err := c.do(ctx, f, args)
	c.log(ctx, err)
	return res, err
}

// A call is one command being done.
type call struct {
	r       *Registry
	who     Caller
	about   Description
	version int
	args    members
	host    string // that it acts on, "" if none
}

func (c *call) do(ctx context.Context, f *form, args Args) (*Result, error) {
	if c.about.Internal() && c.who.Door != DoorWebAdmin {
		return nil, Denied.With("%s is for the web pages only", c.about.Name)
	}
	var err error
	if c.args, err = args.members(&c.about); err != nil {
		return nil, err
	}
	if err := c.findHost(); err != nil {
		return nil, err
	}
	if err := c.permit(); err != nil {
		return nil, err
	}
	instances, err := c.r.instances(f, c)
	if err != nil {
		return nil, err
	}
	if !c.about.endless {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.r.opt.Limit,
			Failed.With("%s was given up after %v", c.about.Name, c.r.opt.Limit))
		defer cancel()
	}
	v, err := c.run(ctx, instances)
	if err != nil {
		return nil, err
	}
	return &Result{Shape: c.about.Result, Version: c.version, value: v}, nil
}

// findHost sets the host that the call acts on: the one that the caller named,
// or the default of an argument that was left out.
func (c *call) findHost() error {
	arg, ok := c.about.Arg(c.about.hostArg)
	if !ok {
		return nil
	}
	given := c.args.has(arg.Name)
	switch {
	case given:
		c.host = hostOf(c.args.text(arg.Name))
	case arg.Optional:
		c.host = hostOf(arg.Default)
	}
	if given && c.host == "" {
		return Usage.With("%s.%s: must be the name of a host", c.about.Name, arg.Name)
	}
	c.host = c.r.virtual(c.host) // if it is missing, reading the arguments will say so
	return nil
}

// permit asks the guard. Without one, only the console may do anything.
func (c *call) permit() error {
	if g := c.r.opt.Guard; g != nil {
		return g.Permit(c.who, c.about, c.host)
	}
	if c.who.console() {
		return nil
	}
	return Denied.With("only the console may call commands")
}

// run calls each instance and joins what they return.
func (c *call) run(ctx context.Context, instances []*Command) (reflect.Value, error) {
	var all reflect.Value
	for _, inst := range instances {
		out, err := c.one(ctx, inst)
		if err != nil {
			return all, c.reason(ctx, err)
		}
		v := reflect.ValueOf(out)
		if !all.IsValid() {
			all = v
		} else {
			all = merge(all, v)
		}
	}
	return all, nil
}

// reason replaces the error of a context that ran out by why it did.
func (c *call) reason(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// one calls an instance. A panic costs the call and nothing else.
func (c *call) one(ctx context.Context, inst *Command) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.r.opt.Log.Error("command panicked", "command", c.about.Name, "panic", p, "stack", string(debug.Stack()))
			err = Internal.With("%s failed inside; the log of the server says more", c.about.Name)
		}
	}()
	return inst.run(ctx, func(d config.Declarer) error {
		if err := config.DecodeJSON(c.args.object(), d); err != nil {
			return Usage.With("%v", config.Under(err, c.about.Name))
		}
		return nil
	})
}

// log writes the line of the audit log and tells how the call has ended.
func (c *call) log(ctx context.Context, err error) {
	level, outcome := slog.LevelInfo, "done"
	var e *Error
	switch {
	case err == nil:
	case errors.As(err, &e):
		outcome = e.Reason
		if e.Is(Denied) || e.Is(Unprivileged) {
			level = slog.LevelWarn
		}
	default:
		outcome = "failed"
	}
	if f := c.r.opt.Called; f != nil {
		f(c.about.Name, outcome)
	}
	attrs := []slog.Attr{
		slog.String("command", c.about.Name), slog.String("by", c.who.String()), slog.String("door", c.who.Door),
	}
	if c.host != "" {
		attrs = append(attrs, slog.String("host", clip(c.host)))
	}
	for _, name := range []string{"localuser", "user"} {
		if user := c.args.text(name); user != "" {
			attrs = append(attrs, slog.String("user", clip(user)))
			break
		}
	}
	c.r.opt.Log.LogAttrs(ctx, level, "command", append(attrs, slog.String("outcome", outcome))...)
}

// clip keeps what a caller made up short.
func clip(s string) string {
	if len(s) > 256 {
		return fmt.Sprintf("%.256s…", s)
	}
	return s
}
