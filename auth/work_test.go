package auth

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// counting is a keeper that counts how often it is asked.
type counting struct {
	Keeper
	asked *int
}

func (c counting) Find(ctx context.Context, user xmpp.JID) (xmpp.JID, []Password, error) {
	*c.asked++
	return c.Keeper.Find(ctx, user)
}

func (c counting) Exists(ctx context.Context, user xmpp.JID) (bool, error) {
	*c.asked++
	return c.Keeper.Exists(ctx, user)
}

// counted opens accounts whose backend counts how often it is asked.
func counted(t testing.TB, db *storage.DB, types ...string) (*Host, *int) {
	t.Helper()
	h, err := New(t.Context(), Setup{
		Domain: db.Host(), DB: db, Hooks: hooks.NewTable(slog.New(slog.DiscardHandler)), Log: slog.New(slog.DiscardHandler),
		Options: Options{
			Methods: []string{"sql"}, AnonymousProtocol: "sasl_anon", PasswordFormat: "plain", ScramHash: "sha",
			StoredTypes: types, UseCache: true, CacheSize: 100, CacheLifeTime: time.Hour,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := new(int)
	s := h.state.Load()
	h.state.Store(&state{s.options, []Backend{counting{s.backends[0].(Keeper), asked}}})
	return h, asked
}

// attempt tries a password and returns what a stranger sees of it, with what
// differs by chance taken out.
func attempt(t *testing.T, h *Host, mechanism, user, password string) (seen, salt string) {
	t.Helper()
	e, err := h.Begin(mechanism, Stream{})
	if err != nil {
		t.Fatal(err)
	}
	if mechanism == "PLAIN" {
		_, done, err := e.Step(t.Context(), []byte("\x00"+user+"\x00"+password))
		return fmt.Sprintf("%v %v", done, err), ""
	}
	answer, _, err := e.Step(t.Context(), []byte("n,,n="+user+",r=abc"))
	if err != nil {
		return err.Error(), ""
	}
	parts := strings.Split(string(answer), ",")
	salt = parts[1]
	size := typeOf(scramTypes[mechanism]).hash()().Size()
	proof := base64.StdEncoding.EncodeToString(make([]byte, size))
	_, done, err := e.Step(t.Context(), []byte("c=biws,"+parts[0]+",p="+proof))
	return fmt.Sprintf("%d %d %s %v %v", len(parts[0]), len(salt), strings.Join(parts[2:], ","), done, err), salt
}

func TestAnUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	for _, types := range [][]string{nil, {"scram_sha1"}, {"scram_sha256", "scram_sha512"}, {"plain", "scram_sha1"}} {
		db := storagetest.Open(t)
		h, asked := counted(t, db, types...)
		known := xmpp.MustParse("alice@" + db.Host())
		if err := h.Register(t.Context(), known, "secret"); err != nil {
			t.Fatal(err)
		}
		for _, mechanism := range h.Mechanisms(Stream{}) {
			for _, when := range []string{"at first", "after a login", "again"} {
				var seen [2]string
				var runs [2]int64
				var lookups [2]int
				for i, user := range []string{"alice", "nobody"} {
					r, a := h.work.runs.Load(), *asked
					seen[i], _ = attempt(t, h, mechanism, user, "wrong")
					runs[i], lookups[i] = h.work.runs.Load()-r, *asked-a
				}
				if seen[0] != seen[1] || !strings.Contains(seen[0], "not-authorized") {
					t.Errorf("%v, %s %s: with an account %q, without %q", types, mechanism, when, seen[0], seen[1])
				}
				if runs[0] != 1 || runs[1] != 1 || lookups[0] != 1 || lookups[1] != 1 {
					t.Errorf("%v, %s %s: passwords stretched %v, accounts looked up %v; want one each", types, mechanism, when, runs, lookups)
				}
				if when == "at first" { // a login leaves derived keys behind
					remember(t, h, mechanism)
				}
			}
		}
	}
}

// a hand adds handlers of a test to hooks.
type hand struct{ table *hooks.Table }

func (hand) Name() string          { return "test" }
func (h hand) Hooks() *hooks.Table { return h.table }
func (hand) OnStop(func())         {}

// Who has no token does not learn, by the answer or by what is done for it, whether
// there is such an account, nor whether it has tokens.
func TestATokenOfAnUnknownUserLooksLikeAWrongOne(t *testing.T) {
	db := storagetest.Open(t)
	h, asked := counted(t, db)
	const agent, none = "d4565fa7-4d72-4749-b3d3-740edbf87770", "HT-SHA-256-NONE"
	lists := 0
	Tokens.Add(hand{h.hooks}, hooks.Normal, func(_ context.Context, list TokenList, d Device) (TokenList, hooks.Flow) {
		lists++
		switch d.User.Local() {
		case "alice", "gone":
			list.Tokens = []Token{{Secret: "hush", Mechanism: none, Expires: time.Now().Add(time.Hour),
				Redeem: func(context.Context, uint64) (bool, error) { return true, nil }}}
		}
		return list, hooks.Next
	})
	for _, user := range []string{"alice", "bob"} {
		if err := h.Register(t.Context(), xmpp.MustParse(user+"@"+db.Host()), "secret"); err != nil {
			t.Fatal(err)
		}
	}
	try := func(user, token string) (lookups, reads int, err error) {
		e, err := h.Begin(none, Stream{TLS: new(tls.ConnectionState), SASL2: true, Token: true, Agent: agent})
		if err != nil {
			t.Fatal(err)
		}
		a, l := *asked, lists
		_, _, err = e.Step(t.Context(), []byte(user+"\x00"+string(mac(sha256.New, []byte(token), "Initiator"))))
		return *asked - a, lists - l, err
	}
	for _, user := range []string{"alice", "bob", "gone", "nobody"} {
		lookups, reads, err := try(user, "wrong")
		if err == nil || err.Error() != "not-authorized: Invalid username or password" || lookups != 1 || reads != 1 {
			t.Errorf("%s: %v, accounts looked up %d times, tokens %d times; want one each", user, err, lookups, reads)
		}
	}
	if _, _, err := try("alice", "hush"); err != nil {
		t.Errorf("who has a token: %v", err)
	}
	if _, _, err := try("gone", "hush"); !errors.Is(err, ErrNotAuthorized) {
		t.Errorf("who has one of an account that is gone: %v", err)
	}
}

// remember has the keys of alice remembered, as a login with mechanism does.
func remember(t *testing.T, h *Host, mechanism string) {
	t.Helper()
	acc, f := h.find(t.Context(), xmpp.MustParse("alice@"+h.domain))
	if f != nil {
		t.Fatal(f)
	}
	if mechanism == "PLAIN" {
		return
	}
	tr := h.work.trial("alice", acc.passwords, typeOf(scramTypes[mechanism]))
	if _, ok := h.work.check(tr, memory{100, time.Hour}, func(Keys) bool { return true }); !ok {
		t.Fatal("not remembered")
	}
}

func TestOtherUsersThatAreNobody(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := counted(t, db)
	if err := h.Register(t.Context(), xmpp.MustParse("alice@"+db.Host()), "secret"); err != nil {
		t.Fatal(err)
	}
	want, _ := attempt(t, h, "SCRAM-SHA-1", "alice", "")
	for _, user := range []string{"nobody", "a b", "alice@" + db.Host(), "alice/x", strings.Repeat("x", 1500), "straße"} {
		before := h.work.runs.Load()
		got, _ := attempt(t, h, "SCRAM-SHA-1", user, "")
		if got != want || h.work.runs.Load() != before+1 {
			t.Errorf("%.20q: %q and %d passwords stretched, want %q and one", user, got, h.work.runs.Load()-before, want)
		}
	}
}

func TestSaltsStayTheSame(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := counted(t, db)
	if err := h.Register(t.Context(), xmpp.MustParse("alice@"+db.Host()), "secret"); err != nil {
		t.Fatal(err)
	}
	restarted, _ := counted(t, db)
	salts := map[string]string{}
	for _, user := range []string{"alice", "nobody", "nobody2"} {
		for _, m := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256"} {
			_, first := attempt(t, h, m, user, "")
			_, second := attempt(t, h, m, user, "")
			_, third := attempt(t, restarted, m, user, "")
			if first != second || first != third {
				t.Errorf("%s %s: salts %s, %s, after a restart %s", user, m, first, second, third)
			}
			if other, ok := salts[first]; ok {
				t.Errorf("%s %s has the salt of %s", user, m, other)
			}
			salts[first] = user + " " + m
		}
	}
	elsewhere, _ := counted(t, storagetest.Open(t))
	if _, salt := attempt(t, elsewhere, "SCRAM-SHA-1", "nobody", ""); salts[salt] != "" {
		t.Error("another server gives nobody the same salt")
	}
}

func TestDerivedKeysAreForgottenAndBounded(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := counted(t, db)
	w := h.work
	m := memory{size: 3, life: time.Hour}
	yes := func(Keys) bool { return true }
	of := func(user, password string) trial {
		return w.trial(user, []Password{{Type: Plain, Plain: password}}, SHA1)
	}
	for i := range 10 {
		w.check(of(fmt.Sprint("u", i), "x"), m, yes)
	}
	if len(w.known) != 3 {
		t.Errorf("%d derived keys are remembered, want 3", len(w.known))
	}
	cost := func(tr trial) int64 {
		before := w.runs.Load()
		w.check(tr, m, yes)
		return w.runs.Load() - before
	}
	if a, b := cost(of("alice", "one")), cost(of("alice", "one")); a != 1 || b != 0 {
		t.Errorf("two logins stretch %d and %d passwords, want 1 and 0", a, b)
	}
	if c := cost(of("alice", "two")); c != 1 {
		t.Error("the keys of an old password are used for a new one")
	}
	w.forget("alice")
	if c := cost(of("alice", "two")); c != 1 {
		t.Error("forgotten keys are used")
	}
	m.life = -time.Second
	w.forget("alice")
	if a, b := cost(of("alice", "two")), cost(of("alice", "two")); a != 1 || b != 1 {
		t.Error("keys are used after their time")
	}
	m.size = 0
	if a, b := cost(of("bob", "two")), cost(of("bob", "two")); a != 1 || b != 1 {
		t.Error("keys are remembered although there is no room")
	}
}

// TestChangeOnAnotherNodeForgetsDerivedKeys: nothing of an old password stays in
// the memory of any node.
func TestChangeOnAnotherNodeForgetsDerivedKeys(t *testing.T) {
	for _, event := range []string{"set_password", "remove_user"} {
		h, _ := counted(t, storagetest.Open(t))
		m := memory{size: 3, life: time.Hour}
		for _, user := range []string{"alice", "bob"} {
			tr := h.work.trial(user, []Password{{Type: Plain, Plain: "x"}}, SHA1)
			h.work.check(tr, m, func(Keys) bool { return true })
		}
		if err := hooks.Hear(t.Context(), h.hooks, event, []byte(`"alice@localhost"`)); err != nil {
			t.Fatal(err)
		}
		if _, ok := h.work.known[derivation{"bob", SHA1}]; !ok || len(h.work.known) != 1 {
			t.Errorf("after %s of alice: %d users are remembered, bob among them: %v", event, len(h.work.known), ok)
		}
		if err := hooks.Hear(t.Context(), h.hooks, event, []byte(`"@"`)); err == nil {
			t.Errorf("%s of nobody was heard", event)
		}
	}
}

func TestPasswordsAreNeverPrinted(t *testing.T) {
	p := newPassword(Plain, "hunter2")
	s := newPassword(SHA1, "hunter2")
	key := base64.StdEncoding.EncodeToString(s.Keys.Stored)
	for _, v := range []any{p, s.Keys, map[string]any{"x": []Password{p, s}}} {
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), key) {
			t.Errorf("JSON of %T is %s, %v", v, text, err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{p, s, s.Keys, []Password{p, s}, &p, account{passwords: []Password{p}}, trial{keys: &s.Keys}} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") || strings.Contains(text, key) ||
				strings.Contains(text, fmt.Sprintf("%x", s.Keys.Stored)) {
				t.Errorf("%s of %T prints %s", verb, v, text)
			}
		}
	}
}

func TestDatabaseAway(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := counted(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := h.Check(ctx, xmpp.MustParse("alice@"+db.Host()), "secret")
	var f *Failure
	if !errors.Is(err, ErrTemporary) || !errors.As(err, &f) || f.Cause == nil || strings.Contains(f.Text, "context") {
		t.Errorf("got %v, want temporary-auth-failure with a cause that is not told", err)
	}
	if _, err := h.Exists(ctx, xmpp.MustParse("alice@"+db.Host())); err == nil {
		t.Error("an account does not exist because the database is away")
	}
}

func TestImproveDoesNotBringBackAnOldPassword(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := counted(t, db)
	alice := xmpp.MustParse("alice@" + db.Host())
	if err := h.Register(t.Context(), alice, "old"); err != nil {
		t.Fatal(err)
	}
	acc, f := h.find(t.Context(), alice)
	if f != nil {
		t.Fatal(f)
	}
	if err := h.SetPassword(t.Context(), alice, "new"); err != nil {
		t.Fatal(err)
	}
	s := h.state.Load()
	o := s.options
	o.StoredTypes = []string{"scram_sha256"}
	h.state.Store(&state{o, s.backends})
	h.improve(t.Context(), acc, "old") // a login that began before the change
	if err := h.Check(t.Context(), alice, "new"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := h.Check(t.Context(), alice, "old"); err == nil {
		t.Error("the old password is back")
	}
}

// BenchmarkLogin is the server's side of a SCRAM login, which must leave most of
// a budget of 0.7 ms to TLS. The client's work is done before.
func BenchmarkLogin(b *testing.B) {
	for _, tt := range []struct {
		name  string
		types []string
	}{{"plain", nil}, {"stored", []string{"scram_sha256"}}} {
		b.Run(tt.name, func(b *testing.B) {
			db := storagetest.Open(b)
			h, _ := counted(b, db, tt.types...)
			alice := xmpp.MustParse("alice@" + db.Host())
			if err := h.Register(b.Context(), alice, "secret"); err != nil {
				b.Fatal(err)
			}
			acc, f := h.find(b.Context(), alice)
			if f != nil {
				b.Fatal(f)
			}
			tr := h.work.trial("alice", acc.passwords, SHA256)
			salted := stretch(SHA256, "secret", tr.salt, 4096)
			client := clientKey("secret", tr.salt)
			for b.Loop() {
				loginOnce(b, h, salted, client)
			}
		})
	}
}

func clientKey(password string, salt []byte) []byte {
	h := SHA256.hash()
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		panic(err)
	}
	return mac(h, salted, "Client Key")
}

func loginOnce(b *testing.B, h *Host, k Keys, client []byte) {
	e, err := h.Begin("SCRAM-SHA-256", Stream{})
	if err != nil {
		b.Fatal(err)
	}
	answer, _, err := e.Step(b.Context(), []byte("n,,n=alice,r=abc"))
	if err != nil {
		b.Fatal(err)
	}
	nonce, _, _ := strings.Cut(string(answer), ",")
	unproved := "c=biws," + nonce
	proof := mac(SHA256.hash(), k.Stored, "n=alice,r=abc,"+string(answer)+","+unproved)
	for i := range proof {
		proof[i] ^= client[i]
	}
	if _, done, err := e.Step(b.Context(), []byte(unproved+",p="+base64.StdEncoding.EncodeToString(proof))); !done || err != nil {
		b.Fatal(err)
	}
}
