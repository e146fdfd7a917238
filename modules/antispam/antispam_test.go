package antispam_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/antispam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

// files writes the lists and returns the options that name them.
func files(t *testing.T) (options string, dir string) {
	t.Helper()
	dir = t.TempDir()
	for option, text := range map[string]string{
		"spam_jids_file":         "# spammers\nSpammer@Away.example/res\n\n",
		"spam_urls_file":         "https://Spam.example/Buy\n",
		"spam_domains_file":      "bad.example\ngood.example\n",
		"whitelist_domains_file": "good.example\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, option), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		options += option + ": " + filepath.Join(dir, option) + ", "
	}
	return options, dir
}

func start(t *testing.T, options string) *modtest.Server {
	t.Helper()
	return modtest.Start(t, `
acl: {admin: {user: [admin@localhost]}}
access_rules: {wants_spam: [{allow: admin}]}
modules: {mod_antispam: {access_spam: wants_spam, `+options+`}}
`, antispam.Module, roster.Module)
}

// arrives sends a stanza from elsewhere and reports whether the client gets it.
func arrives(t *testing.T, s *modtest.Server, c *modtest.Client, from, xml string) bool {
	t.Helper()
	st, err := xmpp.ParseXML([]byte(xml))
	if err != nil {
		t.Fatal(err)
	}
	c.Inbox()
	s.Router.Route(t.Context(), st.Readdressed(xmpp.MustParse(from), c.JID.Bare()))
	return len(c.Inbox()) > 0
}

func body(text string) string { return `<message><body>` + text + `</body></message>` }

func TestWhatIsSpam(t *testing.T) {
	options, _ := files(t)
	s := start(t, options)
	romeo, admin := s.Available("romeo@localhost/x"), s.Available("admin@localhost/x")
	if _, err := s.Command("add_rosteritem", "romeo", "localhost", "friend", "bad.example", "", "", "to"); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		from, xml string
		want      bool
	}{
		{"somebody@away.example", body("hi"), true},
		{"spammer@away.example/other", body("hi"), false},
		{"spammer@away.example", `<presence type='subscribe'/>`, false},
		{"asker@away.example", `<presence type='subscribe'/>`, true},
		{"any@bad.example", body("hi"), false},
		{"any@bad.example", `<presence type='subscribe'/>`, false},
		{"any@sub.bad.example", body("hi"), true},
		{"any@good.example", body("hi"), true},
		{"friend@bad.example", body("https://spam.example/buy"), true},
		{"a@x.example", body("look at https://spam.example/BUY."), false},
		{"a@x.example", body("hi"), false}, // he is remembered
		{"a@x.example", `<presence type='subscribe'/>`, false},
		{"b@x.example", body("(HTTPS://spam.example/buy/)"), false},
		{"c@x.example", body("https://spam.example/other"), true},
		{"d@x.example", body("write to &lt;xmpp:spammer@away.example?message&gt;"), false},
		{"e@x.example", body("spammer@away.example, now"), false},
		{"f@x.example", body("a@b @ @@ http:// xmpp: x@"), true},
		{"g@x.example", body(strings.Repeat("word ", 5000)), true},
		{"localhost", body("https://spam.example/buy"), true},
		{"romeo@localhost/y", body("https://spam.example/buy"), true},
	} {
		if got := arrives(t, s, romeo, c.from, c.xml); got != c.want {
			t.Errorf("%d: from %s, %.80s: %v", i, c.from, c.xml, got)
		}
	}
	if !arrives(t, s, admin, "spammer@away.example", body("hi")) {
		t.Error("who wants spam does not get it")
	}
	tybalt := s.Login("tybalt@localhost/x")
	tybalt.Say(`<message to='romeo@localhost'><body>https://spam.example/buy</body></message>`)
	if in := tybalt.Inbox(); len(in) != 1 || xmpp.ParseError(in[0]) == nil || xmpp.ParseError(in[0]).Condition != "policy-violation" {
		t.Errorf("a spammer of ours is told %v", in)
	}
	if !strings.Contains(s.Log(), "spam was refused") {
		t.Error("nothing is logged")
	}
}

func TestCommands(t *testing.T) {
	options, dir := files(t)
	s := start(t, options)
	romeo := s.Available("romeo@localhost/x")
	cmd := func(want string, words ...string) {
		t.Helper()
		if got, err := s.Command(words[0], words[1:]...); got != want || err != nil {
			t.Errorf("%v: %q, %v", words, got, err)
		}
	}
	cmd("a@x.example added to cache", "add_to_spam_filter_cache", "localhost", "A@x.example/r")
	if arrives(t, s, romeo, "a@x.example", body("hi")) {
		t.Error("a spammer comes through")
	}
	if out, err := s.Command("get_spam_filter_cache", "localhost"); !strings.HasPrefix(out, "a@x.example\t1") || err != nil {
		t.Errorf("the cache has %q, %v", out, err)
	}
	cmd("Expired 0 cache entries", "expire_spam_filter_cache", "localhost", "100")
	cmd("a@x.example removed from cache", "drop_from_spam_filter_cache", "localhost", "a@x.example")
	if !arrives(t, s, romeo, "a@x.example", body("hi")) {
		t.Error("who is no spammer does not come through")
	}
	cmd("bad.example", "get_blocked_domains", "localhost")
	cmd("x.example added to blocked domains", "add_blocked_domain", "localhost", "X.example")
	cmd("bad.example removed from blocked domains", "remove_blocked_domain", "localhost", "bad.example")
	cmd("x.example", "get_blocked_domains", "localhost")
	if arrives(t, s, romeo, "a@x.example", body("hi")) || !arrives(t, s, romeo, "a@bad.example", body("hi")) {
		t.Error("domains are not what they were made")
	}
	if err := os.WriteFile(filepath.Join(dir, "spam_domains_file"), []byte("new.example"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd("", "reload_spam_filter_files", "localhost")
	cmd("new.example\nx.example", "get_blocked_domains", "localhost")
	if err := os.WriteFile(filepath.Join(dir, "spam_jids_file"), []byte("ok@x.example\n@@"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Command("reload_spam_filter_files", "localhost"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad file: %v", err)
	}
	if arrives(t, s, romeo, "spammer@away.example", body("hi")) {
		t.Error("the lists are gone that were there")
	}
}

func TestFewAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "cache_size: 3")
		for i := range 5 {
			if _, err := s.Command("add_to_spam_filter_cache", "localhost", fmt.Sprintf("u%d@x.example", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		romeo := s.Available("romeo@localhost/x")
		arrives(t, s, romeo, "u2@x.example", body("hi"))
		if out, err := s.Command("expire_spam_filter_cache", "localhost", "100"); out != "Expired 1 cache entries" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
		out, err := s.Command("get_spam_filter_cache", "localhost")
		if lines := strings.Split(out, "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "u2@") || !strings.HasPrefix(lines[1], "u4@") || err != nil {
			t.Errorf("left: %q, %v", out, err)
		}
	})
}

func TestDump(t *testing.T) {
	name := filepath.Join(t.TempDir(), "dump.log")
	s := start(t, "spam_dump_file: "+name)
	romeo := s.Available("romeo@localhost/x")
	if _, err := s.Command("add_to_spam_filter_cache", "localhost", "a@x.example"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		arrives(t, s, romeo, "a@x.example", body("unique text"))
	}
	s.Stop()
	got, err := os.ReadFile(name)
	if err != nil || strings.Count(string(got), "unique text") != 3 || strings.Count(string(got), "\n") != 3 {
		t.Errorf("written: %s, %v", got, err)
	}
}

func TestNodesTellEachOther(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", antispam.Module, roster.Module)
	for _, words := range [][]string{{"add_to_spam_filter_cache", "localhost", "a@x.example"}, {"add_blocked_domain", "localhost", "bad.example"}} {
		if _, err := c.List[0].Command(words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	c.Settle()
	romeo := c.List[1].Available("romeo@localhost/x")
	for _, from := range []string{"a@x.example", "b@bad.example"} {
		if arrives(t, c.List[1], romeo, from, body("hi")) {
			t.Errorf("%s comes through on the other node", from)
		}
	}
}
