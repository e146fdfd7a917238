package authfast_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/modules/authfast"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	phone = "d4565fa7-4d72-4749-b3d3-740edbf87770"
	none  = "HT-SHA-256-NONE"
)

var romeo, juliet = xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")

// A link is a TLS connection as both ends know it.
type link struct {
	auth.Stream
	client tls.ConnectionState
}

// connect makes a TLS connection of a version.
func connect(t *testing.T, version uint16) link {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	server := tls.Server(here, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version, SessionTicketsDisabled: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	client := tls.Client(there, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	state := server.ConnectionState()
	return link{auth.Stream{TLS: &state, ServerCertificate: leaf, SASL2: true, Token: true, Agent: phone}, client.ConnectionState()}
}

// bound is the data of the channel binding of a mechanism, as the client has it.
func (l link) bound(t *testing.T, mechanism string) string {
	t.Helper()
	switch mechanism {
	case "HT-SHA-256-EXPR":
		b, err := l.client.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	case "HT-SHA-256-UNIQ":
		return string(l.client.TLSUnique)
	case "HT-SHA-256-ENDP":
		sum := sha256.Sum256(l.client.PeerCertificates[0].Raw)
		return string(sum[:])
	}
	return ""
}

// plain is a link on which only NONE works, and which needs no handshake.
func plain() link {
	return link{Stream: auth.Stream{TLS: new(tls.ConnectionState), SASL2: true, Token: true, Agent: phone}}
}

func hash(token, text string) string {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte(text))
	return string(m.Sum(nil))
}

// login logs in with a token, and checks that the server has it, too.
func (l link) login(t *testing.T, s *modtest.Server, user, mechanism, token string) (auth.Identity, error) {
	t.Helper()
	e, err := s.Auth.Begin(mechanism, l.Stream)
	if err != nil {
		return auth.Identity{}, err
	}
	bound := ""
	if l.client.HandshakeComplete {
		bound = l.bound(t, mechanism)
	}
	out, done, err := e.Step(t.Context(), []byte(user+"\x00"+hash(token, "Initiator"+bound)))
	if err == nil && (!done || string(out) != hash(token, "Responder"+bound)) {
		t.Errorf("%v: the server answers %x", done, out)
	}
	return e.Identity(), err
}

// request is what happens when a client has logged in: it asks for inline. What comes
// back is a token, or nothing.
func request(t *testing.T, s *modtest.Server, user xmpp.JID, mechanism, inline string, due bool) string {
	t.Helper()
	el, err := xmpp.ParseElement([]byte("<authenticate xmlns='urn:xmpp:sasl:2'>"+inline+"</authenticate>"), "")
	if err != nil {
		t.Fatal(err)
	}
	l := &sm.Login{Stream: &sm.Stream{User: user}, Request: el, Agent: phone, Mechanism: mechanism, TokenDue: due,
		TokenMechanisms: []string{"HT-SHA-256-EXPR", "HT-SHA-256-UNIQ", "HT-SHA-256-ENDP", none}}
	answers := sm.InlineLogin.Run(t.Context(), s.Parts.Hooks, nil, l)
	if len(answers) == 0 {
		return ""
	}
	token := answers[0].Attr("token")
	if expiry, err := time.Parse(time.RFC3339, answers[0].Attr("expiry")); len(answers) != 1 || err != nil || !expiry.After(time.Now()) || len(token) < 43 {
		t.Errorf("got %v, %v", answers[0], err)
	}
	if strings.Contains(fmt.Sprint(answers), token) {
		t.Error("a trace would show the token")
	}
	return token
}

func wish(mechanism string) string {
	return "<request-token xmlns='urn:xmpp:fast:0' mechanism='" + mechanism + "'/>"
}

func start(t *testing.T, yaml string) *modtest.Server {
	t.Helper()
	s := modtest.Start(t, yaml, authfast.Module)
	s.Register("romeo@localhost", "secret")
	s.Register("juliet@localhost", "secret")
	return s
}

// refused checks that a login failed as it does for everybody.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, auth.ErrNotAuthorized) || err.Error() != "not-authorized: Invalid username or password" {
		t.Errorf("%s: %v", what, err)
	}
}

func TestEveryMechanism(t *testing.T) {
	s := start(t, "")
	for version, want := range map[uint16]string{
		tls.VersionTLS13: "HT-SHA-256-EXPR HT-SHA-256-ENDP " + none,
		tls.VersionTLS12: "HT-SHA-256-UNIQ HT-SHA-256-ENDP " + none,
	} {
		l := connect(t, version)
		list := s.Auth.TokenMechanisms(l.Stream)
		if got := strings.Join(list, " "); got != want {
			t.Errorf("offered %s", got)
		}
		for _, m := range list {
			token := request(t, s, romeo, "SCRAM-SHA-1", wish(m), false)
			if id, err := l.login(t, s, "romeo", m, token); err != nil || id.User != romeo || id.Method != "mod_auth_fast" || id.Mechanism != m || id.TokenDue {
				t.Errorf("%s: %+v, %v", m, id, err)
			}
			if _, err := l.login(t, s, "romeo@localhost", m, token); err != nil {
				t.Errorf("%s: with the whole address: %v", m, err)
			}
			for _, other := range list {
				if other != m {
					_, err := l.login(t, s, "romeo", other, token)
					refused(t, "a token for "+m+" used by "+other, err)
				}
			}
			_, err := connect(t, version).login(t, s, "romeo", m, token)
			if m == none && err != nil {
				t.Errorf("on another connection: %v", err)
			}
		}
	}
}

// What somebody in the middle hears on one connection is good on no other.
func TestProofIsBoundToTheConnection(t *testing.T) {
	s := start(t, "")
	for m, version := range map[string]uint16{"HT-SHA-256-EXPR": tls.VersionTLS13, "HT-SHA-256-ENDP": tls.VersionTLS13, "HT-SHA-256-UNIQ": tls.VersionTLS12} {
		token := request(t, s, romeo, "PLAIN", wish(m), false)
		mine, theirs := connect(t, version), connect(t, version)
		mixed := link{theirs.Stream, mine.client}
		e, err := s.Auth.Begin(m, mixed.Stream)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = e.Step(t.Context(), []byte("romeo\x00"+hash(token, "Initiator"+mine.bound(t, m))))
		refused(t, m, err)
	}
}

func TestStolenTokens(t *testing.T) {
	s := start(t, "")
	token := request(t, s, romeo, "PLAIN", wish(none), false)
	l := plain()
	if _, err := l.login(t, s, "romeo", none, token); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() (auth.Identity, error){
		"another account": func() (auth.Identity, error) { return l.login(t, s, "juliet", none, token) },
		"no account":      func() (auth.Identity, error) { return l.login(t, s, "tybalt", none, token) },
		"no name":         func() (auth.Identity, error) { return l.login(t, s, "a b", none, token) },
		"a guess":         func() (auth.Identity, error) { return l.login(t, s, "romeo", none, "NONE."+strings.Repeat("A", 43)) },
		"an empty token":  func() (auth.Identity, error) { return l.login(t, s, "romeo", none, "") },
		"another user agent": func() (auth.Identity, error) {
			l := plain()
			l.Agent = "00000000-4d72-4749-b3d3-740edbf87770"
			return l.login(t, s, "romeo", none, token)
		},
		"what the table calls the user agent": func() (auth.Identity, error) {
			l := plain()
			key := sha256.Sum256([]byte(phone))
			l.Agent = base64.StdEncoding.EncodeToString(key[:])
			return l.login(t, s, "romeo", none, token)
		},
		"the header of somebody else": func() (auth.Identity, error) {
			l := plain()
			l.From = juliet
			id, err := l.login(t, s, "romeo", none, token)
			if !errors.Is(err, auth.ErrNotAuthorized) {
				t.Errorf("got in: %v", err)
			}
			return id, &auth.Failure{Condition: "not-authorized", Text: "Invalid username or password"}
		},
	} {
		id, err := try()
		refused(t, what, err)
		if !id.User.IsZero() {
			t.Errorf("%s: is %s", what, id.User)
		}
	}
	l.Agent = ""
	if _, err := l.login(t, s, "romeo", none, token); !errors.Is(err, auth.ErrMalformed) {
		t.Errorf("without a user agent: %v", err)
	}
	for _, change := range []func(*auth.Stream){
		func(s *auth.Stream) { s.TLS = nil },
		func(s *auth.Stream) { s.SASL2 = false },
		func(s *auth.Stream) { s.Token = false },
	} {
		l := plain()
		change(&l.Stream)
		if _, err := l.login(t, s, "romeo", none, token); !errors.Is(err, auth.ErrInvalidMechanism) {
			t.Errorf("without encryption, by the old profile or without saying so: %v", err)
		}
	}
	e, err := s.Auth.Begin(none, plain().Stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Step(t.Context(), []byte("romeo\x00short")); !errors.Is(err, auth.ErrMalformed) {
		t.Errorf("a short hash: %v", err)
	}
}

func TestReplay(t *testing.T) {
	s := start(t, "")
	token := request(t, s, romeo, "PLAIN", wish(none), false)
	l := plain()
	l.Count = 7
	if _, err := l.login(t, s, "romeo", none, token); err != nil {
		t.Fatal(err)
	}
	for _, count := range []uint64{7, 6, 1} {
		l.Count = count
		_, err := l.login(t, s, "romeo", none, token)
		refused(t, fmt.Sprint("count ", count), err)
	}
	l.Count = 8
	if _, err := l.login(t, s, "romeo", none, token); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestTokenIsNotGoodAnyMore(t *testing.T) {
	ctx := context.Background()
	for what, end := range map[string]func(*modtest.Server) error{
		"a new password":   func(s *modtest.Server) error { return s.Auth.SetPassword(ctx, romeo, "other") },
		"an account gone":  func(s *modtest.Server) error { return s.Auth.Remove(ctx, romeo) },
		"a device revoked": func(s *modtest.Server) error { return s.Auth.Revoke(ctx, auth.Device{User: romeo, ID: phone}) },
		"a user kicked": func(s *modtest.Server) error {
			sm.Kicked.Run(ctx, s.Parts.Hooks, romeo)
			return nil
		},
		"the client's wish": func(s *modtest.Server) error {
			request(t, s, romeo, none, "<fast xmlns='urn:xmpp:fast:0' invalidate='true'/>", true)
			return nil
		},
	} {
		s := start(t, "")
		used := request(t, s, romeo, "PLAIN", wish(none), false)
		if _, err := plain().login(t, s, "romeo", none, used); err != nil {
			t.Fatal(err)
		}
		next := request(t, s, romeo, "PLAIN", wish(none), false)
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{used, next} {
			_, err := plain().login(t, s, "romeo", none, token)
			refused(t, what, err)
		}
	}
}

func TestLifeOfAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "modules: {mod_auth_fast: {token_lifetime: 10 days, token_refresh_age: 2 days}}")
		first := request(t, s, romeo, "PLAIN", wish(none), false)
		use := func(token string) (due bool) {
			t.Helper()
			id, err := plain().login(t, s, "romeo", none, token)
			if err != nil {
				t.Fatal(err)
			}
			return id.TokenDue
		}
		if use(first) || request(t, s, romeo, none, "<fast xmlns='urn:xmpp:fast:0'/>", false) != "" {
			t.Error("a new token is to be replaced")
		}
		time.Sleep(3 * 24 * time.Hour)
		if !use(first) {
			t.Error("an old token is not to be replaced")
		}
		second := request(t, s, romeo, none, "<fast xmlns='urn:xmpp:fast:0'/>", true)
		if second == "" || second == first {
			t.Fatalf("the next token: %q", second)
		}
		use(first) // the next one may have been lost
		use(second)
		_, err := plain().login(t, s, "romeo", none, first)
		refused(t, "a token whose successor was used", err)
		time.Sleep(11 * 24 * time.Hour)
		if _, err := plain().login(t, s, "romeo", none, second); !errors.Is(err, &auth.Failure{Condition: "credentials-expired"}) {
			t.Errorf("after its time: %v", err)
		}
		_, err = plain().login(t, s, "romeo", none, first) // of which nobody has to know that it ever was
		refused(t, "another one", err)
	})
}

func TestWhoGetsAToken(t *testing.T) {
	s := start(t, "")
	for inline, want := range map[string]bool{
		wish(none):              true,
		wish("HT-SHA-256-ENDP"): true,
		wish("SCRAM-SHA-1"):     false,
		wish(""):                false,
		"":                      false,
		"<fast xmlns='urn:xmpp:fast:0' invalidate='true'/>" + wish(none): true,
	} {
		if got := request(t, s, romeo, "PLAIN", inline, false); (got != "") != want {
			t.Errorf("%s: %q", inline, got)
		}
	}
	if got := request(t, s, romeo, none, "<fast xmlns='urn:xmpp:fast:0' invalidate='1'/>"+wish(none), true); got == "" {
		t.Error("who invalidates its token and wants a new one gets none")
	}
	for _, l := range []*sm.Login{{Agent: ""}, {Agent: phone, Anonymous: true}} {
		el, err := xmpp.ParseElement([]byte("<authenticate xmlns='urn:xmpp:sasl:2'>"+wish(none)+"</authenticate>"), "")
		if err != nil {
			t.Fatal(err)
		}
		l.Stream, l.Request, l.TokenMechanisms = &sm.Stream{User: romeo}, el, []string{none}
		if got := sm.InlineLogin.Run(t.Context(), s.Parts.Hooks, nil, l); len(got) > 0 {
			t.Errorf("%+v: a token", l)
		}
	}
}

// Tokens that ejabberd has made go on working: they are good for every mechanism.
func TestTokenOfEjabberd(t *testing.T) {
	s := start(t, "")
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256([]byte(phone))
	token := "kTqLJ6m3cW6tqNGZ0uYvn2sB0hCqv6kq1qYQm0gC0uE="
	_, err = db.Exec(t.Context(), `INSERT INTO auth_fast_tokens ({server_host,} username, ua, type, token, expires) VALUES ({?host,} ?, ?, 'c', ?, ?)`,
		"romeo", base64.StdEncoding.EncodeToString(key[:]), token, time.Now().Add(time.Hour).UTC())
	if err != nil {
		t.Fatal(err)
	}
	l := connect(t, tls.VersionTLS13)
	for _, m := range s.Auth.TokenMechanisms(l.Stream) {
		if _, err := l.login(t, s, "romeo", m, token); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, auth.TokenList{Tokens: []auth.Token{{Secret: "hush"}}}); strings.Contains(got, "hush") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	s := start(t, "")
	s.Stop()
	if got := s.Auth.TokenMechanisms(plain().Stream); len(got) != 0 {
		t.Errorf("still offered: %v", got)
	}
}
