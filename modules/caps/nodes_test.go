package caps_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/caps"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

// TestClientIsAskedByItsOwnNode: an answer to the other node would not get there.
// That one waits until the client's own node knows.
func TestClientIsAskedByItsOwnNode(t *testing.T) {
	r := &recorder{friend: "romeo@localhost"}
	c := modtest.StartNodes(t, 2, "", disco.Module, caps.Module, r.module())
	romeo, juliet := c.List[0].Login("romeo@localhost/orchard"), c.List[1].Available("juliet@localhost/balcony")
	c.Await("each node knows the other's client", func() bool {
		return c.List[0].Sessions.Find(juliet.JID) != nil && c.List[1].Sessions.Find(romeo.JID) != nil
	})
	romeo.Say(strings.Replace(presence, "<presence>", "<presence to='juliet@localhost/balcony'>", 1))
	romeo.Say(presence)
	var asked []*xmpp.Stanza
	c.Await("romeo is asked", func() bool {
		for _, st := range romeo.Inbox() {
			if st.Has(disco.NSInfo, "query") {
				asked = append(asked, st)
			}
		}
		return len(asked) > 0
	})
	romeo.Say(`<iq type='result' id='` + asked[0].ID + `' to='localhost'><query xmlns='` + disco.NSInfo + `'>` + honest + `</query></iq>`)
	c.Await("juliet's node knows what romeo's client can do", func() bool {
		found := false
		r.note(func() {
			for _, s := range r.added {
				found = found || s.From == romeo.JID && s.To == juliet.JID && len(s.Features) == 4
			}
		})
		return found
	})
	if more := romeo.Inbox(); len(asked) != 1 || len(more) > 1 { // his own presence comes, too
		t.Errorf("romeo was asked %v, and got %v", asked, more)
	}
}
