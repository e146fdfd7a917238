package vcard

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// places is where things are or reach somebody; each is true or false.
const places = "home? work? postal? parcel? dom? intl? pref? "

// parts are the parts of a vCard as ejabberd.yml has them, in the order of
// XEP-0054, each with the parts it consists of: name? is true or false, name* a
// list of texts, name! is base64. Nothing: the part is a text. A * behind the
// part itself: there may be several.
var parts = []struct{ name, inner string }{
	{"version", ""}, {"fn", ""}, {"n", "family given middle prefix suffix"}, {"nickname", ""},
	{"photo", "type binval! extval"}, {"bday", ""},
	{"adr*", places + "pobox extadd street locality region pcode ctry"},
	{"label*", places + "line*"},
	{"tel*", "home? work? voice? fax? pager? msg? cell? video? bbs? modem? isdn? pcs? pref? number"},
	{"email*", "home? work? internet? pref? x400? userid"},
	{"jabberid", ""}, {"mailer", ""}, {"tz", ""}, {"geo", "lat lon"}, {"title", ""}, {"role", ""},
	{"logo", "type binval! extval"}, {"org", "name units*"}, {"categories*", ""}, {"note", ""}, {"prodid", ""}, {"rev", ""},
	{"sort_string", ""}, {"sound", "phonetic binval! extval"}, {"uid", ""}, {"url", ""},
	{"class", ""}, {"key", "type cred"}, {"desc", ""},
}

// CardField declares an option that is a vCard, as ejabberd writes it: a map of
// the parts of XEP-0054 in lower case. Without a value it is nil.
func CardField(f *config.Fields, p **xmpp.Element, name, doc string) *config.Field[*xmpp.Element] {
	return config.Value(f, p, name, "vCard", nil, doc, decodeCard).DefaultText("").
		Example("{fn: Example server, adr: [{work: true, street: Elm Street}]}")
}

// decodeCard reads a vCard.
func decodeCard(n *config.Node) (*xmpp.Element, error) {
	if n.Kind() != config.KindMap {
		return nil, n.Wanted("a map such as {fn: A name}")
	}
	var names []string
	for _, p := range parts {
		names = append(names, strings.TrimSuffix(p.name, "*"))
	}
	errs := []error{known(n, names)}
	b := xmpp.Build(NS, "vCard")
	for i, p := range parts {
		v := n.Get(names[i])
		switch {
		case v == nil:
		case names[i] == "categories":
			b.Open("", "CATEGORIES")
			errs = append(errs, texts(b, "KEYWORD", v))
			b.Close()
		case p.inner == "":
			errs = append(errs, text(b, tag(names[i]), v))
		case strings.HasSuffix(p.name, "*"):
			for _, item := range items(v) {
				errs = append(errs, compound(b, names[i], p.inner, item))
			}
		default:
			errs = append(errs, compound(b, names[i], p.inner, v))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b.Done(), nil
}

// known checks the names in a map.
func known(n *config.Node, names []string) error {
	errs := []error{n.Duplicates()}
	for name := range n.Map() {
		if !slices.Contains(names, name) {
			errs = append(errs, n.Key(name).Errorf("a vCard has no such part here; there are %s", strings.Join(names, ", ")))
		}
	}
	return errors.Join(errs...)
}

// tag is the name of the element for a part.
func tag(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "_", "-")) }

// items is a list, or one item as a list.
func items(n *config.Node) []*config.Node {
	if n.Kind() == config.KindList {
		return n.List()
	}
	return []*config.Node{n}
}

// text writes an element with a text.
func text(b *xmpp.Builder, tag string, n *config.Node) error {
	t, ok := n.Scalar()
	if !ok {
		return n.Wanted("a text")
	}
	b.Open("", tag).Text(t).Close()
	return nil
}

// texts writes an element for each text.
func texts(b *xmpp.Builder, tag string, n *config.Node) error {
	var errs []error
	for _, item := range items(n) {
		errs = append(errs, text(b, tag, item))
	}
	return errors.Join(errs...)
}

// compound writes a part that consists of others.
func compound(b *xmpp.Builder, name, inner string, n *config.Node) error {
	if n.Kind() != config.KindMap {
		return n.Wanted("a map of " + strings.NewReplacer("?", "", "*", "", "!", "").Replace(inner))
	}
	var names []string
	for _, p := range strings.Fields(inner) {
		names = append(names, strings.TrimRight(p, "?*!"))
	}
	errs := []error{known(n, names)}
	b.Open("", tag(name))
	for i, p := range strings.Fields(inner) {
		v := n.Get(names[i])
		if v == nil {
			continue
		}
		errs = append(errs, simple(b, inTag(name, names[i]), p[len(p)-1], v))
	}
	b.Close()
	return errors.Join(errs...)
}

// inTag is the name of the element for a part of a part.
func inTag(outer, name string) string {
	switch {
	case outer == "org" && name == "name":
		return "ORGNAME"
	case outer == "org" && name == "units":
		return "ORGUNIT"
	}
	return tag(name)
}

// simple writes a part of a part.
func simple(b *xmpp.Builder, tag string, kind byte, n *config.Node) error {
	switch kind {
	case '*':
		return texts(b, tag, n)
	case '?':
		switch t, _ := n.Scalar(); t {
		case "true":
			b.Open("", tag).Close()
		case "false":
		default:
			return n.Wanted("true or false")
		}
		return nil
	case '!':
		t, _ := n.Scalar()
		if _, err := base64.StdEncoding.DecodeString(t); err != nil || t == "" {
			return n.Errorf("expected base64")
		}
	}
	return text(b, tag, n)
}
