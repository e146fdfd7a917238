package admin

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// The doors through which commands are called, by the names that
// api_permissions has for them.
const (
	DoorCtl      = "ejabberd_ctl"
	DoorHTTP     = "mod_http_api"
	DoorAdhoc    = "mod_adhoc_api"
	DoorWebAdmin = "ejabberd_web_admin"
)

// A Caller is who asks for a command, and through which door.
type Caller struct {
	Door    string
	Account xmpp.JID   // whose password or token was checked; zero: nobody's
	Addr    netip.Addr // where from; the zero Addr for this machine
	Scopes  []string   // of the OAuth token; nil without one
	Tag     string     // of the listener, as api_permissions may ask for
}

// console reports whether the caller is the operator at this machine.
func (c *Caller) console() bool { return c.Door == DoorCtl && c.Account.IsZero() }

// String is the caller as the audit log names them.
func (c *Caller) String() string {
	switch {
	case !c.Account.IsZero():
		return c.Account.String()
	case c.console():
		return "console"
	case c.Addr.IsValid():
		return c.Addr.String()
	}
	return "unknown"
}

// A Guard decides who may do what. It is asked once for each call.
type Guard interface {
	// Permit returns nil if who may call the command for host, which is "" if
	// it names none, and Denied or Unprivileged if not.
	Permit(who Caller, command Description, host string) error
	// Authenticate checks the password of an account and returns its bare JID,
	// or Unauthenticated.
	Authenticate(ctx context.Context, user, host, password string) (xmpp.JID, error)
}

// Options are what a Registry needs of the server.
type Options struct {
	Log   *slog.Logger    // of calls; nil: slog.Default
	Guard Guard           // nil: the console may do everything, nobody else anything
	Hosts func() []string // the virtual hosts, for messages; nil: not known
	Limit time.Duration   // of one call; 0: ten minutes
	// Called, if it is not nil, hears how every call of a command has ended:
	// "done", "failed", or the reason of an *Error.
	Called func(command, outcome string)
}

// A Registry holds the commands of a server. All its methods may be called at
// any time from any goroutine.
type Registry struct {
	opt      Options
	mu       sync.RWMutex
	commands map[string][]*form // by name; newest version first
}

// A form is a command in one API version: one for the whole server, or the
// instances of a module on its hosts.
type form struct {
	version int
	global  *Command
	hosts   map[string]*Command
}

// NewRegistry returns a registry without commands.
func NewRegistry(opt Options) *Registry {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Limit <= 0 {
		opt.Limit = 10 * time.Minute
	}
	return &Registry{opt: opt, commands: map[string][]*form{}}
}

// Add registers a command of the server as a whole and returns how to remove
// it. It panics if the command is declared twice.
func (r *Registry) Add(c Command) (remove func()) { return r.add("", c) }

// AddFor registers the instance of a module's command that acts on host. The
// registry calls it when the command's host argument names that host.
func (r *Registry) AddFor(host string, c Command) (remove func()) { return r.add(fold(host), c) }

func (r *Registry) add(host string, c Command) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := c.about.Name
	f := r.form(name, c.about.Version)
	if f == nil {
		f = &form{version: c.about.Version, hosts: map[string]*Command{}}
		forms := append(slices.Clone(r.commands[name]), f)
		slices.SortFunc(forms, func(a, b *form) int { return b.version - a.version })
		r.commands[name] = forms
	}
	if f.global != nil || f.hosts[host] != nil || host == "" && len(f.hosts) > 0 {
		panic(fmt.Sprintf("admin: %s is declared twice", name))
	}
	if host == "" {
		f.global = &c
	} else {
		f.hosts[host] = &c
	}
	return sync.OnceFunc(func() { r.remove(name, f, host) })
}

func (r *Registry) remove(name string, f *form, host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if host == "" {
		f.global = nil
	} else {
		delete(f.hosts, host)
	}
	if f.global != nil || len(f.hosts) > 0 {
		return
	}
	forms := slices.DeleteFunc(slices.Clone(r.commands[name]), func(x *form) bool { return x == f })
	if len(forms) == 0 {
		delete(r.commands, name)
		return
	}
	r.commands[name] = forms
}

// form returns the form of exactly that version, or nil. r.mu is held.
func (r *Registry) form(name string, version int) *form {
	for _, f := range r.commands[name] {
		if f.version == version {
			return f
		}
	}
	return nil
}

// any returns one of the form's instances, always the same.
func (f *form) any() *Command {
	if f.global != nil {
		return f.global
	}
	return f.hosts[slices.Min(slices.Collect(maps.Keys(f.hosts)))]
}

// Lookup returns the command as callers of an API version see it: its newest
// form that is not newer. A dash in the name stands for an underscore.
func (r *Registry) Lookup(name string, version int) (Description, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.lookup(plain(name), version); f != nil {
		return f.any().about, true
	}
	return Description{}, false
}

func (r *Registry) lookup(name string, version int) *form {
	for _, f := range r.commands[name] {
		if f.version <= version {
			return f
		}
	}
	return nil
}

// List returns the commands that callers of an API version see, in order of
// their names, without the internal ones.
func (r *Registry) List(version int) []Description {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Description
	for name := range r.commands {
		if f := r.lookup(name, version); f != nil && !f.any().about.Internal() {
			out = append(out, f.any().about)
		}
	}
	slices.SortFunc(out, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Names returns the names of List.
func (r *Registry) Names(version int) []string {
	list := r.List(version)
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names
}

// plain is the name of a command as it was declared.
func plain(name string) string { return strings.ReplaceAll(name, "-", "_") }

// fold is a domain in the form in which hosts are compared.
func fold(host string) string {
	if ascii := strings.ToLower(strings.TrimSuffix(host, ".")); isASCII(ascii) && !strings.Contains(ascii, "xn--") {
		return ascii
	}
	j, err := xmpp.Parse(host)
	if err != nil {
		return strings.ToLower(host)
	}
	return j.Domain()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
