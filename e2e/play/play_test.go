package play

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const script = `# Romeo speaks.
# RFC 6121 §5

[Server]
  modules:
    mod_ping: {}

[Client] Romeo
  jid: romeo@localhost/orchard
  password: secret

[Client] Nobody
  jid: nobody@localhost
  password: guess
  account: none

-----

Romeo connects
Nobody cannot connect: not-authorized

# He speaks to himself.
Romeo sends:
	<message to="${Romeo's full JID}"/>

	<presence/>

Romeo receives nothing
`

func TestParse(t *testing.T) {
	p, err := Parse("plays/speak.scs", script)
	if err != nil {
		t.Fatal(err)
	}
	want := &Play{
		Name: "speak", Title: "Romeo speaks.", Config: "  modules:\n    mod_ping: {}\n\n", file: "plays/speak.scs",
		Clients: []Role{
			{Name: "Romeo", JID: "romeo@localhost/orchard", Password: "secret"},
			{Name: "Nobody", JID: "nobody@localhost", Password: "guess", NoAccount: true},
		},
		Steps: []Step{
			{"Romeo", Connects, "", 19},
			{"Nobody", CannotConnect, "not-authorized", 20},
			{"Romeo", Sends, "\t<message to=\"${Romeo's full JID}\"/>\n\n\t<presence/>\n\n", 23},
			{"Romeo", ReceivesNone, "", 28},
		},
	}
	if d := cmp.Diff(want, p, cmp.AllowUnexported(Play{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"romeo@localhost": "secret"}, p.Accounts()); d != "" {
		t.Error(d)
	}
	if got := p.On("a.localhost"); got.Clients[0].JID != "romeo@a.localhost/orchard" || p.Clients[0].JID != "romeo@localhost/orchard" {
		t.Errorf("moved to %s, and the original is at %s", got.Clients[0].JID, p.Clients[0].JID)
	}
}

func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"# Romeo speaks.\n# RFC 6121 §5\n", "", "a play begins with a comment"},
		{"Romeo connects", "Romeo dances", `x.scs:19: "Romeo dances" is no stage direction`},
		{"Romeo connects", "Tybalt connects", "x.scs:19: there is no [Client] Tybalt"},
		{"[Client] Nobody", "[Client] Romeo", "[Client] Romeo appears twice"},
		{"  account: none", "  account: some", `"account: some" is not known here`},
		{"  jid: nobody@localhost\n", "", "[Client] Nobody has no jid"},
		{"<presence/>", "<presence>", "x.scs:23: "},
		{"Romeo sends:", "Romeo sends", "wants a colon, and XML indented below it"},
		{"  modules:", "  modules: [", "[Server]: yaml"},
		{"Romeo connects", "  indented", "belongs to nothing"},
	} {
		_, err := Parse("x.scs", strings.Replace(script, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, want %s", c.new, c.old, err, c.want)
		}
	}
	if _, err := Parse("x.scs", "# Title\n"); err == nil {
		t.Error("a play in which nothing happens was taken")
	}
}

// TestMatch compares stanzas that arrive at romeo@localhost with patterns.
func TestMatch(t *testing.T) {
	for _, c := range []struct{ name, want, got, why string }{
		{"equal", "<message id='1'><body>x</body></message>", "<message id='1'><body>x</body></message>", ""},
		{"order of attributes", "<message id='1' type='chat'/>", "<message type='chat' id='1'/>", ""},
		{"order of children", "<message><a/><b/></message>", "<message><b/><a/></message>", ""},
		{"prefixes", "<message><x xmlns='urn:x'/></message>", "<message><p:x xmlns:p='urn:x'/></message>", ""},
		{"namespace", "<message><x xmlns='urn:x'/></message>", "<message><x xmlns='urn:y'/></message>", "is missing"},
		{"other stanza", "<message/>", "<presence/>", "not a <message>"},
		{"other value", "<message id='1'/>", "<message id='2'/>", `"2" instead of "1"`},
		{"missing attribute", "<message id='1'/>", "<message/>", "has no attribute id"},
		{"surplus attribute", "<message/>", "<message id='1'/>", "nobody expects"},
		{"surplus attribute, loose", "<message scansion:strict='false'/>", "<message id='1'/>", ""},
		{"missing child", "<message><body/></message>", "<message/>", "is missing"},
		{"surplus child", "<message/>", "<message><body/></message>", "nobody expects"},
		{"surplus child, loose", "<message scansion:strict='false'/>", "<message><body/></message>", ""},
		{"surplus twin", "<message><a/></message>", "<message><a/><a/></message>", "nobody expects"},
		{"missing twin", "<message><a/><a/></message>", "<message><a/></message>", "is missing"},
		{"optional child missing", "<message><a scansion:optional='true'/></message>", "<message/>", ""},
		{"optional child wrong", "<message><a scansion:optional='true'>1</a></message>", "<message><a>2</a></message>", "nobody expects"},
		{"spaces count", "<message><body> x</body></message>", "<message><body>x</body></message>", `"x" instead of " x"`},
		{"spaces between children do not", "<message>\n  <a/>\n</message>", "<message><a/></message>", ""},
		{"text for nothing", "<message><body/></message>", "<message><body>x</body></message>", "text"},
		{"to need not be named", "<message/>", "<message to='romeo@localhost'/>", ""},
		{"to is compared when named", "<message to='juliet@localhost'/>", "<message to='romeo@localhost'/>", "instead of"},
		{"language need not be named", "<message/>", "<message xml:lang='en'/>", ""},
		{"from the own account", "<iq/>", "<iq from='romeo@localhost'/>", ""},
		{"from somebody else", "<iq/>", "<iq from='juliet@localhost'/>", "nobody expects"},
		{"anything", "<message id='{scansion:any}'/>", "<message id='7'/>", ""},
		{"anything is something", "<message id='{scansion:any}'/>", "<message/>", "has no attribute"},
		{"maybe", "<message id='{scansion:maybe}'/>", "<message/>", ""},
		{"like", "<message id='{like:[a-z]+}'/>", "<message id='abc'/>", ""},
		{"like, to the end", "<message id='{like:[a-z]+}'/>", "<message id='abc1'/>", "is not like"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &matcher{saved: names{}, self: "romeo@localhost"}
			switch why := m.stanza(parse(t, c.want), parse(t, c.got)); {
			case c.why == "" && why != "":
				t.Errorf("does not fit: %s", why)
			case c.why != "" && !strings.Contains(why, c.why):
				t.Errorf("got %q, want %q", why, c.why)
			}
		})
	}
}

func TestSave(t *testing.T) {
	m := &matcher{saved: names{}}
	if why := m.stanza(parse(t, "<message id='{save:first}'><a>{save:second}</a></message>"), parse(t, "<message id='1'><a>&lt;2</a></message>")); why != "" {
		t.Fatal(why)
	}
	if got, want := m.saved.fill("${first} ${second} ${third}"), "1 &lt;2 ${third}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSaveWithin(t *testing.T) {
	m := &matcher{saved: names{}}
	want := parse(t, "<message id='xmpp:a?b={save:token};c'/>")
	if why := m.stanza(want, parse(t, "<message id='xmpp:a?b=1;c'/>")); why != "" || m.saved["token"] != "1" {
		t.Errorf("%s, saved %q", why, m.saved["token"])
	}
	for _, got := range []string{"xmpp:a?b=1", "b=1;c", "xmpp:a?b;c"} {
		if why := m.stanza(want, parse(t, "<message id='"+got+"'/>")); !strings.Contains(why, "is not like") {
			t.Errorf("%s: %q", got, why)
		}
	}
}

func TestProof(t *testing.T) {
	want := "<a>cm9tZW8AxkTmTqeKb141m5TWW+WBWX9MPyJdlpqW+PrrsN5v+tQ=</a>"
	if got := prove("<a>{proof:romeo NONE.abc}</a>"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := prove("{proof:romeo}"); got != "{proof:romeo}" {
		t.Errorf("got %s", got)
	}
}

func parse(t *testing.T, text string) *element {
	t.Helper()
	els, err := parseXML(text)
	if err != nil || len(els) != 1 {
		t.Fatalf("%s: %d elements, %v", text, len(els), err)
	}
	return els[0]
}

// What may come on two nodes need not, and is not expected on a single one.
func TestOptionalOnTwoNodes(t *testing.T) {
	const text = "<a xmlns='urn:xmpp:sm:3' h='0' scansion:optional='two-nodes'/><a xmlns='urn:xmpp:sm:3' h='1'/>"
	for _, c := range []struct {
		at   Server
		want int
	}{{Server{}, 1}, {Server{Second: "localhost:5222"}, 2}} {
		s := &stage{at: c.at}
		all, err := s.patterns(text)
		if err != nil || len(all) != c.want {
			t.Fatalf("with %+v: %v, %v", c.at, all, err)
		}
		if last := len(all) - 1; !required(all[last]) || last > 0 && required(all[0]) {
			t.Errorf("with %+v: %v must come", c.at, all)
		}
	}
}
