package blocking_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/blocking"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/modules/privacy"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:blocking"

func all() []modules.Module {
	return []modules.Module{blocking.Module, privacy.Module, roster.Module, disco.Module, last.Module, offline.Module}
}

// ask is a request about the blocklist: the type of the answer or the condition of
// the error, and the addresses in it.
func ask(c *modtest.Client, typ, el string) (string, []string) {
	got := c.Ask(`<iq type='` + typ + `' id='b'>` + el + `</iq>`)
	if e := xmpp.ParseError(got); e != nil {
		return string(e.Condition), nil
	}
	return got.Type, jids(got.Payload())
}

func jids(el *xmpp.Element) (list []string) {
	if el == nil {
		return nil
	}
	for c := range el.Children() {
		list = append(list, c.Attr("jid"))
	}
	return list
}

func edit(t *testing.T, c *modtest.Client, name string, list ...string) {
	t.Helper()
	el := `<` + name + ` xmlns='` + ns + `'>`
	for _, j := range list {
		el += `<item jid='` + j + `'/>`
	}
	if got, _ := ask(c, "set", el+`</`+name+`>`); got != "result" {
		t.Fatalf("%s %v: %s", name, list, got)
	}
}

func blocklist(t *testing.T, c *modtest.Client) []string {
	t.Helper()
	got, list := ask(c, "get", `<blocklist xmlns='`+ns+`'/>`)
	if got != "result" {
		t.Fatal(got)
	}
	slices.Sort(list)
	return list
}

// got is what a client was sent, in short.
func got(c *modtest.Client) []string {
	out := []string{}
	for _, st := range c.Inbox() {
		text := st.Kind.String() + " " + st.Type + " " + st.From.String() + " " + st.Body()
		if st.Kind == xmpp.IQ && st.Type == "set" {
			text = strings.Join(append([]string{st.Payload().Name}, jids(st.Payload())...), " ")
		}
		if e := xmpp.ParseError(st); e != nil {
			text += " " + string(e.Condition)
			if e.App != nil {
				text += " " + e.App.Name
			}
		}
		out = append(out, strings.Join(strings.Fields(text), " "))
	}
	return out
}

func expect(t *testing.T, c *modtest.Client, want ...string) {
	t.Helper()
	if in := got(c); !slices.Equal(in, want) && len(in)+len(want) > 0 {
		t.Errorf("%s got %q, want %q", c.JID, in, want)
	}
}

func befriend(t *testing.T, s *modtest.Server, a, b string) {
	t.Helper()
	for _, p := range [][2]string{{a, b}, {b, a}} {
		if _, err := s.Command("add_rosteritem", p[0], "localhost", p[1], "localhost", "", "Friends", "both"); err != nil {
			t.Fatal(err)
		}
	}
}

// friends is two who see each other.
func friends(t *testing.T) (s *modtest.Server, romeo, juliet *modtest.Client) {
	t.Helper()
	s = modtest.Start(t, "", all()...)
	s.Register("romeo@localhost", "x")
	s.Register("juliet@localhost", "x")
	befriend(t, s, "romeo", "juliet")
	romeo, juliet = s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	romeo.Inbox()
	return s, romeo, juliet
}

func TestBlocklistAndPushes(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, phone, silent := s.Login("romeo@localhost/orchard"), s.Login("romeo@localhost/phone"), s.Login("romeo@localhost/silent")
	for _, c := range []*modtest.Client{romeo, phone} {
		if list := blocklist(t, c); len(list) != 0 {
			t.Errorf("at first: %v", list)
		}
	}
	edit(t, romeo, "block", "Tybalt@Capulet.example", "paris.example", "a@b/c")
	for _, c := range []*modtest.Client{romeo, phone} {
		expect(t, c, "block tybalt@capulet.example paris.example a@b/c")
	}
	expect(t, silent)
	edit(t, romeo, "block", "tybalt@capulet.example") // again
	if list := blocklist(t, phone); !slices.Equal(list, []string{"a@b/c", "paris.example", "tybalt@capulet.example"}) {
		t.Errorf("got %v", list)
	}
	romeo.Inbox()
	edit(t, phone, "unblock", "paris.example", "nobody@x")
	expect(t, romeo, "unblock paris.example nobody@x")
	edit(t, phone, "unblock")
	expect(t, romeo, "unblock")
	if list := blocklist(t, phone); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
	// It is the default privacy list, by ejabberd's name.
	edit(t, romeo, "block", "a@b")
	in := romeo.Ask(`<iq type='get' id='p'><query xmlns='jabber:iq:privacy'/></iq>`).Payload().XML()
	if !strings.Contains(in, `<default name='Blocked contacts'/>`) {
		t.Errorf("privacy lists: %s", in)
	}
	in = romeo.Ask(`<iq type='get' id='p'><query xmlns='jabber:iq:privacy'><list name='Blocked contacts'/></query></iq>`).Payload().XML()
	if !strings.Contains(in, `<item type='jid' value='a@b' action='deny' order='0'/>`) {
		t.Errorf("privacy list: %s", in)
	}
}

// TestListOfAnotherKind: what else is in the default list stays there.
func TestListOfAnotherKind(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo := s.Login("romeo@localhost/orchard")
	const rest = `<item type='jid' value='a@b' action='deny' order='3'><message/></item><item action='allow' order='9'/>`
	for _, q := range []string{`<list name='mine'><item type='jid' value='x@y' action='deny' order='2'/>` + rest + `</list>`, `<default name='mine'/>`} {
		romeo.Ask(`<iq type='set' id='p'><query xmlns='jabber:iq:privacy'>` + q + `</query></iq>`)
	}
	if list := blocklist(t, romeo); !slices.Equal(list, []string{"x@y"}) {
		t.Errorf("got %v", list)
	}
	edit(t, romeo, "block", "new@y")
	edit(t, romeo, "unblock")
	in := string(romeo.Ask(`<iq type='get' id='p'><query xmlns='jabber:iq:privacy'><list name='mine'/></query></iq>`).Payload().Child("", "").Inner())
	if in != rest {
		t.Errorf("left: %s", in)
	}
}

// TestPresence: who is blocked sees the user go, and come back (XEP-0191 §3.3,
// §3.4); so does who had directed presence.
func TestPresence(t *testing.T) {
	s, romeo, juliet := friends(t)
	nurse := s.Available("nurse@localhost/x")
	romeo.Say(`<presence to='nurse@localhost/x'/>`)
	juliet.Inbox()
	nurse.Inbox()
	const gone, there = "presence unavailable romeo@localhost/orchard", "presence romeo@localhost/orchard"
	edit(t, romeo, "block", "juliet@localhost", "nurse@localhost")
	expect(t, juliet, gone)
	expect(t, nurse, gone)
	nurse.Say(`<presence to='romeo@localhost' type='probe'/>`)
	expect(t, nurse)
	romeo.Inbox()
	edit(t, romeo, "unblock", "juliet@localhost")
	expect(t, juliet, there)
	expect(t, romeo, "presence juliet@localhost/balcony")
	edit(t, romeo, "block", "localhost")
	expect(t, juliet, gone)
	edit(t, romeo, "unblock")
	expect(t, juliet, there)
	expect(t, nurse)
	edit(t, romeo, "block", "juliet@localhost/balcony")
	expect(t, juliet, gone)
	edit(t, romeo, "block", "stranger@localhost", "x@elsewhere.example")
	if in := got(romeo); slices.ContainsFunc(in, func(s string) bool { return strings.Contains(s, "error") }) {
		t.Errorf("a stranger was sent something: %v", in)
	}
}

// TestBlockedTriesEverything: no kind of stanza comes through, and every answer is
// the one for somebody who is not there.
func TestBlockedTriesEverything(t *testing.T) {
	s, romeo, juliet := friends(t)
	edit(t, romeo, "block", "juliet@localhost")
	juliet.Inbox()
	romeo.Inbox()
	for _, to := range []string{"romeo@localhost", "romeo@localhost/orchard"} {
		for el, want := range map[string]string{
			`<message to='TO' type='chat'><body>x</body></message>`:                    "service-unavailable",
			`<message to='TO'><body>x</body></message>`:                                "service-unavailable",
			`<message to='TO' type='headline'><body>x</body></message>`:                "",
			`<message to='TO' type='error'/>`:                                          "",
			`<iq to='TO' type='get' id='1'><query xmlns='` + disco.NSInfo + `'/></iq>`: "service-unavailable",
			`<iq to='TO' type='get' id='1'><query xmlns='jabber:iq:last'/></iq>`:       "service-unavailable",
			`<iq to='TO' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>`:    "service-unavailable",
			`<iq to='TO' type='set' id='1'><query xmlns='x'/></iq>`:                    "service-unavailable",
			`<iq to='TO' type='result' id='1'/>`:                                       "",
			`<presence to='TO'/>`:                                                      "",
			`<presence to='TO' type='probe'/>`:                                         "",
			`<presence to='TO' type='unavailable'/>`:                                   "",
			`<presence to='TO' type='subscribe'/>`:                                     "",
			`<presence to='TO' type='subscribed'/>`:                                    "",
		} {
			juliet.Say(strings.ReplaceAll(el, "TO", to))
			answer := ""
			for _, st := range juliet.Inbox() {
				if e := xmpp.ParseError(st); e != nil && st.Kind != xmpp.Presence {
					answer = string(e.Condition)
				} else if st.From.Bare() == romeo.JID.Bare() {
					answer = st.String()
				}
			}
			if answer != want {
				t.Errorf("%s to %s: %q, want %q", el, to, answer, want)
			}
			if in := romeo.Inbox(); len(in) != 0 {
				t.Errorf("%s to %s came through: %v", el, to, in)
			}
		}
	}
	juliet.Say(`<presence><show>away</show></presence>`)
	expect(t, romeo)
	romeo.Logout()
	juliet.Say(`<message to='romeo@localhost' type='chat'><body>later</body></message>`)
	back := s.Login("romeo@localhost/back")
	back.Say(`<presence/>`)
	if in := got(back); !slices.Equal(in, []string{"presence romeo@localhost/back"}) {
		t.Errorf("what waited for him, and whom he sees: %v", in)
	}
	for _, st := range juliet.Inbox() {
		if st.Kind == xmpp.Presence && st.From.Bare() == romeo.JID.Bare() {
			t.Errorf("juliet sees %v", st)
		}
	}
}

// TestUserTriesToReachWhomHeBlocks (XEP-0191 §3.3).
func TestUserTriesToReachWhomHeBlocks(t *testing.T) {
	_, romeo, juliet := friends(t)
	edit(t, romeo, "block", "juliet@localhost")
	juliet.Inbox()
	romeo.Inbox()
	for el, answered := range map[string]bool{
		`<message to='juliet@localhost'><body>x</body></message>`:                     true,
		`<message to='juliet@localhost/balcony' type='chat'/>`:                        true,
		`<iq to='juliet@localhost/balcony' type='get' id='1'><query xmlns='x'/></iq>`: true,
		`<iq to='juliet@localhost/balcony' type='result' id='1'/>`:                    false,
		`<presence to='juliet@localhost'/>`:                                           true,
		`<presence to='juliet@localhost' type='subscribe'/>`:                          true,
		`<presence to='juliet@localhost' type='unavailable'/>`:                        false,
	} {
		romeo.Say(el)
		in := got(romeo)
		if answered != (len(in) == 1 && strings.HasSuffix(in[0], "not-acceptable blocked")) || !answered && len(in) > 0 {
			t.Errorf("%s: %v", el, in)
		}
	}
	expect(t, juliet)
	romeo.Say(`<presence><show>away</show></presence>`)
	romeo.Say(`<presence type='unavailable'/>`)
	expect(t, juliet)
}

// TestOwnDevicesAndServerAreNeverBlocked (XEP-0191 §5).
func TestOwnDevicesAndServerAreNeverBlocked(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, phone := s.Available("romeo@localhost/orchard"), s.Available("romeo@localhost/phone")
	romeo.Inbox()
	edit(t, romeo, "block", "romeo@localhost", "romeo@localhost/phone", "localhost")
	romeo.Inbox()
	phone.Say(`<message to='romeo@localhost/orchard'><body>x</body></message>`)
	expect(t, romeo, "message romeo@localhost/phone x")
	if got := romeo.Ask(`<iq type='get' id='d' to='localhost'><query xmlns='` + disco.NSInfo + `'/></iq>`); !strings.Contains(got.String(), ns) || !strings.Contains(got.String(), "urn:xmpp:reporting:1") {
		t.Errorf("the server says %v", got)
	}
	if list := blocklist(t, romeo); len(list) != 3 {
		t.Errorf("got %v", list)
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, tybalt := s.Login("romeo@localhost/orchard"), s.Login("tybalt@localhost/x")
	blocklist(t, romeo)
	many := func(n, from int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<item jid='u%d@spam.example'/>", from+i)
		}
		return b.String()
	}
	x := func(name, inner string) string {
		return `<` + name + ` xmlns='` + ns + `'>` + inner + `</` + name + `>`
	}
	for _, c := range []struct{ typ, el, want string }{
		{"set", x("block", ""), "bad-request"},
		{"set", x("block", "<item/>"), "jid-malformed"},
		{"set", x("block", "<item jid='@'/>"), "jid-malformed"},
		{"set", x("block", "<other jid='a@b'/>"), "bad-request"},
		{"set", x("unblock", "<item jid='@'/>"), "jid-malformed"},
		{"set", x("blocklist", ""), "bad-request"},
		{"get", x("block", "<item jid='a@b'/>"), "bad-request"},
		{"get", x("other", ""), "bad-request"},
		{"set", x("block", many(1001, 0)), "resource-constraint"},
		{"set", x("block", many(1000, 0)), "result"},
		{"set", x("block", many(1000, 1000)), "result"},
		{"set", x("block", many(1000, 1000)), "result"},
		{"set", x("block", many(1, 2000)), "resource-constraint"},
	} {
		if got, _ := ask(romeo, c.typ, c.el); got != c.want {
			t.Errorf("%.100s: %s, want %s", c.el, got, c.want)
		}
	}
	for _, iq := range []string{`type='get'>` + x("blocklist", ""), `type='set'>` + x("block", "<item jid='a@b'/>"), `type='set'>` + x("unblock", "")} {
		e := xmpp.ParseError(tybalt.Ask(`<iq id='q' to='romeo@localhost' ` + iq + `</iq>`))
		if e == nil || e.Condition != "forbidden" {
			t.Errorf("%s of another's list: %v", iq, e)
		}
	}
	if list := blocklist(t, romeo); len(list) != 2000 {
		t.Errorf("%d are blocked", len(list))
	}
	romeo.Inbox()
	// A push that another forges has his address.
	tybalt.Say(`<iq id='push' type='set' to='romeo@localhost/orchard' from='romeo@localhost'>` + x("unblock", "") + `</iq>`)
	for _, st := range romeo.Inbox() {
		if st.From != tybalt.JID {
			t.Errorf("a forged push: %v", st)
		}
	}
}

func TestReports(t *testing.T) {
	s := modtest.Start(t, `
acl: {liar: {user: [liar@localhost]}}
access_rules: {honest: [{deny: liar}, {allow: all}]}
modules: {mod_blocking: {report_to: [admin@localhost], access_report: honest}}
`, all()...)
	admin, romeo, liar := s.Available("admin@localhost/x"), s.Login("romeo@localhost/orchard"), s.Login("liar@localhost/x")
	report := func(c *modtest.Client, jid, inner string) {
		t.Helper()
		if got, _ := ask(c, "set", `<block xmlns='`+ns+`'><item jid='`+jid+`'><report xmlns='urn:xmpp:reporting:1' `+inner+`</report></item></block>`); got != "result" {
			t.Fatal(got)
		}
	}
	report(romeo, "spam@x.example", `reason='urn:xmpp:reporting:spam'><text xml:lang='en'>Buy&#10;now</text><stanza-id xmlns='urn:xmpp:sid:0' by='x' id='28482'/>`)
	expect(t, admin, "message localhost romeo@localhost has blocked spam@x.example and reports: spam Buy now [28482]")
	report(romeo, "bad@x.example", `>`)
	report(liar, "good@x.example", `reason='urn:xmpp:reporting:abuse'>`)
	if list := blocklist(t, liar); len(list) != 1 {
		t.Errorf("who may not report has not blocked: %v", list)
	}
	out, err := s.Command("list_spam_reports", "localhost")
	lines := strings.Split(out, "\n")
	if err != nil || len(lines) != 2 || !strings.HasSuffix(lines[0], "\tromeo@localhost\tbad@x.example\tunknown\t") ||
		!strings.HasSuffix(lines[1], "\tromeo@localhost\tspam@x.example\tspam\tBuy now [28482]") {
		t.Errorf("reports: %q, %v", out, err)
	}
	admin.Inbox()
	for i := range 40 {
		report(romeo, fmt.Sprintf("u%d@x.example", i), `reason='urn:xmpp:reporting:abuse'><text>`+strings.Repeat("ä", 3000)+`</text>`)
	}
	if n := len(admin.Inbox()); n != 18 {
		t.Errorf("a flood of reports: the operator got %d more", n)
	}
	if out, err := s.Command("delete_spam_reports", "localhost", "spam@X.example"); out != "1" || err != nil {
		t.Errorf("deleted: %s, %v", out, err)
	}
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command("list_spam_reports", "localhost"); out != "" || err != nil {
		t.Errorf("reports of a removed user: %q, %v", out, err)
	}
}

func TestPushReachesAnotherNode(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", all()...)
	here, there := c.List[0], c.List[1]
	romeo, phone := here.Available("romeo@localhost/orchard"), there.Available("romeo@localhost/phone")
	tybalt := there.Available("tybalt@localhost/x")
	blocklist(t, phone)
	c.Settle()
	phone.Inbox()
	tybalt.Say(`<message to='romeo@localhost/phone'><body>1</body></message>`)
	edit(t, romeo, "block", "tybalt@localhost")
	c.Settle()
	expect(t, phone, "message tybalt@localhost/x 1", "block tybalt@localhost")
	tybalt.Say(`<message to='romeo@localhost/phone'><body>2</body></message>`)
	expect(t, phone)
	expect(t, tybalt, "message error romeo@localhost/phone 2 service-unavailable")
}
