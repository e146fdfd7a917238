package roster_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

// BenchmarkFetch is a client that asks for its roster: from the session of the
// client to that session again, without sockets.
func BenchmarkFetch(b *testing.B) {
	for _, options := range []string{"", "versioning: true", "use_cache: false"} {
		for _, contacts := range []int{6, 50} {
			b.Run(fmt.Sprintf("%d contacts {%s}", contacts, options), func(b *testing.B) { benchFetch(b, contacts, options) })
		}
	}
}

func benchFetch(b *testing.B, contacts int, options string) {
	s := start(b, options)
	romeo := s.Login("romeo@localhost/orchard")
	for i := range contacts {
		if got := set(romeo, fmt.Sprintf("<item jid='contact%d@localhost' name='Contact %d'><group>Friends</group></item>", i, i)); got != "result" {
			b.Fatal(got)
		}
	}
	ask := xmpp.New(xmpp.IQ, "get", romeo.JID, romeo.JID.Bare(), "r", xmpp.Build(ns, "query").Attr("ver", "").Done())
	ctx, n := context.Background(), 0
	romeo.Inbox()
	b.ReportAllocs()
	for b.Loop() {
		s.Sessions.Submit(ctx, romeo.Session, ask)
		n += len(answers(romeo))
	}
	if n != b.N {
		b.Errorf("%d answers to %d requests", n, b.N)
	}
}

// answers is the rosters that a client has been sent since the last time.
func answers(c *modtest.Client) (list []*xmpp.Stanza) {
	for _, st := range c.Inbox() {
		if st.Type == "result" && st.Payload() != nil {
			list = append(list, st)
		}
	}
	return list
}
