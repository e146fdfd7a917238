package roster_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

type nothing struct{}

func (*nothing) Fields(*config.Fields) {}

// meddler has everybody see tybalt in their rosters as long as on is true, and
// calls juliet Jule.
func meddler(on *bool) modules.Module {
	return modules.Define("mod_test_meddler", modules.Spec[nothing]{Start: func(h *modules.Host, _ nothing) error {
		roster.Get.Add(h, 60, func(_ context.Context, c roster.Contents, _ xmpp.JID) (roster.Contents, hooks.Flow) {
			if !*on {
				return c, hooks.Next
			}
			c.Items = slices.Clone(c.Items)
			for i := range c.Items {
				if c.Items[i].JID.Local() == "juliet" {
					c.Items[i].Name = "Jule"
				}
			}
			c.Items = append(c.Items, roster.Item{JID: xmpp.MustParse("tybalt@localhost"), Name: "Tybalt"})
			return c, hooks.Next
		})
		return nil
	}})
}

// fetched is the names in the roster that a client is answered, and its version.
func fetched(c *modtest.Client, attr string) (names, version string) {
	query := c.Ask(`<iq type='get' id='r'><query xmlns='` + ns + `' ` + attr + `/></iq>`).Payload()
	if query == nil {
		return "has it", ""
	}
	var list []string
	for el := range query.Children() {
		list = append(list, el.Attr("name"))
	}
	return strings.Join(list, " "), query.Attr("ver")
}

// TestOthersChangeTheAnswer and not what is kept of it.
func TestOthersChangeTheAnswer(t *testing.T) {
	on := false
	s := modtest.Start(t, "modules:\n  mod_roster: {versioning: true}\n", roster.Module, meddler(&on))
	romeo := s.Login("romeo@localhost/orchard")
	set(romeo, `<item jid='juliet@localhost' name='Juliet'/>`)
	set(romeo, `<item jid='benvolio@localhost' name='Benvolio'/>`)
	versions := map[bool]string{}
	for range 3 {
		for _, on = range []bool{false, true} {
			want := map[bool]string{false: "Benvolio Juliet", true: "Benvolio Jule Tybalt"}[on]
			if got, version := fetched(romeo, ""); got != want || version != "" {
				t.Errorf("others %v: romeo sees %q, version %q", on, got, version)
			}
			got, version := fetched(romeo, "ver=''")
			if got != want || version == "" || versions[on] != "" && versions[on] != version {
				t.Errorf("others %v: romeo sees %q, version %q, before it was %q", on, got, version, versions[on])
			}
			versions[on] = version
			if got, _ := fetched(romeo, "ver='"+version+"'"); got != "has it" {
				t.Errorf("others %v: with its version romeo is answered %q", on, got)
			}
		}
	}
	if versions[false] == versions[true] {
		t.Error("two rosters have one version")
	}
}

// TestRosterComesFromMemory until somebody says that the database was changed.
func TestRosterComesFromMemory(t *testing.T) {
	s := start(t, "")
	romeo := s.Login("romeo@localhost/orchard")
	set(romeo, `<item jid='juliet@localhost' name='Juliet'/>`)
	sees := func(want string) {
		t.Helper()
		if got, _ := fetched(romeo, ""); got != want {
			t.Errorf("romeo sees %q, want %q", got, want)
		}
	}
	sees("Juliet")
	db, err := s.DB(t.Context(), "mnesia")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `UPDATE rosterusers SET nick = 'J' WHERE {host} AND username = 'romeo'`); err != nil {
		t.Fatal(err)
	}
	sees("Juliet")
	local.ClearCache.Run(t.Context(), s.Parts.Hooks, s.Host)
	sees("J")
	set(romeo, `<item jid='juliet@localhost' name='Jule'/>`)
	sees("Jule")
	set(romeo, `<item jid='juliet@localhost' subscription='remove'/>`)
	sees("")
}

// TestManyFetchAndChange: nobody is left with a roster that is not the last one.
func TestManyFetchAndChange(t *testing.T) {
	s := start(t, "versioning: true")
	one, two := s.Login("romeo@localhost/1"), s.Login("romeo@localhost/2")
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 100 {
			set(one, `<item jid='juliet@localhost' name='`+strconv.Itoa(i)+`'/>`)
		}
	})
	all.Go(func() {
		for i := range 100 {
			fetched(two, []string{"", "ver=''"}[i%2])
		}
	})
	all.Wait()
	for _, attr := range []string{"", "ver=''", "ver='x'"} {
		if got, _ := fetched(two, attr); got != "99" {
			t.Errorf("%s: the name is %q", attr, got)
		}
	}
}

// TestVersionIsNotNewerThanTheRoster: the version is in the database, and what is
// in the memory of this node is older, for news of the other one is on its way.
func TestVersionIsNotNewerThanTheRoster(t *testing.T) {
	for _, o := range []string{"versioning: true", "versioning: true, store_current_id: true"} {
		t.Run(o, func(t *testing.T) {
			c := startNodes(t, o)
			one, two := c.List[0].Login("romeo@localhost/1"), c.List[1].Login("romeo@localhost/2")
			set(one, `<item jid='juliet@localhost' name='old'/>`)
			c.Settle()
			fetched(two, "ver=''")
			c.Hold()
			set(one, `<item jid='juliet@localhost' name='new'/>`)
			name, version := fetched(two, "ver=''")
			two.Logout() // before the news
			c.Settle()
			two = c.List[1].Login("romeo@localhost/2")
			for _, x := range []*modtest.Client{one, two} {
				if got, _ := fetched(x, ""); got != "new" {
					t.Errorf("%s sees %q", x.JID, got)
				}
			}
			_, now := fetched(one, "ver=''")
			if version == now && name != "new" {
				t.Errorf("the last version was given with %q, which is older", name)
			}
			want := map[bool]string{true: "has it", false: "new"}[version == now]
			if got, _ := fetched(two, "ver='"+version+"'"); got != want {
				t.Errorf("who has version %q is answered %q, the last one is %q", version, got, now)
			}
		})
	}
}
