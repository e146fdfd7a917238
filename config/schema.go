package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/config/known"
)

// Declared is everything that a server declares.
type Declared struct {
	Options   []Info            // top-level
	Listeners map[string][]Info // by listener module
	Modules   map[string][]Info
}

// A schema is a part of a JSON schema.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     *int               `json:"minimum,omitempty"`
	Maximum     *int               `json:"maximum,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Closed      *bool              `json:"unevaluatedProperties,omitempty"`
	Additional  *schema            `json:"additionalProperties,omitempty"`
}

// Schema returns a JSON schema (draft 2020-12) of ejabberd.yml for editors:
// what d declares, and beside it everything else that ejabberd knows, marked as
// not built.
func Schema(d Declared) ([]byte, error) {
	root := object(d.Options, known.TopLevel())
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "ejabberd.yml"
	root.Required = []string{"hosts"}
	modules := &schema{Type: "object", Properties: map[string]*schema{}}
	for _, m := range known.Modules() {
		modules.Properties[m.Name] = object(d.Modules[m.Name], m.Options)
		modules.Properties[m.Name].Description = m.Doc
	}
	for name, infos := range d.Modules {
		if modules.Properties[name] == nil {
			modules.Properties[name] = object(infos, nil)
		}
	}
	root.Properties["modules"] = modules.orMacro()
	root.Properties["listen"] = (&schema{Type: "array", Items: d.listener()}).orMacro()
	block := object(d.Options, known.TopLevel())
	block.Properties["modules"] = modules.orMacro()
	for _, o := range known.TopLevel() {
		if o.Global {
			delete(block.Properties, o.Name)
		}
	}
	for _, name := range []string{hostConfig, appendConfig} {
		root.Properties[name] = (&schema{Type: "object", Additional: block}).orMacro()
	}
	return json.MarshalIndent(root, "", "  ")
}

// listener returns the schema of one listener: the options of all, since which
// of them it is stands in the same map.
func (d Declared) listener() *schema {
	out := &schema{Type: "object", Properties: map[string]*schema{}, Required: []string{"port", "module"}, Closed: new(bool)}
	var names []string
	for _, l := range known.Listeners() {
		names = append(names, l.Name)
		one := object(d.Listeners[l.Name], slices.Concat(known.Common(), l.Options))
		maps.Copy(out.Properties, one.Properties)
	}
	out.Properties["module"] = (&schema{Enum: names, Description: "What speaks on this socket."}).orMacro()
	return out
}

// object returns the schema of a map with these options.
func object(infos []Info, more []known.Option) *schema {
	out := &schema{Type: "object", Properties: map[string]*schema{}, Closed: new(bool)}
	for _, o := range more {
		s := ofType(o.Type).orMacro()
		s.Description = o.Doc + " Not built yet."
		if slices.Contains(structural, o.Name) {
			s.Description = o.Doc
		}
		out.Properties[o.Name] = s
	}
	for _, info := range infos {
		s := info.schema().orMacro()
		s.Description = info.Doc
		if info.Unbuilt {
			s.Description += " Not built yet."
		}
		out.Properties[info.Name] = s
		if info.Required {
			out.Required = append(out.Required, info.Name)
		}
	}
	return out
}

// orMacro allows the name of a macro or keyword in the place of any value.
func (s *schema) orMacro() *schema {
	if s.Type == "" && s.AnyOf == nil && s.Enum == nil || s.Type == "string" && s.Pattern == "" {
		return s
	}
	return &schema{AnyOf: []*schema{s, {Type: "string", Pattern: "^[A-Z_0-9]+$|@[A-Z_0-9]+@"}}}
}

func boolean() *schema {
	return &schema{AnyOf: []*schema{{Type: "boolean"}, {Enum: []string{"on", "off", "yes", "no", "y", "n"}}}}
}

func text() *schema {
	return &schema{AnyOf: []*schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
}

func span() *schema {
	return &schema{AnyOf: []*schema{{Type: "integer", Minimum: new(int)}, {Type: "string", Pattern: "^([0-9]+ *[a-zA-Z]*|infinity|infinite|unlimited)$"}}}
}

func listOf(s *schema) *schema {
	return &schema{AnyOf: []*schema{s, {Type: "array", Items: s}}}
}

// schema returns the schema of a declared field.
func (i Info) schema() *schema {
	var s *schema
	switch i.Shape {
	case ShapeText:
		s = text()
	case ShapeBool:
		s = boolean()
	case ShapeInt:
		s = &schema{Type: "integer"}
	case ShapeFloat:
		s = &schema{Type: "number"}
	case ShapeSpan:
		s = span()
	case ShapeChoice:
		s = &schema{Enum: i.Values}
	case ShapeTexts:
		s = listOf(text())
		if len(i.Values) > 0 {
			s = listOf(&schema{Enum: i.Values})
		}
	case ShapeTextMap:
		s = &schema{Type: "object", Additional: text()}
	case ShapeRecord:
		s = object(i.Fields, nil)
	case ShapeRecords:
		s = listOf(object(i.Fields, nil))
	case ShapeNamed:
		s = &schema{Type: "object", Additional: object(i.Fields, nil)}
	default:
		return &schema{}
	}
	if i.Infinite {
		s = &schema{AnyOf: []*schema{s, {Enum: []string{"infinity", "infinite", "unlimited"}}}}
	}
	return s
}

// ofType returns the schema of a type of package known.
func ofType(typ string) *schema {
	if rest, ok := strings.CutPrefix(typ, "list of "); ok {
		return listOf(ofType(rest))
	}
	alternatives := strings.Split(typ, " | ")
	var any []*schema
	var words []string
	for _, a := range alternatives {
		switch word, ok := strings.CutPrefix(a, `"`); {
		case a == "any":
			return &schema{}
		case ok:
			words = append(words, strings.TrimSuffix(word, `"`))
		default:
			any = append(any, ofPlain(a))
		}
	}
	if len(words) > 0 {
		any = append(any, &schema{Enum: words})
	}
	if len(any) == 1 {
		return any[0]
	}
	return &schema{AnyOf: any}
}

func ofPlain(typ string) *schema {
	switch typ {
	case "bool":
		return boolean()
	case "int", "port":
		return &schema{Type: "integer"}
	case "number":
		return &schema{Type: "number"}
	case "time":
		return span()
	case "map":
		return &schema{Type: "object"}
	}
	lo, hi, ok := strings.Cut(typ, "..")
	if !ok {
		return text()
	}
	s := &schema{Type: "integer"}
	if v, err := strconv.Atoi(lo); err == nil {
		s.Minimum = &v
	}
	if v, err := strconv.Atoi(hi); err == nil {
		s.Maximum = &v
	}
	return s
}
