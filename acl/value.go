package acl

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// parseValue reads the value of a matcher that is one word.
func parseValue(kind string, n *config.Node) (matcher, error) {
	text, ok := n.Scalar()
	if !ok {
		return matcher{}, n.Wanted("one value")
	}
	base, style, _ := strings.Cut(kind, "_")
	switch base {
	case "ip":
		return parseIP(n)
	case "server":
		return parseServer(style, n, text)
	case "resource":
		return parseResource(style, n, text)
	case "node":
		return matcher{}, n.Errorf(`%s needs a map of user to server, as in {"^bot": "^example"}`, kind)
	case "shared":
		return parseGroup(n, text)
	}
	name, host, placed := strings.Cut(text, "@")
	if strings.Contains(host, "@") {
		return matcher{}, n.Errorf("%q has more than one @", text)
	}
	mt, err := parseUser(style, n, name)
	if err != nil || !placed {
		return mt, err
	}
	mt.host, err = parseDomain(n, host)
	return mt, err
}

// parseKeyed reads the value of a matcher that has the form {name: host}.
func parseKeyed(kind string, key, value *config.Node) (mt matcher, err error) {
	base, style, _ := strings.Cut(kind, "_")
	name, _ := key.Scalar()
	host, ok := value.Scalar()
	if !ok {
		return mt, value.Wanted("one value")
	}
	switch base {
	case "user":
		mt, err = parseUser(style, key, name)
	case "shared":
		mt, err = parseGroup(key, name)
	case "node":
		return parseNode(style, key, value)
	default:
		return mt, key.Errorf("%s takes one value or a list of them, not a map", kind)
	}
	if err != nil {
		return mt, err
	}
	mt.host, err = parseDomain(value, host)
	return mt, err
}

func parseUser(style string, n *config.Node, name string) (matcher, error) {
	if style != "" {
		re, err := parsePattern(style, n, name)
		return matcher{what: byUser, pattern: re}, err
	}
	j, err := xmpp.NewJID(name, "localhost", "")
	if err != nil || name == "" {
		return matcher{}, n.Errorf("%q is not the name of a user", name)
	}
	return matcher{what: byUser, text: j.Local()}, nil
}

func parseGroup(n *config.Node, name string) (matcher, error) {
	if name == "" {
		return matcher{}, n.Errorf("the name of a group must not be empty")
	}
	return matcher{what: byGroup, text: name}, nil
}

func parseServer(style string, n *config.Node, text string) (matcher, error) {
	if style != "" {
		re, err := parsePattern(style, n, text)
		return matcher{what: byServer, pattern: re}, err
	}
	domain, err := parseDomain(n, text)
	return matcher{what: byServer, text: domain}, err
}

func parseResource(style string, n *config.Node, text string) (matcher, error) {
	if style != "" {
		re, err := parsePattern(style, n, text)
		return matcher{what: byResource, pattern: re}, err
	}
	j, err := xmpp.NewJID("", "localhost", text)
	if err != nil || text == "" {
		return matcher{}, n.Errorf("%q is not a resource", text)
	}
	return matcher{what: byResource, text: j.Resource()}, nil
}

func parseNode(style string, key, value *config.Node) (matcher, error) {
	user, _ := key.Scalar()
	server, _ := value.Scalar()
	userRE, err := parsePattern(style, key, user)
	if err != nil {
		return matcher{}, err
	}
	serverRE, err := parsePattern(style, value, server)
	return matcher{what: byNode, pattern: userRE, server: serverRE}, err
}

func parseDomain(n *config.Node, text string) (string, error) {
	j, err := xmpp.NewJID("", text, "")
	if err != nil || text == "" {
		return "", n.Errorf("%q is not a domain", text)
	}
	return j.Domain(), nil
}

// parseIP reads an address or a network. IPv4 that is written as IPv6 is IPv4;
// other networks of IPv6 never contain an IPv4 address.
func parseIP(n *config.Node) (matcher, error) {
	net, err := config.ReadNetwork(n)
	if a := net.Addr(); err == nil && a.Is4In6() && net.Bits() >= 96 {
		net = netip.PrefixFrom(a.Unmap(), net.Bits()-96).Masked()
	}
	return matcher{what: byIP, net: net}, err
}

// parsePattern compiles a regular expression, which may match anywhere in the
// text, or a glob, which must match all of it.
func parsePattern(style string, n *config.Node, text string) (*regexp.Regexp, error) {
	if style == "glob" {
		re, err := regexp.Compile(globExpr(text))
		if err != nil {
			return nil, n.Errorf("%q is not a glob: use *, ?, [a-z] and [!a-z]", text)
		}
		return re, nil
	}
	re, err := config.CompileRegexp(text)
	if err != nil {
		return nil, n.Errorf("%v", err)
	}
	return re, nil
}

// globExpr is the regular expression for a glob: * any text, ? any character,
// [a-z] one of, [!a-z] none of; a backslash takes the next character as it is.
func globExpr(glob string) string {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for glob != "" {
		switch glob[0] {
		case '*':
			b.WriteString(`.*`)
			glob = glob[1:]
		case '?':
			b.WriteString(`.`)
			glob = glob[1:]
		case '[':
			glob = globSet(&b, glob)
		case '\\':
			if glob = glob[1:]; glob == "" {
				b.WriteString(`\\`)
				break
			}
			r := []rune(glob)[0]
			b.WriteString(regexp.QuoteMeta(string(r)))
			glob = glob[len(string(r)):]
		default:
			end := strings.IndexAny(glob, `*?[\`)
			if end < 0 {
				end = len(glob)
			}
			b.WriteString(regexp.QuoteMeta(glob[:end]))
			glob = glob[end:]
		}
	}
	b.WriteString(`\z`)
	return b.String()
}

// globSet writes the set at the start of glob and returns what follows it. A
// bracket that is not closed stands for itself; one that comes first in a set
// is a member of it.
func globSet(b *strings.Builder, glob string) string {
	body, not := strings.CutPrefix(glob[1:], "!")
	end := -1
	if body != "" {
		end = strings.IndexByte(body[1:], ']') + 1
	}
	if end < 1 {
		b.WriteString(`\[`)
		return glob[1:]
	}
	b.WriteByte('[')
	if not {
		b.WriteByte('^')
	}
	for _, r := range body[:end] {
		if r != '-' && r < 0x80 {
			b.WriteString(regexp.QuoteMeta(string(r)))
			continue
		}
		b.WriteRune(r)
	}
	b.WriteByte(']')
	return body[end+1:]
}
