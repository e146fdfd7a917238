package offline_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// archivist is a module that has nearly all of what juliet is sent, and nothing else.
type archivist struct{ t *hooks.Table }

func (archivist) Name() string          { return "test" }
func (a archivist) Hooks() *hooks.Table { return a.t }
func (archivist) OnStop(func())         {}

// Who binds by Bind 2 finds in the archive what has waited, and is not sent it once
// more; without an archive it is not lost.
func TestBind2LeavesItToTheArchive(t *testing.T) {
	for _, archived := range []bool{false, true} {
		s, romeo := start(t, "")
		if archived {
			sm.InArchive.Add(archivist{s.Parts.Hooks}, hooks.Normal, func(_ context.Context, _ bool, st *xmpp.Stanza) (bool, hooks.Flow) {
				return st.To.Bare() == xmpp.MustParse("juliet@localhost") && st.Body() != "kept", hooks.Stop
			})
		}
		s.Register("nurse@localhost", "secret")
		say(romeo, "one", "kept", "two")
		romeo.Say(`<message to='nurse@localhost' type='chat' id='n'><body>Nurse!</body></message>`)
		settle(t, s)
		for _, full := range []string{"juliet@localhost/balcony", "nurse@localhost/house"} {
			c := s.Login(full)
			sm.InlineBind.Run(t.Context(), s.Parts.Hooks, nil, sm.Binding{Session: c.Session, Request: xmpp.El("urn:xmpp:bind:0", "bind")})
			want := map[string]string{"juliet@localhost/balcony": "one kept two", "nurse@localhost/house": "Nurse!"}[full]
			if archived && full == "juliet@localhost/balcony" {
				want = "kept" // the archive does not have it
				if n := count(t, s); n != "1" {
					t.Errorf("%s messages are left", n)
				}
			}
			c.Say(`<presence/>`)
			if got := heard(c); got != want {
				t.Errorf("archived %v, %s: got %q, want %q", archived, full, got, want)
			}
		}
	}
}
