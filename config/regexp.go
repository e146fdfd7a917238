package config

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Regexp declares a regular expression in RE2's syntax. The empty default means
// none, and leaves nil.
func (f *Fields) Regexp(p **regexp.Regexp, name, def, doc string) *Field[*regexp.Regexp] {
	var re *regexp.Regexp
	if def != "" {
		re = regexp.MustCompile(def)
	}
	d := declare(f, p, Info{Name: name, Type: "regular expression", Doc: doc, Shape: ShapeText}, re,
		func(_ *Field[*regexp.Regexp], n *Node) (*regexp.Regexp, error) { return ReadRegexp(n) })
	d.info.Default = plain(def)
	return d
}

// ReadRegexp reads a regular expression. What PCRE, which ejabberd uses, can do
// and RE2 cannot is named.
func ReadRegexp(n *Node) (*regexp.Regexp, error) {
	s, err := readText(n)
	if err != nil {
		return nil, err
	}
	re, err := CompileRegexp(s)
	if err != nil {
		return nil, n.Errorf("%v", err)
	}
	return re, nil
}

// foreign are features of PCRE that RE2 leaves out because they can take
// forever.
var foreign = []struct{ sign, name string }{
	{"(?=", "lookahead (?=…)"}, {"(?!", "negative lookahead (?!…)"},
	{"(?<=", "lookbehind (?<=…)"}, {"(?<!", "negative lookbehind (?<!…)"},
	{"(?>", "atomic group (?>…)"}, {"(?|", "branch reset (?|…)"}, {"(?(", "conditional (?(…)…)"},
	{"(?R)", "recursion (?R)"}, {"(*", "verb (*…)"}, {"(?#", "comment (?#…)"},
	{"++", "possessive ++"}, {"*+", "possessive *+"}, {"?+", "possessive ?+"},
	{`\1`, `back reference \1`}, {`\2`, `back reference \2`}, {`\k<`, `back reference \k<…>`},
	{`\G`, `\G`}, {`\K`, `\K`}, {`\R`, `\R`}, {`\X`, `\X`}, {`\h`, `\h`}, {`\Z`, `\Z`}, {`\e`, `\e`}, {`\c`, `\c`},
}

// CompileRegexp compiles a regular expression. Its error says what is wrong in
// a sentence.
func CompileRegexp(s string) (*regexp.Regexp, error) {
	if len(s) > 4096 {
		return nil, errors.New("this regular expression is too long")
	}
	re, err := regexp.Compile(s)
	if err == nil {
		return re, nil
	}
	for _, f := range foreign {
		if strings.Contains(s, f.sign) {
			return nil, fmt.Errorf("%s is not a regular expression here: %s is a feature of PCRE that RE2 does not have", quote(s), f.name)
		}
	}
	why := err.Error()
	var se *syntax.Error
	if errors.As(err, &se) {
		why = fmt.Sprintf("%s near %s", se.Code, quote(se.Expr))
	}
	return nil, fmt.Errorf("%s is not a regular expression: %s", quote(s), why)
}
