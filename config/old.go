package config

import (
	"slices"
	"strings"
)

// renamed are top-level options under earlier names.
var renamed = map[string]string{
	"new_sql_schema":                       "sql_schema_multihost",
	"auth_password_types_hidden_in_scram1": "auth_password_types_hidden_in_sasl1",
	"extauth_instances":                    "extauth_pool_size",
	"deref_aliases":                        "ldap_deref_aliases",
	"s2s_certfile":                         "certfiles",
	"c2s_certfile":                         "certfiles",
	"domain_certfile":                      "certfiles",
}

// removed are options that ejabberd once had and ignores today.
var removed = []string{
	"log_rotate_date", "log_rate_limit", "ca_path", "iqdisc", "access", "commands",
	"ejabberdctl_access_commands", "commands_admin_access", "ldap_local_filter",
	"extauth_cache", "route_subdomains", "ldap_group_cache_size",
	"ldap_group_cache_validity", "ldap_user_cache_size", "ldap_user_cache_validity",
}

// databases are earlier words for a database.
var databases = map[string]string{"internal": "mnesia", "odbc": "sql"}

// flags are listener options that once stood for a request handler.
var flags = map[string][2]string{
	"http_bind": {"/bosh", "mod_bosh"},
	"web_admin": {"/admin", "ejabberd_web_admin"},
	"captcha":   {"/captcha", "ejabberd_captcha"},
	"register":  {"/register", "mod_register_web"},
	"xmlrpc":    {"/", "ejabberd_xmlrpc"},
}

// An updater turns what older versions of ejabberd took into what this one
// takes, with a warning each.
type updater struct{ errs []error }

func (u *updater) warn(n *Node, format string, args ...any) {
	u.errs = append(u.errs, n.Warnf(format, args...))
}

// options updates a map of top-level options.
func (u *updater) options(n *Node) *Node {
	out := n.empty()
	for _, e := range n.entries {
		name := e.key.text
		switch to, old := renamed[name]; {
		case old:
			u.warn(e.key, "is now called %s; please rename it", to)
			u.rename(out, e, to)
			continue
		case slices.Contains(removed, name):
			u.warn(e.key, "was removed from ejabberd and has no effect")
			continue
		}
		switch name {
		case "default_db", "default_ram_db", "auth_method":
			e.value = u.database(e.value)
		case "listen":
			e.value = u.listeners(e.value)
		case "modules":
			e.value = u.modules(e.value)
		case hostConfig, appendConfig:
			e.value = u.hosts(e.value)
		}
		out.put(e.key, e.value)
	}
	return out
}

// rename puts e into out under its new name, which may be there already:
// certificates of several old options all go to one.
func (u *updater) rename(out *Node, e entry, to string) {
	key := e.key.copy()
	key.text = to
	if to == "certfiles" {
		list := &Node{kind: KindList, file: e.value.file, line: e.value.line, column: e.value.column}
		list.add(e.value)
		if have := out.Get(to); have != nil && concatenate(have, list) {
			return
		}
		out.put(key, list)
		return
	}
	out.put(key, e.value)
}

func (u *updater) hosts(n *Node) *Node {
	if n.kind != KindMap {
		return n
	}
	out := n.empty()
	for _, e := range n.entries {
		if e.value.kind == KindMap {
			e.value.parent, e.value.step = n, e.key.text
			e.value = u.options(e.value)
		}
		out.put(e.key, e.value)
	}
	return out
}

// database updates the name of a database, or a list of them.
func (u *updater) database(n *Node) *Node {
	switch n.kind {
	case KindScalar:
		if to, old := databases[n.text]; old {
			u.warn(n, "%s is now called %s; please rename it", n.text, to)
			c := *n
			c.text = to
			return &c
		}
	case KindList:
		out := n.empty()
		for _, item := range n.items {
			out.add(u.database(item))
		}
		return out
	}
	return n
}

func (u *updater) modules(n *Node) *Node {
	if n.kind != KindMap {
		return n
	}
	out := n.empty()
	for _, e := range n.entries {
		if e.key.text == "mod_http_bind" {
			u.warn(e.key, "is now called mod_bosh; please rename it")
			e.key = e.key.copy()
			e.key.text = "mod_bosh"
		}
		out.put(e.key, u.module(e.value))
	}
	return out
}

func (u *updater) module(n *Node) *Node {
	if n.kind != KindMap {
		return n
	}
	out := n.empty()
	for _, e := range n.entries {
		switch e.key.text {
		case "iqdisc", "ldap_group_cache_size", "ldap_group_cache_validity", "ldap_user_cache_size", "ldap_user_cache_validity", "ldap_local_filter":
			u.warn(e.key, "was removed from ejabberd and has no effect")
			continue
		case "deref_aliases":
			u.warn(e.key, "is now called ldap_deref_aliases; please rename it")
			e.key = e.key.copy()
			e.key.text = "ldap_deref_aliases"
		case "db_type", "ram_db_type":
			e.value = u.database(e.value)
		}
		out.put(e.key, e.value)
	}
	return out
}

func (u *updater) listeners(n *Node) *Node {
	if n.kind != KindList {
		return n
	}
	out := n.empty()
	for _, item := range n.items {
		if item.kind == KindMap {
			item = u.listener(item)
		}
		out.add(item)
	}
	return out
}

func (u *updater) listener(n *Node) *Node {
	out := n.empty()
	out.parent, out.step = n.parent, n.step
	http, _ := n.Get("module").Scalar()
	var handlers []entry
	for _, e := range n.entries {
		name := e.key.text
		flag, isFlag := flags[name]
		switch {
		case http == "ejabberd_http" && isFlag:
			u.warn(e.key, "is now a request handler; please write request_handlers: {%s: %s}", flag[0], flag[1])
			if on, err := readBool(e.value); err != nil {
				u.errs = append(u.errs, err)
			} else if on {
				handlers = append(handlers, entry{e.key.like(flag[0]), e.key.like(flag[1])})
			}
			continue
		case name == "turn_ip":
			u.warn(e.key, "is now called turn_ipv4_address; please rename it")
			e.key = e.key.like("turn_ipv4_address")
		case name == "module" && http == "ejabberd_xmlrpc":
			u.warn(e.value, "is now a request handler of ejabberd_http")
			handlers = append(handlers, entry{e.value.like("/"), e.value.like(http)})
			e.value = e.value.like("ejabberd_http")
		case name == "request_handlers":
			e.value = u.handlers(e.value)
		}
		out.put(e.key, e.value)
	}
	addHandlers(out, handlers)
	return out
}

// addHandlers adds request handlers to a listener.
func addHandlers(n *Node, handlers []entry) {
	if len(handlers) == 0 {
		return
	}
	have := n.Get("request_handlers")
	if have == nil || have.kind != KindMap {
		have = &Node{kind: KindMap, file: n.file, line: n.line, column: n.column}
		n.put(handlers[0].key.like("request_handlers"), have)
	}
	for _, h := range handlers {
		have.put(h.key, h.value)
	}
}

func (u *updater) handlers(n *Node) *Node {
	if n.kind != KindMap {
		return n
	}
	out := n.empty()
	for _, e := range n.entries {
		if v := e.value.textOf(); v == "mod_http_bind" || v == "ejabberd_http_bind" {
			u.warn(e.value, "%s is now called mod_bosh; please rename it", v)
			e.value = e.value.like("mod_bosh")
		}
		if !strings.HasPrefix(e.key.text, "/") {
			e.key = e.key.like("/" + e.key.text)
		}
		out.put(e.key, e.value)
	}
	return out
}

// empty returns n without what is in it.
func (n *Node) empty() *Node {
	c := *n
	c.items, c.entries = nil, nil
	return &c
}

// like returns a single value at the place of n.
func (n *Node) like(text string) *Node {
	return &Node{kind: KindScalar, file: n.file, line: n.line, column: n.column, text: text, scope: n.scope, parent: n.parent, step: n.step}
}
