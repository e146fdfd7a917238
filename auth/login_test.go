package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

type ctx = context.Context

// plain is what a client sends for PLAIN.
func plain(user, password string) []byte { return []byte("\x00" + user + "\x00" + password) }

// login runs a mechanism that needs one response.
func login(t testing.TB, h *auth.Host, mechanism string, s auth.Stream, response []byte) (auth.Identity, error) {
	t.Helper()
	e, err := h.Begin(mechanism, s)
	if err != nil {
		return auth.Identity{}, err
	}
	_, done, err := e.Step(t.Context(), response)
	if err == nil && !done {
		t.Errorf("%s is neither done nor failed", mechanism)
	}
	return e.Identity(), err
}

// A cert is a certificate with its key.
type cert struct {
	tls.Certificate
	pool *x509.CertPool
}

// certificate makes a self-signed certificate with these XMPP addresses and
// other names.
func certificate(t testing.TB, addresses []string, change func(*x509.Certificate)) cert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if addresses != nil {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: altNames(t, addresses)}}
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return cert{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool}
}

// altNames encodes addresses as otherName of type id-on-xmppAddr.
func altNames(t testing.TB, addresses []string) []byte {
	t.Helper()
	var names []asn1.RawValue
	for _, a := range addresses {
		text, err := asn1.MarshalWithParams(a, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5})
		if err != nil {
			t.Fatal(err)
		}
		value, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: text})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(oid, value...)})
	}
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// handshake connects a client and a server over TLS of a version, and returns
// what each knows of the connection.
func handshake(t testing.TB, version uint16, client *cert) (server auth.Stream, there tls.ConnectionState) {
	t.Helper()
	own := certificate(t, nil, nil)
	config := &tls.Config{Certificates: []tls.Certificate{own.Certificate}, MaxVersion: version}
	dial := &tls.Config{InsecureSkipVerify: true, MaxVersion: version}
	if client != nil {
		config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, client.pool
		dial.Certificates = []tls.Certificate{client.Certificate}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	sc, cc := tls.Server(a, config), tls.Client(b, dial)
	result := make(chan error, 1)
	go func() {
		err := cc.HandshakeContext(t.Context())
		result <- err
		_, _ = io.Copy(io.Discard, cc) // session tickets
	}()
	if err := errors.Join(sc.HandshakeContext(t.Context()), <-result); err != nil {
		t.Fatal(err)
	}
	state := sc.ConnectionState()
	return auth.Stream{
		TLS: &state, ServerCertificate: own.Leaf, Addr: netip.MustParseAddrPort("192.0.2.7:50000"),
	}, cc.ConnectionState()
}

func TestMechanismsInEjabberdsOrder(t *testing.T) {
	user := certificate(t, []string{"alice@example.org"}, nil)
	tls13, _ := handshake(t, tls.VersionTLS13, nil)
	withCertificate, _ := handshake(t, tls.VersionTLS13, &user)
	sasl2 := tls13
	sasl2.SASL2 = true
	const all = "PLAIN SCRAM-SHA-512-PLUS SCRAM-SHA-512 SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1"
	hidden := func(o *auth.Options) { o.HiddenTypes = []string{"plain", "scram_sha1"} }
	tests := []struct {
		name   string
		stream auth.Stream
		change func(*auth.Options)
		want   string
	}{
		{"plain stream", auth.Stream{}, nil, "PLAIN SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1"},
		{"TLS", tls13, nil, all},
		{"TLS with a certificate", withCertificate, nil, "EXTERNAL " + all},
		{"scram only", tls13, func(o *auth.Options) { o.PasswordFormat = "scram" }, "PLAIN SCRAM-SHA-1-PLUS SCRAM-SHA-1"},
		{"sha512", tls13, func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha512" }, "PLAIN SCRAM-SHA-512-PLUS SCRAM-SHA-512"},
		{"stored types", auth.Stream{}, func(o *auth.Options) { o.StoredTypes = []string{"scram_sha256", "scram_sha1"} }, "PLAIN SCRAM-SHA-256 SCRAM-SHA-1"},
		{"anonymous too", auth.Stream{}, func(o *auth.Options) { o.Methods = []string{"sql", "anonymous"} }, "ANONYMOUS PLAIN SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1"},
		{"anonymous by name only", auth.Stream{}, func(o *auth.Options) { o.Methods, o.AnonymousProtocol = []string{"anonymous"}, "login_anon" }, "PLAIN"},
		{"disabled", tls13, func(o *auth.Options) {
			o.DisabledMechanisms = []string{"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-512-PLUS"}
		}, "SCRAM-SHA-512 SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS"},
		{"hidden", tls13, hidden, "SCRAM-SHA-512-PLUS SCRAM-SHA-512 SCRAM-SHA-256-PLUS SCRAM-SHA-256"},
		{"hidden, but SASL2", sasl2, hidden, all},
	}
	db := storagetest.Open(t)
	for _, tt := range tests {
		h, _ := accounts(t, db, tt.change)
		if got := strings.Join(h.Mechanisms(tt.stream), " "); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		for _, m := range []string{"EXTERNAL", "ANONYMOUS", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512-PLUS", "DIGEST-MD5", "plain", ""} {
			_, err := h.Begin(m, tt.stream)
			if isOffered := slices.Contains(strings.Fields(tt.want), m); (err == nil) != isOffered {
				t.Errorf("%s: begin %q: %v", tt.name, m, err)
			} else if err != nil && !errors.Is(err, auth.ErrInvalidMechanism) {
				t.Errorf("%s: begin %q: %v, want invalid-mechanism", tt.name, m, err)
			}
		}
	}
}

func TestBindings(t *testing.T) {
	tls13, _ := handshake(t, tls.VersionTLS13, nil)
	tls12, _ := handshake(t, tls.VersionTLS12, nil)
	db := storagetest.Open(t)
	h, _ := accounts(t, db, nil)
	without, _ := accounts(t, db, func(o *auth.Options) {
		o.DisabledMechanisms = []string{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"}
	})
	for _, tt := range []struct {
		name   string
		h      *auth.Host
		stream auth.Stream
		want   []string
	}{
		{"TLS 1.3", h, tls13, []string{"tls-exporter", "tls-server-end-point"}},
		{"TLS 1.2", h, tls12, []string{"tls-unique", "tls-server-end-point"}},
		{"no TLS", h, auth.Stream{}, nil},
		{"no PLUS", without, tls13, nil},
	} {
		if got := tt.h.Bindings(tt.stream); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlain(t *testing.T) {
	h, _ := accounts(t, storagetest.Open(t), nil)
	register(t, h, "alice", "secret")
	register(t, h, "bob", "secret")
	host := h.Domain()
	tests := []struct {
		response string
		want     error
	}{
		{"\x00alice\x00secret", nil},
		{"alice\x00alice\x00secret", nil},
		{"alice@" + host + "\x00alice\x00secret", nil},
		{"\x00ALICE\x00secret", nil},
		{"\x00alice\x00Secret", auth.ErrNotAuthorized},
		{"\x00alice\x00secret ", auth.ErrNotAuthorized},
		{"\x00nobody\x00secret", auth.ErrNotAuthorized},
		{"\x00alice@" + host + "\x00secret", auth.ErrNotAuthorized},
		{"\x00alice/phone\x00secret", auth.ErrNotAuthorized},
		{"\x00a b\x00secret", auth.ErrNotAuthorized},
		{"bob\x00alice\x00secret", auth.ErrInvalidAuthzid},
		{"bob@" + host + "\x00alice\x00secret", auth.ErrInvalidAuthzid},
		{"alice@elsewhere.example\x00alice\x00secret", auth.ErrInvalidAuthzid},
		{"alice@" + host + "/phone\x00alice\x00secret", auth.ErrInvalidAuthzid},
		{host + "\x00alice\x00secret", auth.ErrInvalidAuthzid},
		{"@\x00alice\x00secret", auth.ErrInvalidAuthzid},
		{"", auth.ErrMalformed},
		{"alice\x00secret", auth.ErrMalformed},
		{"\x00alice\x00secret\x00", auth.ErrMalformed},
		{"\x00alice\x00secret\x00x", auth.ErrMalformed},
		{"\x00alice\x00", auth.ErrMalformed},
		{"\x00\x00secret", auth.ErrMalformed},
		{"\x00\x00", auth.ErrMalformed},
		{"\x00alice\x00\xff", auth.ErrMalformed},
		{"\x00alice\x00" + strings.Repeat("x", 5000), auth.ErrMalformed},
	}
	for _, tt := range tests {
		id, err := login(t, h, "PLAIN", auth.Stream{}, []byte(tt.response))
		short := tt.response[:min(40, len(tt.response))]
		switch {
		case tt.want == nil && (err != nil || id.User != jid(t, h, "alice") || id.Mechanism != "PLAIN" || id.Method != "sql"):
			t.Errorf("%q: %+v %v", short, id, err)
		case tt.want != nil && (!errors.Is(err, tt.want) || id != auth.Identity{}):
			t.Errorf("%q: %+v %v, want %v", short, id, err, tt.want)
		}
	}
}

func TestAnExchangeEndsOnce(t *testing.T) {
	h, _ := accounts(t, storagetest.Open(t), nil)
	register(t, h, "alice", "secret")
	for name, first := range map[string][]byte{"right": plain("alice", "secret"), "wrong": plain("alice", "x")} {
		e, err := h.Begin("PLAIN", auth.Stream{})
		if err != nil {
			t.Fatal(err)
		}
		challenge, done, err := e.Step(t.Context(), nil)
		if challenge == nil || len(challenge) != 0 || done || err != nil {
			t.Errorf("no initial response: %q %v %v, want an empty challenge", challenge, done, err)
		}
		_, done, err = e.Step(t.Context(), first)
		if done != (name == "right") || (err == nil) != (name == "right") {
			t.Errorf("%s: %v %v", name, done, err)
		}
		was := e.Identity()
		if _, done, err := e.Step(t.Context(), plain("alice", "secret")); done || !errors.Is(err, auth.ErrMalformed) {
			t.Errorf("%s: one step more: %v %v", name, done, err)
		}
		if e.Identity() != was {
			t.Errorf("%s: the identity changed", name)
		}
	}
}

func TestResultHook(t *testing.T) {
	h, o := accounts(t, storagetest.Open(t), func(o *auth.Options) { o.Methods = []string{"sql", "anonymous"} })
	alice := register(t, h, "alice", "secret")
	var got []auth.Attempt
	enough := stream.PolicyViolation.With("enough")
	auth.Result.Add(o, hooks.Normal, func(_ ctx, end *stream.Error, a auth.Attempt) (*stream.Error, hooks.Flow) {
		if got = append(got, a); len(got) == 3 {
			return enough, hooks.Stop
		}
		return end, hooks.Next
	})
	s := auth.Stream{Addr: netip.MustParseAddrPort("192.0.2.1:1234")}
	if _, err := login(t, h, "PLAIN", s, plain("alice", "secret")); err != nil {
		t.Error(err)
	}
	if _, err := login(t, h, "PLAIN", s, plain("alice", "wrong")); !errors.Is(err, auth.ErrNotAuthorized) {
		t.Error(err)
	}
	var f *auth.Failure
	if id, err := login(t, h, "PLAIN", s, plain("alice", "secret")); !errors.As(err, &f) || f.End != enough || id.User == alice {
		t.Errorf("the hook says enough, and the login gives %+v %v", id, err)
	}
	if len(got) != 3 || got[0].User != alice || got[0].Failure != nil || got[0].Addr != s.Addr || got[0].Mechanism != "PLAIN" ||
		got[1].User != alice || got[1].Failure == nil {
		t.Errorf("heard %+v", got)
	}
}

func TestDisabledAccounts(t *testing.T) {
	tls13, _ := handshake(t, tls.VersionTLS13, nil)
	h, o := accounts(t, storagetest.Open(t), nil)
	register(t, h, "alice", "secret")
	auth.Disabled.Add(o, hooks.Normal, func(_ ctx, f *auth.Failure, u xmpp.JID) (*auth.Failure, hooks.Flow) {
		if u.Local() == "alice" {
			return &auth.Failure{Condition: "account-disabled", Text: "Account is banned: spam"}, hooks.Stop
		}
		return f, hooks.Next
	})
	for _, m := range h.Mechanisms(tls13) {
		response := plain("alice", "secret")
		if strings.HasPrefix(m, "SCRAM") {
			response = []byte("n,,n=alice,r=abc")
			if strings.HasSuffix(m, "PLUS") {
				response = []byte("p=tls-exporter,,n=alice,r=abc")
			}
		}
		_, err := login(t, h, m, tls13, response)
		var f *auth.Failure
		if !errors.As(err, &f) || f.Condition != "account-disabled" || f.Text != "Account is banned: spam" {
			t.Errorf("%s: %v", m, err)
		}
	}
	if err := h.Check(t.Context(), jid(t, h, "alice"), "secret"); !errors.Is(err, auth.ErrAccountDisabled) {
		t.Errorf("check: %v", err)
	}
}

func TestAnonymous(t *testing.T) {
	h, o := accounts(t, nil, func(o *auth.Options) { o.Methods = []string{"anonymous"} })
	var heard []string
	auth.Registered.Add(o, hooks.Normal, func(_ ctx, u xmpp.JID) { heard = append(heard, "+"+u.String()) })
	auth.Removed.Add(o, hooks.Normal, func(_ ctx, u xmpp.JID) { heard = append(heard, "-"+u.String()) })
	one, err := login(t, h, "ANONYMOUS", auth.Stream{}, nil)
	two, err2 := login(t, h, "ANONYMOUS", auth.Stream{}, []byte("trace"))
	if err != nil || err2 != nil || one.User == two.User || !one.Anonymous || len(one.User.Local()) < 20 || one.User.Domain() != h.Domain() {
		t.Fatalf("%+v %v, %+v %v", one, err, two, err2)
	}
	if err := h.Enter(t.Context(), one); err != nil {
		t.Error(err)
	}
	if err := h.Enter(t.Context(), one); !errors.Is(err, auth.ErrTaken) {
		t.Errorf("a second session: %v", err)
	}
	if there, _ := h.Exists(t.Context(), one.User); !there {
		t.Error("an anonymous user who is here does not exist")
	}
	h.Leave(t.Context(), one)
	if there, _ := h.Exists(t.Context(), one.User); there {
		t.Error("an anonymous user who has left exists")
	}
	if want := []string{"+" + one.User.String(), "-" + one.User.String()}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	if _, err := login(t, h, "PLAIN", auth.Stream{}, plain("alice", "x")); !errors.Is(err, auth.ErrNotAuthorized) {
		t.Errorf("login by name without login_anon: %v", err)
	}
}

func TestAnonymousByNameTakesNobodysName(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := accounts(t, db, func(o *auth.Options) { o.Methods, o.AnonymousProtocol = []string{"anonymous", "sql"}, "both" })
	alice := register(t, h, "alice", "secret")
	if _, err := login(t, h, "PLAIN", auth.Stream{}, plain("alice", "guess")); !errors.Is(err, auth.ErrNotAuthorized) {
		t.Errorf("somebody takes alice's name with any password: %v", err)
	}
	if id, err := login(t, h, "PLAIN", auth.Stream{}, plain("alice", "secret")); err != nil || id.Anonymous || id.User != alice {
		t.Errorf("alice herself: %+v %v", id, err)
	}
	guest, err := login(t, h, "PLAIN", auth.Stream{}, plain("guest", "any"))
	if err != nil || !guest.Anonymous || guest.User.Local() != "guest" {
		t.Fatalf("a guest: %+v %v", guest, err)
	}
	if err := h.Enter(t.Context(), guest); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, h, "PLAIN", auth.Stream{}, plain("GUEST", "other")); !errors.Is(err, auth.ErrNotAuthorized) {
		t.Errorf("a second guest of this name: %v", err)
	}
	if err := h.Register(t.Context(), guest.User, "mine"); !errors.Is(err, auth.ErrExists) {
		t.Errorf("registering the name of a guest who is here: %v", err)
	}
	many, _ := accounts(t, db, func(o *auth.Options) {
		o.Methods, o.AnonymousProtocol, o.MultipleConnections = []string{"sql", "anonymous"}, "login_anon", true
	})
	for range 2 {
		id, err := login(t, many, "PLAIN", auth.Stream{}, plain("guest", "any"))
		if err != nil || many.Enter(t.Context(), id) != nil {
			t.Errorf("several guests: %v", err)
		}
	}
}

func TestExternal(t *testing.T) {
	const host = "example.org"
	tests := []struct {
		name      string
		addresses []string
		authzid   string
		want      string // the user; "": refused
	}{
		{"one address", []string{"alice@example.org"}, "", "alice"},
		{"named", []string{"alice@example.org"}, "alice@example.org", "alice"},
		{"somebody else", []string{"alice@example.org"}, "bob@example.org", ""},
		{"two addresses, none named", []string{"alice@example.org", "bob@example.org"}, "", ""},
		{"two addresses, one named", []string{"alice@example.org", "bob@example.org"}, "bob@example.org", "bob"},
		{"an address elsewhere", []string{"alice@elsewhere.example"}, "", ""},
		{"an address elsewhere, named", []string{"alice@elsewhere.example"}, "alice@elsewhere.example", ""},
		{"the same name elsewhere", []string{"alice@elsewhere.example"}, "alice@example.org", ""},
		{"one here, one elsewhere", []string{"alice@elsewhere.example", "bob@example.org"}, "", "bob"},
		{"the domain, named", []string{"example.org"}, "bob@example.org", "bob"},
		{"the domain, nobody named", []string{"example.org"}, "", ""},
		{"a parent domain", []string{"org"}, "bob@example.org", ""},
		{"a sub-domain", []string{"x.example.org"}, "bob@example.org", ""},
		{"no address", []string{}, "bob@example.org", ""},
		{"no names at all", nil, "bob@example.org", ""},
		{"no names, nobody named", nil, "", ""},
		{"a resource", []string{"alice@example.org"}, "alice@example.org/phone", ""},
		{"no address but a name", []string{"alice@example.org"}, "alice", ""},
		{"rubbish", []string{"alice@example.org"}, "@", ""},
		{"another case", []string{"Alice@Example.ORG"}, "", "alice"},
		{"not an address", []string{"@@"}, "bob@example.org", ""},
	}
	h, o := accounts(t, nil, func(o *auth.Options) { o.Methods = []string{"anonymous"} })
	auth.Disabled.Add(o, hooks.Normal, func(_ ctx, f *auth.Failure, u xmpp.JID) (*auth.Failure, hooks.Flow) {
		if u.Local() == "banned" {
			return &auth.Failure{Condition: "account-disabled"}, hooks.Stop
		}
		return f, hooks.Next
	})
	for _, tt := range tests {
		c := certificate(t, tt.addresses, nil)
		s, _ := handshake(t, tls.VersionTLS13, &c)
		id, err := login(t, h, "EXTERNAL", s, []byte(tt.authzid))
		switch {
		case tt.want == "" && (err == nil || id != auth.Identity{}):
			t.Errorf("%s: %+v %v, want a refusal", tt.name, id, err)
		case tt.want != "" && (err != nil || id.User.String() != tt.want+"@"+host || id.Method != "external"):
			t.Errorf("%s: %+v %v, want %s", tt.name, id, err, tt.want)
		}
	}
	banned := certificate(t, []string{"banned@example.org"}, nil)
	s, _ := handshake(t, tls.VersionTLS13, &banned)
	if _, err := login(t, h, "EXTERNAL", s, []byte{}); !errors.Is(err, auth.ErrAccountDisabled) {
		t.Errorf("banned: %v", err)
	}
}

func TestOtherNamesInACertificateAreNobody(t *testing.T) {
	h, _ := accounts(t, nil, func(o *auth.Options) { o.Methods = []string{"anonymous"} })
	c := certificate(t, nil, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "alice@example.org"}
		c.EmailAddresses, c.DNSNames = []string{"alice@example.org"}, []string{"example.org"}
	})
	s, _ := handshake(t, tls.VersionTLS13, &c)
	for _, authzid := range []string{"", "alice@example.org"} {
		if id, err := login(t, h, "EXTERNAL", s, []byte(authzid)); !errors.Is(err, auth.ErrNotAuthorized) {
			t.Errorf("%q: %+v %v", authzid, id, err)
		}
	}
}

func TestCertificateThatWasNotVerified(t *testing.T) {
	h, _ := accounts(t, nil, func(o *auth.Options) { o.Methods = []string{"anonymous"} })
	c := certificate(t, []string{"alice@example.org"}, nil)
	s, _ := handshake(t, tls.VersionTLS13, &c)
	s.TLS.VerifiedChains = nil // the listener asked for a certificate but did not check it
	if _, err := h.Begin("EXTERNAL", s); !errors.Is(err, auth.ErrInvalidMechanism) {
		t.Errorf("EXTERNAL with a certificate that nobody has verified: %v", err)
	}
}
