package modtest_test

import (
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
)

func TestMessageReachesTheOtherUser(t *testing.T) {
	s := modtest.Start(t, "")
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	romeo.Say(`<message to='juliet@localhost' type='chat'><body>hi &amp; bye</body></message>`)
	in := juliet.Inbox()
	if len(in) != 1 || in[0].Body() != "hi & bye" || in[0].From != romeo.JID {
		t.Fatalf("juliet got %v", in)
	}
	romeo.Say(`<message to='nobody@localhost' type='chat'><body>hi</body></message>`)
	if in := romeo.Inbox(); len(in) != 1 || in[0].Type != "error" {
		t.Errorf("romeo got %v", in)
	}
	if got := romeo.Ask(`<iq type='get' id='1' to='localhost'><query xmlns='none'/></iq>`); got.Type != "error" {
		t.Errorf("got %v", got)
	}
}
