package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bool declares an option that is true or false; on, yes, y and their
// opposites are accepted too.
func (f *Fields) Bool(p *bool, name string, def bool, doc string) *Field[bool] {
	return declare(f, p, Info{Name: name, Type: "true | false", Doc: doc, Shape: ShapeBool}, def,
		func(_ *Field[bool], n *Node) (bool, error) { return readBool(n) })
}

func readBool(n *Node) (bool, error) {
	switch strings.ToLower(n.textOf()) {
	case "true", "on", "yes", "y":
		return true, nil
	case "false", "off", "no", "n":
		return false, nil
	}
	return false, n.Wanted("true or false")
}

// Int declares an option that is a whole number.
func (f *Fields) Int(p *int, name string, def int, doc string) *Field[int] {
	return declare(f, p, Info{Name: name, Type: "number", Doc: doc, Shape: ShapeInt}, def,
		func(d *Field[int], n *Node) (int, error) {
			v, err := readInt(n, d.info.Infinite, math.MinInt, math.MaxInt)
			return int(v), err
		})
}

// IntOrInfinity declares a whole number or `infinity`, which is Unlimited.
func (f *Fields) IntOrInfinity(p *int, name string, def int, doc string) *Field[int] {
	return f.Int(p, name, def, doc).OrInfinity()
}

// Int64 declares an option that is a whole number of 64 bits.
func (f *Fields) Int64(p *int64, name string, def int64, doc string) *Field[int64] {
	return declare(f, p, Info{Name: name, Type: "number", Doc: doc, Shape: ShapeInt}, def,
		func(d *Field[int64], n *Node) (int64, error) {
			return readInt(n, d.info.Infinite, math.MinInt64, math.MaxInt64)
		})
}

func readInt(n *Node, infinite bool, lo, hi int64) (int64, error) {
	what := "a whole number"
	if infinite {
		if isInfinity(n.textOf()) {
			return hi, nil
		}
		what += " or infinity"
	}
	v, err := strconv.ParseInt(strings.ReplaceAll(n.textOf(), "_", ""), 10, 64)
	if errors.Is(err, strconv.ErrRange) || err == nil && (v < lo || v > hi) {
		return 0, n.Errorf("%s is too large a number", quote(n.textOf()))
	}
	if err != nil {
		return 0, n.Wanted(what)
	}
	return v, nil
}

// isInfinity tells whether s is one of ejabberd's words for no limit.
func isInfinity(s string) bool {
	return s == "infinity" || s == "infinite" || s == "unlimited"
}

// Port declares the number of a TCP or UDP port.
func (f *Fields) Port(p *int, name string, def int, doc string) *Field[int] {
	d := f.Int(p, name, def, doc).Must(Between(0, 65535))
	d.info.Type = "port"
	return d
}

// Float declares an option that is a number, which may have a fraction.
func (f *Fields) Float(p *float64, name string, def float64, doc string) *Field[float64] {
	return declare(f, p, Info{Name: name, Type: "number", Doc: doc, Shape: ShapeFloat}, def,
		func(d *Field[float64], n *Node) (float64, error) {
			if d.info.Infinite && isInfinity(n.textOf()) {
				return math.Inf(1), nil
			}
			v, err := strconv.ParseFloat(n.textOf(), 64)
			if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
				return 0, n.Wanted("a number")
			}
			return v, nil
		})
}

// String declares an option that is a text. @HOST@ and other keywords in the
// default are replaced as in a file.
func (f *Fields) String(p *string, name, def, doc string) *Field[string] {
	d := declare(f, p, Info{Name: name, Type: "text", Doc: doc, Shape: ShapeText}, def,
		func(_ *Field[string], n *Node) (string, error) { return readText(n) })
	d.fresh = func(def string, s *scope) string { return s.expand(def) }
	return d
}

func readText(n *Node) (string, error) {
	if n.Kind() != KindScalar {
		return "", n.Wanted("a text")
	}
	return n.text, nil
}

// Secret declares a text that is never shown: not in messages, help or logs.
func (f *Fields) Secret(p *string, name, def, doc string) *Field[string] {
	d := declare(f, p, Info{Name: name, Type: "text (secret)", Doc: doc, Shape: ShapeText, Secret: true}, def,
		func(_ *Field[string], n *Node) (string, error) {
			if n.Kind() != KindScalar {
				return "", n.Errorf("expected a text, not %s", n.Kind())
			}
			return n.text, nil
		})
	d.info.Default = ""
	return d
}

// Enum declares an option that is one of a few words. The default may be
// another, such as "", for "not set".
func (f *Fields) Enum(p *string, name, def, doc string, values ...string) *Field[string] {
	info := Info{Name: name, Type: strings.Join(values, " | "), Doc: doc, Shape: ShapeChoice, Values: values}
	return declare(f, p, info, def, func(_ *Field[string], n *Node) (string, error) {
		if n.Kind() != KindScalar {
			return "", n.Wanted("one of " + strings.Join(values, ", "))
		}
		return n.text, choose(n, n.text, values)
	})
}

// choose checks that v is one of values. YAML's words for true and false name
// each other where values has just one of them.
func choose(n *Node, v string, values []string) error {
	if slices.Contains(values, v) {
		return nil
	}
	return n.Errorf("%s is not one of %s%s", quote(v), strings.Join(values, ", "), didYouMean(v, values))
}

// Strings declares a list of texts; a single value stands for a list of one.
func (f *Fields) Strings(p *[]string, name string, def []string, doc string) *Field[[]string] {
	return texts(f, p, Info{Name: name, Type: "list of texts", Doc: doc, Shape: ShapeTexts}, def, readText)
}

// Enums declares a list of words out of a few; a single value stands for a
// list of one.
func (f *Fields) Enums(p *[]string, name string, def []string, doc string, values ...string) *Field[[]string] {
	info := Info{Name: name, Type: "list of " + strings.Join(values, " | "), Doc: doc, Shape: ShapeTexts, Values: values}
	return texts(f, p, info, def, func(n *Node) (string, error) {
		s, err := readText(n)
		if err != nil {
			return s, err
		}
		return s, choose(n, s, values)
	})
}

// Domain declares a domain name; Domains a list of them.
func (f *Fields) Domain(p *string, name, def, doc string) *Field[string] {
	d := declare(f, p, Info{Name: name, Type: "domain", Doc: doc, Shape: ShapeText}, def,
		func(_ *Field[string], n *Node) (string, error) { return readDomain(n) })
	d.fresh = func(def string, s *scope) string { return s.expand(def) }
	return d
}

// Domains declares a list of domain names; a single value stands for a list of
// one.
func (f *Fields) Domains(p *[]string, name string, def []string, doc string) *Field[[]string] {
	return texts(f, p, Info{Name: name, Type: "list of domains", Doc: doc, Shape: ShapeTexts}, def, readDomain)
}

// Hosts declares the domains of a service: a list in which @HOST@ stands for
// the virtual host, also in the default.
func (f *Fields) Hosts(p *[]string, name string, def []string, doc string) *Field[[]string] {
	return texts(f, p, Info{Name: name, Type: "list of domains with @HOST@", Doc: doc, Shape: ShapeTexts}, def, readHost)
}

// readHost reads a domain in which @HOST@ may still stand: outside of a virtual
// host there is nothing to put in.
func readHost(n *Node) (string, error) {
	if text := n.textOf(); strings.Contains(text, "@HOST@") {
		c := *n
		c.text = strings.ReplaceAll(text, "@HOST@", "host")
		_, err := readDomain(&c)
		return text, err
	}
	return readDomain(n)
}

// texts declares a list of texts of which read reads each.
func texts(f *Fields, p *[]string, info Info, def []string, read func(*Node) (string, error)) *Field[[]string] {
	d := declare(f, p, info, def, func(_ *Field[[]string], n *Node) ([]string, error) { return each(n, read) })
	d.words = listOfWords
	d.fresh = func(def []string, s *scope) []string {
		out := slices.Clone(def)
		for i := range out {
			out[i] = s.expand(out[i])
		}
		return out
	}
	return d
}

// each reads every item of a list with read; a single value stands for a list
// of one, nothing for an empty list.
func each[T any](n *Node, read func(*Node) (T, error)) ([]T, error) {
	switch n.Kind() {
	case KindNull:
		return nil, nil
	case KindScalar:
		v, err := read(n)
		return []T{v}, err
	case KindMap:
		return nil, n.Wanted("a list")
	}
	var out []T
	var errs []error
	for _, item := range n.List() {
		v, err := read(item)
		mistakes, warnings := sortOut(item, err)
		errs = append(append(errs, mistakes...), warnings...)
		out = append(out, v)
	}
	return out, errors.Join(errs...)
}

// readDomain reads a domain name: lower case, no dot at its end. That the name
// can be one of a JID is checked where it is made one.
func readDomain(n *Node) (string, error) {
	s := strings.TrimSuffix(strings.ToLower(n.textOf()), ".")
	if n.Kind() != KindScalar || s == "" || len(s) > 1023 || strings.ContainsAny(s, " \t\r\n@/\"'<>&\\") {
		return "", n.Wanted("a domain name")
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return "", n.Wanted("a domain name")
		}
	}
	return s, nil
}

// StringMap declares names with texts. Use Pairs where the order matters.
func (f *Fields) StringMap(p *map[string]string, name string, def map[string]string, doc string) *Field[map[string]string] {
	d := declare(f, p, Info{Name: name, Type: "map of names to texts", Doc: doc, Shape: ShapeTextMap}, def,
		func(_ *Field[map[string]string], n *Node) (map[string]string, error) {
			pairs, err := readPairs(n)
			m := make(map[string]string, len(pairs))
			for _, x := range pairs {
				m[x.Name] = x.Value
			}
			return m, err
		})
	d.words = mapOfWords
	return d
}

// A Pair is a name with its text.
type Pair struct{ Name, Value string }

// Pairs declares names with texts, in the order of the file.
func (f *Fields) Pairs(p *[]Pair, name string, def []Pair, doc string) *Field[[]Pair] {
	d := declare(f, p, Info{Name: name, Type: "map of names to texts", Doc: doc, Shape: ShapeTextMap}, def,
		func(_ *Field[[]Pair], n *Node) ([]Pair, error) { return readPairs(n) })
	d.words = mapOfWords
	return d
}

// readPairs reads a map, or a list of maps, as ejabberd also accepts.
func readPairs(n *Node) ([]Pair, error) {
	var out []Pair
	var errs []error
	one := func(m *Node) {
		for k, v := range m.Map() {
			text, err := readText(v)
			out, errs = append(out, Pair{k, text}), append(errs, err)
		}
	}
	switch n.Kind() {
	case KindNull, KindMap:
		one(n)
		errs = append(errs, n.Duplicates())
	case KindList:
		for _, item := range n.List() {
			if item.Kind() != KindMap {
				errs = append(errs, item.Wanted("a name with its value"))
				continue
			}
			one(item)
		}
	default:
		errs = append(errs, n.Wanted("a map"))
	}
	return out, errors.Join(errs...)
}

// levels are ejabberd's words for how much is logged, with ours.
var levels = []struct {
	name  string
	level slog.Level
}{
	{"none", LevelNone}, {"emergency", slog.LevelError + 6}, {"alert", slog.LevelError + 4},
	{"critical", slog.LevelError + 2}, {"error", slog.LevelError}, {"warning", slog.LevelWarn},
	{"notice", slog.LevelInfo + 2}, {"info", slog.LevelInfo}, {"debug", slog.LevelDebug},
}

// LevelNone is the log level under which nothing is logged.
const LevelNone = slog.Level(100)

// ReadLogLevel returns the log level of ejabberd's name or number (0 to 5).
func ReadLogLevel(s string) (slog.Level, error) {
	names := make([]string, 0, len(levels))
	for _, l := range levels {
		if l.name == s {
			return l.level, nil
		}
		names = append(names, l.name)
	}
	if i := strings.Index("012345", s); i >= 0 && len(s) == 1 {
		return ReadLogLevel([]string{"none", "critical", "error", "warning", "info", "debug"}[i])
	}
	return 0, fmt.Errorf("%s is not one of %s or a number from 0 to 5%s", quote(s), strings.Join(names, ", "), didYouMean(s, names))
}

// LogLevel declares how much is logged: ejabberd's words, or 0 to 5.
func (f *Fields) LogLevel(p *slog.Level, name string, def slog.Level, doc string) *Field[slog.Level] {
	info := Info{Name: name, Doc: doc, Shape: ShapeAny}
	for _, l := range levels {
		info.Values = append(info.Values, l.name)
	}
	info.Type = strings.Join(info.Values, " | ") + " | 0 … 5"
	d := declare(f, p, info, def, func(_ *Field[slog.Level], n *Node) (slog.Level, error) {
		return ReadLogLevel(n.textOf())
	})
	for _, l := range levels {
		if l.level == def {
			d.info.Default = l.name
		}
	}
	return d
}

// Duration declares a time span: a number of seconds (of milliseconds after
// InMillis), "30s", "5 minutes", "1 hour".
func (f *Fields) Duration(p *time.Duration, name string, def time.Duration, doc string) *Field[time.Duration] {
	return declare(f, p, Info{Name: name, Type: "time", Doc: doc, Shape: ShapeSpan}, def,
		func(d *Field[time.Duration], n *Node) (time.Duration, error) {
			what := `a time such as 30, 30s or "5 minutes"`
			if d.info.Infinite {
				if isInfinity(n.textOf()) {
					return Infinity, nil
				}
				what += ", or infinity"
			}
			v, err := ParseDuration(n.textOf(), d.unit)
			if n.Kind() != KindScalar || err != nil {
				return 0, n.Wanted(what)
			}
			return v, nil
		})
}

// Size declares a number of bytes: 65536, "64 KB", "10 MB". A KB is 1024 bytes.
func (f *Fields) Size(p *int64, name string, def int64, doc string) *Field[int64] {
	return declare(f, p, Info{Name: name, Type: "size", Doc: doc, Shape: ShapeSpan}, def,
		func(d *Field[int64], n *Node) (int64, error) {
			if d.info.Infinite && isInfinity(n.textOf()) {
				return math.MaxInt64, nil
			}
			v, err := ParseSize(n.textOf())
			if n.Kind() != KindScalar || err != nil {
				return 0, n.Wanted(`a number of bytes such as 65536, "64 KB" or "10 MB"`)
			}
			return v, nil
		})
}

// textOf returns the text of a single value, "" for anything else.
func (n *Node) textOf() string {
	s, _ := n.Scalar()
	return s
}
