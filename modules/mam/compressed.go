package mam

import (
	"errors"
	"strings"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// What ejabberd stores with compress_xml begins with the byte 1. A byte stands for
// each element: for a text, for one that is spelt out, or for one of a list
// (codedElements). In an element a byte stands for each attribute, up to a 2; in the
// content, up to a 4. A string has its length in front, six bits to a byte. The bare
// address of the user and the address of his peer, as it is in the row, are left out
// of addresses that begin with them.
//
// Rows in that form are read here and never written.

// Codes of content and of attributes.
const (
	codeText     = 1 // in the content
	codeInherits = 2 // an element in the namespace of what is around it
	codeForeign  = 3
	codeEnd      = 4
	codeSpelt    = 1 // an attribute
	codeAttrsEnd = 2
)

// Bounds on what a row may become.
const (
	maxDepth    = 64
	maxExpanded = 4 << 20
)

var errCompressed = errors.New("a compressed message cannot be read")

// value is what an attribute's code stands for.
type value struct {
	name  string
	fixed string // the whole value
	base  byte   // 'u', 'p': begins with the address of the user or his peer
	rest  bool   // a string follows
}

func is(name, fixed string) value         { return value{name: name, fixed: fixed} }
func says(name string) value              { return value{name: name, rest: true} }
func whole(name string, base byte) value  { return value{name: name, base: base} }
func begins(name string, base byte) value { return value{name: name, base: base, rest: true} }

// coded is an element that has a code of its own. The codes of its attributes count
// from 3.
type coded struct {
	ns, name string
	values   []value
	text     string // that the code 9 stands for in its content
}

const (
	nsAxolotl = "eu.siacs.conversations.axolotl"
	nsMUCUser = "http://jabber.org/protocol/muc#user"
	nsEvents  = "http://jabber.org/protocol/pubsub#event"
	nsAddress = "http://jabber.org/protocol/address"
	nsReceipt = "urn:xmpp:receipts"
	nsStates  = "http://jabber.org/protocol/chatstates"
)

// codedElements are those with a code of their own, from 5 on.
var codedElements = []coded{
	5: {nsAxolotl, "key", []value{is("prekey", "true"), says("prekey"), says("rid")}, ""},
	6: {nsClient, "message", []value{
		whole("from", 'p'), begins("from", 'u'), says("from"), says("id"),
		whole("to", 'u'), whole("to", 'p'), begins("to", 'u'), says("to"),
		is("type", "chat"), is("type", "groupchat"), is("type", "normal"), says("type"),
		is("xml:lang", "en"), says("xml:lang")}, ""},
	7: {nsHints, "store", nil, ""},
	8: {nsClient, "body", nil, "I sent you an OMEMO encrypted message but your client doesn\u2019t seem to support that. " +
		"Find more information on https://conversations.im/omemo"},
	10: {nsStanzaID, "origin-id", []value{says("id")}, ""},
	11: {nsMarkers, "markable", nil, ""},
	12: {nsAxolotl, "encrypted", nil, ""},
	13: {nsAxolotl, "header", []value{says("sid")}, ""},
	14: {nsAxolotl, "iv", nil, ""},
	15: {nsAxolotl, "payload", nil, ""},
	16: {"urn:xmpp:eme:0", "encryption", []value{is("name", "OMEMO"), says("name"), is("namespace", nsAxolotl), says("namespace")}, ""},
	17: {nsDelay, "delay", []value{whole("from", 'u'), says("from"), says("stamp")}, ""},
	18: {nsAddress, "address", []value{begins("jid", 'u'), says("jid"), is("type", "ofrom"), says("type")}, ""},
	19: {nsAddress, "addresses", nil, ""},
	20: {nsMarkers, "displayed", []value{says("id"), begins("sender", 'u'), begins("sender", 'p'), says("sender")}, ""},
	21: {"urn:xmpp:mam:tmp", "archived", []value{says("by"), says("id")}, ""},
	22: {nsStanzaID, "stanza-id", []value{says("by"), says("id")}, ""},
	23: {nsReceipt, "request", nil, ""},
	24: {nsMarkers, "received", []value{says("id")}, ""},
	25: {nsReceipt, "received", []value{says("id")}, ""},
	26: {nsStates, "active", nil, ""},
	27: {nsMUCUser, "invite", []value{begins("from", 'u'), says("from")}, ""},
	28: {nsMUCUser, "reason", nil, ""},
	29: {nsMUCUser, "x", nil, ""},
	30: {"jabber:x:conference", "x", []value{whole("jid", 'p'), says("jid")}, ""},
	31: {nsClient, "subject", nil, ""},
	32: {nsClient, "thread", nil, ""},
	33: {nsEvents, "event", nil, ""},
	34: {nsEvents, "item", []value{says("id")}, ""},
	35: {nsEvents, "items", []value{is("node", "urn:xmpp:mucsub:nodes:messages"), says("node")}, ""},
	36: {"p1:push:custom", "x", []value{says("key"), says("value")}, ""},
	37: {"p1:pushed", "x", nil, ""},
	38: {"urn:xmpp:message-correct:0", "replace", []value{says("id")}, ""},
	39: {nsStates, "composing", nil, ""},
}

// scanRow reads a row of timestamp, xml and peer in the archive of user. What ejabberd
// has compressed is expanded; a row that cannot be is bad.
func scanRow(in storage.Row, user xmpp.JID) (x row, err error) {
	var peer string
	if err := in.Scan(&x.stamp, &x.xml, &peer); err != nil {
		return x, err
	}
	if strings.HasPrefix(x.xml, "\x01") {
		text, err := expand(x.xml, user.Bare().String(), peer)
		x.bad = err != nil
		if err == nil {
			x.xml = text
		}
	}
	return x, nil
}

// expand is the XML of a compressed message. It is for a parser that trusts nobody.
func expand(data, user, peer string) (string, error) {
	e := &expanding{left: data[1:], user: user, peer: peer}
	e.content(nsClient, "", 0, true)
	if e.failed || e.out.Len() == 0 {
		return "", errCompressed
	}
	return e.out.String(), nil
}

// expanding is a compressed message that is being read. What goes wrong is remembered,
// and ends everything.
type expanding struct {
	left, user, peer string
	out              strings.Builder
	failed           bool
}

// byte is the next one, 0 at the end or when something is wrong.
func (e *expanding) byte() byte {
	if e.failed || e.left == "" {
		e.failed = true
		return 0
	}
	b := e.left[0]
	e.left = e.left[1:]
	return b
}

// string is the next string.
func (e *expanding) string() string {
	n, more := 0, true
	for i := 0; more && i < 3; i++ {
		b := e.byte()
		if i == 2 {
			n |= int(b) << 12
			break
		}
		n |= int(b&63) << (6 * i)
		more = b&64 != 0
		e.failed = e.failed || b&128 != 0
	}
	if e.failed || n > len(e.left) {
		e.failed = true
		return ""
	}
	s := e.left[:n]
	e.left = e.left[n:]
	return s
}

// content reads what is in an element, or the one element of all.
func (e *expanding) content(ns, text string, depth int, only bool) {
	for !e.failed {
		if depth > maxDepth || e.out.Len() > maxExpanded {
			e.failed = true
			return
		}
		switch code := e.byte(); {
		case e.failed, code == codeEnd && !only:
			return
		case code == codeText && !only:
			e.text(e.string())
		case code == 9 && text != "":
			e.text(text)
		case code == codeInherits:
			e.element(ns, coded{ns: ns, name: e.string()}, depth)
		case code == codeForeign:
			inner := e.string()
			e.element(ns, coded{ns: inner, name: e.string()}, depth)
		case int(code) < len(codedElements) && codedElements[code].name != "":
			e.element(ns, codedElements[code], depth)
		default:
			e.failed = true
		}
		if only {
			return
		}
	}
}

// element reads one, in something of the namespace around.
func (e *expanding) element(around string, el coded, depth int) {
	e.out.WriteString("<" + el.name)
	if el.ns != around {
		e.attr("xmlns", el.ns)
	}
	e.attrs(el.values)
	e.out.WriteString(">")
	e.content(el.ns, el.text, depth+1, false)
	e.out.WriteString("</" + el.name + ">")
}

func (e *expanding) attrs(values []value) {
	for !e.failed {
		code := int(e.byte())
		switch {
		case code == codeAttrsEnd:
			return
		case code == codeSpelt:
			name := e.string()
			e.attr(name, e.string())
		case code >= 3 && code-3 < len(values):
			v := values[code-3]
			text := v.fixed
			switch v.base {
			case 'u':
				text = e.user
			case 'p':
				text = e.peer
			}
			if v.rest {
				text += e.string()
			}
			e.attr(v.name, text)
		default:
			e.failed = true
		}
	}
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;")

func (e *expanding) attr(name, text string) {
	e.out.WriteString(" " + name + "='" + escapes.Replace(text) + "'")
}

func (e *expanding) text(text string) { e.out.WriteString(escapes.Replace(text)) }
