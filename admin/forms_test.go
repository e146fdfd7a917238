package admin_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
)

// The texts and values are what ejabberd 26.07 has in these places.
func TestResultsHaveEjabberdsForms(t *testing.T) {
	r := house(t, admin.Options{})
	for _, c := range []struct {
		call    string
		version int
		text    string
		exit    int
		json    string
	}{
		{"register bob localhost pw", admin.Latest, "User bob@localhost successfully registered", 0, `"User bob@localhost successfully registered"`},
		{"register bob localhost pw", 0, "User bob@localhost successfully registered", 0, `"User bob@localhost successfully registered"`},
		{"check_account romeo localhost", admin.Latest, "", 0, "0"},
		{"check_account tybalt localhost", admin.Latest, "Error: false", 1, "1"},
		{"check_account tybalt localhost", 0, "Error: false", 1, "1"},
		{"stop", admin.Latest, "", 0, "0"},
		{"connected_users_number", admin.Latest, "2", 0, "2"},
		{"connected_users_number", 0, "2", 0, `{"num_sessions":2}`},
		{"get_cookie", 1, "MWTAVMODFELNLSMYXPPD", 0, `"MWTAVMODFELNLSMYXPPD"`},
		{"get_cookie", 0, "MWTAVMODFELNLSMYXPPD", 0, `{"cookie":"MWTAVMODFELNLSMYXPPD"}`},
		{"get_loglevel", 0, "info", 0, `{"levelatom":"info"}`},
		{"get_master", 1, "'none-yet'", 0, `"none-yet"`},
		{"get_vcard", 1, "", 0, `""`},
		{"registered_vhosts", 0, "", 0, "[]"},
		{"connected_users", 1, "romeo@localhost/b\njuliet@localhost/a", 0, `["juliet@localhost/a","romeo@localhost/b"]`},
		{"connected_users", 0, "romeo@localhost/b\njuliet@localhost/a", 0, `["juliet@localhost/a","romeo@localhost/b"]`},
		{"get_last romeo localhost", 0, "2017-06-30T12:32:16Z\tONLINE", 0, `{"timestamp":"2017-06-30T12:32:16Z","status":"ONLINE"}`},
		{"get_roster romeo localhost", 1, "tybalt@localhost\tTy\t\njuliet@localhost\tJ\tLovers,Capulets", 0,
			`[{"jid":"juliet@localhost","nick":"J","groups":["Capulets","Lovers"]},{"jid":"tybalt@localhost","nick":"Ty","groups":[]}]`},
		{"get_roster romeo localhost", 0, "tybalt@localhost\tTy\t\njuliet@localhost\tJ\tLovers;Capulets", 0,
			`[{"jid":"juliet@localhost","nick":"J","groups":["Capulets","Lovers"]},{"jid":"tybalt@localhost","nick":"Ty","groups":[]}]`},
		{"get_ban_details romeo localhost", 2, "reason\tSpam\nbandate\t2024-04-22", 0, `{"bandate":"2024-04-22","reason":"Spam"}`},
		{"list_cluster", 1, "b@two\na@one", 0, `["a@one","b@two"]`},
		{"uptimes", 1, "b@two\t7\na@one\t12", 0, `{"a@one":12,"b@two":7}`},
		{"list_cluster_detailed", 1, "b@two\ttrue\t90", 0, `[{"name":"b@two","running":"true","uptime_seconds":90}]`},
		{"get_user_subscriptions", 3, "b@muc\tz,a\na@muc\tx", 0, `[{"room":"a@muc","nodes":["x"]},{"room":"b@muc","nodes":["a","z"]}]`},
		{"get_user_subscriptions", 0, "b@muc\tz;a\na@muc\tx", 0, `[{"room":"a@muc","nodes":["x"]},{"room":"b@muc","nodes":["a","z"]}]`},
	} {
		words := strings.Fields(c.call)
		res, err := r.Call(t.Context(), console, words[0], c.version, admin.Words(words[1:]...))
		if err != nil {
			t.Errorf("%s v%d: %v", c.call, c.version, err)
			continue
		}
		if got := res.Text(); got != c.text || res.Exit() != c.exit {
			t.Errorf("%s v%d: text %q, exit %d; want %q, %d", c.call, c.version, got, res.Exit(), c.text, c.exit)
		}
		if got, err := res.JSON(); err != nil || string(got) != c.json {
			t.Errorf("%s v%d: JSON %s, %v; want %s", c.call, c.version, got, err, c.json)
		}
	}
}

func TestShapesAreNamedAsInEjabberd(t *testing.T) {
	want := map[string]string{
		"register":              "res:restuple",
		"check_account":         "res:rescode",
		"connected_users":       "connected_users:list(sessions:string)",
		"get_roster":            "contacts:list(contact:tuple(jid:string, nick:string, groups:list(group:string)))",
		"get_last":              "last_activity:tuple(timestamp:string, status:string)",
		"list_cluster":          "nodes:list(node:atom)",
		"list_cluster_detailed": "nodes:list(node:tuple(name:atom, running:atom, uptime_seconds:integer))",
		"get_ban_details":       "ban_details:list(detail:tuple(name:string, value:string))",
	}
	for _, c := range commands() {
		if w, ok := want[c.Name()]; ok {
			about := c.About()
			if got := about.Result.String(); got != w {
				t.Errorf("%s: %s, want %s", c.Name(), got, w)
			}
			delete(want, c.Name())
		}
	}
	if len(want) > 0 {
		t.Errorf("not seen: %v", want)
	}
}

func TestErrorsInTheAPI(t *testing.T) {
	r := house(t, admin.Options{})
	for _, c := range []struct {
		call   string
		status int
		body   string
	}{
		{"register romeo localhost pw", 409, `{"status":"error","code":10090,"message":"User romeo@localhost already registered"}`},
		{"no_such", 404, `{"status":"error","code":0,"message":"no such room"}`},
		{"bad_weather", 400, `"the sky is down"`},
		{"nothing_like_it", 404, `{"status":"error","code":44,"message":"unknown command 'nothing_like_it'."}`},
		{"echo", 403, `{"status":"error","code":32,"message":"echo is for the web pages only"}`},
		{"panics", 500, `"panics failed inside; the log of the server says more"`},
		{"double", 400, `"the command 'double' requires 1 more argument."`},
	} {
		words := strings.Fields(c.call)
		res, err := r.Call(t.Context(), console, words[0], admin.Latest, admin.Words(words[1:]...))
		if err == nil {
			t.Errorf("%s: no error but %q", c.call, res.Text())
			continue
		}
		if status, body := admin.APIError(err); status != c.status || string(body) != c.body {
			t.Errorf("%s: %d %s; want %d %s", c.call, status, body, c.status, c.body)
		}
	}
}

func TestResultThatHasNoFormIsRefusedAtDeclaration(t *testing.T) {
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "map[string]int has no form") {
			t.Errorf("got %q, want a panic that names the type", p)
		}
	}()
	admin.New("x", "", give(map[string]int{}))
}
