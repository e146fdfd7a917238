package admin

import (
	"strings"

	"github.com/gabberd/gabberd/admin/control"
)

// spoken finds the command that the first two words name together, where the first
// alone is none: `forward list-dead` is forward_list_dead.
func (r *Registry) spoken(req control.Request, version int) control.Request {
	if _, declared := r.Lookup(plain(req.Command), version); declared || len(req.Args) == 0 {
		return req
	}
	name := plain(req.Command) + "_" + plain(req.Args[0])
	if _, declared := r.Lookup(name, version); declared {
		req.Command, req.Args = name, req.Args[1:]
	}
	return req
}

// arguments reads the words behind a command. Where the first is the name of one of
// its arguments with -- before it, all are taken for names and values:
// `--since 2026-01-01 --until=2026-02-01`.
func arguments(d *Description, words []string) Args {
	named := map[string][]string{}
	for i := 0; i < len(words); i++ {
		name, value, joined := strings.Cut(words[i], "=")
		name, flag := strings.CutPrefix(name, "--")
		name = plain(name)
		if _, ok := d.Arg(name); !ok || !flag || !joined && i+1 == len(words) || named[name] != nil {
			return Words(words...)
		}
		if !joined {
			i++
			value = words[i]
		}
		named[name] = []string{value}
	}
	if len(named) == 0 {
		return Words(words...)
	}
	return Named(named)
}
