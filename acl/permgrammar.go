package acl

import (
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config"
)

// doors are the ways in that `from` can name.
var doors = []string{"ejabberd_ctl", "ejabberd_web_admin", "ejabberd_xmlrpc", "mod_adhoc_api", "mod_cron", "mod_http_api"}

func parsePermissions(n *config.Node) (Permissions, error) {
	var p Permissions
	var m mistakes
	if n.Kind() != config.KindMap {
		return p, n.Wanted("a map of titles to from, who and what")
	}
	for title, value := range n.Map() {
		if slices.ContainsFunc(p.grants, func(g grant) bool { return g.title == title }) {
			m.add(n.Key(title).Errorf("%q is written twice", title))
		}
		p.grants = append(p.grants, parseGrant(title, value, &m))
	}
	return p, m.join()
}

func parseGrant(title string, n *config.Node, m *mistakes) grant {
	g := grant{title: title}
	seen := map[string]bool{}
	for _, p := range pairs(n, m) {
		if seen[p.word] {
			m.add(p.at.Errorf("%s is written twice", p.word))
		}
		seen[p.word] = true
		switch {
		case p.value == nil:
			m.add(p.at.Wanted("from, who or what with a value"))
		case p.word == "from":
			g.from, g.tags = parseFrom(p.value, m)
		case p.word == "who":
			g.who = parseWho(p.value, m)
		case p.word == "what":
			g.may = parseWhat(p.value, m)
		default:
			m.add(p.at.Errorf("%q must be from, who or what", p.word))
		}
	}
	return g
}

func parseFrom(n *config.Node, m *mistakes) (from, tags []string) {
	for _, p := range pairs(n, m) {
		switch {
		case p.value != nil && p.word == "tag" && p.value.Kind() == config.KindScalar:
			tags = append(tags, scalar(p.value))
		case p.value != nil || !slices.Contains(doors, p.word):
			m.add(p.at.Errorf("%q must be one of %s, or tag with the tag of a listener", p.word, strings.Join(doors, ", ")))
		default:
			from = append(from, p.word)
		}
	}
	return from, tags
}

func parseWho(n *config.Node, m *mistakes) (who []identity) {
	for _, p := range pairs(n, m) {
		if p.word == "oauth" && p.value != nil {
			who = append(who, parseToken(p, m))
			continue
		}
		who = append(who, parseIdentity(p, m))
	}
	return who
}

func parseIdentity(p pair, m *mistakes) identity {
	switch {
	case p.value != nil && p.word == "access":
		a, err := decodeAccess(p.value)
		m.add(err)
		return identity{access: &a}
	case p.value != nil && p.word == "acl":
		if scalar(p.value) == "" {
			m.add(p.value.Wanted("the name of an ACL"))
		}
		return identity{is: []matcher{{what: byList, text: scalar(p.value), at: p.value}}}
	case p.value == nil:
		return identity{is: []matcher{{what: byList, text: p.word, at: p.at}}}
	}
	return identity{is: parseMatcher(p, m)}
}

func parseToken(token pair, m *mistakes) identity {
	id := identity{scopes: []string{}}
	for _, p := range pairs(token.value, m) {
		if p.word != "scope" || p.value == nil {
			id.under = append(id.under, parseIdentity(p, m))
			continue
		}
		for _, s := range pairs(p.value, m) {
			if s.value != nil || s.word == "" {
				m.add(s.at.Wanted("the name of a scope"))
				continue
			}
			id.scopes = append(id.scopes, s.word)
		}
	}
	if len(id.scopes) == 0 && !m.wrong {
		m.add(token.at.Errorf("oauth needs a scope, as in scope: ejabberd:admin"))
	}
	return id
}

// parseWhat reads a list of commands. An exclamation mark takes away again; a
// list that only takes away permits nothing.
func parseWhat(n *config.Node, m *mistakes) selection {
	yes, no := selection{}, selection{}
	none := false
	for _, p := range pairs(n, m) {
		if p.value != nil {
			m.add(p.at.Wanted("the name of a command"))
			continue
		}
		word, negative := strings.CutPrefix(p.word, "!")
		to := &yes
		if negative {
			to = &no
		}
		m.add(to.put(word, p.at))
		none = none || negative && word == "*"
	}
	if none {
		return selection{}
	}
	yes.no = &no
	return yes
}

// put adds a command, [tag:NAME] or * to s.
func (s *selection) put(word string, at *config.Node) error {
	tag, isTag := strings.CutPrefix(word, "[tag:")
	switch {
	case word == "*":
		s.all = true
	case isTag:
		name, closed := strings.CutSuffix(tag, "]")
		if !closed || !isCommand(name) {
			return at.Errorf("%q is not a tag; write [tag:accounts]", word)
		}
		s.tags = append(s.tags, name)
	case strings.HasPrefix(word, "!"):
		return at.Errorf("one exclamation mark is enough")
	case !isCommand(word):
		return at.Errorf("%q is not the name of a command", word)
	default:
		s.commands = append(s.commands, word)
	}
	return nil
}

func isCommand(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
