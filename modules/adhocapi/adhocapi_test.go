package adhocapi_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/adhocapi"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// guard permits the prince, through the door of this module, everything but
// one command.
type guard struct{}

func (guard) Permit(who admin.Caller, d admin.Description, host string) error {
	if who.Door == admin.DoorAdhoc && who.Account.String() == "prince@localhost" && d.Name != "forbidden" {
		return nil
	}
	return admin.Denied.With("no")
}

func (guard) Authenticate(context.Context, string, string, string) (xmpp.JID, error) {
	return xmpp.JID{}, admin.Unauthenticated
}

type args struct {
	Host, Mood, Password string
	Names                []string
	Loud                 bool
}

func (a *args) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.Enum(&a.Mood, "mood", "", "How.", "glad", "sad")
	f.Strings(&a.Names, "names", nil, "Who.")
	f.Bool(&a.Loud, "loud", false, "Whether to shout.").Optional()
	f.Secret(&a.Password, "password", "", "The password.")
}

type row struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func command[T any](name string, f func(args) (T, error)) admin.Command {
	return admin.New(name, "Does "+name+".", func(_ context.Context, a args) (T, error) { return f(a) })
}

func plain[T any](name string, v T, err error) admin.Command {
	return admin.New(name, "Does "+name+".", func(context.Context, admin.NoArgs) (T, error) { return v, err })
}

func start(t *testing.T, yaml string) (*modtest.Server, *modtest.Client, *[]args) {
	s := modtest.Start(t, `
acl: {admin: {user: [prince@localhost]}}
access_rules: {configure: {allow: admin}}
`+yaml, disco.Module, adhoc.Module, adhocapi.Module)
	reg := admin.NewRegistry(admin.Options{Guard: guard{}, Hosts: func() []string { return []string{"localhost"} }})
	s.Commands = reg
	var calls []args
	for _, c := range []admin.Command{
		command("everything", func(a args) (admin.Rescode, error) { calls = append(calls, a); return admin.OK, nil }),
		plain("fails", admin.False, nil),
		plain("breaks", 0, errors.New("the bridge is down")),
		plain("number", 42, nil),
		plain("table", []row{{"romeo", 16}, {"juliet", 13}}, nil).Result("people", "person"),
		plain("pairs", []pair{{"b", "2"}, {"a", "1"}}, nil),
		plain("words", []string{"x,y", "z"}, nil).Result("words"),
		plain("tuple", row{"nurse", 60}, nil),
		plain("sentence", admin.Restuple{Text: "It was\ndone"}, nil),
		plain("forbidden", 1, nil),
		plain("inner", 1, nil).Tags("internal"),
		plain("endless", admin.Stream(nil), nil),
		plain("later", "new", nil).Version(2),
	} {
		reg.Add(c)
	}
	return s, s.Login("prince@localhost/throne"), &calls
}

func run(c *modtest.Client, name, inner string) *xmpp.Stanza {
	return c.Ask(`<iq type='set' id='c' to='localhost'><command xmlns='` + adhoc.NS + `' node='api-commands/` + name + `'>` + inner + `</command></iq>`)
}

func shown(t *testing.T, st *xmpp.Stanza) *form.Form {
	t.Helper()
	if st.Type != "result" {
		t.Fatalf("got %v", st)
	}
	f, err := form.Find(st.Payload())
	if err != nil || f == nil {
		t.Fatalf("got %v: %v", st, err)
	}
	return f
}

func condition(st *xmpp.Stanza) string {
	if e := xmpp.ParseError(st); e != nil {
		return string(e.Condition)
	}
	return st.Type
}

func TestFormIsMadeOfTheDeclarations(t *testing.T) {
	_, prince, _ := start(t, "")
	f := shown(t, run(prince, "everything", ""))
	want := []form.Field{
		{Var: "host", Type: form.TextSingle, Required: true, Values: []string{"localhost"}},
		{Var: "mood", Type: form.ListSingle, Required: true},
		{Var: "names", Type: form.TextMulti},
		{Var: "loud", Type: form.Boolean},
		{Var: "password", Type: form.TextPrivate, Required: true},
	}
	if f.Kind != form.Ask || f.Title != "everything" || len(f.Fields) != len(want) {
		t.Fatalf("got %+v", f)
	}
	for i, w := range want {
		got := f.Fields[i]
		if got.Var != w.Var || got.Type != w.Type || got.Required != w.Required || !slices.Equal(got.Values, w.Values) {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
	if o := f.Fields[1].Options; len(o) != 2 || o[0].Value != "glad" || o[1].Value != "sad" {
		t.Errorf("the options are %v", o)
	}
}

func submit(fields ...string) string {
	f := &form.Form{Kind: form.Submit}
	for i := 0; i < len(fields); i += 2 {
		f.Fields = append(f.Fields, form.Field{Var: fields[i], Values: strings.Split(fields[i+1], "\n")})
	}
	return f.Element().XML()
}

func TestArgumentsArrive(t *testing.T) {
	_, prince, calls := start(t, "")
	base := []string{"host", "localhost", "mood", "sad", "password", "a,b:c"}
	for _, c := range []struct {
		more  []string
		names []string
		loud  bool
	}{
		{nil, nil, false},
		{[]string{"names", "one", "loud", "true"}, []string{"one"}, true},
		{[]string{"names", `a, b\c:d`, "loud", "0"}, []string{`a, b\c:d`}, false},
		{[]string{"names", "a,b\nc", "loud", "1"}, []string{"a,b", "c"}, true},
	} {
		*calls = nil
		got := shown(t, run(prince, "everything", submit(append(slices.Clone(base), c.more...)...)))
		if got.Kind != form.Result || got.Value("res") != "Success" || len(*calls) != 1 {
			t.Fatalf("%q: got %+v, called %v", c.more, got, *calls)
		}
		a := (*calls)[0]
		if a.Host != "localhost" || a.Mood != "sad" || a.Password != "a,b:c" || a.Loud != c.loud || !slices.Equal(a.Names, c.names) {
			t.Errorf("%q: called with %+v", c.more, a)
		}
	}
	for _, bad := range [][]string{
		{"host", "localhost", "mood", "sad"},
		{"host", "localhost", "mood", "furious", "password", "x"},
		{"host", "localhost", "mood", "sad", "password", "x", "loud", "perhaps"},
	} {
		if got := condition(run(prince, "everything", submit(bad...))); got != "not-acceptable" {
			t.Errorf("%q: %s", bad, got)
		}
	}
}

func TestResults(t *testing.T) {
	_, prince, _ := start(t, "")
	if f := shown(t, run(prince, "number", "")); len(f.Fields) != 1 || f.Fields[0].Values[0] != "42" {
		t.Errorf("number: %+v", f)
	}
	if f := shown(t, run(prince, "sentence", "")); f.Text("res") != "It was\ndone" {
		t.Errorf("sentence: %+v", f)
	}
	if f := shown(t, run(prince, "tuple", "")); f.Value("name") != "nurse" || f.Value("age") != "60" {
		t.Errorf("tuple: %+v", f)
	}
	if f := shown(t, run(prince, "words", "")); !slices.Equal(f.Values("words"), []string{"x,y", "z"}) {
		t.Errorf("words: %+v", f)
	}
	for name, want := range map[string][]string{"table": {"juliet", "13", "romeo", "16"}, "pairs": {"a", "1", "b", "2"}} {
		f := shown(t, run(prince, name, ""))
		var got []string
		for _, row := range f.Items {
			for _, cell := range row {
				got = append(got, cell.Values...)
			}
		}
		if len(f.Reported) != 2 || !slices.Equal(got, want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if got := run(prince, "fails", "").Payload().Child(adhoc.NS, "note"); got.Attr("type") != "error" || !strings.Contains(got.Text(), "false") {
		t.Errorf("fails: %v", got)
	}
	if got := run(prince, "breaks", ""); condition(got) != "undefined-condition" || xmpp.ParseError(got).Text != "the bridge is down" {
		t.Errorf("breaks: %v", got)
	}
}

func TestPermissionsDecide(t *testing.T) {
	s, prince, calls := start(t, "")
	tybalt := s.Login("tybalt@localhost/x")
	if got := condition(run(prince, "forbidden", "")); got != "forbidden" {
		t.Errorf("the prince may not: %s", got)
	}
	for _, name := range []string{"number", "table"} {
		if got := condition(run(tybalt, name, "")); got != "forbidden" {
			t.Errorf("tybalt calls %s: %s", name, got)
		}
	}
	if got := condition(run(tybalt, "everything", submit("host", "localhost", "mood", "sad", "password", "x"))); got != "forbidden" || len(*calls) != 0 {
		t.Errorf("tybalt calls with a form: %s, %v", got, *calls)
	}
	for _, name := range []string{"inner", "endless", "nonsense", ""} {
		if got := condition(run(prince, name, "")); got != "item-not-found" {
			t.Errorf("%q: %s", name, got)
		}
	}
}

func discover(c *modtest.Client, ns, node string) *xmpp.Stanza {
	return c.Ask(`<iq type='get' id='d' to='localhost'><query xmlns='` + ns + `' node='` + node + `'/></iq>`)
}

func nodes(st *xmpp.Stanza) (out []string) {
	for i := range st.Payload().Children() {
		out = append(out, strings.TrimPrefix(i.Attr("node"), "api-commands/"))
	}
	return out
}

func TestListing(t *testing.T) {
	s, prince, _ := start(t, "")
	tybalt := s.Login("tybalt@localhost/x")
	want := strings.Fields("breaks everything fails forbidden later number pairs sentence table tuple words")
	if got := nodes(discover(prince, disco.NSItems, "api-commands")); !slices.Equal(got, want) {
		t.Errorf("the prince sees %v", got)
	}
	if got := nodes(discover(prince, disco.NSItems, adhoc.NS)); !slices.Equal(got, append(slices.Clone(want), "ping")) {
		t.Errorf("among all commands the prince sees %v", got)
	}
	if got := nodes(discover(prince, disco.NSItems, "")); !slices.Equal(got, []string{"api-commands"}) {
		t.Errorf("the server shows the prince %v", got)
	}
	if id := discover(prince, disco.NSInfo, "api-commands").Payload().Child(disco.NSInfo, "identity"); id.Attr("type") != "command-list" {
		t.Errorf("the node is %v", id)
	}
	if got := nodes(discover(tybalt, disco.NSItems, adhoc.NS)); !slices.Equal(got, []string{"ping"}) {
		t.Errorf("tybalt sees %v", got)
	}
	if got := condition(discover(tybalt, disco.NSItems, "api-commands")); got != "item-not-found" {
		t.Errorf("tybalt asks for the node: %s", got)
	}
}

func TestVersion(t *testing.T) {
	for yaml, want := range map[string]string{
		"3": "result", "2": "result", "1": "item-not-found", "0": "item-not-found",
		`"24.06"`: "result", `"26.07"`: "result", `"23.10"`: "item-not-found", `"24.02"`: "item-not-found",
	} {
		_, prince, _ := start(t, "modules: {mod_adhoc_api: {default_version: "+yaml+"}}")
		if got := condition(run(prince, "later", "")); got != want {
			t.Errorf("version %s: %s, want %s", yaml, got, want)
		}
	}
}
