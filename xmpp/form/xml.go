package form

import (
	"slices"

	"github.com/gabberd/gabberd/xmpp"
)

// Find parses the first form among the children of el; nil if there is none.
// The error is a *xmpp.Error.
func Find(el *xmpp.Element) (*Form, error) {
	x := el.Child(NS, "x")
	if x == nil {
		return nil, nil
	}
	return Parse(x)
}

// Parse reads a form. The error is a *xmpp.Error bad-request that tells what is
// wrong with it.
func Parse(el *xmpp.Element) (*Form, error) {
	if !el.Is(NS, "x") {
		return nil, bad("not a form")
	}
	f := &Form{Kind: Kind(el.Attr("type"))}
	if !slices.Contains([]Kind{Ask, Submit, Cancel, Result}, f.Kind) {
		return nil, bad("a form of unknown type")
	}
	for c := range el.Children() {
		if c.NS != NS {
			continue
		}
		var err error
		switch c.Name {
		case "title":
			f.Title = c.Text()
		case "instructions":
			f.Instructions = append(f.Instructions, c.Text())
		case "field":
			f.Fields, err = f.parseField(f.Fields, c)
		case "reported":
			f.Reported, err = f.parseFields(c)
		case "item":
			var row []Field
			row, err = f.parseFields(c)
			f.Items = append(f.Items, row)
		}
		if err != nil {
			return nil, err
		}
	}
	if name := repeated(f.Fields); name != "" {
		return nil, bad("the field " + name + " is there twice")
	}
	return f, nil
}

func bad(text string) error { return xmpp.BadRequest.WithText(text) }

// parseFields reads a row of a table.
func (f *Form) parseFields(el *xmpp.Element) (fields []Field, err error) {
	for c := range el.Children() {
		if c.Is(NS, "field") {
			if fields, err = f.parseField(fields, c); err != nil {
				return nil, err
			}
		}
	}
	return fields, nil
}

// parseField reads one field and appends it.
func (f *Form) parseField(fields []Field, el *xmpp.Element) ([]Field, error) {
	fd := Field{
		Var:   el.Attr("var"),
		Type:  Type(el.Attr("type")),
		Label: el.Attr("label"),
	}
	if f.Kind == Ask && fd.Type == "" {
		fd.Type = TextSingle
	}
	if fd.Var == "" && fd.Type != Fixed {
		return nil, bad("a field without name")
	}
	for c := range el.Children() {
		switch {
		case c.Is(NS, "value"):
			fd.Values = append(fd.Values, c.Text())
		case c.Is(NS, "required"):
			fd.Required = true
		case c.Is(NS, "desc"):
			fd.Desc = c.Text()
		case c.Is(NS, "option"):
			v := c.Child(NS, "value")
			if v == nil {
				return nil, bad("an option without value in the field " + fd.Var)
			}
			fd.Options = append(fd.Options, Option{c.Attr("label"), v.Text()})
		case c.NS != NS:
			fd.Extra = append(fd.Extra, c)
		}
	}
	return append(fields, fd), nil
}

// repeated is a name that two fields have, empty if there is none.
func repeated(fields []Field) string {
	seen := make(map[string]bool, len(fields))
	for _, fd := range fields {
		if fd.Type == Fixed {
			continue
		}
		if seen[fd.Var] {
			return fd.Var
		}
		seen[fd.Var] = true
	}
	return ""
}

// Element writes the form.
func (f *Form) Element() *xmpp.Element {
	b := xmpp.Build(NS, "x").Attr("type", string(f.Kind))
	if f.Title != "" {
		b.Open("", "title").Text(f.Title).Close()
	}
	for _, s := range f.Instructions {
		b.Open("", "instructions").Text(s).Close()
	}
	build(b, f.Fields)
	if f.Reported != nil {
		b.Open("", "reported")
		build(b, f.Reported)
		b.Close()
	}
	for _, row := range f.Items {
		b.Open("", "item")
		build(b, row)
		b.Close()
	}
	return b.Done()
}

func build(b *xmpp.Builder, fields []Field) {
	for _, fd := range fields {
		b.Open("", "field").OptAttr("var", fd.Var).OptAttr("type", string(fd.Type)).OptAttr("label", fd.Label)
		if fd.Desc != "" {
			b.Open("", "desc").Text(fd.Desc).Close()
		}
		if fd.Required {
			b.Open("", "required").Close()
		}
		for _, e := range fd.Extra {
			b.Add(e)
		}
		for _, v := range fd.Values {
			b.Open("", "value").Text(v).Close()
		}
		for _, o := range fd.Options {
			b.Open("", "option").OptAttr("label", o.Label)
			b.Open("", "value").Text(o.Value).Close()
			b.Close()
		}
		b.Close()
	}
}
