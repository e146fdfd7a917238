package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/clock"
	"github.com/gabberd/gabberd/modules/modtest"
)

const ns = "urn:xmpp:time"

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, "", clock.Module)
		c := s.Login("romeo@localhost/orchard")
		now := time.Now()
		el := c.Ask(`<iq type='get' id='1' to='localhost'><time xmlns='` + ns + `'/></iq>`).Payload()
		got, err := time.Parse(time.RFC3339, el.Child(ns, "utc").Text())
		if err != nil || !got.Equal(now.Truncate(time.Second)) || el.Child(ns, "utc").Text()[19:] != "Z" {
			t.Errorf("got %v at %v: %v", el, now, err)
		}
		zone, err := time.Parse("-07:00", el.Child(ns, "tzo").Text())
		if err != nil {
			t.Fatalf("got %v: %v", el, err)
		}
		_, want := now.Zone()
		if _, got := zone.Zone(); got != want {
			t.Errorf("got a zone of %d s, want %d", got, want)
		}
	})
}

func TestOnlyGetIsAnswered(t *testing.T) {
	s := modtest.Start(t, "", clock.Module)
	c := s.Login("romeo@localhost/orchard")
	for _, bad := range []string{
		`<iq type='set' id='1' to='localhost'><time xmlns='` + ns + `'/></iq>`,
		`<iq type='get' id='1' to='localhost'><query xmlns='` + ns + `'/></iq>`,
	} {
		if got := c.Ask(bad); got.Type != "error" {
			t.Errorf("%s is answered %v", bad, got)
		}
	}
}
