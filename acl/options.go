package acl

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gabberd/gabberd/config"
)

// A List is an ACL: matchers of which one must hold.
type List struct{ matchers []matcher }

// Options are the rules of one virtual host, or of the server as a whole, as
// they stand in ejabberd.yml. They are not changed after decoding.
type Options struct {
	Lists   map[string]List      // acl
	Rules   map[string]Rule      // access_rules
	Shapers map[string]Rate      // shaper
	Limits  map[string]LimitRule // shaper_rules
}

// Fields declares acl, access_rules, shaper and shaper_rules.
func (o *Options) Fields(f *config.Fields) {
	config.Value(f, &o.Lists, "acl", "map of names to matchers", nil,
		"Names for sets of users or addresses.", named(parseList, "all", "none")).
		DefaultText("{}").Example("admin: {user: alice@example.org}")
	config.Value(f, &o.Rules, "access_rules", "map of names to rules", nil,
		"Named lists of allow and deny; the first entry that fits decides.", named(parseRule, "all", "none")).
		DefaultText("{}").Example("c2s: [{deny: blocked}, {allow: all}]")
	config.Value(f, &o.Shapers, "shaper", "map of names to rates", nil,
		"Names for limits of traffic, in bytes per second.", named(parseRate, reserved...)).
		DefaultText("{}").Example("normal: {rate: 3000, burst_size: 20000}")
	config.Value(f, &o.Limits, "shaper_rules", "map of names to shaper rules", nil,
		"Named lists that choose a shaper or a number; the first entry that fits decides.", named(parseLimit, reserved...)).
		DefaultText("{}").Example("c2s_shaper: [{none: admin}, {normal: all}]")
}

// reserved names mean that there is no limit.
var reserved = []string{"none", "infinity", "infinite", "unlimited"}

// named decodes a map of names to what parse reads. A list of such maps counts
// as one map.
func named[T any](parse func(*config.Node) (T, mistakes), reserved ...string) func(*config.Node) (map[string]T, error) {
	return func(n *config.Node) (map[string]T, error) {
		out := map[string]T{}
		var m mistakes
		maps := []*config.Node{n}
		if n.Kind() == config.KindList {
			maps = n.List()
		}
		for _, one := range maps {
			if one.Kind() != config.KindMap && one.Kind() != config.KindNull {
				m.add(one.Wanted("a map of names"))
				continue
			}
			for name, value := range one.Map() {
				v, bad := parse(value)
				m.take(bad)
				m.add(nameMistake(one.Key(name), name, out, reserved))
				out[name] = v
			}
		}
		return out, m.join()
	}
}

func nameMistake[T any](at *config.Node, name string, taken map[string]T, reserved []string) error {
	if slices.Contains(reserved, name) {
		return at.Errorf("%s is a reserved name and cannot be changed", name)
	}
	if _, ok := taken[name]; ok {
		return at.Errorf("%s is written twice", name)
	}
	return nil
}

// rate is the long form of a shaper.
type rate struct{ Rate, Burst int }

func (r *rate) Fields(f *config.Fields) {
	f.Int(&r.Rate, "rate", 0, "Bytes per second.").Required().Must(config.AtLeast(1))
	f.Int(&r.Burst, "burst_size", 0, "Bytes that may come at once; the rate if not given.").Must(config.AtLeast(1))
}

// parseRate reads a shaper: bytes per second, a map, or infinity.
func parseRate(n *config.Node) (Rate, mistakes) {
	var m mistakes
	var r rate
	if n.Kind() == config.KindMap {
		bad, warnings := config.Decode(n, &r)
		for _, err := range append(bad, warnings...) {
			m.add(err)
		}
		return Rate{r.Rate, cmp.Or(r.Burst, r.Rate)}, m
	}
	a, err := parseAmount(pair{word: scalar(n), at: n})
	if err == nil && (a.shaper != "" || a == amount{}) {
		err = n.Wanted("bytes per second, a map with rate and burst_size, or infinity")
	}
	m.add(err)
	return Rate{a.number, a.number}, m
}

func scalar(n *config.Node) string {
	s, _ := n.Scalar()
	return s
}

// Undefined returns a warning for every name that a rule uses and nothing
// defines, each with its place: a matcher that names no ACL never holds, and an
// entry that names no shaper does not count.
func (o *Options) Undefined() error {
	var m mistakes
	for _, name := range slices.Sorted(maps.Keys(o.Rules)) {
		for _, e := range o.Rules[name].entries {
			o.missing(e.matchers, &m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Limits)) {
		o.missingIn(o.Limits[name], &m)
	}
	return m.join()
}

func (o *Options) missingIn(r LimitRule, m *mistakes) {
	for _, e := range r.entries {
		if _, ok := o.Shapers[e.value.shaper]; e.value.shaper != "" && !ok {
			m.add(e.value.at.Warnf("there is no shaper called %q; this entry is ignored", e.value.shaper))
		}
		o.missing(e.matchers, m)
	}
}

func (o *Options) missing(matchers []matcher, m *mistakes) {
	for _, mt := range matchers {
		if _, ok := o.Lists[mt.text]; mt.what == byList && !ok && mt.text != "all" && mt.text != "none" {
			m.add(mt.at.Warnf("there is no ACL called %q, so nobody matches it; define it under acl if that is not meant", mt.text))
		}
	}
}

// Undefined returns warnings about names that a uses and o does not define.
func (a Access) Undefined(o *Options) error {
	var m mistakes
	if a.inline != nil {
		for _, e := range a.inline.entries {
			o.missing(e.matchers, &m)
		}
	} else if _, ok := o.Rules[a.name]; !ok && a.name != "all" && a.name != "none" {
		m.add(a.at.Warnf("there is no access rule called %q, so nobody is allowed; define it under access_rules", a.name))
	}
	return m.join()
}

// Undefined returns warnings about names that l uses and o does not define.
func (l Limit) Undefined(o *Options) error {
	var m mistakes
	if l.inline != nil {
		o.missingIn(*l.inline, &m)
	} else if _, ok := o.Limits[l.name]; !ok && l.name != "" && !slices.Contains(reserved, l.name) {
		m.add(l.at.Warnf("there is no shaper rule called %q, so nothing is limited; define it under shaper_rules", l.name))
	}
	return m.join()
}
