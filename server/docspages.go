package server

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/config/known"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
)

// page writes a document.
type page struct{ bytes.Buffer }

func newPage(title string) *page {
	p := &page{}
	p.line("# %s\n\n<!-- generated from the declarations by `%s`; do not edit -->", title, renew)
	return p
}

// line writes a line, and an empty one before it.
func (p *page) line(format string, args ...any) { fmt.Fprintf(p, "\n"+format+"\n", args...) }

// bytes is the document, from its first line on.
func (p *page) bytes() []byte { return bytes.TrimLeft(p.Bytes(), "\n") }

// cell makes text fit into a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }

// code is a value as people see that it is one.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "`", "'") + "`"
}

// options writes a table of options.
func (p *page) options(list []config.Info) {
	if len(list) == 0 {
		p.line("No options.")
		return
	}
	p.line("| option | type | default | meaning |\n| --- | --- | --- | --- |")
	p.rows("", list)
}

func (p *page) rows(prefix string, list []config.Info) {
	for _, i := range list {
		def := i.Default
		switch {
		case i.Required:
			def = "required"
		case i.Secret, strings.Contains(def, " "), def == "":
		default:
			def = code(def)
		}
		fmt.Fprintf(p, "| %s | %s | %s | %s |\n", code(prefix+i.Name), cell(code(typeOf(i))), cell(def), cell(meaning(i)))
		p.rows(prefix+i.Name+".", i.Fields)
	}
}

func typeOf(i config.Info) string {
	if len(i.Values) == 0 || i.Shape != config.ShapeChoice {
		return i.Type
	}
	var words []string
	for _, v := range i.Values {
		if v == "" {
			v = `""`
		}
		words = append(words, v)
	}
	return strings.Join(words, " | ")
}

// meaning is all that is said about an option.
func meaning(i config.Info) string {
	s := i.Doc
	if len(i.Rules) > 0 {
		s += " Must be " + strings.Join(i.Rules, " and ") + "."
	}
	if i.Example != "" && !strings.Contains(i.Example, "\n") {
		s += " Example: " + code(i.Example) + "."
	}
	if len(i.Old) > 0 {
		s += " Earlier: " + code(strings.Join(i.Old, ", ")) + "."
	}
	switch {
	case i.Fatal:
		s += " **Not built: a server to which it matters does not start.**"
	case i.Unbuilt:
		s += " **Not built yet.**"
	}
	return strings.TrimSpace(s)
}

// optionsPage is docs/options.md.
func optionsPage(list []modules.Module) []byte {
	p := newPage("Options")
	p.line("What `ejabberd.yml` can say. Each module has a page of its own: %s.", moduleLinks(list))
	p.line("A time is a number of seconds or has a unit (`30s`, `5 minutes`, `1 hour`); a size is a number of bytes or has one (`64 KB`, `10 MB`). `@HOST@` in a text is the virtual host.")
	p.line("## The shape of the file")
	p.structural()
	for _, r := range rooms() {
		p.line("## %s", r.title)
		if r.doc != "" {
			p.line("%s", r.doc)
		}
		p.options(describe(r.options))
	}
	p.line("## Listeners")
	p.line("Every entry of `listen` has these:")
	p.options(config.Describe(&listenPlace{}))
	listeners := listenerDocs()
	for _, name := range slices.Sorted(maps.Keys(listeners)) {
		l, _ := known.FindListener(name)
		p.line("### %s", name)
		if l.Doc != "" {
			p.line("%s", l.Doc)
		}
		p.options(describe(listeners[name]))
	}
	p.unbuilt(list)
	return p.bytes()
}

// structuralNames are the options that the reader of the file itself knows.
func structuralNames() []string {
	return []string{"hosts", "listen", "modules", "host_config", "append_host_config", "define_macro", "define_keyword", "include_config_file"}
}

// structural writes a table of the options that hold others.
func (p *page) structural() {
	p.line("| option | meaning |\n| --- | --- |")
	for _, name := range structuralNames() {
		if o, ok := known.Find(known.TopLevel(), name); ok {
			fmt.Fprintf(p, "| %s | %s |\n", code(name), cell(o.Doc))
		}
	}
}

func moduleLinks(list []modules.Module) string {
	var links []string
	for _, m := range list {
		links = append(links, "["+m.Name+"](modules/"+m.Name+".md)")
	}
	return strings.Join(links, ", ")
}

// unbuilt writes what ejabberd knows and this server does not.
func (p *page) unbuilt(list []modules.Module) {
	p.line("## Known, but not built")
	p.line("ejabberd has these; here each is named in a warning at the start and does nothing. Those marked with ✗ decide who is let in, what is kept or where: unless they are set to what happens anyway, the server does not start with them.")
	built := structuralNames()
	for _, i := range topOptions() {
		built = append(append(built, i.Name), i.Old...)
	}
	p.unbuiltOptions("At the top", known.TopLevel(), built)
	declared := listenerDocs()
	for _, l := range known.Listeners() {
		if declared[l.Name] == nil {
			continue
		}
		var have []string
		for _, i := range slices.Concat(config.Describe(&listenPlace{}), describe(declared[l.Name])) {
			have = append(have, i.Name)
		}
		p.unbuiltOptions("Of the listener "+l.Name, slices.Concat(known.Common(), l.Options), have)
	}
	p.line("### Listeners\n\n| module | meaning |\n| --- | --- |")
	for _, l := range known.Listeners() {
		if declared[l.Name] == nil {
			fmt.Fprintf(p, "| %s | %s |\n", code(l.Name), cell(l.Doc))
		}
	}
	p.line("### Modules\n\n| module | meaning | |\n| --- | --- | --- |")
	for _, m := range known.Modules() {
		if !slices.ContainsFunc(list, func(x modules.Module) bool { return x.Name == m.Name }) {
			fmt.Fprintf(p, "| %s | %s | %s |\n", code(m.Name), cell(m.Doc), cross(m.Fatal))
		}
	}
}

// unbuiltOptions writes a table of the options that are not among those built.
func (p *page) unbuiltOptions(title string, all []known.Option, built []string) {
	p.line("### %s\n\n| option | type | default | meaning | |\n| --- | --- | --- | --- | --- |", title)
	for _, o := range all {
		if !slices.Contains(built, o.Name) {
			fmt.Fprintf(p, "| %s | %s | %s | %s | %s |\n", code(o.Name), cell(code(o.Type)), cell(o.Default), cell(o.Doc), cross(o.Fatal))
		}
	}
}

func cross(yes bool) string {
	if yes {
		return "✗"
	}
	return ""
}

// modulePage is the page of a module.
func modulePage(m modules.Module) []byte {
	p := newPage(m.Name)
	p.line("%s", m.Doc)
	if len(m.XEPs) > 0 {
		var links []string
		for _, n := range m.XEPs {
			links = append(links, xepLink(n))
		}
		p.line("Implements %s.", strings.Join(links, ", "))
	}
	if len(m.Needs) > 0 {
		p.line("Needs %s.", strings.Join(m.Needs, ", "))
	}
	p.line("## Options")
	p.options(m.Options)
	p.line("## Example\n\n```yaml\nmodules:\n%s```", exampleOf(m))
	if len(m.Commands) > 0 {
		p.line("## Commands\n")
		seen := map[string]bool{}
		for _, c := range m.Commands {
			if a := c.About(); !seen[a.Name] {
				seen[a.Name] = true
				fmt.Fprintf(p, "- [%s](../commands.md#%s): %s\n", a.Name, anchor(a), a.Doc)
			}
		}
	}
	return p.bytes()
}

// anchor is where docs/commands.md has a command.
func anchor(c admin.Description) string {
	if c.Version == 0 {
		return c.Name
	}
	return fmt.Sprintf("%s-v%d", c.Name, c.Version)
}

// exampleOf is the module in ejabberd.yml, with the options that have an
// example.
func exampleOf(m modules.Module) string {
	var lines []string
	for _, i := range m.Options {
		if i.Example == "" {
			continue
		}
		value := strings.Trim(i.Example, "\n")
		if rest, ok := strings.CutPrefix(value, i.Name+":"); ok {
			value = strings.TrimSpace(rest)
		}
		if !strings.Contains(value, "\n") && !strings.HasPrefix(value, "- ") && !block(value) {
			lines = append(lines, "    "+i.Name+": "+value)
			continue
		}
		lines = append(lines, "    "+i.Name+":")
		for _, l := range strings.Split(value, "\n") {
			lines = append(lines, "      "+l)
		}
	}
	if len(lines) == 0 {
		return "  " + m.Name + ": {}\n"
	}
	return "  " + m.Name + ":\n" + strings.Join(lines, "\n") + "\n"
}

// block reports whether a value is the entry of a map, which needs a line of
// its own.
func block(value string) bool {
	name, _, ok := strings.Cut(value, ": ")
	return ok && !strings.ContainsAny(name, "{[\"' ")
}

// xepLink names an extension as a module declares it.
func xepLink(declared string) string {
	n, part, _ := strings.Cut(declared, " ")
	text := "XEP-" + n
	if title := xeps[n].title; title != "" {
		text += ": " + title
	}
	link := "[" + text + "](https://xmpp.org/extensions/xep-" + n + ".html)"
	if part != "" {
		link += " (" + part + ")"
	}
	return link
}

// xepsPage is docs/xeps.md.
func xepsPage(list []modules.Module) []byte {
	p := newPage("Extensions")
	p.line("The XMPP extensions that are built, and which module has them. The core (RFC 6120, 6121, 7590, 7622) is always there.")
	where := xepPlaces(list, func(name string) string { return "[" + name + "](modules/" + name + ".md)" })
	p.line("| extension | where |\n| --- | --- |")
	for _, n := range slices.Sorted(maps.Keys(where)) {
		fmt.Fprintf(p, "| %s | %s |\n", xepLink(n), cell(strings.Join(where[n], ", ")))
	}
	return p.bytes()
}

// xepPlaces says for each extension that is built where: modules as name writes
// them, and what the server does without any.
func xepPlaces(list []modules.Module, name func(string) string) map[string][]string {
	where := map[string][]string{}
	for _, m := range list {
		for _, declared := range m.XEPs {
			n, part, _ := strings.Cut(declared, " ")
			text := name(m.Name)
			if part != "" {
				text += " (" + part + ")"
			}
			where[n] = append(where[n], text)
		}
	}
	for _, c := range coreXEPs() {
		where[c.number] = append(where[c.number], c.where+": "+c.doc)
	}
	return where
}

// hooksPage is docs/hooks.md.
func hooksPage() []byte {
	p := newPage("Hooks")
	p.line("Where modules can step in. An event tells; a fold asks, and what its handlers answer is what happens. `gabberdctl hooks` shows who listens, `gabberdctl hooks trace NAME` what happens, and those with words behind `run` can be run: `gabberdctl hooks run HOST NAME WORDS`.")
	p.line("| hook | kind | meaning | run |\n| --- | --- | --- | --- |")
	for _, l := range hooks.Declared() {
		if strings.HasPrefix(l.Name, "test_") {
			continue
		}
		fmt.Fprintf(p, "| %s | %s | %s | %s |\n", code(l.Name), l.Kind, cell(l.Doc), cell(code(l.Usage)))
	}
	return p.bytes()
}
