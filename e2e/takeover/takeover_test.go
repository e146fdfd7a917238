// Package takeover shows that a database of ejabberd's is taken over and given
// back: Debian's ejabberd fills it, gabberd opens it and goes on, and ejabberd
// goes on after that.
package takeover

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/e2e/play"
	"github.com/gabberd/gabberd/storage/storagetest"
)

func TestTakeover(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, v)
			s.filled(t)
			s.opened(t)
			s.changed(t)
			s.givenBack(t)
			s.takenAgain(t)
		})
	}
}

// people have accounts before anything happens.
var people = []string{"romeo", "juliet", "mercutio", "benvolio", "nurse"}

// filled has ejabberd fill the databases.
func (s *site) filled(t *testing.T) {
	e := startEjabberd(t, s)
	for _, domain := range s.domains {
		for _, name := range people {
			e.register(t, name, domain, "secret")
		}
	}
	s.give(t, "1-ejabberd-fills", true)
	e.stop(t)
}

// opened has gabberd open them, which must not change a row of them.
func (s *site) opened(t *testing.T) {
	before := s.rows(t)
	startGabberd(t, s).stop(t)
	for name, rows := range s.rows(t) {
		if !slices.Equal(rows, before[name]) {
			t.Errorf("opening changed the rows of %s:\n%q\nwere\n%q", name, rows, before[name])
		}
	}
}

// changed has gabberd's users find everything, and go on.
func (s *site) changed(t *testing.T) {
	g := startGabberd(t, s)
	s.give(t, "2-gabberd-finds", false)
	for _, domain := range s.domains {
		g.command(t, "register", "balthasar", domain, "secret")
		g.command(t, "change_password", "juliet", domain, "another secret")
	}
	s.give(t, "3-gabberd-changes", false)
	g.stop(t)
}

// givenBack has ejabberd's users find everything, and go on.
func (s *site) givenBack(t *testing.T) {
	e := startEjabberd(t, s)
	s.give(t, "4-ejabberd-finds", true)
	for _, domain := range s.domains {
		e.register(t, "abraham", domain, "secret")
		if _, err := e.command(t.Context(), "change_password", map[string]string{"user": "romeo", "host": domain, "newpass": "another secret"}); err != nil {
			t.Errorf("ejabberd: %v", err)
		}
	}
	s.give(t, "5-ejabberd-changes", true)
	e.stop(t)
}

// takenAgain has gabberd's users find what ejabberd has changed.
func (s *site) takenAgain(t *testing.T) {
	g := startGabberd(t, s)
	s.give(t, "6-gabberd-finds", false)
	g.stop(t)
}

// give gives a play on every domain, on all of them at once.
func (s *site) give(t *testing.T, name string, theirs bool) {
	t.Helper()
	script, err := os.ReadFile(name + ".scs")
	if err != nil {
		t.Fatal(err)
	}
	rows := s.rows(t)
	var all sync.WaitGroup
	for _, domain := range s.domains {
		p, err := play.Parse(name+".scs", stamped(string(script), domain, rows[domain+"/spool"]))
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			// ejabberd refuses right tls-exporter data now and then.
			at := play.Server{Addr: s.client(), NoChannelBinding: theirs}
			if err := p.On(domain).Perform(t.Context(), at); err != nil {
				t.Errorf("%s: %v", domain, err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

var (
	stampIn = regexp.MustCompile(`\sstamp=\\?['"]([^'"\\]+)`)
	idIn    = regexp.MustCompile(`<message[^>]*\sid=\\?['"]([^'"\\]+)`)
)

// stamped has a script expect the times at which the messages in the spool were
// sent: "STAMP x" stands for that of the message with the id x.
func stamped(script, domain string, spool []string) string {
	for _, row := range spool {
		id, stamp := idIn.FindStringSubmatch(row), stampIn.FindStringSubmatch(row)
		if id != nil && stamp != nil && strings.Contains(row, "@"+domain) {
			script = strings.ReplaceAll(script, "STAMP "+id[1]+"'", stamp[1]+"'")
		}
	}
	return script
}

// rows is what is in all databases, by database and table.
func (s *site) rows(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for domain, d := range s.databases {
		for table, rows := range d.rows(t, s.multiHost) {
			out[domain+"/"+table] = rows
		}
	}
	return out
}
