package mam_test

import (
	"testing"

	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// TestBind2 tells where the archive ends, and hands over only what it does not have.
func TestBind2(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_mam: {default: always}}", mam.Module, offline.Module)
	s.Register("juliet@localhost", "secret")
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(`<message to='juliet@localhost' type='chat' id='a'><body>archived</body></message>`)
	romeo.Say(`<message to='juliet@localhost' type='chat' id='b'><body>not</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>`)
	juliet := s.Login("juliet@localhost/balcony")
	bind := func() sm.Answers {
		return sm.InlineBind.Run(t.Context(), s.Parts.Hooks, nil, sm.Binding{Session: juliet.Session, Request: xmpp.El("urn:xmpp:bind:0", "bind")})
	}
	got := bind()
	if len(got) != 1 || got[0].Child("urn:xmpp:mam:2", "end").Attr("id") == "" {
		t.Fatalf("answers: %v", got)
	}
	juliet.Say(`<presence/>`)
	var waited []string
	for _, st := range juliet.Inbox() {
		if st.Kind == xmpp.Message {
			waited = append(waited, st.ID)
		}
	}
	if len(waited) != 1 || waited[0] != "b" {
		t.Errorf("juliet was handed over %q", waited)
	}
}
