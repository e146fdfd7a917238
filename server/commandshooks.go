package server

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
)

// hookCommands show what hooks do.
func (s *Server) hookCommands() []admin.Command {
	return []admin.Command{
		admin.New("hooks", "List hooks with their handlers, run one by hand, or watch one at work.", s.cmdHooks).Tags("hooks").RestOfWords().
			Long("hooks [HOST]: every hook with its handlers in the order in which they run, on all virtual hosts or on one.\n"+
				"hooks run [HOST] NAME WORDS…: run a hook and show what each handler answered. What the hook does is done; the words are those that the list shows behind `run`.\n"+
				"hooks trace [HOST] NAME: show each call of a handler as it happens, with its time, until it is interrupted.\n"+
				"HOST is a virtual host, or `server` for the hooks that concern none. Without it, run looks for who listens, and trace watches everywhere.").
			Example("", "run", "localhost", "user_send_packet", "juliet@localhost/balcony", "<message to='romeo@localhost'><body>hi</body></message>"),
	}
}

type hookWords struct{ Words []string }

// Fields declares the arguments.
func (a *hookWords) Fields(f *config.Fields) {
	f.Strings(&a.Words, "words", nil, "[HOST], run [HOST] NAME WORDS, or trace [HOST] NAME.").Optional()
}

func (s *Server) cmdHooks(ctx context.Context, in hookWords) (admin.Stream, error) {
	verb, words := "", in.Words
	if len(words) > 0 && (words[0] == "run" || words[0] == "trace") {
		verb, words = words[0], words[1:]
	}
	var only string
	if len(words) > 0 && s.isPlace(words[0]) {
		only, words = words[0], words[1:]
	}
	places, err := s.places(only)
	switch {
	case err != nil:
		return nil, err
	case verb == "" && len(words) > 0:
		return nil, admin.Usage.With("%q is neither run, trace nor a virtual host", words[0])
	case verb == "":
		return lines(listHooks(places)), nil
	case len(words) == 0:
		return nil, admin.Usage.With("hooks %s needs the name of a hook", verb)
	case verb == "run":
		return runHook(ctx, places, words), nil
	case len(words) > 1:
		return nil, admin.Usage.With("hooks trace takes a host and a hook, not %q", words[1:])
	}
	return traceHook(ctx, places, words[0]), nil
}

// A place is where hooks run: a virtual host, or the server.
type place struct {
	name  string
	table *hooks.Table
	enter func(context.Context) context.Context // gives words their meaning there
}

// serverPlace is how operators call the table of the server.
const serverPlace = "server"

// isPlace reports whether the word names a place and no hook.
func (s *Server) isPlace(word string) bool {
	if word == serverPlace {
		return true
	}
	declared := slices.ContainsFunc(hooks.Declared(), func(l hooks.Listing) bool { return l.Name == word })
	_, err := s.onHost(word)
	return err == nil && !declared
}

// places is where hooks run: everywhere, or in the one that is named.
func (s *Server) places(only string) ([]place, error) {
	global := place{serverPlace, s.hooks, func(ctx context.Context) context.Context { return ctx }}
	if only == serverPlace {
		return []place{global}, nil
	}
	if only != "" {
		h, err := s.onHost(only)
		if err != nil {
			return nil, err
		}
		return []place{{h.Domain, h.Parts.Hooks, h.ByHand}}, nil
	}
	all := []place{global}
	for _, h := range s.running() {
		all = append(all, place{h.Domain, h.Parts.Hooks, h.ByHand})
	}
	return all, nil
}

// listHooks shows every hook with its handlers.
func listHooks(places []place) []string {
	var lists [][]hooks.Listing
	for _, p := range places {
		lists = append(lists, p.table.List())
	}
	var out []string
	for i, l := range hooks.Declared() {
		head := fmt.Sprintf("%s (%s): %s", l.Name, l.Kind, l.Doc)
		if l.Usage != "" {
			head += " run: " + l.Usage
		}
		out = append(out, head)
		for j, p := range places {
			for _, h := range lists[j][i].Handlers {
				out = append(out, "    "+p.name+" "+h)
			}
		}
	}
	return out
}

// runHook runs a hook by hand, when somebody looks at what comes of it.
func runHook(ctx context.Context, places []place, words []string) admin.Stream {
	return func(yield func(string, error) bool) {
		p, err := whereToRun(places, words[0])
		var out []string
		if err == nil {
			err = p.table.RunByHand(p.enter(ctx), words[0], words[1:], func(c hooks.Call) { out = append(out, callLine(p.name, c)) })
		}
		if err != nil {
			yield("", admin.Usage.With("%v", err))
			return
		}
		if len(out) == 0 {
			out = []string{fmt.Sprintf("nobody listens to %s on %s", words[0], p.name)}
		}
		lines(out)(yield)
	}
}

// whereToRun is the one place where somebody listens to the hook.
func whereToRun(places []place, name string) (place, error) {
	last := places[len(places)-1]
	i := slices.IndexFunc(hooks.Declared(), func(l hooks.Listing) bool { return l.Name == name })
	if len(places) == 1 || i < 0 {
		return last, nil
	}
	var heard []place
	var names []string
	for _, p := range places {
		if len(p.table.List()[i].Handlers) > 0 {
			heard, names = append(heard, p), append(names, p.name)
		}
	}
	switch len(heard) {
	case 0: // any place will do to check the words
		return last, nil
	case 1:
		return heard[0], nil
	}
	return last, fmt.Errorf("%s has handlers in several places; name one of %s before the hook", name, strings.Join(names, ", "))
}

// traceBacklog is how many calls may wait to be shown before some are left out.
const traceBacklog = 256

// traceHook watches a hook while somebody looks on and until ctx ends. Who runs
// the hook never waits for who watches.
func traceHook(ctx context.Context, places []place, name string) admin.Stream {
	return func(yield func(string, error) bool) {
		calls := make(chan string, traceBacklog)
		for _, p := range places {
			stop, err := p.table.Trace(name, func(c hooks.Call) {
				select {
				case calls <- callLine(p.name, c):
				default:
				}
			})
			if err != nil {
				yield("", admin.Usage.With("%v", err))
				return
			}
			defer stop()
		}
		if !yield("watching "+name, nil) {
			return
		}
		for {
			select {
			case <-ctx.Done():
				return
			case line := <-calls:
				if !yield(line, nil) {
					return
				}
			}
		}
	}
}

// maxShown is how much is shown of an argument or an answer, in bytes.
const maxShown = 2000

// secrets are what stanzas have that is not for an operator's screen.
var secrets = regexp.MustCompile(`(<(?:\w+:)?(?:password|auth|response|success|token|old_password)\b[^>]*>)[^<]+`)

// callLine is a handler's call in a line.
func callLine(at string, c hooks.Call) string {
	s := fmt.Sprintf("%s %s %s %s", at, c.Hook, strings.TrimSpace(c.Handler), c.Took.Round(time.Microsecond))
	if c.Argument != "" {
		s += ": " + shown(c.Argument)
	}
	if c.Result != "" {
		s += " → " + shown(c.Result)
	}
	if c.Stopped {
		s += " (stop)"
	}
	return s
}

// shown is what an operator sees of a value: on one line, bounded, and without
// passwords or what a terminal would take for an order.
func shown(v string) string {
	v = secrets.ReplaceAllString(v, "$1…")
	v = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, v)
	if len(v) > maxShown {
		v = strings.ToValidUTF8(v[:maxShown], "") + "…"
	}
	return v
}

// lines is a stream of what is known already.
func lines(list []string) admin.Stream {
	return func(yield func(string, error) bool) {
		for _, l := range list {
			if !yield(l, nil) {
				return
			}
		}
	}
}
