package modules_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
)

// none is the options of a module that has none.
type none struct{}

func (*none) Fields(*config.Fields) {}

// named makes modules of "a:b,c": a, which needs b and c.
func named(list string) (out []modules.Prepared) {
	for _, word := range strings.Fields(list) {
		name, needs, _ := strings.Cut(word, ":")
		spec := modules.Spec[none]{Start: func(*modules.Host, none) error { return nil }}
		if needs != "" {
			spec.Needs = strings.Split(needs, ",")
		}
		out = append(out, modules.Define(name, spec).Prepare(func(config.Declarer) {}))
	}
	return out
}

func TestOrder(t *testing.T) {
	for _, c := range []struct{ in, want, errs string }{
		{"", "", ""},
		{"c b a", "a b c", ""},
		{"a:c b c", "c a b", ""},
		{"a:b b:c c", "c b a", ""},
		{"d:b,c b:a c:a a", "a b c d", ""},
		{"a:x b", "a b", "a needs x; add it to modules"},
		{"a:x,y", "a", "a needs x; add it to modules|a needs y; add it to modules"},
		{"a:b b:a", "b a", "modules need each other: a → b → a"},
		{"a:a", "a", "modules need each other: a → a"},
		{"a:b b:c c:b", "c b a", "modules need each other: a → b → c → b"},
	} {
		out, errs := modules.Order(named(c.in))
		var got, bad []string
		for _, p := range out {
			got = append(got, p.Name)
		}
		for _, err := range errs {
			bad = append(bad, err.Error())
		}
		if strings.Join(got, " ") != c.want || strings.Join(bad, "|") != c.errs {
			t.Errorf("%q: %q with errors %q, want %q with %q", c.in, got, bad, c.want, c.errs)
		}
	}
}
