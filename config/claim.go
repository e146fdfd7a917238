package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config/known"
)

// structural are the options that a Tree reads itself.
var structural = []string{"hosts", "listen", "modules", hostConfig, appendConfig, defineMacro, defineKeyword, includeFile}

// Decode sets what each of ds declares from the top-level options, and claims
// them. Mistakes and warnings stay in t.
func (t *Tree) Decode(ds ...Declarer) { t.decode(t.view, ds) }

// DecodeHost is Decode for one virtual host: what host_config and
// append_host_config say goes before the global options, and @HOST@ is host.
func (t *Tree) DecodeHost(host string, ds ...Declarer) { t.decode(t.hostOptions(host), ds) }

func (t *Tree) decode(view *Node, ds []Declarer) {
	f := collect(ds)
	mine := view.empty()
	for _, e := range view.entries {
		if x, _ := f.find(e.key.text); x != nil {
			mine.entries = append(mine.entries, e)
			t.claim(e.key.text)
		}
	}
	for _, name := range f.names() {
		t.fields[name] = true
		t.claim(name)
	}
	mistakes, warnings := decodeAll(mine, option, mine.rest(), ds...)
	t.Report(mistakes, warnings)
}

func (t *Tree) claim(name string) {
	if !slices.Contains(t.claimed, name) {
		t.claimed = append(t.claimed, name)
	}
}

// Report adds mistakes and warnings that were found elsewhere, such as by
// config.Decode or by checks across options.
func (t *Tree) Report(mistakes, warnings []error) {
	t.mistakes, t.warnings = append(t.mistakes, mistakes...), append(t.warnings, warnings...)
}

// A Named is a listener or a module in the file: its name and its options.
type Named struct {
	Name string
	Key  *Node // where the name stands
	Node *Node // a map with the options
}

// Listeners returns the listeners in the order of the file. Items that are no
// listeners at all are mistakes and left out.
func (t *Tree) Listeners() []Named {
	n := t.view.Get("listen")
	if n == nil {
		return nil
	}
	if n.Kind() != KindList && n.Kind() != KindNull {
		t.note(n, n.Wanted("a list of listeners"))
		return nil
	}
	var out []Named
	for _, item := range n.List() {
		if item.Kind() != KindMap {
			t.note(item, item.Wanted("a map with port and module"))
			continue
		}
		module := item.Get("module")
		name, ok := module.Scalar()
		switch {
		case module == nil:
			t.note(item, missing(item, "module", option))
		case !ok:
			t.note(module, module.Wanted("the name of a listener module"))
		default:
			out = append(out, Named{name, module, item.ListenerTopic(name)})
		}
	}
	return out
}

// Modules returns the modules of a virtual host in the order of the file.
func (t *Tree) Modules(host string) []Named { return t.modulesOf(t.hostOptions(host).Get("modules")) }

func (t *Tree) modulesOf(n *Node) []Named {
	if n == nil {
		return nil
	}
	if n.Kind() != KindMap && n.Kind() != KindNull {
		t.note(n, n.Wanted("a map of modules to their options"))
		return nil
	}
	var out []Named
	seen := map[string]*Node{}
	for _, e := range n.entries {
		name := e.key.text
		if before := seen[name]; before != nil {
			t.note(n, e.key.Errorf("written twice; the first is in %s", before.seenFrom(e.key)))
			continue
		}
		seen[name] = e.key
		if e.value.Kind() != KindMap && e.value.Kind() != KindNull {
			t.note(n, e.value.Wanted("a map of options, {} if there are none"))
			continue
		}
		out = append(out, Named{name, e.key, e.value.ModuleTopic(name)})
	}
	return out
}

// DecodeListener sets what each of ds declares from the options of a listener
// and says that the listener is built.
func (t *Tree) DecodeListener(l Named, ds ...Declarer) {
	t.ClaimListener(l.Name)
	t.Report(decodeAll(l.Node, option, l.Node.rest(), ds...))
}

// DecodeModule sets what each of ds declares from the options of a module and
// says that the module is built.
func (t *Tree) DecodeModule(m Named, ds ...Declarer) {
	t.ClaimModule(m.Name)
	t.Report(decodeAll(m.Node, option, m.Node.rest(), ds...))
}

// ClaimListener says that listeners of this module are built.
func (t *Tree) ClaimListener(module string) { t.built["listener "+module] = true }

// ClaimModule says that a module is built.
func (t *Tree) ClaimModule(name string) { t.built["module "+name] = true }

// ClaimOption says that a top-level option is used by someone who does not
// decode it.
func (t *Tree) ClaimOption(names ...string) {
	for _, name := range names {
		t.claim(name)
	}
}

// Finish looks at everything that nobody claimed and returns all mistakes,
// joined, in the order of the files; nil if the configuration can be used. Call
// it when everybody has decoded.
func (t *Tree) Finish() error {
	t.unclaimedOptions(t.view)
	for _, block := range []map[string]*Node{t.blocks, t.appends} {
		for _, host := range t.hosts {
			if n := block[host]; n != nil {
				t.unclaimedOptions(t.apply(n, t.keywords))
				t.unclaimedModules(t.modulesOf(t.apply(n, t.keywords).Get("modules")))
			}
		}
	}
	t.unclaimedModules(t.modulesOf(t.view.Get("modules")))
	for _, l := range t.Listeners() {
		t.unclaimedListener(l)
	}
	return errors.Join(inOrder(t.mistakes, t.files)...)
}

// Warnings returns what does not stop the start but should be said, in the
// order of the files; complete after Finish.
func (t *Tree) Warnings() []error { return inOrder(t.warnings, t.files) }

func (t *Tree) unclaimedOptions(n *Node) {
	top := &topic{options: known.TopLevel()}
	for _, e := range n.entries {
		name := e.key.text
		if slices.Contains(t.claimed, name) || slices.Contains(structural, name) {
			continue
		}
		if o, _ := known.Find(top.options, name); n != t.view && o.Global {
			continue // refused already
		}
		err, ok := top.unclaimed(e.key, e.value)
		if !ok {
			names := top.names()
			for k := range t.fields {
				names = append(names, k)
			}
			slices.Sort(names)
			err = e.key.Errorf("no such option%s", didYouMean(name, slices.Compact(names)))
		}
		t.note(e.key, err)
	}
}

func (t *Tree) unclaimedListener(l Named) {
	if t.built["listener "+l.Name] {
		return
	}
	k, ok := known.FindListener(l.Name)
	if !ok {
		t.note(l.Key, l.Key.Errorf("no such listener%s", didYouMean(l.Name, listenerNames())))
		return
	}
	t.quiet(l.Node, slices.Concat(known.Common(), k.Options))
	t.note(l.Key, l.Key.Warnf("%s is not built yet; nothing listens on port %s", l.Name, l.Node.Get("port").textOf()))
}

func listenerNames() (out []string) {
	for _, l := range known.Listeners() {
		out = append(out, l.Name)
	}
	return out
}

func (t *Tree) unclaimedModules(modules []Named) {
	for _, m := range modules {
		if t.built["module "+m.Name] {
			continue
		}
		k, ok := known.FindModule(m.Name)
		if !ok {
			t.note(m.Key, m.Key.Errorf("no such module%s", didYouMean(m.Name, t.moduleNames())))
			continue
		}
		t.quiet(m.Node, k.Options)
		if k.Fatal {
			t.note(m.Key, m.Key.Errorf("this module %s", fatalText))
		} else {
			t.note(m.Key, m.Key.Warnf("this module is not built yet and is left out"))
		}
	}
}

func (t *Tree) moduleNames() (out []string) {
	for _, m := range known.Modules() {
		out = append(out, m.Name)
	}
	for name := range t.built {
		if m, ok := strings.CutPrefix(name, "module "); ok && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}

// quiet checks the options of something that is not built: their names and the
// form of their values.
func (t *Tree) quiet(n *Node, options []known.Option) {
	about := &topic{options: options, quiet: true}
	mistakes, _ := decodeAll(n, option, about.unclaimed)
	t.Report(mistakes, nil)
}

// isListType tells whether values of a type of package known are lists.
func isListType(typ string) bool { return strings.HasPrefix(typ, "list of ") }
