package config

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// checkType checks a value of an option that is not built against the type that
// package known has for it:
//
//	bool int number time text secret domain port ip ipv4 ipv6 network url map any
//	1.. 0..100          a whole number in a range
//	"word"              this word
//	a | b               one or the other
//	list of a           a list of them; a single value stands for a list of one
//
// The check is about the form only: files need not exist.
func checkType(n *Node, typ string) error {
	if rest, ok := strings.CutPrefix(typ, "list of "); ok {
		if n.Kind() == KindMap && strings.Contains(rest, "map") {
			return nil
		}
		_, err := each(n, func(item *Node) (struct{}, error) { return struct{}{}, checkType(item, rest) })
		return err
	}
	alternatives := strings.Split(typ, " | ")
	for _, a := range alternatives {
		if isOf(n, a) {
			return nil
		}
	}
	what := typeWords(alternatives)
	if strings.Contains(typ, "secret") && n.Kind() == KindScalar {
		return n.Errorf("expected %s", what)
	}
	var near []string
	for _, a := range alternatives {
		if strings.HasPrefix(a, `"`) {
			near = append(near, strings.Trim(a, `"`))
		}
	}
	m := n.Wanted(what)
	if hint := didYouMean(n.textOf(), near); hint != "" {
		return n.Errorf("expected %s, not %s%s", what, quote(n.textOf()), hint)
	}
	return m
}

// typeWords says a type in words.
func typeWords(alternatives []string) string {
	out := make([]string, len(alternatives))
	for i, a := range alternatives {
		out[i] = strings.Trim(a, `"`)
		if words := plainTypes[a]; words != "" {
			out[i] = words
		} else if lo, hi, ok := strings.Cut(a, ".."); ok && !strings.HasPrefix(a, `"`) {
			out[i] = "a whole number from " + lo
			if hi != "" {
				out[i] += " to " + hi
			}
		}
	}
	if n := len(out); n > 1 {
		return strings.TrimSuffix(strings.Join(out[:n-1], ", "), ",") + " or " + out[n-1]
	}
	return out[0]
}

var plainTypes = map[string]string{
	"bool": "true or false", "int": "a whole number", "number": "a number",
	"time": `a time such as 30, 30s or "5 minutes"`, "text": "a text", "secret": "a text",
	"domain": "a domain name", "port": "the number of a port", "ip": "an IP address",
	"ipv4": "an IPv4 address", "ipv6": "an IPv6 address", "network": "a network such as 10.0.0.0/8",
	"url": "a URL", "map": "a map", "any": "anything",
}

// isOf tells whether n is of one alternative of a type.
func isOf(n *Node, typ string) bool {
	switch typ {
	case "any":
		return true
	case "map":
		return n.Kind() == KindMap || n.Kind() == KindNull
	}
	s, ok := n.Scalar()
	if !ok {
		return false
	}
	if word, ok := strings.CutPrefix(typ, `"`); ok {
		return s == strings.TrimSuffix(word, `"`)
	}
	if lo, hi, ok := strings.Cut(typ, ".."); ok {
		return inRange(s, lo, hi)
	}
	return isPlain(n, s, typ)
}

func isPlain(n *Node, s, typ string) bool {
	var err error
	switch typ {
	case "bool":
		_, err = readBool(n)
	case "int":
		_, err = strconv.ParseInt(s, 10, 64)
	case "number":
		_, err = strconv.ParseFloat(s, 64)
	case "time":
		_, err = ParseDuration(s, time.Second)
	case "domain":
		_, err = readDomain(n)
	case "port":
		return inRange(s, "0", "65535")
	case "ip", "ipv4", "ipv6":
		a, err := netip.ParseAddr(s)
		return err == nil && (typ == "ip" || a.Is4() == (typ == "ipv4"))
	case "network":
		_, err = ReadNetwork(n)
	case "url":
		return strings.Contains(s, "://")
	}
	return err == nil
}

// inRange tells whether s is a whole number from lo to hi, which may be empty.
func inRange(s, lo, hi string) bool {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return false
	}
	if l, err := strconv.ParseInt(lo, 10, 64); err == nil && v < l {
		return false
	}
	if h, err := strconv.ParseInt(hi, 10, 64); err == nil && v > h {
		return false
	}
	return true
}
