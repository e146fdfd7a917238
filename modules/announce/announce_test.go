package announce_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/announce"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

type none struct{}

func (*none) Fields(*config.Fields) {}

// A keeper is a module that keeps messages for those who are away.
type keeper struct {
	mu   sync.Mutex
	kept []*xmpp.Stanza
}

func (k *keeper) module() modules.Module {
	return modules.Define("mod_test_keeper", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		sm.Offline.Add(h, hooks.Normal, func(_ context.Context, _ sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.kept = append(k.kept, st)
			return sm.Stored, hooks.Stop
		})
		return nil
	}})
}

func bubble(t *testing.T, f func(t *testing.T, s *modtest.Server, k *keeper)) {
	synctest.Test(t, func(t *testing.T) {
		k := new(keeper)
		f(t, modtest.Start(t, `
acl: {admin: {user: [prince@localhost]}}
access_rules: {announce: {allow: admin}}
modules: {mod_announce: {access: announce}}
`, adhoc.Module, announce.Module, k.module()), k)
	})
}

// bodies are the texts that c has got, with their types.
func bodies(c *modtest.Client) string {
	synctest.Wait()
	var out []string
	for _, st := range c.Inbox() {
		if st.Kind == xmpp.Message {
			out = append(out, strings.TrimSpace(st.Type+" "+st.Body()))
		}
	}
	return strings.Join(out, ", ")
}

func say(c *modtest.Client, resource, body string) {
	c.Say(`<message to='localhost/` + resource + `' type='headline'><subject>News</subject><body>` + body + `</body></message>`)
}

func TestOnline(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, k *keeper) {
		prince := s.Available("prince@localhost/throne")
		a, b := s.Available("romeo@localhost/a"), s.Login("romeo@localhost/b")
		s.Register("juliet@localhost", "secret")
		for _, resource := range []string{"announce/online", "announce/all-hosts/online"} {
			say(prince, resource, resource)
			for _, c := range []*modtest.Client{prince, a, b} {
				if got := bodies(c); got != "headline "+resource {
					t.Errorf("%s got %q", c.JID, got)
				}
			}
		}
		if len(k.kept) != 0 {
			t.Errorf("kept for those who are away: %v", k.kept)
		}
	})
}

func TestAll(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, k *keeper) {
		prince := s.Available("prince@localhost/throne")
		romeo := s.Available("romeo@localhost/a")
		s.Register("juliet@localhost", "secret")
		prince.Say(`<message to='localhost/announce/all'><body>Hear ye</body></message>`)
		if got := bodies(romeo); got != "Hear ye" {
			t.Errorf("romeo got %q", got)
		}
		if len(k.kept) != 1 || k.kept[0].To.String() != "juliet@localhost" || k.kept[0].From != s.JID {
			t.Errorf("kept: %v", k.kept)
		}
	})
}

func TestMessageOfTheDay(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, _ *keeper) {
		prince, romeo := s.Available("prince@localhost/throne"), s.Available("romeo@localhost/a")
		juliet := func() string {
			c := s.Login("juliet@localhost/x")
			c.Say(`<presence/>`)
			got := bodies(c)
			c.Say(`<presence><show>away</show></presence>`)
			if more := bodies(c); more != "" {
				t.Errorf("a change of presence brings %q", more)
			}
			c.Logout()
			return got
		}
		if got := juliet(); got != "" {
			t.Errorf("without a message juliet gets %q", got)
		}
		say(prince, "announce/motd", "one")
		if got := bodies(romeo); got != "headline one" {
			t.Errorf("romeo, online, got %q", got)
		}
		for i, want := range []string{"headline one", "", ""} {
			if got := juliet(); got != want {
				t.Errorf("login %d of juliet brings %q, want %q", i, got, want)
			}
		}
		romeo.Logout()
		again := s.Login("romeo@localhost/b")
		again.Say(`<presence/>`)
		if got := bodies(again); got != "" {
			t.Errorf("romeo, who has seen it, gets %q", got)
		}
		say(prince, "announce/motd/update", "two")
		if got := bodies(again); got != "" {
			t.Errorf("an update is sent: %q", got)
		}
		if got := juliet(); got != "headline two" {
			t.Errorf("after an update juliet gets %q", got)
		}
		say(prince, "announce/motd/delete", "")
		say(prince, "announce/all-hosts/motd/update", "three")
		say(prince, "announce/all-hosts/motd/delete", "")
		if got := juliet(); got != "" {
			t.Errorf("after it was deleted juliet gets %q", got)
		}
	})
}

func TestNobodyElseMayAnnounce(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, _ *keeper) {
		prince, tybalt := s.Available("prince@localhost/throne"), s.Available("tybalt@localhost/x")
		say(prince, "announce/motd", "honest")
		bodies(prince)
		bodies(tybalt)
		for _, hosts := range []string{"", "all-hosts/"} {
			for _, what := range []string{"all", "online", "motd", "motd/update", "motd/delete"} {
				say(tybalt, "announce/"+hosts+what, "evil")
				synctest.Wait()
				in := tybalt.Inbox()
				if len(in) != 1 || xmpp.ParseError(in[0]) == nil || !xmpp.ParseError(in[0]).Is(xmpp.Forbidden) {
					t.Errorf("%s%s: got %v", hosts, what, in)
				}
			}
		}
		if got := bodies(prince); got != "" {
			t.Errorf("the prince got %q", got)
		}
		if got, err := s.Command("announce_motd_get", "localhost"); got != "News\thonest" || err != nil {
			t.Errorf("the message of the day is %q, %v", got, err)
		}
		for _, name := range strings.Fields("announce announce-all set-motd edit-motd delete-motd announce-allhosts announce-all-allhosts set-motd-allhosts edit-motd-allhosts delete-motd-allhosts") {
			if got := xmpp.ParseError(submit(tybalt, name, "subject", "x", "body", "evil", "confirm", "1")); got == nil || !got.Is(xmpp.Forbidden) {
				t.Errorf("%s: got %v", name, got)
			}
		}
		// Another host may let him announce to all; this one decides for itself.
		evil := announce.Announcement{By: tybalt.JID, Deed: announce.ToOnline, Message: xmpp.NewMessage("headline", tybalt.JID, s.JID, xmpp.TextEl(xmpp.NSClient, "body", "evil"))}
		if n := announce.Everywhere.Run(context.Background(), s.Hooks, 0, evil); n != 0 || bodies(prince) != "" {
			t.Errorf("%d hosts took part", n)
		}
	})
}

func submit(c *modtest.Client, name string, fields ...string) *xmpp.Stanza {
	f := &form.Form{Kind: form.Submit}
	for i := 0; i < len(fields); i += 2 {
		f.Fields = append(f.Fields, form.Field{Var: fields[i], Values: strings.Split(fields[i+1], "\n")})
	}
	return c.Ask(`<iq type='set' id='c' to='localhost'><command xmlns='` + adhoc.NS + `' node='http://jabber.org/protocol/admin#` + name + `'>` + f.Element().XML() + `</command></iq>`)
}

func TestForms(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, k *keeper) {
		prince, romeo := s.Available("prince@localhost/throne"), s.Available("romeo@localhost/a")
		s.Register("juliet@localhost", "secret")
		motd := func() string {
			got, err := s.Command("announce_motd_get", "localhost")
			if err != nil {
				t.Error(err)
			}
			return got
		}
		for _, c := range []struct{ name, body, romeo, motd string }{
			{"announce", "a\nb", "headline a\nb", "\t"},
			{"announce-allhosts", "c", "headline c", "\t"},
			{"announce-all", "d", "d", "\t"},
			{"set-motd", "e", "headline e", "s\te"},
			{"edit-motd", "f", "", "s\tf"},
		} {
			got := submit(prince, c.name, "subject", "s", "body", c.body)
			if got.Type != "result" || got.Payload().Attr("status") != "completed" {
				t.Errorf("%s: %v", c.name, got)
			}
			if got := bodies(romeo); got != c.romeo {
				t.Errorf("%s: romeo got %q", c.name, got)
			}
			if got := motd(); got != c.motd {
				t.Errorf("%s: the message of the day is %q", c.name, got)
			}
		}
		if len(k.kept) != 1 || k.kept[0].Body() != "d" {
			t.Errorf("kept for juliet: %v", k.kept)
		}
		if got := submit(prince, "announce", "subject", "s", "body", ""); got.Type != "error" {
			t.Errorf("nothing was announced: %v", got)
		}
		asked := prince.Ask(`<iq type='set' id='c' to='localhost'><command xmlns='` + adhoc.NS + `' node='http://jabber.org/protocol/admin#edit-motd'/></iq>`)
		if f, err := form.Find(asked.Payload()); err != nil || f.Value("subject") != "s" || f.Text("body") != "f" {
			t.Errorf("the form to edit is %v, %v", asked, err)
		}
		if submit(prince, "delete-motd", "confirm", "0"); motd() != "s\tf" {
			t.Error("deleted without confirmation")
		}
		if submit(prince, "delete-motd", "confirm", "1"); motd() != "\t" {
			t.Error("not deleted")
		}
	})
}

func TestCommands(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, k *keeper) {
		romeo := s.Available("romeo@localhost/a")
		s.Register("juliet@localhost", "secret")
		for _, c := range []struct{ words, romeo string }{
			{"announce_send_online localhost s one", "headline one"},
			{"announce_send_all localhost s two", "two"},
			{"announce_send_all global s three", "three"},
			{"announce_motd_set_online localhost s four", "headline four"},
			{"announce_motd_update localhost s five", ""},
			{"announce_motd_delete localhost", ""},
		} {
			w := strings.Fields(c.words)
			if out, err := s.Command(w[0], w[1:]...); out != "" || err != nil {
				t.Errorf("%s: %q, %v", c.words, out, err)
			}
			if got := bodies(romeo); got != c.romeo {
				t.Errorf("%s: romeo got %q, want %q", c.words, got, c.romeo)
			}
		}
		if len(k.kept) != 2 {
			t.Errorf("kept for juliet: %v", k.kept)
		}
	})
}

func TestOtherResourcesAreLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, _ *keeper) {
		prince := s.Available("prince@localhost/throne")
		say(prince, "announce/nonsense", "x")
		synctest.Wait()
		if in := prince.Inbox(); len(in) != 0 {
			t.Errorf("got %v for a headline to nobody", in)
		}
		prince.Say(`<message to='localhost/announce/nonsense'><body>x</body></message>`)
		synctest.Wait()
		if in := prince.Inbox(); len(in) != 1 || !xmpp.ParseError(in[0]).Is(xmpp.ItemNotFound) {
			t.Errorf("got %v", in)
		}
	})
}
