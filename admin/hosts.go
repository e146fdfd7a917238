package admin

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config"
)

// usualHostArg finds the argument that names the virtual host: in commands with
// two parties the local one.
func usualHostArg(args []config.Info) string {
	for _, name := range []string{"localhost", "serverhost", "host"} {
		if slices.ContainsFunc(args, func(a config.Info) bool { return a.Name == name }) {
			return name
		}
	}
	return ""
}

// hostOf is the domain of what a caller wrote for a host: a domain or a JID.
func hostOf(s string) string {
	s, _, _ = strings.Cut(s, "/")
	if _, domain, ok := strings.Cut(s, "@"); ok {
		s = domain
	}
	return fold(s)
}

// instances returns the commands to call: the server's, the one of the host
// that the caller named, or those of all hosts.
func (r *Registry) instances(f *form, c *call) ([]*Command, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case f.global != nil:
		return []*Command{f.global}, nil
	case len(f.hosts) == 0: // removed since it was looked up
		return nil, Unknown.With("unknown command '%s'.", c.about.Name)
	case c.about.eachHost && (c.host == "" || c.host == "global"):
		var all []*Command
		for _, host := range slices.Sorted(maps.Keys(f.hosts)) {
			all = append(all, f.hosts[host])
		}
		return all, nil
	case c.host == "":
		return []*Command{f.any()}, nil
	}
	for host := c.host; host != ""; _, host, _ = strings.Cut(host, ".") {
		if inst := f.hosts[host]; inst != nil {
			return []*Command{inst}, nil
		}
		if r.serves(host) {
			break
		}
	}
	return nil, r.missing(c)
}

// serves reports whether host is known to be a virtual host of the server.
func (r *Registry) serves(host string) bool {
	return r.opt.Hosts != nil && slices.ContainsFunc(r.opt.Hosts(), func(h string) bool { return fold(h) == host })
}

// virtual is the virtual host that domain is or lies under, as far as is known.
func (r *Registry) virtual(domain string) string {
	for host := domain; host != ""; _, host, _ = strings.Cut(host, ".") {
		if r.serves(host) {
			return host
		}
	}
	return domain
}

// missing says why no instance does the command for the host.
func (r *Registry) missing(c *call) error {
	if r.opt.Hosts != nil && !r.serves(c.host) {
		return NotFound.With("%q is not a virtual host of this server", clip(c.host))
	}
	what := c.about.Module
	if what == "" {
		what = c.about.Name
	}
	return NotEnabled.With("%s is not enabled on %s", what, clip(c.host))
}

// mergeable reports whether results of that type can be joined.
func mergeable(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[Rescode](), reflect.TypeFor[Restuple]():
		return true
	}
	return t.Kind() == reflect.Slice || t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

// merge joins the results of two hosts.
func merge(a, b reflect.Value) reflect.Value {
	sum := reflect.New(a.Type()).Elem()
	switch {
	case a.Type() == reflect.TypeFor[Restuple]():
		texts := slices.DeleteFunc([]string{a.Field(0).String(), b.Field(0).String()}, func(s string) bool { return s == "" })
		sum.Field(0).SetString(strings.Join(texts, "\n"))
	case a.Kind() == reflect.String: // Rescode: the first that failed
		if sum.Set(a); a.String() == "" {
			sum.Set(b)
		}
	case a.Kind() == reflect.Slice:
		return reflect.AppendSlice(a, b)
	case a.CanUint():
		sum.SetUint(a.Uint() + b.Uint())
	default:
		sum.SetInt(a.Int() + b.Int())
	}
	return sum
}
