package admin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
)

func text(t *testing.T, r *admin.Registry, name string, version int, args admin.Args) string {
	t.Helper()
	res, err := r.Call(t.Context(), console, name, version, args)
	if err != nil {
		return "! " + err.Error()
	}
	return strings.ReplaceAll(res.Text(), "\n", "|")
}

func TestWords(t *testing.T) {
	r := house(t, admin.Options{})
	item := []string{"romeo", "localhost", "juliet", "localhost", "J"}
	for _, c := range []struct {
		name    string
		version int
		words   []string
		want    string
	}{
		{"add_rosteritem", 1, append(item[:5:5], "Lovers,Capulets", "both"), "Lovers|Capulets"},
		{"add-rosteritem", 1, append(item[:5:5], " Lovers , ,Capulets,", "both"), "Lovers|Capulets"},
		{"add_rosteritem", 3, append(item[:5:5], "", "both"), ""},
		{"add_rosteritem", 3, append(item[:5:5], `a\,b,c\\d`, "both"), `a,b|c\d`},
		{"add_rosteritem", 0, append(item[:5:5], "Lovers,Capulets", "both"), "v0 romeo Lovers,Capulets"},
		{"add_rosteritem", 1, item, "! the command 'add_rosteritem' requires 2 more arguments."},
		{"add_rosteritem", 1, append(item[:5:5], "g", "both", "x"), "! the command 'add_rosteritem' requires 1 less argument."},
		{"create_room_with_opts", 1, []string{"r", "s", "h", "members_only:true,title:a:b"}, "members_only\ttrue|title\ta:b"},
		{"create_room_with_opts", 1, []string{"r", "s", "h", "members_only"}, `! create_room_with_opts.options: expected name:value, not "members_only"`},
		{"create_room_with_opts", 1, []string{"r", "s", "h", ""}, ""},
		{"double", 1, []string{"21"}, "42"},
		{"double", 1, []string{"-1"}, "-2"},
		{"double", 1, []string{"many"}, `! double.n: expected a whole number`},
		{"double", 1, []string{"\xff"}, "! double.n: is not UTF-8 text"},
		{"run_hook", 1, []string{"h"}, "h|localhost"},
		{"run_hook", 1, []string{"h", "other"}, "h|other"},
		{"run_hook", 1, []string{"h", "other", "a,b", "c"}, "h|other|a,b|c"},
		{"run_hook", 1, nil, "! the command 'run_hook' requires 1 more argument."},
		{"stop", 1, []string{"now"}, "! the command 'stop' requires 1 less argument."},
		{"get_ban_details", 1, nil, "! unknown command 'get_ban_details'."},
		{"conected_users", 1, nil, "! unknown command 'conected_users'. Did you mean 'connected_users'?"},
		{"", 1, nil, "! unknown command ''."},
	} {
		if got := text(t, r, c.name, c.version, admin.Words(c.words...)); got != c.want && !(strings.HasPrefix(c.want, "! double") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s v%d %q: %q, want %q", c.name, c.version, c.words, got, c.want)
		}
	}
}

func TestJSONBodies(t *testing.T) {
	r := house(t, admin.Options{})
	item := `"localuser":"romeo","localhost":"localhost","user":"j","host":"localhost","nick":"J","subs":"both"`
	for _, c := range []struct{ name, body, want string }{
		{"add_rosteritem", `{` + item + `,"groups":["a","b,c"]}`, "a|b,c"},
		{"add_rosteritem", `{` + item + `,"groups":"a"}`, "a"},
		{"add_rosteritem", `{` + item + `}`, ""},
		{"add_rosteritem", strings.NewReplacer("localhost\":", "localserver\":", "\"host\"", "\"server\"").Replace(`{` + item + `}`), ""},
		{"add_rosteritem", `{` + item + `,"server":"x"}`, "! add_rosteritem.host: given twice"},
		{"add_rosteritem", `{` + item + `,"nick":"x"}`, "! add_rosteritem.nick: given twice"},
		{"add_rosteritem", `{` + item + `,"group":"x"}`, `! add_rosteritem.group: no such argument; did you mean "groups"?`},
		{"create_room_with_opts", `{"name":"r","service":"s","host":"h","options":[{"name":"a","value":"1"}]}`, "a\t1"},
		{"create_room_with_opts", `{"name":"r","service":"s","host":"h","options":{"a":"1","b":true}}`, "a\t1|b\ttrue"},
		{"double", `{"n":21}`, "42"},
		{"double", `{"n":"21"}`, "42"},
		{"double", `{}`, "! double.n: this argument is required"},
		{"double", ``, "! double.n: this argument is required"},
		{"double", `[1]`, "! double: expected a JSON object with the arguments"},
		{"double", `{"n":1} {}`, "! Invalid JSON input: something follows the object"},
		{"double", `{"n":`, "! Invalid JSON input: it ends too early"},
		{"stop", "\n", ""},
		{"stop", `{"now":1}`, "! stop.now: no such argument"},
	} {
		if got := text(t, r, c.name, admin.Latest, admin.JSON([]byte(c.body))); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, c.body, got, c.want)
		}
	}
}

func TestNamedWords(t *testing.T) {
	r := house(t, admin.Options{})
	for _, c := range []struct {
		name string
		args map[string][]string
		want string
	}{
		{"double", map[string][]string{"n": {"4"}}, "8"},
		{"double", map[string][]string{"n": {"4", "5"}}, "! double.n: takes one value, not 2"},
		{"double", nil, "! double.n: this argument is required"},
		{"run_hook", map[string][]string{"hook": {"h"}, "args": {"a,b", "c"}}, "h|localhost|a,b|c"},
		{"run_hook", map[string][]string{"hook": {"h"}, "args": {"a,b"}}, "h|localhost|a|b"},
		{"get_roster", map[string][]string{"user": {"u"}, "server": {"h"}, "host": {"h"}}, "! get_roster.host: given twice"},
	} {
		if got := text(t, r, c.name, admin.Latest, admin.Named(c.args)); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.name, c.args, got, c.want)
		}
	}
}

func TestWrongNumberOfWordsIsUsage(t *testing.T) {
	_, err := house(t, admin.Options{}).Call(t.Context(), console, "double", 0, admin.Words())
	if !errors.Is(err, admin.Usage) {
		t.Errorf("got %v, want a case of Usage", err)
	}
}

// Whatever is thrown at the arguments comes out as a result or as an error.
func FuzzArgs(f *testing.F) {
	f.Add("add_rosteritem", `{"localuser":"a","groups":["x"]}`, "a,b:c")
	f.Add("create_room_with_opts", `{"options":{"a":{}}}`, `a\,b:c\:d,`)
	f.Add("double", `{"n":1e9}`, "\xff")
	f.Fuzz(func(t *testing.T, name, body, word string) {
		r := house(t, admin.Options{})
		for _, args := range []admin.Args{
			admin.JSON([]byte(body)), admin.Words(word), admin.Words("r", "s", "h", word), admin.Named(map[string][]string{"n": {word}}),
		} {
			res, err := r.Call(t.Context(), console, name, admin.Latest, args)
			if errors.Is(err, admin.Internal) && name != "panics" {
				t.Errorf("%s %q %q: %v", name, body, word, err)
			}
			if (res == nil) == (err == nil) {
				t.Errorf("%s: result %v with error %v", name, res, err)
			}
		}
	})
}
