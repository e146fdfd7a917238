package admin

import (
	"encoding/json"
	"fmt"

	"github.com/gabberd/gabberd/config"
)

// OpenAPI describes the HTTP API in the format of that name, version 3.0.3: a
// POST for each command, under /api/NAME in its newest form and under
// /api/vN/NAME in older ones. title and version are those of the server. The
// same commands give the same text.
func OpenAPI(title, version string, commands []Description) ([]byte, error) {
	newest := map[string]int{}
	for _, d := range commands {
		newest[d.Name] = max(newest[d.Name], d.Version)
	}
	paths := map[string]openPath{}
	for i := range commands {
		d := &commands[i]
		if d.Internal() || d.Result.Kind == KindStream {
			continue
		}
		at, result := "/api/"+d.Name, resultSchema(&d.Result)
		if d.Version < newest[d.Name] {
			at = fmt.Sprintf("/api/v%d/%s", d.Version, d.Name)
			if d.Version == 0 && d.Result.wrapped() {
				result = openSchema{Type: "object", Properties: map[string]openSchema{d.Result.Name: result}}
			}
		}
		paths[at] = openPath{Post: operation(d, result)}
	}
	failure := openResponse{Description: "What was wrong: a text, or an object with status, code and message."}
	return json.MarshalIndent(openDoc{
		OpenAPI: "3.0.3",
		About:   openTitle{Title: title, Version: version},
		Paths:   paths,
		Components: openComponents{
			Security: map[string]openSecurity{
				"basic":  {Type: "http", Scheme: "basic"},
				"bearer": {Type: "http", Scheme: "bearer"},
			},
			Responses: map[string]openResponse{"failure": failure},
		},
		Security: []map[string][]string{{"basic": {}}, {"bearer": {}}},
	}, "", "  ")
}

type openDoc struct {
	OpenAPI    string                `json:"openapi"`
	About      openTitle             `json:"info"`
	Paths      map[string]openPath   `json:"paths"`
	Components openComponents        `json:"components"`
	Security   []map[string][]string `json:"security"`
}

type openTitle struct {
	Title   string `json:"title"`
	Version string `json:"version"`
}

type openComponents struct {
	Security  map[string]openSecurity `json:"securitySchemes"`
	Responses map[string]openResponse `json:"responses"`
}

type openSecurity struct {
	Type   string `json:"type"`
	Scheme string `json:"scheme"`
}

type openPath struct {
	Post openOperation `json:"post"`
}

type openOperation struct {
	ID        string                  `json:"operationId"`
	Summary   string                  `json:"summary"`
	Text      string                  `json:"description,omitempty"`
	Tags      []string                `json:"tags,omitempty"`
	Body      openBody                `json:"requestBody"`
	Responses map[string]openResponse `json:"responses"`
}

type openBody struct {
	Required bool                   `json:"required"`
	Content  map[string]openContent `json:"content"`
}

type openContent struct {
	Schema openSchema `json:"schema"`
}

type openResponse struct {
	Ref         string                 `json:"$ref,omitempty"`
	Description string                 `json:"description,omitempty"`
	Content     map[string]openContent `json:"content,omitempty"`
}

type openSchema struct {
	Type       string                `json:"type,omitempty"`
	Text       string                `json:"description,omitempty"`
	Format     string                `json:"format,omitempty"`
	Enum       []json.RawMessage     `json:"enum,omitempty"`
	Items      *openSchema           `json:"items,omitempty"`
	Properties map[string]openSchema `json:"properties,omitempty"`
	Additional *openSchema           `json:"additionalProperties,omitempty"`
	Required   []string              `json:"required,omitempty"`
}

func operation(d *Description, result openSchema) openOperation {
	body := argsSchema(d.Args)
	id := d.Name
	if d.Version > 0 {
		id = fmt.Sprintf("%s_v%d", d.Name, d.Version)
	}
	return openOperation{
		ID: id, Summary: d.Doc, Text: d.Long, Tags: d.Tags,
		Body: openBody{Required: true, Content: map[string]openContent{"application/json": {body}}},
		Responses: map[string]openResponse{
			"200":     {Description: d.Result.String(), Content: map[string]openContent{"application/json": {result}}},
			"default": {Ref: "#/components/responses/failure"},
		},
	}
}

func argsSchema(args []config.Info) openSchema {
	s := openSchema{Type: "object", Properties: map[string]openSchema{}}
	for _, a := range args {
		s.Properties[a.Name] = argSchema(a)
		if !a.Optional && !isList(a.Shape) {
			s.Required = append(s.Required, a.Name)
		}
	}
	return s
}

func argSchema(a config.Info) openSchema {
	s := openSchema{Type: "string", Text: a.Doc}
	switch a.Shape {
	case config.ShapeInt:
		s.Type = "integer"
	case config.ShapeFloat:
		s.Type = "number"
	case config.ShapeBool:
		s.Type = "boolean"
	case config.ShapeChoice:
		for _, v := range a.Values {
			s.Enum = append(s.Enum, textJSON(v))
		}
	case config.ShapeTexts:
		s.Type, s.Items = "array", &openSchema{Type: "string"}
	case config.ShapeTextMap:
		s.Type, s.Additional = "object", &openSchema{Type: "string"}
	case config.ShapeRecord, config.ShapeRecords:
		record := argsSchema(a.Fields)
		if a.Shape == config.ShapeRecord {
			record.Text = a.Doc
			return record
		}
		s.Type, s.Items = "array", &record
	case config.ShapeNamed:
		record := argsSchema(a.Fields)
		s.Type, s.Additional = "object", &record
	case config.ShapeAny:
		s.Type = ""
	}
	if a.Secret {
		s.Format = "password"
	}
	return s
}

func resultSchema(r *Shape) openSchema {
	switch r.Kind {
	case KindRescode:
		return openSchema{Type: "integer", Text: "0 if it worked", Enum: []json.RawMessage{[]byte("0"), []byte("1")}}
	case KindInteger:
		return openSchema{Type: "integer"}
	case KindList:
		if r.Item.pairs() {
			value := resultSchema(&r.Item.Fields[1])
			return openSchema{Type: "object", Additional: &value}
		}
		item := resultSchema(r.Item)
		return openSchema{Type: "array", Items: &item}
	case KindTuple:
		s := openSchema{Type: "object", Properties: map[string]openSchema{}}
		for i := range r.Fields {
			s.Properties[r.Fields[i].Name] = resultSchema(&r.Fields[i])
		}
		return s
	}
	return openSchema{Type: "string"}
}
