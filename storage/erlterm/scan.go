package erlterm

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number reads numbers: 1, -2, 16#FF, $a, 1.5e3, 1_000.
func (p *parser) number() (Term, error) {
	sign := ""
	if p.take("-") {
		sign = "-"
	} else {
		p.take("+")
	}
	p.space()
	if p.take("$") {
		c, err := p.char()
		if sign == "-" {
			c = -c
		}
		return Int(c), err
	}
	digits := p.digits(10)
	switch {
	case digits == "":
		return nil, p.wrong("a number has no digits")
	case p.peek(0) == '.' && '0' <= p.peek(1) && p.peek(1) <= '9':
		return p.fraction(sign + digits)
	case p.peek(0) == '#':
		base, err := strconv.Atoi(digits)
		if err != nil || base < 2 || base > 36 {
			return nil, p.wrong("there is no base %.20s", digits)
		}
		p.at++
		return p.whole(sign, p.digits(base), base)
	}
	return p.whole(sign, digits, 10)
}

func (p *parser) whole(sign, digits string, base int) (Term, error) {
	if digits == "" || len(digits) > maxDigits {
		return nil, p.wrong("a number has %d digits", len(digits))
	}
	if n, err := strconv.ParseInt(sign+digits, base, 64); err == nil {
		return Int(n), nil
	}
	n, ok := new(big.Int).SetString(sign+digits, base)
	if !ok {
		return nil, p.wrong("%.20s is no number", digits)
	}
	return Big(n.String()), nil
}

// fraction reads the rest of a float.
func (p *parser) fraction(before string) (Term, error) {
	p.at++
	text := before + "." + p.digits(10)
	if c := p.peek(0); c == 'e' || c == 'E' {
		p.at++
		exponent := "e"
		if c := p.peek(0); c == '-' || c == '+' {
			exponent += string(c)
			p.at++
		}
		text += exponent + p.digits(10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || len(text) > maxDigits {
		return nil, p.wrong("%.20s is no number", text)
	}
	return Float(f), nil
}

// digits reads digits, without the _ that may stand between two of them.
func (p *parser) digits(base int) string {
	var b []byte
	for {
		c := p.peek(0)
		if c == '_' && len(b) > 0 && digit(p.peek(1)) < base {
			c = p.peek(1)
			p.at++
		}
		if digit(c) >= base {
			return string(b)
		}
		b = append(b, c)
		p.at++
	}
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'Z':
		return int(c-'A') + 10
	}
	return 99
}

// strings reads a string. Several in a row are one.
func (p *parser) strings() (Term, error) {
	var all []rune
	for p.next() == '"' {
		s, err := p.quote()
		if err != nil {
			return nil, err
		}
		all = append(all, []rune(s)...)
	}
	return String(all), nil
}

// quote reads what is between two quotes of the kind that is next.
func (p *parser) quote() (string, error) {
	end := p.text[p.at]
	p.at++
	var b strings.Builder
	for {
		if p.at == len(p.text) {
			return "", p.wrong("the quote is not closed")
		}
		if p.text[p.at] == end {
			p.at++
			return b.String(), nil
		}
		c, err := p.char()
		if err != nil {
			return "", err
		}
		b.WriteRune(c)
	}
}

// char reads one character, which may be escaped.
func (p *parser) char() (rune, error) {
	if p.at == len(p.text) {
		return 0, p.wrong("the text ends where a character is wanted")
	}
	if p.text[p.at] == '\\' {
		return p.escape()
	}
	return p.plain(), nil
}

// plain reads one character that means itself.
func (p *parser) plain() rune {
	c, n := rune(p.text[p.at]), 1
	if p.unicode {
		if r, size := utf8.DecodeRuneInString(p.text[p.at:]); r != utf8.RuneError || size > 1 {
			c, n = r, size
		}
	}
	p.at += n
	return c
}

// escape reads \n, \x41, \x{1F600}, \101, \^a and the like.
func (p *parser) escape() (rune, error) {
	p.at++
	c := p.peek(0)
	if p.at == len(p.text) {
		return 0, p.wrong("the text ends in an escape")
	}
	if '0' <= c && c <= '7' {
		from := p.at
		for p.at-from < 3 && '0' <= p.peek(0) && p.peek(0) <= '7' {
			p.at++
		}
		n, err := strconv.ParseUint(p.text[from:p.at], 8, 16)
		return rune(n), err
	}
	if i := strings.IndexByte("bdefnrstv", c); i >= 0 {
		p.at++
		return rune("\b\x7f\x1b\f\n\r \t\v"[i]), nil
	}
	switch c {
	case 'x':
		p.at++
		return p.hexadecimal()
	case '^':
		if p.at+1 == len(p.text) {
			return 0, p.wrong("the text ends in an escape")
		}
		p.at += 2
		return rune(p.text[p.at-1] & 31), nil
	}
	return p.plain(), nil
}

func (p *parser) hexadecimal() (rune, error) {
	text := p.text[p.at:min(p.at+2, len(p.text))]
	skip := len(text)
	if p.peek(0) == '{' {
		end := strings.IndexByte(p.text[p.at:], '}')
		if end < 0 || end > 8 {
			return 0, p.wrong("an escape is not closed")
		}
		text, skip = p.text[p.at+1:p.at+end], end+1
	}
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || !valid(rune(n)) {
		return 0, p.wrong("%q is no character", text)
	}
	p.at += skip
	return rune(n), nil
}

// valid reports whether Erlang and Go both have the code point.
func valid(c rune) bool { return utf8.ValidRune(c) }
