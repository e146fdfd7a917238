package servicelog_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/servicelog"
	"github.com/gabberd/gabberd/xmpp"
)

// logger is a service that keeps what it is sent.
type logger struct{ got []*xmpp.Stanza }

func (l *logger) Route(_ context.Context, st *xmpp.Stanza) { l.got = append(l.got, st) }

func TestCopies(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_service_log: {loggers: [log.example, localhost]}}", servicelog.Module)
	l := &logger{}
	t.Cleanup(s.Router.Register("log.example", "localhost", l))
	romeo, juliet := s.Available("romeo@localhost/x"), s.Available("juliet@localhost/y")
	l.got = nil
	romeo.Say(`<message to='juliet@localhost/y' type='chat'><body>hi</body></message>`)
	if in := juliet.Inbox(); len(in) != 1 || in[0].Body() != "hi" {
		t.Errorf("juliet got %v", in)
	}
	if len(l.got) != 2 {
		t.Fatalf("the service got %v", l.got)
	}
	for _, st := range l.got {
		copied := st.Child("urn:xmpp:forward:0", "forwarded").Child(xmpp.NSClient, "message")
		if st.From.String() != "localhost" || copied == nil || copied.Attr("from") != "romeo@localhost/x" || !strings.Contains(copied.XML(), "hi") {
			t.Errorf("the service got %v", st)
		}
	}
	if in := romeo.Inbox(); len(in) != 0 {
		t.Errorf("romeo got %v", in)
	}
}
