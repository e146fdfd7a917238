package mam_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	ns    = "urn:xmpp:mam:2"
	keep  = "modules: {mod_mam: {default: always}}"
	nsSID = "urn:xmpp:sid:0"
)

// found is a message of an archive as a client gets it.
type found struct{ id, body, xml string }

func (f found) String() string { return f.body }

// look asks for a page of the client's archive; extra goes into the query.
func look(c *modtest.Client, extra string) (list []found, fin *xmpp.Element) {
	c.Inbox()
	got := c.Ask(`<iq type='set' id='q'><query xmlns='` + ns + `' queryid='f'>` + extra + `</query></iq>`)
	for _, st := range c.Inbox() {
		r := st.Child(ns, "result")
		if r == nil || r.Attr("queryid") != "f" || st.From != c.JID.Bare() {
			continue
		}
		msg := r.Child("urn:xmpp:forward:0", "forwarded").Child("jabber:client", "message")
		list = append(list, found{r.Attr("id"), msg.Child("", "body").Text(), msg.XML()})
	}
	if got.Type == "error" {
		return list, got.Element()
	}
	return list, got.Payload()
}

// fields is a form that asks for these, given in pairs.
func fields(pairs ...string) string {
	b := `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>` + ns + `</value></field>`
	for i := 0; i < len(pairs); i += 2 {
		b += `<field var='` + pairs[i] + `'>`
		for _, v := range strings.Fields(pairs[i+1]) {
			b += `<value>` + v + `</value>`
		}
		b += `</field>`
	}
	return b + `</x>`
}

func set(inner string) string {
	return `<set xmlns='http://jabber.org/protocol/rsm'>` + inner + `</set>`
}

func chat(to, id, body string) string {
	return fmt.Sprintf(`<message to='%s' type='chat' id='%s'><body>%s</body></message>`, to, id, body)
}

func bodies(list []found) string { return strings.Trim(fmt.Sprint(list), "[]") }

func TestBothHaveWhatWasSaid(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	second := s.Available("juliet@localhost/chamber")
	juliet.Inbox()
	romeo.Say(chat("juliet@localhost", "m1", "hello"))
	var given string
	for _, c := range []*modtest.Client{juliet, second} {
		in := c.Inbox()
		if len(in) != 1 || in[0].Child(nsSID, "stanza-id").Attr("by") != "juliet@localhost" {
			t.Fatalf("juliet got %v", in)
		}
		given = in[0].Child(nsSID, "stanza-id").Attr("id")
	}
	for _, c := range []*modtest.Client{romeo, juliet, second} {
		list, fin := look(c, "")
		if len(list) != 1 || list[0].body != "hello" || list[0].id != given || fin.Attr("complete") != "true" {
			t.Errorf("%s finds %v, %v; the ID was %s", c.JID, list, fin, given)
		}
	}
	if list, _ := look(s.Available("tybalt@localhost/street"), ""); len(list) != 0 {
		t.Errorf("tybalt finds %v", list)
	}
}

func TestNobodySeesAnothersArchive(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, tybalt := s.Available("romeo@localhost/orchard"), s.Available("tybalt@localhost/street")
	romeo.Say(chat("juliet@localhost", "m1", "secret"))
	look(romeo, "")
	tybalt.Say(chat("juliet@localhost", "m2", "mine"))
	id := func() string { list, _ := look(romeo, ""); return list[0].id }()
	for _, to := range []string{"romeo@localhost", "juliet@localhost", "ROMEO@localhost", "nobody@localhost"} {
		for _, el := range []string{"<query xmlns='" + ns + "'/>", "<prefs xmlns='" + ns + "'/>", "<metadata xmlns='" + ns + "'/>"} {
			for _, typ := range []string{"get", "set"} {
				got := tybalt.Ask(`<iq type='` + typ + `' id='x' to='` + to + `'>` + el + `</iq>`)
				if e := xmpp.ParseError(got); e == nil || e.Condition != xmpp.Forbidden.Condition {
					t.Errorf("%s to %s: %v", el, to, got)
				}
			}
		}
	}
	for _, extra := range []string{fields("ids", id), fields("after-id", id), fields("before-id", id), set("<after>" + id + "</after>"), set("<before>" + id + "</before>")} {
		if list, e := look(tybalt, extra); len(list) != 0 || !strings.Contains(e.XML(), "item-not-found") {
			t.Errorf("%s: %v %v", extra, list, e)
		}
	}
	if list, _ := look(tybalt, fields("with", "romeo@localhost")); len(list) != 0 {
		t.Errorf("found %v", list)
	}
}

func TestForgedIDsGo(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	forged := `<stanza-id xmlns='` + nsSID + `' by='Juliet@localhost' id='forged'/><stanza-id xmlns='` + nsSID + `' by='romeo@localhost' id='forged'/>`
	romeo.Say(`<message to='juliet@localhost' type='chat'><body>x</body>` + forged + `<stanza-id xmlns='` + nsSID + `' by='room@muc' id='room'/></message>`)
	romeo.Say(`<message to='juliet@localhost' type='headline'><body>x</body>` + forged + `</message>`)
	for i, st := range juliet.Inbox() {
		n := 0
		for el := range st.Children() {
			if el.Is(nsSID, "stanza-id") {
				if n++; el.Attr("id") == "forged" {
					t.Errorf("%d: a forged ID came through: %v", i, st)
				}
			}
		}
		if want := [...]int{2, 0}[i]; n != want {
			t.Errorf("%d: %d IDs, want %d: %v", i, n, want, st)
		}
	}
}

func TestPages(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	for i := range 10 {
		to := "juliet@localhost"
		if i%2 == 1 {
			to = "mercutio@localhost/street"
		}
		romeo.Say(chat(to, fmt.Sprint(i), fmt.Sprint(i)))
	}
	all, _ := look(romeo, "")
	if bodies(all) != "0 1 2 3 4 5 6 7 8 9" {
		t.Fatalf("all: %v", all)
	}
	id := func(i int) string { return all[i].id }
	for _, c := range []struct{ query, want, complete, count, index string }{
		{set("<max>3</max>"), "0 1 2", "", "", "0"},
		{set("<max>3</max><after>" + id(2) + "</after>"), "3 4 5", "", "", ""},
		{set("<max>3</max><after>" + id(6) + "</after>"), "7 8 9", "true", "", ""},
		{set("<max>3</max><before/>"), "7 8 9", "", "", ""},
		{set("<max>3</max><before>" + id(3) + "</before>"), "0 1 2", "true", "", ""},
		{set("<max>3</max><before>" + id(4) + "</before>"), "1 2 3", "", "", ""},
		{set("<max>3</max><index>8</index>"), "8 9", "true", "10", "8"},
		{set("<max>0</max>"), "", "", "10", ""},
		{set("<max>10</max>"), "0 1 2 3 4 5 6 7 8 9", "true", "10", "0"},
		{fields("with", "juliet@localhost"), "0 2 4 6 8", "true", "5", "0"},
		{fields("with", "mercutio@localhost"), "1 3 5 7 9", "true", "5", "0"},
		{fields("with", "mercutio@localhost/street"), "1 3 5 7 9", "true", "5", "0"},
		{fields("with", "mercutio@localhost/elsewhere"), "", "true", "0", "0"},
		{fields("after-id", id(6)), "7 8 9", "true", "3", "0"},
		{fields("before-id", id(2)), "0 1", "true", "2", "0"},
		{fields("after-id", id(2), "before-id", id(5)), "3 4", "true", "2", "0"},
		{fields("ids", id(4)+" "+id(2)), "2 4", "true", "2", "0"},
		{fields("start", "2100-01-01T00:00:00Z"), "", "true", "0", "0"},
		{fields("end", "2100-01-01T00:00:00Z", "with", "juliet@localhost") + set("<max>2</max><before/>"), "6 8", "", "", ""},
		{set("<max>3</max>") + "<flip-page/>", "2 1 0", "", "", "0"},
	} {
		list, fin := look(romeo, c.query)
		first := fin.Child("", "set").Child("", "first")
		if got := bodies(list); got != c.want || fin.Attr("complete") != c.complete {
			t.Errorf("%s: got %q, %v", c.query, got, fin)
		}
		if got := fin.Child("", "set").Child("", "count").Text(); got != c.count {
			t.Errorf("%s: count %q, want %q", c.query, got, c.count)
		}
		if got := first.Attr("index"); len(list) > 0 && got != c.index {
			t.Errorf("%s: index %q, want %q", c.query, got, c.index)
		}
	}
}

func TestWhatIsArchived(t *testing.T) {
	for inner, want := range map[string]bool{
		`type='chat'><body>x</body>`:      true,
		`><body>x</body>`:                 true,
		`type='chat'><body/>`:             false,
		`type='error'><body>x</body>`:     false,
		`type='groupchat'><body>x</body>`: false,
		`type='headline'><body>x</body>`:  false,
		`type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>`:                                false,
		`type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>`: true,
		`type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/>`:                                          false,
		`type='chat'><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>`:                                false,
		`type='chat'><body>x</body><no-copy xmlns='urn:xmpp:hints'/>`:                                           true,
		`type='error'><body>x</body><store xmlns='urn:xmpp:hints'/>`:                                            false,
		`type='chat'><reactions xmlns='urn:xmpp:reactions:0' id='1'/>`:                                          true,
		`type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='1'/>`:                                      true,
		`type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>`:                                       true,
		`type='chat'><received xmlns='urn:xmpp:chat-markers:0' id='1'/>`:                                        false,
		`type='chat'><received xmlns='urn:xmpp:receipts' id='1'/>`:                                              false,
		`type='chat'><body>y</body><replace xmlns='urn:xmpp:message-correct:0' id='1'/>`:                        true,
		`type='chat'><body>y</body><reply xmlns='urn:xmpp:reply:0' id='1'/>`:                                    true,
	} {
		s := modtest.Start(t, keep, mam.Module)
		romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
		romeo.Say(`<message to='juliet@localhost' ` + inner + `</message>`)
		for _, c := range []*modtest.Client{romeo, juliet} {
			if list, _ := look(c, ""); len(list) == 1 != want {
				t.Errorf("%s: %s has %d", inner, c.JID, len(list))
			}
		}
	}
}

func prefs(def, always, never string) string {
	jid := func(s string) string {
		if s == "" {
			return ""
		}
		return "<jid>" + s + "</jid>"
	}
	return `<iq type='set' id='p'><prefs xmlns='` + ns + `' default='` + def + `'><always>` + jid(always) + `</always><never>` + jid(never) + `</never></prefs></iq>`
}

func TestPreferences(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_mam: {default: never}}", mam.Module, roster.Module)
	romeo := s.Available("romeo@localhost/orchard")
	say := func(to string) bool {
		before, _ := look(romeo, "")
		romeo.Say(chat(to, "1", "x"))
		after, _ := look(romeo, "")
		return len(after) > len(before)
	}
	if say("juliet@localhost") {
		t.Error("archived although the default is never")
	}
	if got := romeo.Ask(prefs("always", "", "Tybalt@localhost")); got.Type != "result" || got.Payload().Attr("default") != "always" {
		t.Fatal(got)
	}
	if !say("juliet@localhost/balcony") || say("tybalt@localhost/street") {
		t.Error("always and never are mixed up")
	}
	romeo.Ask(prefs("never", "tybalt@localhost/street", ""))
	if say("juliet@localhost") || say("tybalt@localhost/home") || !say("tybalt@localhost/street") {
		t.Error("never and always are mixed up")
	}
	romeo.Ask(prefs("roster", "", ""))
	if say("juliet@localhost") {
		t.Error("juliet is no contact")
	}
	for _, bad := range []string{prefs("sometimes", "", ""), prefs("always", "@", ""), prefs("", "", "")} {
		if got := romeo.Ask(bad); got.Type != "error" {
			t.Errorf("%s: %v", bad, got)
		}
	}
	got := romeo.Ask(`<iq type='get' id='p'><prefs xmlns='` + ns + `'/></iq>`).Payload()
	if got.XML() != `<prefs xmlns='`+ns+`' default='roster'><always/><never/></prefs>` {
		t.Errorf("got %v", got)
	}
}

func TestArchivingOfContacts(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_mam: {default: roster}}", mam.Module, roster.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'/>`)
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	romeo.Say(chat("juliet@localhost", "1", "friend"))
	romeo.Say(chat("tybalt@localhost", "2", "foe"))
	for _, c := range []*modtest.Client{romeo, juliet} {
		if list, _ := look(c, ""); bodies(list) != "friend" {
			t.Errorf("%s has %v", c.JID, list)
		}
	}
}

func TestWhoMayChangePreferences(t *testing.T) {
	s := modtest.Start(t, `
acl: {villain: {user: [tybalt@localhost]}}
access_rules: {mam: [{deny: villain}, {allow: all}]}
modules: {mod_mam: {access_preferences: mam}}
`, mam.Module)
	for who, want := range map[string]string{"romeo@localhost/x": "result", "tybalt@localhost/x": "error"} {
		if got := s.Login(who).Ask(prefs("always", "", "")); got.Type != want {
			t.Errorf("%s: %v", who, got)
		}
	}
}

func TestRequestActivates(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_mam: {default: always, request_activates_archiving: true}}", mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(chat("juliet@localhost", "1", "before"))
	look(romeo, "")
	romeo.Say(chat("juliet@localhost", "2", "after"))
	if list, _ := look(romeo, ""); bodies(list) != "after" {
		t.Errorf("got %v", list)
	}
}

func TestMetadataFormAndDiscovery(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module, disco.Module)
	romeo := s.Available("romeo@localhost/orchard")
	ask := func(inner string) string {
		return romeo.Ask(`<iq type='get' id='m'>` + inner + `</iq>`).Payload().XML()
	}
	if got := ask(`<metadata xmlns='` + ns + `'/>`); got != `<metadata xmlns='`+ns+`'/>` {
		t.Errorf("empty: %s", got)
	}
	romeo.Say(chat("juliet@localhost", "1", "1"))
	romeo.Say(chat("juliet@localhost", "2", "2"))
	list, _ := look(romeo, "")
	got := ask(`<metadata xmlns='` + ns + `'/>`)
	if !strings.Contains(got, `<start id='`+list[0].id+`' timestamp='`) || !strings.Contains(got, `<end id='`+list[1].id+`' timestamp='`) {
		t.Errorf("got %s", got)
	}
	form := ask(`<query xmlns='` + ns + `'/>`)
	for _, f := range []string{"with", "start", "end", "before-id", "after-id", "ids"} {
		if !strings.Contains(form, `var='`+f+`'`) {
			t.Errorf("no %s in %s", f, form)
		}
	}
	info := ask(`<query xmlns='` + disco.NSInfo + `'/>`)
	for _, f := range []string{ns, ns + "#extended", nsSID, "urn:xmpp:message-retract:1#tombstone"} {
		if !strings.Contains(info, `'`+f+`'`) {
			t.Errorf("no %s in %s", f, info)
		}
	}
}

func retract(to, id, what string) string {
	return `<message to='` + to + `' type='chat' id='` + id + `'><retract xmlns='urn:xmpp:message-retract:1' id='` + what + `'/><body>fallback</body></message>`
}

func TestRetraction(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	romeo.Say(chat("juliet@localhost", "m1", "shame"))
	romeo.Say(chat("juliet@localhost", "m2", "stays"))
	juliet.Say(retract("romeo@localhost", "evil", "m1")) // it is not hers
	for _, c := range []*modtest.Client{romeo, juliet} {
		if list, _ := look(c, ""); bodies(list) != "shame stays fallback" {
			t.Fatalf("%s has %v", c.JID, list)
		}
	}
	romeo.Say(retract("juliet@localhost", "r1", "m1"))
	for _, c := range []*modtest.Client{romeo, juliet} {
		list, _ := look(c, "")
		if bodies(list) != " stays fallback fallback" || !strings.Contains(list[0].xml, `<retracted xmlns='urn:xmpp:message-retract:1' id='r1' stamp='`) || strings.Contains(list[0].xml, "shame") {
			t.Errorf("%s has %v", c.JID, list)
		}
		if !strings.Contains(list[0].xml, "id='m1'") || !strings.Contains(list[0].xml, "from='romeo@localhost/orchard'") {
			t.Errorf("the tombstone does not say whose it is: %s", list[0].xml)
		}
	}
}

func TestRetractionByMessageIDBesideOriginID(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(`<message to='juliet@localhost' type='chat' id='m1'><body>one</body><origin-id xmlns='` + nsSID + `' id='o1'/></message>`)
	romeo.Say(`<message to='juliet@localhost' type='chat' id='m2'><body>two</body><origin-id xmlns='` + nsSID + `' id='o2'/></message>`)
	romeo.Say(retract("juliet@localhost", "r1", "m1"))
	romeo.Say(retract("juliet@localhost", "r2", "o2"))
	if list, _ := look(romeo, ""); bodies(list) != "  fallback fallback" {
		t.Errorf("got %q", bodies(list))
	}
}

func TestWordsAreFound(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, tybalt := s.Available("romeo@localhost/orchard"), s.Available("tybalt@localhost/street")
	romeo.Say(chat("juliet@localhost", "m1", "See how she leans her cheek upon her hand"))
	romeo.Say(chat("mercutio@localhost", "m2", "He jests at scars: that never felt a wound/cheek"))
	romeo.Say(chat("juliet@localhost", "m3", "Grüße von x@example.org"))
	tybalt.Say(chat("juliet@localhost", "m4", "cheek"))
	search := func(words string, more ...string) string {
		t.Helper()
		b := fields(more...)
		list, fin := look(romeo, strings.Replace(b, "</x>", `<field var='{urn:xmpp:fulltext:0}fulltext'><value>`+words+`</value></field></x>`, 1))
		if fin.Name == "iq" {
			return fin.Child("", "error").XML()
		}
		n := []string{}
		for _, f := range list {
			n = append(n, strings.Fields(f.body)[0])
		}
		return strings.Join(n, " ")
	}
	for words, want := range map[string]string{
		"cheek": "See He", "CHEEK hand": "See", "cheek wound": "He", "nothing": "", "grüße": "Grüße", "example": "Grüße",
		"jests OR leans": "", "he*": "He", "words:cheek": "", "&quot;cheek&quot; NOT hand": "", "u": "",
	} {
		if got := search(words); got != want {
			t.Errorf("%s: got %q, want %q", words, got, want)
		}
	}
	if got := search("cheek", "with", "juliet@localhost"); got != "See" {
		t.Errorf("with juliet: %q", got)
	}
	for _, bad := range []string{"", "&quot;", "---", strings.Repeat("x ", 100)} {
		if got := search(bad); bad != "" && !strings.Contains(got, "bad-request") {
			t.Errorf("%q: %s", bad, got)
		}
	}
	romeo.Say(retract("juliet@localhost", "r1", "m1"))
	if got := search("hand"); got != "" {
		t.Errorf("a message that was taken back is found: %q", got)
	}
}

func TestToOneselfOnce(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(chat("romeo@localhost", "1", "note"))
	in := romeo.Inbox()
	list, _ := look(romeo, "")
	if len(in) != 1 || len(list) != 1 || in[0].Child(nsSID, "stanza-id").Attr("id") != list[0].id {
		t.Errorf("got %v, archive %v", in, list)
	}
}

func TestOfflineIsArchivedAndNotBounced(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	s.Register("juliet@localhost", "secret")
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(chat("juliet@localhost", "1", "kept"))
	romeo.Say(chat("nobody@localhost", "2", "lost"))
	in := romeo.Inbox()
	if len(in) != 1 || in[0].Type != "error" || in[0].ID != "2" {
		t.Errorf("got %v", in)
	}
	if list, _ := look(s.Available("juliet@localhost/balcony"), ""); bodies(list) != "kept" {
		t.Errorf("got %v", list)
	}
	for user, want := range map[string]string{"juliet": "1", "nobody": "0", "romeo": "2"} {
		if out, err := s.Command("get_mam_count", user, "localhost"); out != want || err != nil {
			t.Errorf("%s has %s, %v, want %s", user, out, err, want)
		}
	}
}

func TestCommands(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	count := func() string {
		t.Helper()
		look(romeo, "")
		out, err := s.Command("get_mam_count", "romeo", "localhost")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	fill := func() {
		for i := range 3 {
			romeo.Say(chat([]string{"juliet@localhost", "tybalt@localhost"}[i%2], fmt.Sprint(i), "x"))
		}
	}
	run := func(want string, words ...string) {
		t.Helper()
		if _, err := s.Command(words[0], words[1:]...); err != nil {
			t.Errorf("%v: %v", words, err)
		}
		if got := count(); got != want {
			t.Errorf("%v leaves %s, want %s", words, got, want)
		}
	}
	fill()
	count()
	run("2", "remove_mam_for_user_with_peer", "romeo", "localhost", "tybalt@localhost/x")
	run("2", "delete_old_mam_messages", "chat", "1")
	run("2", "delete_old_mam_messages", "groupchat", "0")
	run("0", "delete_old_mam_messages", "all", "0")
	fill()
	look(romeo, "")
	if out, err := s.Command("delete_old_mam_messages_batch", "localhost", "chat", "0", "2", "1000000"); err != nil || !strings.Contains(out, "Removal of 3") {
		t.Errorf("got %s, %v", out, err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		out, err := s.Command("delete_old_mam_messages_status", "localhost")
		if err != nil || time.Now().After(end) {
			t.Fatal(out, err)
		}
		if strings.Contains(out, "finished, deleted 3") {
			break
		}
	}
	fill()
	count()
	run("3", "abort_delete_old_mam_messages", "localhost")
	run("0", "remove_mam_for_user", "romeo", "localhost")
	fill()
	romeo.Ask(prefs("always", "", ""))
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	if out, _ := s.Command("get_mam_count", "romeo", "localhost"); out != "0" {
		t.Errorf("a user who is gone has %s", out)
	}
}
