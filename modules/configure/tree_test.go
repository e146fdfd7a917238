package configure_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp"
)

const discoItems, discoInfo = "http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/disco#info"

// What administrators find below the server, and nobody else.
func TestTree(t *testing.T) {
	s, prince := start(t)
	romeo := s.Login("romeo@localhost/orchard")
	if got := admin(prince, "add-user", "accountjid", "nurse@localhost", "password", "first", "password-verify", "first"); !ok(got) {
		t.Fatalf("got %v", got)
	}
	list := func(node string) string {
		var all []string
		got := prince.Ask(`<iq type='get' id='i' to='localhost'><query xmlns='` + discoItems + `' node='` + node + `'/></iq>`)
		for el := range got.Payload().Children() {
			all = append(all, el.Attr("jid")+" "+el.Attr("node"))
		}
		return strings.Join(all, "\n")
	}
	for node, want := range map[string]string{
		"":             "localhost online users",
		"user":         "localhost " + ns + "#add-user",
		"online users": "romeo@localhost/orchard ",
		"all users":    "nurse@localhost ",
	} {
		if got := list(node); !strings.Contains(got+"\n", want+"\n") {
			t.Errorf("below %q is %q, without %q", node, got, want)
		}
		ask := func(query string) *xmpp.Stanza {
			return romeo.Ask(`<iq type='get' id='i' to='localhost'><query xmlns='` + query + `' node='` + node + `'/></iq>`)
		}
		switch got := ask(discoItems); {
		case node == "" && strings.Contains(got.XML(), "users"):
			t.Errorf("romeo sees %s", got.XML())
		case node != "" && condition(got) != "forbidden":
			t.Errorf("romeo sees what is below %q: %s", node, got.XML())
		}
		if got := ask(discoInfo); node != "" && condition(got) != "forbidden" {
			t.Errorf("romeo learns what %q is: %s", node, got.XML())
		}
	}
}
