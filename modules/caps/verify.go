package caps

import (
	"cmp"
	"crypto"
	_ "crypto/sha1" // the algorithms by name
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsCaps = "http://jabber.org/protocol/caps"
	nsForm = "jabber:x:data"
)

// Bounds on what a client may say about itself.
const (
	maxNode     = 512 // bytes of a node
	maxVer      = 128 // bytes of a hash
	maxFeatures = 400
	maxFeature  = 512 // bytes of any one value
	maxOthers   = 32  // identities, and forms
)

// Caps is the name that a client gives to the set of its features (XEP-0115
// §4): the same name stands for the same features, whoever uses it.
type Caps struct{ Hash, Node, Ver string }

// Read is what a presence says. It is not ok where there is nothing, or nothing
// that could be verified: the old form without a hash, an unknown hash.
func Read(st *xmpp.Stanza) (c Caps, ok bool) {
	if !st.Has(nsCaps, "c") {
		return Caps{}, false
	}
	el := st.Child(nsCaps, "c")
	c = Caps{el.Attr("hash"), el.Attr("node"), el.Attr("ver")}
	_, known := algorithm(c.Hash)
	return c, known && c.Ver != "" && len(c.Ver) <= maxVer && len(c.Node) <= maxNode
}

// clone is c with memory of its own.
func (c Caps) clone() Caps {
	return Caps{strings.Clone(c.Hash), strings.Clone(c.Node), strings.Clone(c.Ver)}
}

// element is c as it stands in presence and stream features.
func (c Caps) element() *xmpp.Element {
	return xmpp.Build(nsCaps, "c").Attr("hash", c.Hash).Attr("node", c.Node).Attr("ver", c.Ver).Done()
}

// algorithm is the hash with that name (XEP-0300). MD5 is not among them.
func algorithm(name string) (crypto.Hash, bool) {
	switch name {
	case "sha-1":
		return crypto.SHA1, true
	case "sha-224":
		return crypto.SHA224, true
	case "sha-256":
		return crypto.SHA256, true
	case "sha-384":
		return crypto.SHA384, true
	case "sha-512":
		return crypto.SHA512, true
	}
	return 0, false
}

// errIllFormed says that an entity must not be trusted under any name (XEP-0115
// §5.4).
var errIllFormed = errors.New("ill-formed capabilities")

// verify reports whether e is what c names.
func (c Caps) verify(e disco.Entity) error {
	ver, err := verification(e, c.Hash)
	if err != nil {
		return err
	}
	if ver != c.Ver {
		return errors.New("the hash is that of other features")
	}
	return nil
}

// verification is the verification string of e (XEP-0115 §5.1). It refuses what
// §5.4 calls ill-formed, and everything that another entity with the same string
// could be made of, for the string does not say where its parts begin: values
// with a <, identities that could be features, forms that could be features. So
// nobody can give a name that others use a meaning of his own.
func verification(e disco.Entity, hash string) (string, error) {
	h, ok := algorithm(hash)
	if !ok {
		return "", errIllFormed
	}
	var s []string
	for _, part := range []func(disco.Entity) ([]string, bool){identities, features, forms} {
		lines, ok := part(e)
		if !ok {
			return "", errIllFormed
		}
		s = append(s, lines...)
	}
	d := h.New()
	for _, line := range s {
		if strings.Contains(line, "<") || len(line) > maxFeature {
			return "", errIllFormed
		}
		d.Write([]byte(line + "<"))
	}
	return base64.StdEncoding.EncodeToString(d.Sum(nil)), nil
}

// identities are the lines of the identities. One has a category and a type
// without slashes, which a feature that is a URI never has between its slashes.
func identities(e disco.Entity) ([]string, bool) {
	list := slices.Clone(e.Identities)
	slices.SortFunc(list, func(a, b disco.Identity) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Lang, b.Lang), cmp.Compare(a.Name, b.Name))
	})
	var out []string
	for _, i := range list {
		if i.Category == "" || i.Type == "" || strings.ContainsAny(i.Category+i.Type+i.Lang, "/:") {
			return nil, false
		}
		out = append(out, i.Category+"/"+i.Type+"/"+i.Lang+"/"+i.Name)
	}
	return out, len(out) > 0 && len(out) <= maxOthers && distinct(out)
}

func features(e disco.Entity) ([]string, bool) {
	out := slices.Clone(e.Features)
	slices.Sort(out)
	return out, len(out) <= maxFeatures && distinct(out) && !slices.Contains(out, "")
}

// distinct reports whether no two neighbours are the same.
func distinct(sorted []string) bool { return len(slices.Compact(slices.Clone(sorted))) == len(sorted) }

// forms are the lines of the forms that count.
func forms(e disco.Entity) ([]string, bool) {
	if len(e.Forms) > maxOthers {
		return nil, false
	}
	type typed struct {
		name  string
		lines []string
	}
	var all []typed
	for _, f := range e.Forms {
		name, counts, ok := formType(f)
		if !ok {
			return nil, false
		}
		if !counts {
			continue
		}
		lines, ok := fields(f)
		if !ok || slices.ContainsFunc(all, func(t typed) bool { return t.name == name }) {
			return nil, false
		}
		all = append(all, typed{name, lines})
	}
	slices.SortFunc(all, func(a, b typed) int { return cmp.Compare(a.name, b.name) })
	var out []string
	for _, t := range all {
		out = append(append(out, t.name), t.lines...)
	}
	return out, true
}

// formType is the value of FORM_TYPE. A form without one, or with one that is
// not hidden, does not count (XEP-0115 §5.4, 3.6).
func formType(form *xmpp.Element) (name string, counts, ok bool) {
	for f := range form.Children() {
		if !f.Is(nsForm, "field") || f.Attr("var") != "FORM_TYPE" {
			continue
		}
		v := values(f)
		if len(slices.Compact(slices.Clone(v))) > 1 || counts {
			return "", false, false
		}
		if f.Attr("type") != "hidden" || len(v) == 0 {
			continue
		}
		name, counts = v[0], true
	}
	return name, counts, true
}

// fields are the lines of a form's fields: names that no feature has, and at
// least one value for each.
func fields(form *xmpp.Element) ([]string, bool) {
	byName := map[string][]string{}
	var names []string
	for f := range form.Children() {
		name := f.Attr("var")
		if !f.Is(nsForm, "field") || name == "FORM_TYPE" {
			continue
		}
		v := values(f)
		if _, twice := byName[name]; twice || name == "" || len(v) == 0 || strings.ContainsAny(name, ":/") || len(names) >= maxOthers {
			return nil, false
		}
		names, byName[name] = append(names, name), v
	}
	slices.Sort(names)
	var out []string
	for _, n := range names {
		out = append(append(out, n), byName[n]...)
	}
	return out, len(names) > 0
}

func values(field *xmpp.Element) []string {
	var out []string
	for v := range field.Children() {
		if v.Is(nsForm, "value") && len(out) < maxFeatures {
			out = append(out, v.Text())
		}
	}
	slices.Sort(out)
	return out
}
