package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/config"
)

type pair struct{ Name, Value string }

func (p *pair) Fields(f *config.Fields) {
	f.String(&p.Name, "name", "", "A name.")
	f.String(&p.Value, "value", "", "A value.")
}

// A call has arguments of every kind that commands have.
type call struct {
	User, Host string
	Count      int
	Flag       bool
	Names      []string
	Options    []pair
	Map        map[string]string
	Wait       time.Duration
}

func (c *call) Fields(f *config.Fields) {
	f.String(&c.User, "user", "", "A user.").Must(config.NotEmpty[string]())
	f.Domain(&c.Host, "host", "", "A host.")
	f.Int(&c.Count, "count", 5, "A number.").Optional()
	f.Bool(&c.Flag, "flag", false, "A flag.").Optional()
	f.Strings(&c.Names, "names", nil, "Names.").Optional()
	config.List(f, &c.Options, "options", "Options.").Optional()
	f.StringMap(&c.Map, "map", nil, "A map.").Optional()
	f.Duration(&c.Wait, "wait", time.Second, "How long.").Optional()
}

func TestParseArgs(t *testing.T) {
	tests := []struct {
		name  string
		words []string
		want  call
		err   string
	}{
		{"few", []string{"romeo", "localhost"}, call{User: "romeo", Host: "localhost", Count: 5, Wait: time.Second}, ""},
		{"all", []string{"romeo", "localhost", "7", "true", "a,b", "x:1,y:2:3", "k:v,l:w", "2 minutes"},
			call{"romeo", "localhost", 7, true, []string{"a", "b"}, []pair{{"x", "1"}, {"y", "2:3"}}, map[string]string{"k": "v", "l": "w"}, 2 * time.Minute}, ""},
		{"empty list", []string{"romeo", "localhost", "7", "no", "", ""}, call{User: "romeo", Host: "localhost", Count: 7, Wait: time.Second}, ""},
		{"commas with a backslash", []string{"romeo", "localhost", "7", "no", `a\,b,c`, `x\:y:z`},
			call{User: "romeo", Host: "localhost", Count: 7, Names: []string{"a,b", "c"}, Options: []pair{{"x:y", "z"}}, Wait: time.Second}, ""},
		{"a text is never a keyword or a number", []string{"HOST", "localhost"}, call{User: "HOST", Host: "localhost", Count: 5, Wait: time.Second}, ""},
		{"missing", []string{"romeo"}, call{}, "host: this argument is required"},
		{"none", nil, call{}, "user: this argument is required\nhost: this argument is required"},
		{"too many", []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}, call{}, "too many arguments: 9 given, at most 8 expected (user host count flag names options map wait)"},
		{"wrong types", []string{"romeo", "localhost", "x", "perhaps"}, call{}, `count: expected a whole number, not "x"` + "\n" + `flag: expected true or false, not "perhaps"`},
		{"a rule", []string{"", "localhost"}, call{}, `user: must be something, not empty, not ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got call
			err := config.ParseArgs(tt.words, &got)
			check(t, got, tt.want, err, tt.err)
		})
	}
}

func check(t *testing.T, got, want call, err error, wantErr string) {
	t.Helper()
	switch {
	case wantErr == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case wantErr != "" && (err == nil || err.Error() != wantErr):
		t.Errorf("error %q, want %q", err, wantErr)
	case wantErr == "" && !reflect.DeepEqual(got, want):
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeJSON(t *testing.T) {
	base := call{User: "romeo", Host: "localhost", Count: 5, Wait: time.Second}
	with := func(change func(*call)) call {
		c := base
		change(&c)
		return c
	}
	tests := []struct{ name, body, err string }{
		{"plain", `{"user": "romeo", "host": "localhost"}`, ""},
		{"wrong name", `{"usr": "romeo", "host": "localhost"}`, "usr: no such argument; did you mean \"user\"?\nuser: this argument is required"},
		{"twice", `{"user": "romeo", "user": "x", "host": "localhost"}`, "user: given twice"},
		{"not an object", `["romeo"]`, "expected a JSON object with the arguments, not a list"},
		{"no JSON", `{"user": `, "invalid JSON: it ends too early"},
		{"trailing", `{"user": "romeo", "host": "localhost"} x`, "invalid JSON: something follows the first value"},
		{"null", `{"user": null, "host": "localhost"}`, "user: expected a text, not nothing"},
		{"nothing", ``, "user: this argument is required\nhost: this argument is required"},
		{"an object for a text", `{"user": {"a": 1}, "host": "localhost"}`, "user: expected a text, not a map"},
		{"fraction", `{"user": "romeo", "host": "localhost", "count": 1.5}`, `count: expected a whole number, not "1.5"`},
		{"wrong item", `{"user": "romeo", "host": "localhost", "options": [{"nam": "x", "value": "y"}]}`, `options[0].nam: no such option; did you mean "name"?`},
		{"deep", `{"user": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "invalid JSON: nested deeper than 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got call
			check(t, got, got, config.DecodeJSON([]byte(tt.body), &got), tt.err)
		})
	}
	values := []struct {
		name, more string
		want       call
	}{
		{"number as text", `"count": "7"`, with(func(c *call) { c.Count = 7 })},
		{"text as number", `"names": [1, true]`, with(func(c *call) { c.Names = []string{"1", "true"} })},
		{"bool as text", `"flag": "true"`, with(func(c *call) { c.Flag = true })},
		{"records", `"options": [{"name": "x", "value": "1"}]`, with(func(c *call) { c.Options = []pair{{"x", "1"}} })},
		{"records as an object", `"options": {"x": "1", "y": 2}`, with(func(c *call) { c.Options = []pair{{"x", "1"}, {"y", "2"}} })},
		{"one record", `"options": {"name": "x", "value": "1"}`, with(func(c *call) { c.Options = []pair{{"x", "1"}} })},
		{"map", `"map": {"k": "v"}`, with(func(c *call) { c.Map = map[string]string{"k": "v"} })},
		{"time", `"wait": 30`, with(func(c *call) { c.Wait = 30 * time.Second })},
	}
	for _, tt := range values {
		t.Run(tt.name, func(t *testing.T) {
			var got call
			err := config.DecodeJSON([]byte(`{"user": "romeo", "host": "localhost", `+tt.more+`}`), &got)
			check(t, got, tt.want, err, "")
		})
	}
}

func TestUnderNamesTheCommand(t *testing.T) {
	var c call
	err := config.Under(config.DecodeJSON([]byte(`{"usr": "x", "user": "y", "host": "h"}`), &c), "get_last")
	if got, want := err.Error(), `get_last.usr: no such argument; did you mean "user"?`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if config.Under(nil, "x") != nil {
		t.Error("no error became one")
	}
}
