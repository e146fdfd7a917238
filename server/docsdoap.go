package server

import (
	"maps"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// Namespaces of a description of a project (XEP-0453).
const (
	nsDOAP     = "http://usefulinc.com/ns/doap#"
	nsDOAPXEPs = "https://linkmauve.fr/ns/xmpp-doap#"
	nsRDF      = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
)

// rfcs are the standards that are always there.
var rfcs = []string{"5802", "6120", "6121", "7590", "7622", "7677"}

// doap is gabberd.doap: what directories of XMPP software read (XEP-0453).
func doap(list []modules.Module) []byte {
	b := xmpp.Build(nsRDF, "RDF").Attr("xmlns:rdf", nsRDF).Attr("xmlns:xmpp", nsDOAPXEPs).Open(nsDOAP, "Project")
	say := func(name, text string) { b.Open("", name).Text(text).Close() }
	name := func(name, value string) { b.Open("", name).Attr("rdf:resource", value).Close() }
	say("name", "gabberd")
	say("shortdesc", "An XMPP server that takes the place of ejabberd")
	name("license", "https://www.apache.org/licenses/LICENSE-2.0")
	name("category", "https://linkmauve.fr/ns/xmpp-doap#category-server")
	say("programming-language", "Go")
	say("os", "Linux")
	for _, n := range rfcs {
		name("implements", "https://www.rfc-editor.org/info/rfc"+n)
	}
	where := xepPlaces(list, func(name string) string { return name })
	partial := map[string]bool{}
	for _, m := range list {
		for _, declared := range m.XEPs {
			n, part, _ := strings.Cut(declared, " ")
			partial[n] = partial[n] || part != ""
		}
	}
	for _, n := range slices.Sorted(maps.Keys(where)) {
		b.Open("", "implements").Open("", "xmpp:SupportedXep")
		name("xmpp:xep", "https://xmpp.org/extensions/xep-"+n+".html")
		status := "complete"
		if partial[n] {
			status = "partial"
		}
		say("xmpp:status", status)
		if v := xeps[n].version; v != "" {
			say("xmpp:version", v)
		}
		say("xmpp:note", strings.Join(where[n], ", "))
		b.Close().Close()
	}
	return []byte("<?xml version='1.0' encoding='UTF-8'?>\n" + strings.ReplaceAll(b.Done().XML(), "><", ">\n<") + "\n")
}
