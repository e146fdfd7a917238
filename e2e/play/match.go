package play

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

const (
	nsScansion = "scansion"
	nsStream   = "http://etherx.jabber.org/streams"
	nsXML      = "http://www.w3.org/XML/1998/namespace"
	nsPing     = "urn:xmpp:ping"
	nsStanzaID = "urn:xmpp:sid:0"
)

// element is an XML element as far as plays look at it.
type element struct {
	name     xml.Name
	attrs    map[xml.Name]string
	children []*element
	text     string
}

// readElement reads what follows an opening tag, up to its end.
func readElement(r xml.TokenReader, start xml.StartElement) (*element, error) {
	el := &element{name: start.Name, attrs: map[xml.Name]string{}}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		el.attrs[a.Name] = a.Value
	}
	var text strings.Builder
	for {
		tok, err := r.Token()
		switch t := tok.(type) {
		case xml.StartElement:
			child, err := readElement(r, t)
			if err != nil {
				return nil, err
			}
			el.children = append(el.children, child)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			el.text = text.String()
			return el, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// parseXML reads the elements of a script as they would be read in a stream.
func parseXML(text string) ([]*element, error) {
	d := xml.NewDecoder(strings.NewReader("<stream xmlns='jabber:client' xmlns:stream='" + nsStream +
		"' xmlns:scansion='" + nsScansion + "'>" + text + "</stream>"))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var out []*element
	for {
		tok, err := d.Token()
		switch t := tok.(type) {
		case xml.StartElement:
			el, err := readElement(d, t)
			if err != nil {
				return nil, err
			}
			out = append(out, el)
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return nil, fmt.Errorf("text %q between stanzas", strings.TrimSpace(string(t)))
			}
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// attr is an attribute without a namespace; "" when it is not there.
func (el *element) attr(name string) string { return el.attrs[xml.Name{Local: name}] }

// direction is an instruction to the one who compares, such as
// scansion:strict='false'.
func (el *element) direction(name string) string {
	return el.attrs[xml.Name{Space: nsScansion, Local: name}]
}

func (el *element) String() string {
	var b strings.Builder
	el.write(&b, "jabber:client")
	return b.String()
}

func (el *element) write(b *strings.Builder, outer string) {
	b.WriteString("<" + el.name.Local)
	if el.name.Space != outer {
		fmt.Fprintf(b, " xmlns='%s'", el.name.Space)
	}
	for n, v := range el.attrs {
		prefix := ""
		switch n.Space {
		case "":
		case nsXML:
			prefix = "xml:"
		default:
			prefix = "{" + n.Space + "}"
		}
		fmt.Fprintf(b, " %s%s='%s'", prefix, n.Local, escape(v))
	}
	if len(el.children) == 0 && el.text == "" {
		b.WriteString("/>")
		return
	}
	b.WriteString(">" + escape(el.text))
	for _, c := range el.children {
		c.write(b, el.name.Space)
	}
	b.WriteString("</" + el.name.Local + ">")
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", "'", "&apos;").Replace(s)
}

// names are what a pattern may refer to: what was saved, and who is who.
type names map[string]string

// fill puts the values of ${name} in. Where a name is unknown the text stays.
func (n names) fill(text string) string {
	for k, v := range n {
		text = strings.ReplaceAll(text, "${"+k+"}", escape(v))
	}
	return text
}

// proof is {proof:NAME TOKEN}, which stands for what a client says to log in with a
// token.
var proof = regexp.MustCompile(`\{proof:([^ }]+) ([^}]+)\}`)

// prove puts in what the mechanism HT-SHA-256-NONE says, in base64 (XEP-0484).
func prove(text string) string {
	return proof.ReplaceAllStringFunc(text, func(p string) string {
		parts := proof.FindStringSubmatch(p)
		m := hmac.New(sha256.New, []byte(parts[2]))
		m.Write([]byte("Initiator"))
		return base64.StdEncoding.EncodeToString(m.Sum([]byte(parts[1] + "\x00")))
	})
}

// matcher compares one stanza with a pattern. What the pattern saves is kept
// only when all of it fits.
type matcher struct {
	saved names
	self  string // bare JID of who receives
	// marked: where there are several nodes a message has the id by which clients
	// recognise it when it comes twice (XEP-0359), whether a play names it or not.
	marked bool
}

// stanza says why got is not what want describes, or nothing.
func (m *matcher) stanza(want, got *element) string {
	if want.name != got.name {
		return fmt.Sprintf("it is a <%s> in %q, not a <%s> in %q", got.name.Local, got.name.Space, want.name.Local, want.name.Space)
	}
	trimmed := *got
	trimmed.attrs = map[xml.Name]string{}
	for n, v := range got.attrs {
		// A stanza without "from" comes from the client's own account (RFC 6120
		// §8.1.2.1), "to" may be left out, and the stream's language is added.
		_, named := want.attrs[n]
		implied := n.Local == "to" || n.Space == nsXML && n.Local == "lang" || n.Local == "from" && v == m.self
		if named || n.Space == "" && !implied || n.Space != "" && n.Space != nsXML {
			trimmed.attrs[n] = v
		}
	}
	return m.element(want, &trimmed, want.name.Local)
}

// element compares all the way down; path says where it is.
func (m *matcher) element(want, got *element, path string) string {
	loose := want.direction("strict") == "false"
	for n, w := range want.attrs {
		if n.Space == nsScansion {
			continue
		}
		g, ok := got.attrs[n]
		if !ok && w == "{scansion:maybe}" {
			continue
		}
		if !ok {
			return fmt.Sprintf("%s has no attribute %s", path, n.Local)
		}
		if why := m.value(w, g); why != "" {
			return fmt.Sprintf("%s: attribute %s: %s", path, n.Local, why)
		}
	}
	for n, g := range got.attrs {
		if _, ok := want.attrs[n]; !ok && !loose {
			return fmt.Sprintf("%s has an attribute %s='%s' that nobody expects", path, n.Local, g)
		}
	}
	if len(want.children) == 0 && !loose || strings.TrimSpace(want.text) != "" {
		w, g := want.text, got.text
		if len(want.children) > 0 || len(got.children) > 0 {
			w, g = strings.TrimSpace(w), strings.TrimSpace(g)
		}
		if why := m.value(w, g); why != "" {
			return fmt.Sprintf("%s: text: %s", path, why)
		}
	}
	return m.elements(want, got, path)
}

// elements compares children, in any order.
func (m *matcher) elements(want, got *element, path string) string {
	rest := append([]*element(nil), got.children...)
	for _, w := range want.children {
		below := path + "/" + w.name.Local
		why := fmt.Sprintf("%s (in %s) is missing", below, w.name.Space)
		found := -1
		for i, g := range rest {
			if g.name != w.name {
				continue
			}
			if why = m.element(w, g, below); why == "" {
				found = i
				break
			}
		}
		switch {
		case found >= 0:
			rest = append(rest[:found], rest[found+1:]...)
		case w.direction("optional") != "true":
			return why
		}
	}
	if m.marked && got.name.Local == "message" {
		rest = slices.DeleteFunc(rest, func(el *element) bool {
			return el.name == xml.Name{Space: nsStanzaID, Local: "stanza-id"}
		})
	}
	if len(rest) > 0 && want.direction("strict") != "false" {
		return fmt.Sprintf("%s has a child <%s> in %q that nobody expects", path, rest[0].name.Local, rest[0].name.Space)
	}
	return ""
}

var (
	saving = regexp.MustCompile(`^([^{}]*)\{save:([^}]+)\}([^{}]*)$`)
	liking = regexp.MustCompile(`^\{like:(.+)\}$`)
)

// value compares a text with what a pattern says about it.
func (m *matcher) value(want, got string) string {
	if want == "{scansion:any}" || want == "{scansion:maybe}" {
		return ""
	}
	if s := saving.FindStringSubmatch(want); s != nil {
		inner, begins := strings.CutPrefix(got, s[1])
		inner, ends := strings.CutSuffix(inner, s[3])
		if !begins || !ends {
			return fmt.Sprintf("%q is not like %s", got, want)
		}
		m.saved[s[2]] = inner
		return ""
	}
	if l := liking.FindStringSubmatch(want); l != nil {
		rx, err := regexp.Compile("^(?:" + l[1] + ")$")
		if err != nil {
			return err.Error()
		}
		if !rx.MatchString(got) {
			return fmt.Sprintf("%q is not like %s", got, l[1])
		}
		return ""
	}
	if want != got {
		return fmt.Sprintf("%q instead of %q", got, want)
	}
	return ""
}
