package known_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config/known"
)

// all names everything in the list, in the form of testdata/names.txt.
func all() []string {
	var out []string
	for _, o := range known.TopLevel() {
		out = append(out, "option "+o.Name)
	}
	for _, o := range known.Common() {
		out = append(out, "listener common "+o.Name)
	}
	for _, l := range known.Listeners() {
		for _, o := range l.Options {
			out = append(out, fmt.Sprintf("listener %s %s", l.Name, o.Name))
		}
	}
	for name := range maps.Keys(known.Handlers()) {
		out = append(out, "handler "+name)
	}
	for _, m := range known.Modules() {
		out = append(out, "module "+m.Name)
		for _, o := range m.Options {
			out = append(out, fmt.Sprintf("module %s %s", m.Name, o.Name))
		}
	}
	return out
}

func TestNothingOfEjabberdIsMissing(t *testing.T) {
	text, err := os.ReadFile("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, got := strings.Fields(strings.ReplaceAll(string(text), " ", "·")), all()
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], " ", "·")
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is missing", name)
		}
	}
	for i, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s is not in testdata/names.txt", name)
		}
		if i > 0 && got[i-1] == name {
			t.Errorf("%s is there twice", name)
		}
	}
	counts := map[string]int{}
	for _, name := range got {
		kind, rest, _ := strings.Cut(name, "·")
		if kind == "module" && strings.Contains(rest, "·") {
			kind = "module option"
		}
		counts[kind]++
	}
	for kind, n := range map[string]int{"option": 177, "listener": 86, "module": 70, "module option": 412, "handler": 19} {
		if counts[kind] != n {
			t.Errorf("%d of kind %s, want %d", counts[kind], kind, n)
		}
	}
}

func TestEverythingSaysWhatItIsFor(t *testing.T) {
	check := func(where string, o known.Option) {
		if o.Type == "" || len(o.Doc) < 5 || !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s %s: type %q, doc %q", where, o.Name, o.Type, o.Doc)
		}
		if o.Safe != "" && !o.Fatal {
			t.Errorf("%s %s has safe values but is not fatal", where, o.Name)
		}
		if strings.Contains(o.Name, "password") && o.Default != "" && o.Type == "secret" && o.Default != `""` && !strings.HasPrefix(o.Default, "value of ") {
			t.Errorf("%s %s shows a password", where, o.Name)
		}
	}
	for _, o := range slices.Concat(known.TopLevel(), known.Common()) {
		check("", o)
	}
	for _, l := range known.Listeners() {
		for _, o := range l.Options {
			check(l.Name, o)
		}
	}
	for _, m := range known.Modules() {
		if !strings.HasSuffix(m.Doc, ".") {
			t.Errorf("%s: doc %q", m.Name, m.Doc)
		}
		for _, o := range m.Options {
			check(m.Name, o)
		}
	}
}

func TestModulesAreInOrder(t *testing.T) {
	mods := known.Modules()
	if !slices.IsSortedFunc(mods, func(a, b known.Module) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("modules are not in order of name")
	}
}

func TestFind(t *testing.T) {
	m, ok := known.FindModule("mod_ping")
	if !ok {
		t.Fatal("no mod_ping")
	}
	if o, ok := known.Find(m.Options, "timeout_action"); !ok || o.Default != "none" {
		t.Errorf("timeout_action: %v, %v", o, ok)
	}
	if _, ok := known.Find(m.Options, "nothing"); ok {
		t.Error("found an option that is not there")
	}
	if _, ok := known.FindModule("mod_nothing"); ok {
		t.Error("found a module that is not there")
	}
	if _, ok := known.FindListener("ejabberd_c2s"); !ok {
		t.Error("no ejabberd_c2s")
	}
}
