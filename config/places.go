package config

import (
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// IP declares an address.
func (f *Fields) IP(p *netip.Addr, name string, def netip.Addr, doc string) *Field[netip.Addr] {
	d := declare(f, p, Info{Name: name, Type: "IP address", Doc: doc, Shape: ShapeText}, def,
		func(_ *Field[netip.Addr], n *Node) (netip.Addr, error) {
			a, err := netip.ParseAddr(n.textOf())
			if err != nil {
				return a, n.Wanted("an IP address")
			}
			return a, nil
		})
	if !def.IsValid() {
		d.info.Default = ""
	}
	return d
}

// Networks declares a list of networks and addresses: 10.0.0.0/8, ::1.
func (f *Fields) Networks(p *[]netip.Prefix, name string, def []netip.Prefix, doc string) *Field[[]netip.Prefix] {
	d := declare(f, p, Info{Name: name, Type: "list of networks", Doc: doc, Shape: ShapeTexts}, def,
		func(_ *Field[[]netip.Prefix], n *Node) ([]netip.Prefix, error) { return each(n, ReadNetwork) })
	d.words = listOfWords
	return d
}

// ReadNetwork reads a network such as 10.0.0.0/8, or an address, which is a
// network of one. Bits beyond the mask are cut off, as ejabberd does.
func ReadNetwork(n *Node) (netip.Prefix, error) {
	s := n.textOf()
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, n.Wanted("an IP address or a network such as 10.0.0.0/8")
	}
	return p.Masked(), nil
}

// URL declares a web address with one of the schemes; http and https if none
// are given. The empty default means: not set.
func (f *Fields) URL(p *string, name, def, doc string, schemes ...string) *Field[string] {
	if len(schemes) == 0 {
		schemes = []string{"http", "https"}
	}
	d := declare(f, p, Info{Name: name, Type: "URL", Doc: doc, Shape: ShapeText}, def,
		func(_ *Field[string], n *Node) (string, error) {
			u, err := url.Parse(n.textOf())
			if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
				return "", n.Wanted("a URL that starts with " + strings.Join(schemes, ":// or ") + "://")
			}
			return n.text, nil
		})
	d.fresh = func(def string, s *scope) string { return s.expand(def) }
	return d
}

// File declares the name of a file, which must be readable when the value is
// decoded. The empty default means: none.
func (f *Fields) File(p *string, name, def, doc string) *Field[string] {
	return declare(f, p, Info{Name: name, Type: "file", Doc: doc, Shape: ShapeText}, def,
		func(_ *Field[string], n *Node) (string, error) {
			s, err := readText(n)
			if err != nil {
				return s, err
			}
			return s, readable(n, s)
		})
}

func readable(n *Node, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return n.Errorf("cannot read the file: %v", err)
	}
	info, err := file.Stat()
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return n.Errorf("cannot read the file: %v", err)
	}
	if info.IsDir() {
		return n.Errorf("%s is a directory, not a file", quote(name))
	}
	return nil
}

// Dir declares the name of a directory, which must exist when the value is
// decoded. The empty default means: none.
func (f *Fields) Dir(p *string, name, def, doc string) *Field[string] {
	return declare(f, p, Info{Name: name, Type: "directory", Doc: doc, Shape: ShapeText}, def,
		func(_ *Field[string], n *Node) (string, error) {
			s, err := readText(n)
			if err != nil {
				return s, err
			}
			if _, err := os.ReadDir(s); err != nil {
				return s, n.Errorf("cannot read the directory: %v", err)
			}
			return s, nil
		})
}
