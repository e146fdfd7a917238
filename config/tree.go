package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config/known"
)

// LoadOptions are what a configuration depends on beside its files.
type LoadOptions struct {
	// Env has variables in the form NAME=value, of which EJABBERD_MACRO_* define
	// macros. Nil: those of the process.
	Env []string
	// Keywords are predefined ones: HOME, CONFIG_PATH, DATABASE_PATH, LOG_PATH,
	// SEMVER, VERSION. HOST and HOST_URL_ENCODE come by themselves.
	Keywords map[string]string
}

// A Tree is a configuration that was read, with everything put in that a file
// may refer to. Each part of the server decodes its own options out of it; at
// the end, Finish tells what nobody wanted. A Tree belongs to one goroutine.
type Tree struct {
	files    []string
	global   *Node // keywords not yet put in
	keywords map[string]*Node
	hosts    []string
	blocks   map[string]*Node // host_config
	appends  map[string]*Node // append_host_config

	view     *Node // the global options with their keywords
	views    map[string]*Node
	claimed  []string        // top-level options that somebody decoded
	fields   map[string]bool // all that could have been, for did-you-mean
	built    map[string]bool // "listener x", "module x"
	mistakes []error
	warnings []error
}

// Load reads the configuration in file and whatever it includes. The error is
// for a file that cannot be read at all, or is no YAML; every other mistake is
// kept, so that Finish can name all of them at once. Load blocks on the disk.
func Load(file string, opt LoadOptions) (*Tree, error) {
	env := opt.Env
	if env == nil {
		env = os.Environ()
	}
	if strings.HasSuffix(file, ".cfg") {
		return nil, fmt.Errorf("%s is in the form of Erlang terms, which is not read: convert it to YAML with `ejabberdctl convert_to_yaml`", file)
	}
	r := &reader{macros: &macros{defs: map[string]*macro{}, budget: newBudget()}}
	r.errs = r.macros.environment(env)
	root, err := r.file(file)
	var pe *fs.PathError
	switch {
	case errors.As(err, &pe):
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	case err != nil:
		return nil, err
	}
	t := r.tree(root, opt)
	if err := r.macros.budget.over; err != nil {
		return nil, err
	}
	return t, nil
}

// tree makes a Tree of what was read.
func (r *reader) tree(root *Node, opt LoadOptions) *Tree {
	t := &Tree{
		files: r.files, keywords: map[string]*Node{}, views: map[string]*Node{},
		blocks: map[string]*Node{}, appends: map[string]*Node{},
		fields: map[string]bool{}, built: map[string]bool{},
	}
	bare := root.empty()
	for _, e := range root.entries {
		if e.key.text != defineMacro {
			bare.put(e.key, e.value)
		}
	}
	root = r.macros.expand(bare, &r.errs)
	u := &updater{}
	t.global = u.options(root)
	t.note(nil, errors.Join(r.errs...))
	t.note(nil, errors.Join(u.errs...))
	for name, text := range opt.Keywords {
		t.keywords[name] = &Node{kind: KindScalar, text: text, quoted: true}
	}
	t.define(t.keywords, t.global.Get(defineKeyword))
	t.view = t.apply(t.global, t.keywords)
	t.readHosts()
	t.readBlocks(hostConfig, t.blocks)
	t.readBlocks(appendConfig, t.appends)
	return t
}

// note keeps what is wrong; plain errors are put at n.
func (t *Tree) note(n *Node, err error) {
	mistakes, warnings := sortOut(n, err)
	t.mistakes, t.warnings = append(t.mistakes, mistakes...), append(t.warnings, warnings...)
}

// define adds what a define_keyword map says.
func (t *Tree) define(to map[string]*Node, n *Node) {
	if n == nil {
		return
	}
	if n.kind != KindMap && n.kind != KindNull {
		t.note(n, n.Wanted("a map of names to values"))
		return
	}
	seen := map[string]*Node{}
	for _, e := range n.entries {
		if before := seen[e.key.text]; before != nil {
			t.note(n, e.key.Errorf("defined twice; the first is in line %d", before.line))
			continue
		}
		seen[e.key.text] = e.key
		if !isMacroName(e.key.text) {
			t.note(n, e.key.Errorf("the name of a keyword has only the letters A to Z, digits and _"))
			continue
		}
		to[e.key.text] = e.value
	}
}

// apply returns the options in n, which is a map, with keywords put in. Every
// option knows its path in the file.
func (t *Tree) apply(n *Node, keywords map[string]*Node) *Node {
	s := &scope{keywords}
	b := newBudget()
	out := &Node{kind: KindMap, file: n.file, line: n.line, column: n.column, scope: s}
	for _, e := range n.entries {
		switch e.key.text {
		case hostConfig, appendConfig, defineKeyword:
			continue
		}
		value, err := s.apply(e.value, b)
		t.note(e.value, err)
		key, path := e.key.copy(), e.key.Path()
		key.parent, key.step = nil, path
		value.parent, value.step = nil, path
		out.entries = append(out.entries, entry{key, value})
	}
	return out
}

// readHosts reads the names of the virtual hosts.
func (t *Tree) readHosts() {
	n := t.view.Get("hosts")
	if n == nil {
		t.note(t.view, missing(t.view, "hosts", option))
		return
	}
	list, err := each(n, readDomain)
	mistakes, _ := sortOut(n, err)
	if len(mistakes) == 0 && len(list) == 0 {
		mistakes = append(mistakes, n.Errorf("must name at least one domain"))
	}
	t.note(n, errors.Join(mistakes...))
	for i, host := range list {
		switch {
		case host == "":
		case slices.Contains(t.hosts, host):
			t.note(n, n.items[i].Errorf("%s is there twice", host))
		default:
			t.hosts = append(t.hosts, host)
		}
	}
}

// readBlocks reads host_config or append_host_config.
func (t *Tree) readBlocks(name string, to map[string]*Node) {
	n := t.global.Get(name)
	if n == nil || n.kind == KindNull {
		return
	}
	if n.kind != KindMap {
		t.note(n, n.Wanted("a map of hosts to options"))
		return
	}
	for _, e := range n.entries {
		host := word((&scope{t.keywords}).expand(e.key.text))
		domain, err := readDomain(host)
		switch {
		case err != nil:
			t.note(n, e.key.Wanted("a domain name"))
		case !slices.Contains(t.hosts, domain):
			t.note(n, e.key.Errorf("is not one of hosts%s", didYouMean(domain, t.hosts)))
		case to[domain] != nil:
			t.note(n, e.key.Errorf("written twice; the first is in line %d", to[domain].line))
		case e.value.kind != KindMap && e.value.kind != KindNull:
			t.note(n, e.value.Wanted("a map of options"))
		default:
			t.checkBlock(name, e.value)
			to[domain] = e.value
		}
	}
}

// checkBlock refuses options that a host cannot have for itself.
func (t *Tree) checkBlock(name string, block *Node) {
	top := known.TopLevel()
	seen := map[string]bool{}
	for _, e := range block.entries {
		o, _ := known.Find(top, e.key.text)
		switch {
		case e.key.text == defineMacro:
			t.note(block, e.key.Errorf("macros are for the whole file: define it at the top"))
		case o.Global:
			t.note(block, e.key.Errorf("this option is for the whole server: it cannot be in %s", name))
		case seen[e.key.text]:
			t.note(block, e.key.Errorf("written twice"))
		}
		seen[e.key.text] = true
	}
}

// Files returns the names of the files that were read, the main one first.
func (t *Tree) Files() []string { return slices.Clone(t.files) }

// Hosts returns the virtual hosts in the order of the file, lower case.
func (t *Tree) Hosts() []string { return slices.Clone(t.hosts) }

// maxViews is for how many hosts the merged options are kept: a host is asked
// for several times in a row, and thousands of hosts would take much memory.
const maxViews = 16

// hostOptions returns the options of a host: the global ones, those that
// host_config has instead, with what append_host_config adds.
func (t *Tree) hostOptions(host string) *Node {
	if v := t.views[host]; v != nil {
		return v
	}
	block, more := t.blocks[host], t.appends[host]
	merged := t.global.empty()
	merged.entries = slices.Clone(t.global.entries)
	for _, e := range block.pairs() {
		merged.entries = slices.DeleteFunc(merged.entries, func(o entry) bool { return o.key.text == e.key.text })
		merged.entries = append(merged.entries, e)
	}
	for _, e := range more.pairs() {
		t.append(merged, e)
	}
	keywords := maps.Clone(t.keywords)
	for _, at := range []*Node{block, more} {
		t.define(keywords, at.Get(defineKeyword))
	}
	maps.Copy(keywords, hostKeywords(host))
	v := t.apply(merged, keywords)
	if len(t.views) >= maxViews {
		clear(t.views)
	}
	t.views[host] = v
	return v
}

// pairs returns the entries of a map; nil has none.
func (n *Node) pairs() []entry {
	if n == nil {
		return nil
	}
	return n.entries
}

// append adds the items of e to the option of its name in n. Of two entries of
// a map with the same name the added one is used.
func (t *Tree) append(n *Node, e entry) {
	i := slices.IndexFunc(n.entries, func(o entry) bool { return o.key.text == e.key.text })
	if i < 0 {
		n.entries = append(n.entries, e)
		return
	}
	have := n.entries[i].value
	out := have.empty()
	out.step, out.parent = have.Path(), nil
	switch {
	case have.kind == KindMap && e.value.kind == KindMap:
		for _, x := range have.entries {
			if e.value.Get(x.key.text) == nil {
				out.entries = append(out.entries, x)
			}
		}
		out.entries = append(out.entries, e.value.entries...)
	case isList(e.key.text, have, e.value):
		out.kind, out.text = KindList, ""
		out.items = append(out.items, have.many()...)
		out.items = append(out.items, e.value.many()...)
	default:
		t.note(e.key, e.key.Errorf("%s cannot be appended to %s: only lists and maps can (merge_conflict)", e.value.Kind(), have.Kind()))
		return
	}
	n.entries[i].value = out
}

// isList tells whether both values are lists, or single values of an option
// that is one.
func isList(name string, a, b *Node) bool {
	if a.kind == KindMap || b.kind == KindMap {
		return false
	}
	if a.kind == KindList && b.kind == KindList {
		return true
	}
	o, _ := known.Find(known.TopLevel(), name)
	return isListType(o.Type)
}

// many returns the items of a list; a single value is a list of one.
func (n *Node) many() []*Node {
	if n.kind == KindScalar {
		return []*Node{n}
	}
	return n.items
}
