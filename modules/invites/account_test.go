package invites_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestAccountByInvitation(t *testing.T) {
	s := start(t)
	token := command(t, s, "generate_invite", "localhost")
	x := newStranger(t, s)
	if got := x.makes("juliet", "secret"); got != "forbidden" || exists(t, s, "juliet@localhost") {
		t.Errorf("without a token: %s", got)
	}
	if got := x.shows(token); got != "result" {
		t.Fatalf("with it: %s", got)
	}
	form := x.ask("get", `<query xmlns='jabber:iq:register'/>`)
	if q := form.Payload(); q.Child("", "username") == nil || q.Child("", "username").Text() != "" || q.Child("", "password") == nil {
		t.Errorf("the form is %v", form)
	}
	for _, c := range []struct{ name, password, want string }{
		{"juliet", "", "not-acceptable"}, {"a b", "secret", "jid-malformed"}, {"juliet", "secret", "result"},
		{"rosaline", "secret", "forbidden"}, // one account
	} {
		if got := x.makes(c.name, c.password); got != c.want {
			t.Errorf("%q: %s, want %s", c.name, got, c.want)
		}
	}
	if !logsIn(t, s, "juliet@localhost", "secret") || exists(t, s, "rosaline@localhost") {
		t.Error("the accounts are not right")
	}
	// The same token again, on the same stream and on others.
	for _, y := range []*stranger{x, newStranger(t, s)} {
		if got := y.shows(token); got != "item-not-found" {
			t.Errorf("again: %s", got)
		}
		if got := y.makes("rosaline", "secret"); got != "forbidden" {
			t.Errorf("again: %s", got)
		}
	}
	list, err := s.Command("list_invites", "localhost")
	if f := strings.Split(list, "\t"); err != nil || f[1] != "false" || f[6] != "juliet@localhost" {
		t.Errorf("listed: %q, %v", list, err)
	}
	secretive(t, s, token)
}

// TestRedirectionIsNotForTheInvited: where strangers are sent to a page, who has a token
// is not.
func TestRedirectionIsNotForTheInvited(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_register: {allow_modules: [mod_invites], redirect_url: 'https://example.org/'}}", everything...)
	x := newStranger(t, s)
	if got := x.ask("get", `<query xmlns='jabber:iq:register'/>`); !strings.Contains(got.String(), "https://example.org/") {
		t.Errorf("a stranger: %v", got)
	}
	x.shows(command(t, s, "generate_invite_with_username", "juliet", "localhost"))
	got := x.ask("get", `<query xmlns='jabber:iq:register'/>`)
	if q := got.Payload(); strings.Contains(got.String(), "example.org") || q.Child("", "username").Text() != "juliet" || q.Child("", "registered") != nil {
		t.Errorf("who was invited: %v", got)
	}
}

// TestNobodyLearnsWhy: all tokens that are not good get the same answer.
func TestNobodyLearnsWhy(t *testing.T) {
	s := start(t)
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	row := func(token, inviter, host, invitee, expires, kind, account string) string {
		t.Helper()
		if _, err := db.Exec(t.Context(), "INSERT INTO invite_token (token, username, server_host, invitee, created_at, expires, type, account_name) VALUES (?, ?, ?, ?, '2026-01-01 00:00:00', ?, ?, ?)",
			token, inviter, host, invitee, expires, kind, account); err != nil {
			t.Fatal(err)
		}
		return token
	}
	const later = "2126-01-01 00:00:00"
	answers := map[string]string{}
	for what, token := range map[string]string{
		"none":                         "",
		"unknown":                      strings.Repeat("A", 24),
		"much too long":                strings.Repeat("A", 10000),
		"no token":                     "' OR 1=1 --",
		"expired":                      row("expired", "", "localhost", "", "2026-01-01 00:00:01", "A", ""),
		"used":                         row("used", "", "localhost", "somebody@localhost", later, "A", ""),
		"of another host":              row("elsewhere", "", "other.example", "", later, "A", ""),
		"of who may not":               row("tybalts", "tybalt", "localhost", "", later, "A", ""),
		"of who may not, to befriend":  row("tybalts2", "tybalt", "localhost", "", later, "S", ""),
		"of who may not, of a contact": row("tybalts3", "tybalt", "localhost", "", later, "R", ""),
		"of a contact, by nobody":      row("nobodys", "", "localhost", "", later, "R", ""),
		"of a contact, half used":      row("half", "romeo", "localhost", "", later, "R", "juliet"),
		"a password of nobody":         row("resetting", "", "localhost", "", later, "T", ""),
		"of an unknown kind":           row("odd", "", "localhost", "", later, "X", ""),
	} {
		x := newStranger(t, s)
		answers[x.ask("set", `<preauth xmlns='urn:xmpp:pars:0' token="`+token+`"/>`).String()] += what + "; "
		if got := x.makes("mercutio", "secret"); got != "forbidden" {
			t.Errorf("%s: then %s", what, got)
		}
	}
	if len(answers) != 1 {
		t.Errorf("there are several answers: %v", answers)
	}
	for a := range answers {
		if !strings.Contains(a, "<item-not-found ") || strings.Contains(a, "<preauth") || !strings.Contains(a, "from='localhost'") {
			t.Errorf("the answer is %s", a)
		}
	}
	secretive(t, s, "tybalts", "elsewhere", "' OR 1=1")
}

func TestAnInvitationIsNotUsedUpByAFailure(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_register: {allow_modules: [mod_invites], password_strength: 30, access: [{deny: {user: root}}, {allow: all}]}}", everything...)
	s.Register("romeo@localhost", "secret")
	token := command(t, s, "generate_invite", "localhost")
	x := newStranger(t, s)
	if got := x.shows(token); got != "result" {
		t.Fatal(got)
	}
	for _, c := range []struct{ name, password, want string }{
		{"juliet", "weak", "not-acceptable"},
		{"romeo", "correct horse battery", "conflict"},
		{"root", "correct horse battery", "forbidden"},
		{"juliet", "correct horse battery", "result"},
	} {
		if got := x.makes(c.name, c.password); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if !logsIn(t, s, "romeo@localhost", "secret") || !logsIn(t, s, "juliet@localhost", "correct horse battery") {
		t.Error("the accounts are not right")
	}
}

// TestRulesOfRegistrationHold: a token is no way around what mod_register asks.
func TestRulesOfRegistrationHold(t *testing.T) {
	s := modtest.Start(t, `modules: {mod_register: {allow_modules: [mod_invites], ip_access: [{deny: {ip: 198.51.100.0/24}}, {allow: all}],
		registration_watchers: [watcher@localhost], welcome_message: {body: Be nice}}}`, everything...)
	watcher := s.Available("watcher@localhost/x")
	bad := strangerAt(t, s, "198.51.100.7")
	if got := bad.shows(command(t, s, "generate_invite", "localhost")); got != "result" {
		t.Fatal(got)
	}
	if got := bad.makes("juliet", "secret"); got != "forbidden" {
		t.Errorf("from a forbidden address: %s", got)
	}
	for i, want := range []string{"result", "resource-constraint"} {
		x := strangerAt(t, s, "192.0.2.200")
		if got := x.shows(command(t, s, "generate_invite", "localhost")); got != "result" {
			t.Fatal(got)
		}
		if got := x.makes(fmt.Sprint("user", i), "secret"); got != want {
			t.Errorf("account %d of an address: %s, want %s", i, got, want)
		}
	}
	if in := watcher.Inbox(); len(in) != 1 || !strings.Contains(in[0].Body(), "user0@localhost") {
		t.Errorf("the watcher is told %v", in)
	}
	// And where no module may make accounts no token is good.
	s = modtest.Start(t, "modules: {mod_register: {allow_modules: [mod_register]}}", everything...)
	if got := newStranger(t, s).shows(command(t, s, "generate_invite", "localhost")); got != "item-not-found" {
		t.Errorf("where invitations make no accounts: %s", got)
	}
}

func TestNameOfAnInvitation(t *testing.T) {
	s := modtest.Start(t, "", everything...) // everybody may register
	token, other := command(t, s, "generate_invite_with_username", "juliet", "localhost"), command(t, s, "generate_invite", "localhost")
	stray := newStranger(t, s)
	if got := stray.makes("Juliet", "secret"); got != "not-allowed" {
		t.Errorf("a reserved name: %s", got)
	}
	another := newStranger(t, s)
	if got := another.shows(other); got != "result" {
		t.Fatal(got)
	}
	if got := another.makes("juliet", "secret"); got != "not-allowed" {
		t.Errorf("a reserved name by another invitation: %s", got)
	}
	x := newStranger(t, s)
	if got := x.shows(token); got != "result" {
		t.Fatal(got)
	}
	if got := x.makes("rosaline", "secret"); got != "not-allowed" || exists(t, s, "rosaline@localhost") {
		t.Errorf("another name: %s", got)
	}
	if got := x.makes("JULIET", "secret"); got != "result" || !logsIn(t, s, "juliet@localhost", "secret") {
		t.Errorf("its name: %s", got)
	}
}

// TestExpiry: it counts when the token is shown, and only then (XEP-0445 §4).
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "token_expire_seconds: 60")
		one, two := command(t, s, "generate_invite_with_username", "juliet", "localhost"), command(t, s, "generate_invite", "localhost")
		x := newStranger(t, s)
		if got := x.shows(one); got != "result" {
			t.Fatal(got)
		}
		time.Sleep(61 * time.Second)
		if got := newStranger(t, s).shows(two); got != "item-not-found" {
			t.Errorf("an old token: %s", got)
		}
		// The name is not reserved any more, but the invitation goes on being for it.
		if got := x.makes("juliet", "secret"); got != "result" {
			t.Errorf("a token that was shown in time: %s", got)
		}
	})
}

func TestGuessingIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		token := command(t, s, "generate_invite", "localhost")
		for i := range 20 {
			// Another stream each time, and another address of the same network.
			x := strangerAt(t, s, fmt.Sprintf("2001:db8::%x", i))
			if got := x.shows(fmt.Sprintf("guess%d", i)); got != "item-not-found" {
				t.Fatalf("guess %d: %s", i, got)
			}
		}
		for _, guess := range []string{"guess", token} {
			if got := strangerAt(t, s, "2001:db8::1234").shows(guess); got != "resource-constraint" {
				t.Errorf("after 20 guesses: %s", got)
			}
		}
		if got := strangerAt(t, s, "2001:db8:0:1::1").shows(token); got != "result" {
			t.Errorf("another address: %s", got)
		}
		time.Sleep(600 * time.Second)
		if got := strangerAt(t, s, "2001:db8::1234").shows(token); got != "result" {
			t.Errorf("later: %s", got)
		}
	})
}

// race has several strangers who have shown the same token make an account at the same
// moment, and returns which accounts there are.
func race(t *testing.T, servers []*modtest.Server, token string, n int) (made []string) {
	t.Helper()
	var all []*stranger
	for i := range n {
		x := newStranger(t, servers[i%len(servers)])
		if got := x.shows(token); got != "result" {
			t.Fatal(got)
		}
		all = append(all, x)
	}
	var ready, done sync.WaitGroup
	ready.Add(1)
	for i, x := range all {
		done.Go(func() {
			ready.Wait()
			if got := x.makes(fmt.Sprint("racer", i), "secret"); got != "result" && got != "item-not-found" {
				t.Errorf("racer %d: %s", i, got)
			}
		})
	}
	ready.Done()
	done.Wait()
	for i := range n {
		if name := fmt.Sprintf("racer%d@localhost", i); exists(t, servers[0], name) {
			made = append(made, name)
		}
	}
	// Who has lost has lost: the stream is a stranger's again.
	for i, x := range all {
		if got := x.makes(fmt.Sprint("again", i), "secret"); got != "forbidden" {
			t.Errorf("racer %d, again: %s", i, got)
		}
	}
	return made
}

func TestRaceForAnAccount(t *testing.T) {
	s := start(t)
	if made := race(t, []*modtest.Server{s}, command(t, s, "generate_invite", "localhost"), 6); len(made) != 1 {
		t.Errorf("accounts: %v", made)
	}
}

// TestRaceOnTwoNodes is also the test on PostgreSQL.
func TestRaceOnTwoNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, closed(), everything...)
	token := command(t, c.List[0], "generate_invite", "localhost")
	if made := race(t, c.List, token, 6); len(made) != 1 {
		t.Errorf("accounts: %v", made)
	}
	c.Settle()
	if got := newStranger(t, c.List[1]).shows(token); got != "item-not-found" {
		t.Errorf("again: %s", got)
	}
}

// TestRaceForTheLast: two invitations of one user, used at the same moment, make no more
// accounts than he may invite people to make.
func TestRaceForTheLast(t *testing.T) {
	s := start(t, "max_invites: 1")
	romeo := s.Login("romeo@localhost/x")
	var tokens []string
	for range 4 {
		uri, _ := invite(romeo, nodeInvite, "")
		tokens = append(tokens, tokenOf(t, uri))
	}
	var all []*stranger
	for _, token := range tokens {
		x := newStranger(t, s)
		if got := x.shows(token); got != "result" {
			t.Fatal(got)
		}
		all = append(all, x)
	}
	var done sync.WaitGroup
	for i, x := range all {
		done.Go(func() { x.makes(fmt.Sprint("user", i), "secret") })
	}
	done.Wait()
	n := 0
	for i := range tokens {
		if exists(t, s, fmt.Sprintf("user%d@localhost", i)) {
			n++
		}
	}
	if n > 1 {
		t.Errorf("%d accounts", n)
	}
	if n == 1 {
		if got := newStranger(t, s).shows(tokens[0]); got != "item-not-found" {
			t.Errorf("the limit is reached: %s", got)
		}
	}
}

// TestNobodyInvitesHimself: a chain of accounts that invite each other ends soon.
func TestNobodyInvitesHimself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "max_invites: 1")
		s.Register("user0@localhost", "secret")
		step := func(i int) string {
			uri, got := invite(s.Login(fmt.Sprintf("user%d@localhost/x", i)), nodeCreate, filled("", "0"))
			if uri == "" {
				return condition(got)
			}
			x := newStranger(t, s)
			x.shows(tokenOf(t, uri))
			return x.makes(fmt.Sprintf("user%d", i+1), "secret")
		}
		for i, want := range []string{"result", "result", "result", "bad-request"} {
			if got := step(i); got != want {
				t.Errorf("generation %d: %s, want %s", i, got, want)
			}
		}
		time.Sleep(6 * time.Minute)
		if got := step(3); got != "result" {
			t.Errorf("later: %s", got)
		}
	})
}

// TestManyAtOnce: neither a name nor the last invitation of a user is given away twice.
func TestManyAtOnce(t *testing.T) {
	s := start(t, "max_invites: 2")
	romeo := s.Login("romeo@localhost/x")
	count := func(made string) int {
		t.Helper()
		list, err := s.Command("list_invites", "localhost")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(list, made)
	}
	var named, romeos atomic.Int32
	var done sync.WaitGroup
	for i := range 6 {
		done.Go(func() {
			if _, err := s.Command("generate_invite_with_username", "juliet", "localhost"); err == nil {
				named.Add(1)
			}
		})
		c := s.Login(fmt.Sprint("romeo@localhost/", i))
		done.Go(func() {
			if uri, _ := invite(c, nodeCreate, filled("", "0")); uri != "" {
				romeos.Add(1)
			}
		})
	}
	done.Wait()
	if n := int(named.Load()); n > 1 || count("\tjuliet\t") != n {
		t.Errorf("%d have an invitation for juliet, %d are there", n, count("\tjuliet\t"))
	}
	if n := int(romeos.Load()); n > 2 || count("\tromeo@localhost\t") != n {
		t.Errorf("%d have an invitation of romeo's, %d are there", n, count("\tromeo@localhost\t"))
	}
	// Where several have stood in each other's way, one at a time does not.
	if named.Load() == 0 {
		command(t, s, "generate_invite_with_username", "juliet", "localhost")
	}
	for n := romeos.Load(); n < 2; n++ {
		if uri, got := invite(romeo, nodeCreate, filled("", "0")); uri == "" {
			t.Errorf("got %v", got)
		}
	}
}

func TestStreamsAreForgotten(t *testing.T) {
	s := start(t)
	x := newStranger(t, s)
	if got := x.shows(command(t, s, "generate_invite", "localhost")); got != "result" {
		t.Fatal(got)
	}
	if register.Invited.Run(t.Context(), s.Hooks, nil, &x.stream) == nil {
		t.Fatal("the token is not known any more")
	}
	if other := newStranger(t, s); register.Invited.Run(t.Context(), s.Hooks, nil, &other.stream) != nil {
		t.Error("another stream was invited")
	}
	sm.StreamFinished.Run(t.Context(), s.Hooks, &x.stream)
	if register.Invited.Run(t.Context(), s.Hooks, nil, &x.stream) != nil {
		t.Error("a stream that is over was invited")
	}
}

func TestReset(t *testing.T) {
	s := start(t)
	for _, u := range []string{"romeo@localhost", "juliet@localhost"} {
		s.Register(u, "old")
	}
	token, second := command(t, s, "generate_reset_token", "romeo", "localhost"), command(t, s, "generate_reset_token", "romeo", "localhost")
	x := newStranger(t, s)
	if got := x.shows(token); got != "result" {
		t.Fatal(got)
	}
	for _, c := range []struct{ name, want string }{{"juliet", "not-allowed"}, {"mercutio", "not-allowed"}, {"ROMEO", "result"}, {"romeo", "forbidden"}} {
		if got := x.makes(c.name, "new"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if !logsIn(t, s, "romeo@localhost", "new") || logsIn(t, s, "romeo@localhost", "old") || !logsIn(t, s, "juliet@localhost", "old") || exists(t, s, "mercutio@localhost") {
		t.Error("the passwords are not right")
	}
	// Neither that token nor another one for the password before is good any more.
	for _, token := range []string{token, second} {
		if got := newStranger(t, s).shows(token); got != "item-not-found" {
			t.Errorf("afterwards: %s", got)
		}
	}
	secretive(t, s, token, second)
}

// TestResetIsForOnePerson: somebody who gets the name later is somebody else.
func TestResetIsForOnePerson(t *testing.T) {
	s := start(t)
	s.Register("romeo@localhost", "old")
	token := command(t, s, "generate_reset_token", "romeo", "localhost")
	shown := newStranger(t, s)
	if got := shown.shows(token); got != "result" {
		t.Fatal(got)
	}
	if err := s.Auth.Remove(t.Context(), xmpp.MustParse("romeo@localhost")); err != nil {
		t.Fatal(err)
	}
	s.Register("romeo@localhost", "another's")
	if got := newStranger(t, s).shows(token); got != "item-not-found" {
		t.Errorf("shown afterwards: %s", got)
	}
	if got := shown.makes("romeo", "mine"); got != "item-not-found" || !logsIn(t, s, "romeo@localhost", "another's") {
		t.Errorf("shown before: %s", got)
	}
}

// TestTokensOfAnotherKind: each is good for what it was made for.
func TestTokensOfAnotherKind(t *testing.T) {
	s := start(t)
	s.Register("romeo@localhost", "old")
	x := newStranger(t, s)
	x.shows(command(t, s, "generate_invite", "localhost"))
	if got := x.makes("romeo", "new"); got != "conflict" || !logsIn(t, s, "romeo@localhost", "old") {
		t.Errorf("an invitation changes a password: %s", got)
	}
	// Nor does a reset make the account again when it is gone.
	y := newStranger(t, s)
	y.shows(command(t, s, "generate_reset_token", "romeo", "localhost"))
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "DELETE FROM users"); err != nil {
		t.Fatal(err)
	}
	if got := y.makes("romeo", "new"); got != "not-allowed" || exists(t, s, "romeo@localhost") {
		t.Errorf("a reset makes an account: %s", got)
	}
}

func TestRemovedUsersInvitationsGo(t *testing.T) {
	s := start(t)
	romeo := s.Login("romeo@localhost/x")
	uri, _ := invite(romeo, nodeCreate, filled("", "1"))
	before := newStranger(t, s)
	before.shows(tokenOf(t, uri))
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	s.Register("romeo@localhost", "another's")
	if got := newStranger(t, s).shows(tokenOf(t, uri)); got != "item-not-found" {
		t.Errorf("shown afterwards: %s", got)
	}
	if got := before.makes("juliet", "secret"); got != "item-not-found" || exists(t, s, "juliet@localhost") {
		t.Errorf("shown before: %s", got)
	}
}

// TestDatabaseIsAway: nobody gets in because nothing can be read.
func TestDatabaseIsAway(t *testing.T) {
	s := start(t)
	token := command(t, s, "generate_invite", "localhost")
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "ALTER TABLE invite_token RENAME TO away"); err != nil {
		t.Fatal(err)
	}
	x := newStranger(t, s)
	if got := x.shows(token); got != "internal-server-error" {
		t.Errorf("shown: %s", got)
	}
	if got := x.makes("juliet", "secret"); got != "forbidden" {
		t.Errorf("made: %s", got)
	}
	secretive(t, s, token)
}
