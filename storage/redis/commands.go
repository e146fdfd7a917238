package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	goredis "github.com/redis/go-redis/v9"
)

// ErrAway is every error that means that Redis cannot be asked now: no
// connection, no answer in time, still loading, a cluster that is down, a
// replica, no memory left. Whether a command that failed so was executed is
// unknown. Nil, WRONGTYPE and the like are not ErrAway.
var ErrAway = errors.New("redis is away")

// awayError is an ErrAway with its cause.
type awayError struct{ cause error }

func (e *awayError) Error() string        { return ErrAway.Error() + ": " + e.cause.Error() }
func (e *awayError) Is(target error) bool { return target == ErrAway }
func (e *awayError) Unwrap() error        { return e.cause }

// cause is err without our wrapping.
func cause(err error) error {
	if e := (*awayError)(nil); errors.As(err, &e) {
		return e.cause
	}
	return err
}

// refusals are how answers begin that Redis gives when it cannot do now what it
// is there for.
var refusals = []string{"LOADING ", "CLUSTERDOWN ", "MASTERDOWN ", "READONLY ", "TRYAGAIN ", "BUSY ", "MISCONF ", "NOREPLICAS ", "OOM ",
	"NOAUTH ", "WRONGPASS ", "ERR max number of clients", "ERR invalid password", "UNBLOCKED "}

// Classify returns err wrapped so that errors.Is(err, ErrAway), if that is what
// it means, else err itself. Commands of a Client need it not: theirs is done.
func Classify(err error) error {
	if err == nil || errors.Is(err, ErrAway) || !isAway(err) {
		return err
	}
	return &awayError{err}
}

func isAway(err error) bool {
	var answer goredis.Error
	if errors.As(err, &answer) { // Redis itself has spoken
		text := answer.Error()
		return slices.ContainsFunc(refusals, func(r string) bool {
			// Before Redis 7 a script that was refused something says where, first.
			return strings.HasPrefix(text, r) || strings.HasPrefix(text, "ERR Error running script") && strings.Contains(text, ": -"+r)
		})
	}
	var dial *dialError
	var network net.Error
	switch {
	case errors.As(err, &dial), errors.As(err, &network),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, goredis.ErrClosed), errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return true
	}
	text := err.Error() // these have no value of their own
	return strings.HasPrefix(text, "redis: cluster has no nodes") || strings.HasPrefix(text, "redis: all sentinels") ||
		strings.HasPrefix(text, "redis: connection")
}

type (
	ungatedKey  struct{}
	blockingKey struct{}
)

// ungated is for those who find out whether Redis is back.
func ungated(ctx context.Context) context.Context { return context.WithValue(ctx, ungatedKey{}, true) }

// Blocking is a context for a command that is told to wait in Redis, such as
// XREAD with BLOCK: it may take d longer than Timeout. It holds a connection
// meanwhile, and that ctx is cancelled does not end it: d should be short.
func Blocking(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, blockingKey{}, d)
}

// hook stands before every command: it bounds, refuses, classifies and logs.
type hook struct{ c *Client }

// DialHook implements goredis.Hook.
func (h hook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessHook implements goredis.Hook.
func (h hook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		began := time.Now()
		ctx, cancel, err := h.c.enter(ctx)
		if err != nil {
			return err
		}
		defer cancel()
		err = h.c.run(ctx, cmd, next)
		err = h.c.left(err)
		h.c.trace(ctx, cmd, err, began)
		return err
	}
}

// ProcessPipelineHook implements goredis.Hook.
func (h hook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		began := time.Now()
		ctx, cancel, err := h.c.enter(ctx)
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
		defer cancel()
		dials := h.c.dials.Load()
		h.c.spell(cmds, dials)
		err = next(ctx, cmds)
		if again := forgotten(cmds); len(again) > 0 {
			err = next(ctx, again)
		}
		h.c.learn(cmds, dials)
		return h.c.leftAll(ctx, cmds, err, began)
	}
}

// run executes one command.
func (c *Client) run(ctx context.Context, cmd goredis.Cmder, next goredis.ProcessHook) error {
	if _, ok := scriptOf(cmd); !ok {
		return next(ctx, cmd)
	}
	cmds, dials := []goredis.Cmder{cmd}, c.dials.Load()
	c.spell(cmds, dials)
	err := next(ctx, cmd)
	cmd.SetErr(err)
	if len(forgotten(cmds)) > 0 {
		err = next(ctx, cmd)
		cmd.SetErr(err)
	}
	c.learn(cmds, dials)
	return err
}

// enter bounds a call, or refuses it because Redis is away.
func (c *Client) enter(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if why := c.away.Load(); why != nil && ctx.Value(ungatedKey{}) == nil {
		return nil, nil, why
	}
	bound := Timeout
	if more, ok := ctx.Value(blockingKey{}).(time.Duration); ok {
		bound += more
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	return ctx, cancel, nil
}

// left classifies how a call ended, and has somebody look after Redis if it
// ended badly.
func (c *Client) left(err error) error {
	if err == nil || err == Nil {
		return err
	}
	err = Classify(err)
	if errors.Is(err, ErrAway) && c.Up() {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
	return err
}

// leftAll is left for a pipeline: every command has its own error, and the
// first of them is that of the pipeline.
func (c *Client) leftAll(ctx context.Context, cmds []goredis.Cmder, err error, began time.Time) error {
	var first error
	for _, cmd := range cmds {
		one := cmd.Err()
		if one != nil {
			one = c.left(one)
			cmd.SetErr(one)
			if first == nil {
				first = one
			}
		}
		c.trace(ctx, cmd, one, began)
	}
	if first == nil {
		first = c.left(err)
	}
	return first
}

// What is shown of a command in the log.
const (
	maxValue = 200  // bytes of one argument
	maxLine  = 4000 // bytes of all of them
)

// unsaid are commands whose arguments are secrets.
var unsaid = []string{"auth", "hello", "acl", "config", "migrate"}

// trace logs a command at debug level.
func (c *Client) trace(ctx context.Context, cmd goredis.Cmder, err error, began time.Time) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("cmd", shown(cmd)), slog.Duration("took", time.Since(began))}
	if err != nil && !errors.Is(err, Nil) {
		attrs = append(attrs, slog.Any("err", err))
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "Redis command", attrs...)
}

// shown is a command for people: short, on one line, without secrets.
func shown(cmd goredis.Cmder) string {
	if slices.Contains(unsaid, cmd.Name()) {
		return strings.ToUpper(cmd.Name()) + " …"
	}
	line := []byte(strings.ToUpper(cmd.Name()))
	for i, arg := range cmd.Args() {
		if i == 0 {
			continue // the name
		}
		if len(line) > maxLine {
			return string(fmt.Appendf(line, " … (%d more)", len(cmd.Args())-i))
		}
		line = append(line, ' ')
		line = appendValue(line, arg)
	}
	return string(line)
}

func appendValue(line []byte, arg any) []byte {
	var text string
	switch v := arg.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	case spelling:
		b, _ := v.MarshalBinary() // cannot fail
		text = string(b)
	default:
		text = fmt.Sprint(v)
	}
	more := len(text) - maxValue
	if more > 0 {
		text = text[:maxValue]
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) }) {
		line = strconv.AppendQuote(line, text)
	} else {
		line = append(line, text...)
	}
	if more > 0 {
		line = fmt.Appendf(line, "…(+%d)", more)
	}
	return line
}
