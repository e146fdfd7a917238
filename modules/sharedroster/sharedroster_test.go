package sharedroster_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/modules/sharedroster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func all() []modules.Module { return []modules.Module{sharedroster.Module, roster.Module} }

func cmd(t *testing.T, s *modtest.Server, words ...string) string {
	t.Helper()
	out, err := s.Command(words[0], words[1:]...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return out
}

// item is a contact in short: jid subscription group,group.
func item(el *xmpp.Element) string {
	var groups []string
	for g := range el.Children() {
		groups = append(groups, g.Text())
	}
	return strings.TrimSpace(el.Attr("jid") + " " + el.Attr("subscription") + " " + strings.Join(groups, ","))
}

// contacts is the roster of a client, which is told of changes from then on.
func contacts(c *modtest.Client) (list []string) {
	for el := range c.Ask(`<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>`).Payload().Children() {
		list = append(list, item(el))
	}
	return list
}

// got is what a client was sent: pushes, and presence in short. In order of text.
func got(c *modtest.Client) []string {
	out := []string{}
	for _, st := range c.Inbox() {
		switch {
		case st.Kind == xmpp.IQ && st.Type == "set":
			out = append(out, "push "+item(st.Payload().Child("", "")))
		case st.Kind == xmpp.Presence:
			out = append(out, strings.TrimSpace("presence "+st.From.String()+" "+st.Type))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func expect(t *testing.T, c *modtest.Client, want ...string) {
	t.Helper()
	slices.Sort(want)
	if in := got(c); !slices.Equal(in, want) && len(in)+len(want) > 0 {
		t.Errorf("%s got %q, want %q", c.JID, in, want)
	}
}

// family makes a group whose members see each other.
func family(t *testing.T, s *modtest.Server, users ...string) {
	t.Helper()
	cmd(t, s, "srg_create", "family", "localhost", "The Family", "All of them", "family")
	for _, u := range users {
		cmd(t, s, "srg_user_add", u, "localhost", "family", "localhost")
	}
}

func TestMembersSeeEachOther(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	family(t, s, "romeo", "juliet")
	romeo := s.Login("romeo@localhost/x")
	if got := contacts(romeo); !slices.Equal(got, []string{"juliet@localhost both The Family"}) {
		t.Errorf("the roster is %q", got)
	}
	romeo.Say(`<presence/>`)
	romeo.Inbox()
	juliet := s.Login("juliet@localhost/y")
	juliet.Say(`<presence/>`)
	expect(t, romeo, "presence juliet@localhost/y")
	expect(t, juliet, "presence juliet@localhost/y", "presence romeo@localhost/x")
	c := sm.JIDInfo.Run(t.Context(), s.Parts.Hooks, sm.Contact{}, sm.Pair{User: romeo.JID.Bare(), Other: juliet.JID})
	if c.Subscription != "both" || !slices.Equal(c.Groups, []string{"The Family"}) {
		t.Errorf("they stand to each other: %v", c)
	}
	// There is nothing to ask for, and nothing to take away.
	romeo.Say(`<presence type='unsubscribe' to='juliet@localhost'/>`)
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'/>`)
	expect(t, romeo)
	expect(t, juliet)
	if got := contacts(juliet); !slices.Equal(got, []string{"romeo@localhost both The Family"}) {
		t.Errorf("the roster is %q", got)
	}
}

func TestChangesArePushed(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	family(t, s, "romeo")
	romeo, juliet, tybalt := s.Available("romeo@localhost/x"), s.Available("juliet@localhost/y"), s.Available("tybalt@localhost/z")
	for _, c := range []*modtest.Client{romeo, juliet, tybalt} {
		if got := contacts(c); len(got) > 0 {
			t.Errorf("%s: %q", c.JID, got)
		}
	}
	cmd(t, s, "srg_user_add", "juliet", "localhost", "family", "localhost")
	expect(t, romeo, "push juliet@localhost both The Family", "presence juliet@localhost/y")
	expect(t, juliet, "push romeo@localhost both The Family", "presence romeo@localhost/x")
	expect(t, tybalt)
	cmd(t, s, "srg_set_info", "family", "localhost", "label", "Kin")
	romeo.Say(`<presence><show>away</show></presence>`)
	romeo.Inbox()
	if in := got(juliet); !slices.Contains(in, "push romeo@localhost both Kin") {
		t.Errorf("juliet got %q", in)
	}
	cmd(t, s, "srg_user_del", "juliet", "localhost", "family", "localhost")
	expect(t, romeo, "push juliet@localhost remove", "presence juliet@localhost/y unavailable")
	expect(t, juliet, "push romeo@localhost remove", "presence romeo@localhost/x unavailable")
	cmd(t, s, "srg_user_add", "juliet", "localhost", "family", "localhost")
	got(romeo)
	got(juliet)
	cmd(t, s, "srg_delete", "family", "localhost")
	expect(t, romeo, "push juliet@localhost remove", "presence juliet@localhost/y unavailable")
	expect(t, juliet, "push romeo@localhost remove", "presence romeo@localhost/x unavailable")
	if out := cmd(t, s, "srg_list", "localhost"); out != "" {
		t.Errorf("left: %s", out)
	}
}

// TestOneGroupSeesAnother: who is seen does not see.
func TestOneGroupSeesAnother(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	cmd(t, s, "srg_add", "staff", "localhost")
	cmd(t, s, "srg_create", "bosses", "localhost", "Bosses", "", "staff")
	cmd(t, s, "srg_user_add", "juliet", "localhost", "staff", "localhost")
	cmd(t, s, "srg_user_add", "romeo", "localhost", "bosses", "localhost")
	romeo, juliet := s.Available("romeo@localhost/x"), s.Available("juliet@localhost/y")
	if got := contacts(romeo); !slices.Equal(got, []string{"juliet@localhost both staff"}) {
		t.Errorf("the boss sees %q", got)
	}
	if got := contacts(juliet); len(got) > 0 {
		t.Errorf("the staff sees %q", got)
	}
	cmd(t, s, "srg_add_displayed", "staff", "localhost", "bosses")
	if in := got(juliet); !slices.Contains(in, "push romeo@localhost both Bosses") {
		t.Errorf("juliet got %q", in)
	}
	if out := cmd(t, s, "srg_get_displayed", "staff", "localhost"); out != "bosses" {
		t.Errorf("staff sees %s", out)
	}
	cmd(t, s, "srg_del_displayed", "staff", "localhost", "bosses")
	if in := got(juliet); !slices.Contains(in, "push romeo@localhost remove") {
		t.Errorf("juliet got %q", in)
	}
}

// TestOwnContactInAGroup: the user's name for him and his own groups stay.
func TestOwnContactInAGroup(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	family(t, s, "romeo", "juliet")
	romeo := s.Login("romeo@localhost/x")
	contacts(romeo)
	romeo.Ask(`<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost' name='Love'><group>Mine</group></item></query></iq>`)
	in := got(romeo)
	if !slices.Contains(in, "push juliet@localhost both Mine,The Family") {
		t.Errorf("pushes: %q", in)
	}
	if got := contacts(romeo); !slices.Equal(got, []string{"juliet@localhost both Mine,The Family"}) {
		t.Errorf("the roster is %q", got)
	}
	cmd(t, s, "srg_user_del", "juliet", "localhost", "family", "localhost")
	expect(t, romeo, "push juliet@localhost none Mine")
}

func TestAllAndOnline(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	s.Register("nurse@localhost", "x")
	cmd(t, s, "srg_create", "everybody", "localhost", "Everybody", "", "everybody")
	romeo := s.Available("romeo@localhost/x")
	contacts(romeo)
	cmd(t, s, "srg_user_add", "@all@", "", "everybody", "localhost")
	expect(t, romeo, "push nurse@localhost both Everybody")
	s.Register("paris@localhost", "x")
	expect(t, romeo, "push paris@localhost both Everybody")
	if err := s.Auth.Remove(context.Background(), xmpp.MustParse("paris@localhost")); err != nil {
		t.Fatal(err)
	}
	if in := got(romeo); !slices.Contains(in, "push paris@localhost remove") {
		t.Errorf("romeo got %q", in)
	}
	cmd(t, s, "srg_user_del", "@all@", "", "everybody", "localhost")
	expect(t, romeo, "push nurse@localhost remove")

	cmd(t, s, "srg_user_add", "@online@", "", "everybody", "localhost")
	expect(t, romeo)
	nurse := s.Login("nurse@localhost/1")
	expect(t, romeo)
	nurse.Say(`<presence/>`)
	if in := got(romeo); !slices.Contains(in, "push nurse@localhost both Everybody") || !slices.Contains(in, "presence nurse@localhost/1") {
		t.Errorf("romeo got %q", in)
	}
	second := s.Available("nurse@localhost/2")
	got(romeo)
	second.Logout()
	expect(t, romeo, "presence nurse@localhost/2 unavailable")
	nurse.Logout()
	if in := got(romeo); !slices.Contains(in, "push nurse@localhost remove") {
		t.Errorf("romeo got %q", in)
	}
}

func TestCommands(t *testing.T) {
	s := modtest.Start(t, `
acl: {kin: {shared_group: [family]}}
`, all()...)
	family(t, s, "romeo")
	if !s.Rules.In("kin", subject("romeo@localhost")) || s.Rules.In("kin", subject("tybalt@localhost")) {
		t.Error("access rules do not know who is in a group")
	}
	if out := cmd(t, s, "srg_get_info", "family", "localhost"); out != "label\tThe Family\ndescription\tAll of them\ndisplayed_groups\t[<<\"family\">>]" {
		t.Errorf("info: %q", out)
	}
	if out := cmd(t, s, "srg_get_members", "family", "localhost"); out != "romeo@localhost" {
		t.Errorf("members: %q", out)
	}
	for _, words := range [][]string{
		{"srg_create", "family", "localhost", "x", "x", ""}, {"srg_add", "", "localhost"}, {"srg_delete", "none", "localhost"},
		{"srg_get_info", "none", "localhost"}, {"srg_user_add", "romeo", "localhost", "none", "localhost"}, {"srg_user_add", "@", "localhost", "family", "localhost"},
		{"srg_set_info", "family", "localhost", "mood", "x"}, {"srg_add_displayed", "family", "localhost", "none"},
		{"srg_add", strings.Repeat("x", 2000), "localhost"},
	} {
		if out, err := s.Command(words[0], words[1:]...); err == nil {
			t.Errorf("%.100v: %s", words, out)
		}
	}
}

func TestTwoNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", all()...)
	here, there := c.List[0], c.List[1]
	family(t, here, "romeo")
	c.Settle()
	romeo, juliet := here.Available("romeo@localhost/x"), there.Available("juliet@localhost/y")
	contacts(romeo)
	contacts(juliet)
	c.Await("both nodes know both", func() bool {
		return len(here.Sessions.Available(juliet.JID.Bare())) == 1 && len(there.Sessions.Available(romeo.JID.Bare())) == 1
	})
	cmd(t, here, "srg_user_add", "juliet", "localhost", "family", "localhost")
	c.Settle()
	expect(t, romeo, "push juliet@localhost both The Family", "presence juliet@localhost/y")
	expect(t, juliet, "push romeo@localhost both The Family", "presence romeo@localhost/x")
	cmd(t, there, "srg_delete", "family", "localhost")
	c.Settle()
	expect(t, romeo, "push juliet@localhost remove", "presence juliet@localhost/y unavailable")
	expect(t, juliet, "push romeo@localhost remove", "presence romeo@localhost/x unavailable")
	cmd(t, here, "srg_create", "everybody", "localhost", "", "", "everybody")
	cmd(t, here, "srg_user_add", "@all@", "", "everybody", "localhost")
	c.Settle()
	got(juliet)
	here.Register("paris@localhost", "x")
	c.Settle()
	expect(t, juliet, "push paris@localhost both everybody")
}

func subject(j string) acl.Subject { return acl.Subject{JID: xmpp.MustParse(j)} }
