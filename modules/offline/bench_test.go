package offline_test

import (
	"fmt"
	"testing"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/xmpp"
)

// BenchmarkFetch is a user who comes and is given what waits, on SQLite and
// without a socket. One op is 50 messages.
func BenchmarkFetch(b *testing.B) {
	s := modtest.Start(b, "", disco.Module, offline.Module)
	const waiting = 50
	romeo, juliet := s.Login("romeo@localhost/orchard"), s.Login("juliet@localhost/balcony")
	for b.Loop() {
		b.StopTimer()
		juliet.Say(`<presence type='unavailable'/>`)
		for i := range waiting {
			romeo.Say(fmt.Sprintf(`<message type='chat' id='m%d' to='juliet@localhost'><body>It is the east, and Juliet is the sun. %d</body></message>`, i, i))
		}
		juliet.Inbox()
		b.StartTimer()
		juliet.Say(`<presence/>`)
		got := 0
		for _, st := range juliet.Inbox() {
			if st.Kind == xmpp.Message {
				got++
			}
		}
		if got != waiting {
			b.Fatalf("%d of %d messages", got, waiting)
		}
	}
}
