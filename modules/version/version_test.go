package version_test

import (
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/version"
)

const ns = "jabber:iq:version"

func TestVersion(t *testing.T) {
	for _, c := range []struct {
		yaml string
		os   bool
	}{
		{"", true},
		{"modules: {mod_version: {show_os: false}}", false},
	} {
		s := modtest.Start(t, c.yaml, version.Module)
		q := s.Login("romeo@localhost/orchard").Ask(`<iq type='get' id='1' to='localhost'><query xmlns='` + ns + `'/></iq>`).Payload()
		if q.Child(ns, "name").Text() != "gabberd" || q.Child(ns, "version").Text() == "" {
			t.Errorf("%q: got %v", c.yaml, q)
		}
		if got := q.Child(ns, "os").Text() != ""; got != c.os {
			t.Errorf("%q: got %v", c.yaml, q)
		}
	}
}

func TestOnlyGetIsAnswered(t *testing.T) {
	s := modtest.Start(t, "", version.Module)
	c := s.Login("romeo@localhost/orchard")
	for _, bad := range []string{
		`<iq type='set' id='1' to='localhost'><query xmlns='` + ns + `'/></iq>`,
		`<iq type='get' id='1' to='localhost'><version xmlns='` + ns + `'/></iq>`,
	} {
		if got := c.Ask(bad); got.Type != "error" {
			t.Errorf("%s is answered %v", bad, got)
		}
	}
}
