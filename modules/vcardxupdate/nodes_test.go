package vcardxupdate_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/modules/vcardxupdate"
	"github.com/gabberd/gabberd/xmpp"
)

func startNodes(t *testing.T) *modtest.Nodes {
	t.Helper()
	var reads atomic.Int64
	return modtest.StartNodes(t, 2, "", vcard.Module, vcardxupdate.Module, friends(&reads))
}

// said is the hash in what a client's session has said last.
func said(c *modtest.Client) string {
	p, _ := c.Session.Presence()
	return p.Child(ns, "x").Child(ns, "photo").Text()
}

// TestClientsOfAnotherNodeTellTheHash: juliet has the presence of both of romeo's
// clients, and each tells her of a photo that one of them has set.
func TestClientsOfAnotherNodeTellTheHash(t *testing.T) {
	c := startNodes(t)
	here, there := c.List[0].Available("romeo@localhost/orchard"), c.List[1].Available("romeo@localhost/street")
	shy := c.List[1].Login("romeo@localhost/shy")
	shy.Say(`<presence><x xmlns='` + ns + `'><photo/></x></presence>`)
	silent := c.List[1].Login("romeo@localhost/silent")
	there.Say(`<presence><show>dnd</show></presence>`)
	juliet := c.List[1].Available("juliet@localhost/balcony")
	for _, x := range []struct {
		by    *modtest.Client
		photo string
		hash  string
	}{{here, "AAAA", threeZeros}, {there, "AA==", oneZero}, {silent, "AAAA", threeZeros}} {
		juliet.Inbox()
		if got := set(x.by, "<PHOTO><BINVAL>"+x.photo+"</BINVAL></PHOTO>"); got != "result" {
			t.Fatal(got)
		}
		c.Settle()
		told := map[string]string{}
		c.Await("juliet is told "+x.hash+" by both", func() bool {
			for _, st := range juliet.Inbox() {
				if st.Kind == xmpp.Presence {
					told[st.From.Resource()] = st.Child(ns, "x").Child(ns, "photo").Text() + st.Child(xmpp.NSClient, "show").Text()
				}
			}
			return told["orchard"] == x.hash && told["street"] == x.hash+"dnd"
		})
		if len(told) != 2 {
			t.Errorf("others said something, too: %v", told)
		}
		// Who comes now says the same.
		late := c.List[1].Available("romeo@localhost/late")
		if got := said(late); got != x.hash {
			t.Errorf("a new client says %q", got)
		}
		late.Logout()
	}
	if p, _ := silent.Session.Presence(); p != nil {
		t.Errorf("who was not available says %s", p.XML())
	}
}

// TestHashIsForgottenOnAllNodes when the account goes, or an operator says so.
func TestHashIsForgottenOnAllNodes(t *testing.T) {
	c := startNodes(t)
	here, there := c.List[0].Available("romeo@localhost/orchard"), c.List[1].Available("romeo@localhost/street")
	set(here, "<PHOTO><BINVAL>AAAA</BINVAL></PHOTO>")
	c.Settle()
	c.Await("the other client says so", func() bool { return said(there) == threeZeros })
	db, err := c.List[0].DB(t.Context(), "sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `UPDATE vcard SET vcard = ? WHERE {host} AND username = 'romeo'`,
		"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>AA==</BINVAL></PHOTO></vCard>"); err != nil {
		t.Fatal(err)
	}
	if there.Say(`<presence/>`); said(there) != threeZeros {
		t.Fatal("the hash is not in memory")
	}
	local.ClearCache.Run(t.Context(), c.List[0].Parts.Hooks, c.List[0].Host)
	c.Settle()
	for _, x := range []*modtest.Client{here, there} {
		if x.Say(`<presence/>`); said(x) != oneZero {
			t.Errorf("%s still says %q", x.JID, said(x))
		}
	}
	if err := c.List[0].Auth.Remove(t.Context(), here.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	c.Await("romeo is gone", func() bool { return here.Closed() != "" && there.Closed() != "" })
	for i, s := range c.List {
		if x := s.Available("romeo@localhost/" + strconv.Itoa(i)); said(x) != "" {
			t.Errorf("on node %d a new romeo says %q", i+1, said(x))
		}
	}
}

// TestMalformedChangesAreRefused: they come from outside of the process.
func TestMalformedChangesAreRefused(t *testing.T) {
	var reads atomic.Int64
	s := modtest.Start(t, "", vcard.Module, vcardxupdate.Module, friends(&reads))
	romeo := s.Available("romeo@localhost/orchard")
	for _, payload := range []string{``, `{}`, `["romeo@localhost"]`, `""`, `"@"`, `"` + strings.Repeat("x", 5000) + `@localhost"`} {
		if err := hooks.Hear(t.Context(), s.Parts.Hooks, "vcard_changed", []byte(payload)); err == nil {
			t.Errorf("%.50s was heard", payload)
		}
	}
	// A stranger's, and that of somebody who is not here, are nobody's business.
	for _, user := range []string{"juliet@elsewhere.example", "nobody@localhost", "localhost"} {
		if err := hooks.Hear(t.Context(), s.Parts.Hooks, "vcard_changed", []byte(strconv.Quote(user))); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	s.Stop()
	if got := len(romeo.Inbox()); got > 1 {
		t.Errorf("romeo was sent %d stanzas", got)
	}
}
