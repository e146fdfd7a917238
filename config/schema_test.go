package config_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
)

// at returns what is at a path in decoded JSON.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok || m[p] == nil {
			t.Fatalf("no %s in %v", p, path)
		}
		v = m[p]
	}
	return v
}

func TestSchema(t *testing.T) {
	text, err := config.Schema(config.Declared{
		Options: config.Describe(new(service)),
		Modules: map[string][]config.Info{"mod_ping": config.Describe(new(service)), "mod_ours": config.Describe(new(call))},
	})
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	for _, path := range [][]string{
		{"properties", "wait"}, {"properties", "sql_type"}, {"properties", "listen"},
	} {
		at(t, root, path...)
	}
	if doc := at(t, root, "properties", "sql_type", "description").(string); !strings.Contains(doc, "Not built yet.") {
		t.Errorf("sql_type is said to be built: %s", doc)
	}
	if doc := at(t, root, "properties", "wait", "description").(string); doc != "How long." {
		t.Errorf("wait: %s", doc)
	}
	modules := at(t, root, "properties", "modules", "anyOf").([]any)[0]
	at(t, modules, "properties", "mod_ours", "properties", "user")
	at(t, modules, "properties", "mod_ping", "properties", "wait")
	at(t, modules, "properties", "mod_ping", "properties", "timeout_action")
	blocks := at(t, root, "properties", "host_config", "anyOf").([]any)[0]
	block := at(t, blocks, "additionalProperties", "properties").(map[string]any)
	if block["language"] == nil || block["listen"] != nil {
		t.Error("host_config has not the options of a host")
	}
}

// patterns finds every pattern in a schema.
func patterns(v any, yield func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if s, ok := x.(string); ok && k == "pattern" {
				yield(s)
			}
			patterns(x, yield)
		}
	case []any:
		for _, x := range v {
			patterns(x, yield)
		}
	}
}

func TestSchemaHasPatternsThatCompile(t *testing.T) {
	text, err := config.Schema(config.Declared{})
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	found := 0
	patterns(root, func(p string) {
		found++
		re, err := regexp.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		if re.MatchString("5 or so") {
			t.Errorf("%s takes anything", p)
		}
	})
	if found == 0 {
		t.Error("no patterns")
	}
}

func TestHelp(t *testing.T) {
	got := config.Help(config.Describe(new(service)))
	want := `hosts: list of domains with @HOST@
    Domains.
    Default: ["conference.@HOST@"]
wait: time | infinity
    How long.
    Must be at least 1s.
    Default: 90 seconds
    Example: wait: 2 minutes
max: number | infinity
    How many.
    Default: infinity
    Formerly maximum.
`
	if got != strings.ReplaceAll(want, `["conference.@HOST@"]`, "[conference.@HOST@]") && got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestHelpShowsNoSecretAndBreaksLines(t *testing.T) {
	got := config.Help([]config.Info{
		{Name: "password", Type: "text (secret)", Default: "hunter2", Secret: true, Doc: strings.Repeat("word ", 40)},
		{Name: "record", Type: "map", Doc: "A record.", Fields: []config.Info{{Name: "inner", Type: "text", Required: true, Unbuilt: true, Doc: "Inside."}}},
	})
	if strings.Contains(got, "hunter2") {
		t.Error("a secret is shown")
	}
	for line := range strings.SplitSeq(got, "\n") {
		if len(line) > 78 {
			t.Errorf("long line %q", line)
		}
	}
	if !strings.Contains(got, "    inner: text\n        Inside.\n        Required.\n        Not built yet.\n") {
		t.Errorf("got\n%s", got)
	}
}
