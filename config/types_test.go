package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config/known"
)

// everyOption calls f with each option of ejabberd's.
func everyOption(f func(where string, o known.Option)) {
	for _, o := range known.TopLevel() {
		f("", o)
	}
	for _, o := range known.Common() {
		f("listen", o)
	}
	for _, l := range known.Listeners() {
		for _, o := range l.Options {
			f(l.Name, o)
		}
	}
	for _, m := range known.Modules() {
		for _, o := range m.Options {
			f(m.Name, o)
		}
	}
}

func TestTypesOfKnownOptionsAreOfTheGrammar(t *testing.T) {
	everyOption(func(where string, o known.Option) {
		for a := range strings.SplitSeq(strings.TrimPrefix(o.Type, "list of "), " | ") {
			lo, hi, isRange := strings.Cut(a, "..")
			digits := strings.Trim(lo+hi, "0123456789") == ""
			word := len(a) > 2 && strings.HasPrefix(a, `"`) && strings.HasSuffix(a, `"`)
			if plainTypes[a] == "" && !word && !(isRange && digits) {
				t.Errorf("%s %s: %q is no type", where, o.Name, a)
			}
		}
	})
}

func TestDefaultsAndHarmlessValuesAreOfTheirType(t *testing.T) {
	// Defaults in words depend on something else.
	words := []string{"value of", "admins may", "the ", "made of", "those ", "one that", "as ejabberd", "10; 1", "5432 for", "389;", "true for", "none", "[value", "[made", "bundled"}
	checked := 0
	everyOption(func(where string, o known.Option) {
		for _, safe := range strings.Fields(o.Safe) {
			if err := checkType(word(safe), o.Type); err != nil {
				t.Errorf("%s %s: harmless value: %v", where, o.Name, err)
			}
		}
		if o.Default == "" || slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(o.Default, w) }) {
			return
		}
		n, err := Parse("default", []byte("x: "+o.Default))
		if err != nil {
			t.Errorf("%s %s: default %s: %v", where, o.Name, o.Default, err)
			return
		}
		host, err := n.ForHost("example.org")
		if err != nil {
			t.Fatal(err)
		}
		v := host.Get("x")
		if text, _ := v.Scalar(); text == "" && v.Kind() == KindScalar {
			return // nothing is set
		}
		checked++
		if err := checkType(v, o.Type); err != nil {
			t.Errorf("%s %s: default: %v", where, o.Name, err)
		}
	})
	if checked < 200 {
		t.Errorf("only %d defaults were looked at", checked)
	}
}
