package adhocapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// arguments is the form for the arguments of a command on that host.
func arguments(d admin.Description, host string) *form.Form {
	f := form.New(form.Ask, "")
	f.Title, f.Instructions = d.Name, []string{d.Doc}
	for _, a := range d.Args {
		fd := field(a)
		if a.Name == d.HostArg() && len(fd.Values) == 0 {
			fd.Values = []string{host}
		}
		f.Fields = append(f.Fields, fd)
	}
	return f
}

// field asks for one argument.
func field(a config.Info) form.Field {
	fd := form.Field{Var: a.Name, Type: form.TextSingle, Label: a.Name, Desc: a.Doc, Required: !a.Optional}
	switch a.Shape {
	case config.ShapeBool:
		fd.Type = form.Boolean
	case config.ShapeChoice:
		fd.Type = form.ListSingle
		for _, v := range a.Values {
			fd.Options = append(fd.Options, form.Option{Value: v})
		}
	case config.ShapeTexts, config.ShapeRecords:
		// Nothing filled in is an empty list.
		fd.Type, fd.Required = form.TextMulti, false
	}
	if a.Shape == config.ShapeRecords {
		names := make([]string, len(a.Fields))
		for i, x := range a.Fields {
			names[i] = x.Name
		}
		fd.Desc = strings.TrimSpace(fd.Desc + " One on each line: " + strings.Join(names, ":"))
	}
	if a.Secret || strings.Contains(a.Name, "pass") {
		fd.Type = form.TextPrivate
	}
	return fd
}

// words are the arguments in a form that was filled in, nil without one.
func words(d admin.Description, f *form.Form) map[string][]string {
	out := map[string][]string{}
	if f == nil {
		return out
	}
	for _, a := range d.Args {
		v := f.Values(a.Name)
		switch {
		case !f.Has(a.Name), a.Optional && strings.Join(v, "") == "":
			// Left out.
		case a.Shape == config.ShapeTexts && len(v) == 1:
			// A line with commas is one text, not several.
			out[a.Name] = []string{strings.NewReplacer(`\`, `\\`, ",", `\,`, ":", `\:`).Replace(v[0])}
		case a.Shape == config.ShapeTexts:
			if len(v) > 0 {
				out[a.Name] = v
			}
		case a.Shape == config.ShapeRecords:
			out[a.Name] = []string{strings.Join(v, ",")}
		case a.Shape == config.ShapeBool:
			out[a.Name] = []string{map[string]string{"1": "true", "0": "false"}[f.Value(a.Name)]}
		default:
			out[a.Name] = []string{f.Value(a.Name)}
		}
	}
	return out
}

// stanzaError is what a caller is told when a command was not done.
func stanzaError(err error) error {
	to := xmpp.UndefinedCondition
	for _, x := range []struct {
		reason *admin.Error
		to     *xmpp.Error
	}{
		{admin.Denied, xmpp.Forbidden}, {admin.Unprivileged, xmpp.Forbidden}, {admin.Unauthenticated, xmpp.Forbidden},
		{admin.Usage, xmpp.NotAcceptable}, {admin.NotFound, xmpp.ItemNotFound}, {admin.Unknown, xmpp.ItemNotFound},
		{admin.NotEnabled, xmpp.FeatureNotImplemented}, {admin.Conflict, xmpp.Conflict}, {admin.Internal, xmpp.InternalServerError},
	} {
		if errors.Is(err, x.reason) {
			to = x.to
		}
	}
	return to.WithText(err.Error())
}

// result is the form that shows what a command has returned.
func result(res *admin.Result) (*form.Form, error) {
	f := form.New(form.Result, "")
	s := res.Shape
	switch s.Kind {
	case admin.KindList:
		return f, list(f, res)
	case admin.KindTuple:
		var members map[string]json.RawMessage
		if err := decode(res, &members); err != nil {
			return nil, err
		}
		for _, x := range s.Fields {
			f.Fields = append(f.Fields, form.LinesField(x.Name, x.Name, text(members[x.Name])))
		}
	case admin.KindRescode:
		f.Fields = append(f.Fields, form.TextField(s.Name, s.Name, "Success"))
	default:
		f.Fields = append(f.Fields, form.LinesField(s.Name, s.Name, res.Text()))
	}
	return f, nil
}

// list shows a list: texts as lines, tuples as a table.
func list(f *form.Form, res *admin.Result) error {
	item := res.Shape.Item
	if item.Kind != admin.KindTuple {
		var values []json.RawMessage
		if err := decode(res, &values); err != nil {
			return err
		}
		fd := form.Field{Var: res.Shape.Name, Type: form.TextMulti, Label: res.Shape.Name}
		for _, v := range values {
			fd.Values = append(fd.Values, text(v))
		}
		f.Fields = append(f.Fields, fd)
		return nil
	}
	rows, err := rows(res)
	if err != nil {
		return err
	}
	for _, x := range item.Fields {
		f.Reported = append(f.Reported, form.Field{Var: x.Name, Type: form.TextSingle, Label: x.Name})
	}
	for _, row := range rows {
		var cells []form.Field
		for _, x := range item.Fields {
			cells = append(cells, form.Field{Var: x.Name, Values: []string{text(row[x.Name])}})
		}
		f.Items = append(f.Items, cells)
	}
	return nil
}

// rows are the tuples of a list. In JSON, a list of pairs is an object.
func rows(res *admin.Result) ([]map[string]json.RawMessage, error) {
	body, err := res.JSON()
	if err != nil {
		return nil, err
	}
	var out []map[string]json.RawMessage
	if len(body) > 0 && body[0] == '[' {
		err := json.Unmarshal(body, &out)
		return out, err
	}
	var pairs map[string]json.RawMessage
	if err := json.Unmarshal(body, &pairs); err != nil {
		return nil, err
	}
	fields := res.Shape.Item.Fields
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]json.RawMessage{fields[0].Name: key, fields[1].Name: pairs[name]})
	}
	return out, nil
}

func decode(res *admin.Result, v any) error {
	body, err := res.JSON()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read a result: %w", err)
	}
	return nil
}

// text is a value as people read it.
func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}
