package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gabberd/gabberd/admin/control"
)

// How long started and stopped wait, and how often they look.
const (
	patience = 60 * time.Second
	interval = 50 * time.Millisecond
)

// verbs are the words that ejabberdctl, too, does not send to the server.
func verbs() map[string]func(*tool, context.Context) int {
	const shell = "There is no Erlang shell. `hooks` lists every hook with its handlers, `hooks run` calls one, `help` has the rest.\n"
	const start = "This program does not start servers. In this terminal: gabberd --data DIR. As a service: systemctl start gabberd.\n"
	return map[string]func(*tool, context.Context) int{
		"ping":             (*tool).ping,
		"push":             (*tool).push,
		"started":          (*tool).started,
		"stopped":          (*tool).stopped,
		"start":            instead(start),
		"foreground":       instead(start),
		"foreground-quiet": instead(start),
		"live":             instead(start),
		"iexlive":          instead(start),
		"debug":            instead(shell),
		"iexdebug":         instead(shell),
		"etop":             instead(shell),
		"mnesia_change":    instead("There is no Mnesia here, and no node name in the data. Nothing needs to be changed.\n"),
	}
}

// push is the word before what there is about notifications: push explain USER is
// the command push_explain.
func (t *tool) push(ctx context.Context) int {
	args := t.request.Args
	if len(args) == 2 {
		if user, host, ok := strings.Cut(args[1], "@"); ok {
			args = []string{args[0], user, host}
		}
	}
	if len(args) != 3 || args[0] != "explain" {
		return t.complain(exitUsage, "Error: write %s push explain USER@HOST\n", t.program)
	}
	t.request.Command, t.request.Args = "push_explain", args[1:]
	return t.send(ctx)
}

// instead says what to type instead.
func instead(text string) func(*tool, context.Context) int {
	return func(t *tool, _ context.Context) int {
		return t.complain(exitError, "%s", text)
	}
}

// ping prints whether a server is there.
func (t *tool) ping(ctx context.Context) int {
	t.request.Args = nil
	exit, err := t.call(ctx, io.Discard, io.Discard)
	answer, code := "pong\n", exitOK
	if err != nil || exit != exitOK {
		answer, code = "pang\n", exitError
	}
	if _, err := io.WriteString(t.out, answer); err != nil {
		return exitError
	}
	return code
}

// started waits until the server answers that it runs.
func (t *tool) started(ctx context.Context) int {
	return t.wait(ctx, "the server has not started", func(ctx context.Context) bool {
		t.request.Command, t.request.Args = "status", nil
		exit, err := t.call(ctx, io.Discard, io.Discard)
		return err == nil && exit == exitOK
	})
}

// stopped waits until no server listens any more. One that listens but does not
// answer has not stopped.
func (t *tool) stopped(ctx context.Context) int {
	return t.wait(ctx, "the server has not stopped", func(ctx context.Context) bool {
		socket, err := t.socket()
		if err != nil {
			return true
		}
		t.request.Command, t.request.Args = "ping", nil
		_, err = control.Call(ctx, socket, t.request, io.Discard, io.Discard)
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
	})
}

// wait asks until it is so, for the seconds in the argument at most.
func (t *tool) wait(ctx context.Context, otherwise string, so func(context.Context) bool) int {
	limit := patience
	if args := t.request.Args; len(args) > 0 {
		secs, err := strconv.Atoi(args[0])
		if err != nil || secs < 0 || secs > 24*60*60 || len(args) > 1 {
			return t.complain(exitUsage, "Error: %s takes a number of seconds\n", t.request.Command)
		}
		limit = time.Duration(secs) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !so(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return t.complain(exitError, "Error: %s within %v\n", otherwise, limit)
		}
	}
	return exitOK
}
