package auth_test

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/storage/storagetest"
	xdg "github.com/xdg-go/scram"
	"mellium.im/sasl"
)

// mellium runs a mechanism with the client of mellium.im/sasl.
func mellium(t testing.TB, h *auth.Host, m sasl.Mechanism, s auth.Stream, there *tls.ConnectionState, user, password string) (auth.Identity, error) {
	t.Helper()
	opts := []sasl.Option{
		sasl.Credentials(func() ([]byte, []byte, []byte) { return []byte(user), []byte(password), nil }),
		sasl.RemoteMechanisms(h.Mechanisms(s)...),
	}
	if there != nil {
		opts = append(opts, sasl.TLSState(*there))
	}
	c := sasl.NewClient(m, opts...)
	e, err := h.Begin(m.Name, s)
	if err != nil {
		return auth.Identity{}, err
	}
	var challenge []byte
	for range 5 {
		_, response, err := c.Step(challenge)
		if err != nil {
			return auth.Identity{}, fmt.Errorf("client: %w", err)
		}
		var done bool
		challenge, done, err = e.Step(t.Context(), response)
		if err != nil {
			return auth.Identity{}, err
		}
		if done {
			if challenge != nil {
				if _, _, err := c.Step(challenge); err != nil {
					return auth.Identity{}, fmt.Errorf("client, of the server's signature: %w", err)
				}
			}
			return e.Identity(), nil
		}
	}
	return auth.Identity{}, errors.New("no end after five steps")
}

func TestMelliumsClient(t *testing.T) {
	tls13, there13 := handshake(t, tls.VersionTLS13, nil)
	tls12, there12 := handshake(t, tls.VersionTLS12, nil)
	mechanisms := []sasl.Mechanism{sasl.Plain, sasl.ScramSha1, sasl.ScramSha256, sasl.ScramSha1Plus, sasl.ScramSha256Plus}
	formats := [][]string{{"plain"}, {"scram_sha1", "scram_sha256"}, {"plain", "scram_sha1", "scram_sha512"}}
	for _, format := range formats {
		h, _ := accounts(t, storagetest.Open(t), func(o *auth.Options) { o.StoredTypes = format })
		alice := register(t, h, "alice", "pencil, =2C ß")
		for _, m := range mechanisms {
			for version, c := range map[string]struct {
				stream auth.Stream
				there  tls.ConnectionState
			}{"1.3": {tls13, there13}, "1.2": {tls12, there12}} {
				for range 2 { // the second time with keys that were remembered
					id, err := mellium(t, h, m, c.stream, &c.there, "alice", "pencil, =2C ß")
					if err != nil || id.User != alice || id.Mechanism != m.Name {
						t.Errorf("%v: %s on TLS %s: %+v %v", format, m.Name, version, id, err)
					}
				}
				if id, err := mellium(t, h, m, c.stream, &c.there, "alice", "Pencil, =2C ß"); !errors.Is(err, auth.ErrNotAuthorized) {
					t.Errorf("%v: %s on TLS %s: a wrong password: %+v %v", format, m.Name, version, id, err)
				}
			}
		}
	}
}

var hashes = map[string]xdg.HashGeneratorFcn{"SCRAM-SHA-1": xdg.SHA1, "SCRAM-SHA-256": xdg.SHA256, "SCRAM-SHA-512": xdg.SHA512}

// client is xdg-go/scram's, for a mechanism with or without -PLUS.
func client(t testing.TB, mechanism, user, password, authzid string, b *xdg.ChannelBinding) *xdg.ClientConversation {
	t.Helper()
	c, err := hashes[strings.TrimSuffix(mechanism, "-PLUS")].NewClient(user, password, authzid)
	if err != nil {
		t.Fatal(err)
	}
	if b != nil {
		return c.NewConversationWithChannelBinding(*b)
	}
	return c.NewConversation()
}

// converse runs a whole SCRAM login and lets the client check the server.
func converse(t testing.TB, h *auth.Host, mechanism string, s auth.Stream, c *xdg.ClientConversation) (auth.Identity, error) {
	t.Helper()
	e, err := h.Begin(mechanism, s)
	if err != nil {
		return auth.Identity{}, err
	}
	challenge, done := []byte(nil), false
	for !done {
		response, err := c.Step(string(challenge))
		if err != nil {
			t.Fatalf("%s: the client says %v", mechanism, err)
		}
		if challenge, done, err = e.Step(t.Context(), []byte(response)); err != nil {
			return e.Identity(), err
		}
	}
	if _, err := c.Step(string(challenge)); err != nil || !c.Valid() {
		t.Errorf("%s: the client does not believe the server: %v", mechanism, err)
	}
	return e.Identity(), nil
}

func serverEndPoint(s auth.Stream) xdg.ChannelBinding {
	sum := sha256.Sum256(s.ServerCertificate.Raw)
	return xdg.ChannelBinding{Type: "tls-server-end-point", Data: sum[:]}
}

func exporter(t testing.TB, there tls.ConnectionState) xdg.ChannelBinding {
	t.Helper()
	data, err := there.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	return xdg.ChannelBinding{Type: "tls-exporter", Data: data}
}

func TestXdgsClient(t *testing.T) {
	s, there := handshake(t, tls.VersionTLS13, nil)
	h, _ := accounts(t, storagetest.Open(t), nil)
	user := register(t, h, "a=b", "secret") // = is escaped in SCRAM
	endPoint, export := serverEndPoint(s), exporter(t, there)
	for name := range hashes {
		for _, b := range []*xdg.ChannelBinding{nil, &endPoint, &export} {
			mechanism := name
			if b != nil {
				mechanism += "-PLUS"
			}
			id, err := converse(t, h, mechanism, s, client(t, mechanism, "a=b", "secret", "", b))
			if err != nil || id.User != user || id.Mechanism != mechanism {
				t.Errorf("%s: %+v %v", mechanism, id, err)
			}
		}
	}
	if _, err := converse(t, h, "SCRAM-SHA-1", s, client(t, "SCRAM-SHA-1", "a=b", "secret", "a=b@"+h.Domain(), nil)); err != nil {
		t.Errorf("an authzid of one's own: %v", err)
	}
	for _, authzid := range []string{"bob@" + h.Domain(), "bob", h.Domain(), "a=b@elsewhere.example"} {
		if _, err := converse(t, h, "SCRAM-SHA-1", s, client(t, "SCRAM-SHA-1", "a=b", "secret", authzid, nil)); !errors.Is(err, auth.ErrInvalidAuthzid) {
			t.Errorf("an authzid of somebody else, %s: %v", authzid, err)
		}
	}
}

func TestChannelBindingOfAnotherConnection(t *testing.T) {
	s, there := handshake(t, tls.VersionTLS13, nil)
	other, otherThere := handshake(t, tls.VersionTLS13, nil)
	h, _ := accounts(t, storagetest.Open(t), nil)
	register(t, h, "alice", "secret")
	mine, theirs := exporter(t, there), exporter(t, otherThere)
	const m = "SCRAM-SHA-256-PLUS"
	if _, err := converse(t, h, m, s, client(t, m, "alice", "secret", "", &mine)); err != nil {
		t.Errorf("the right binding: %v", err)
	}
	for name, b := range map[string]xdg.ChannelBinding{
		"exporter of another connection":     theirs,
		"certificate of another connection":  serverEndPoint(other),
		"no data":                            {Type: "tls-exporter", Data: []byte{0}},
		"tls-unique, which 1.3 has not":      {Type: "tls-unique", Data: []byte{1}},
		"the data of another type":           {Type: "tls-server-end-point", Data: mine.Data},
		"one byte more":                      {Type: "tls-exporter", Data: append(slices.Clone(mine.Data), 0)},
		"the certificate's hash, a bit else": {Type: "tls-server-end-point", Data: append([]byte{1}, serverEndPoint(s).Data[1:]...)},
	} {
		if id, err := converse(t, h, m, s, client(t, m, "alice", "secret", "", &b)); !errors.Is(err, auth.ErrNotAuthorized) {
			t.Errorf("%s: %+v %v, want not-authorized", name, id, err)
		}
	}
}

// speak is a client by hand, which can do everything wrong.
type speak struct {
	t        testing.TB
	e        auth.Exchange
	password string
	first    string // with its header
	answer   string
	final    string
	err      error
}

// begin sends a first message.
func begin(t testing.TB, h *auth.Host, mechanism string, s auth.Stream, first string) *speak {
	t.Helper()
	e, err := h.Begin(mechanism, s)
	if err != nil {
		t.Fatal(err)
	}
	answer, _, err := e.Step(t.Context(), []byte(first))
	return &speak{t: t, e: e, password: "secret", first: first, answer: string(answer), err: err}
}

// part returns an attribute of the answer.
func (c *speak) part(name string) string {
	for p := range strings.SplitSeq(c.answer, ",") {
		if v, ok := strings.CutPrefix(p, name+"="); ok {
			return v
		}
	}
	return ""
}

// prove makes the last message of SCRAM-SHA-256 of its part without proof.
func (c *speak) prove(unproved string) string {
	salt, err := base64.StdEncoding.DecodeString(c.part("s"))
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := strconv.Atoi(c.part("i"))
	if err != nil {
		c.t.Fatalf("%q: %v", c.answer, err)
	}
	salted, err := pbkdf2.Key(sha256.New, c.password, salt, n, 32)
	if err != nil {
		c.t.Fatal(err)
	}
	m := hmac.New(sha256.New, salted)
	m.Write([]byte("Client Key"))
	key := m.Sum(nil)
	stored := sha256.Sum256(key)
	_, bare, _ := strings.Cut(c.first, ",")
	_, bare, _ = strings.Cut(bare, ",")
	m = hmac.New(sha256.New, stored[:])
	m.Write([]byte(bare + "," + c.answer + "," + unproved))
	proof := m.Sum(nil)
	subtle.XORBytes(proof, proof, key)
	return unproved + ",p=" + base64.StdEncoding.EncodeToString(proof)
}

// finish sends the last message.
func (c *speak) finish(final string) error {
	c.final = final
	_, done, err := c.e.Step(c.t.Context(), []byte(final))
	if err == nil && !done {
		c.t.Error("neither done nor failed")
	}
	return err
}

func TestScramByHand(t *testing.T) {
	h, _ := accounts(t, storagetest.Open(t), func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha256" })
	register(t, h, "alice", "secret")
	const m = "SCRAM-SHA-256"
	good := func() *speak { return begin(t, h, m, auth.Stream{}, "n,,n=alice,r=abcdef") }
	c := good()
	if !strings.HasPrefix(c.part("r"), "abcdef") || len(c.part("r")) < 6+24 || c.part("i") != "4096" {
		t.Fatalf("the answer is %q", c.answer)
	}
	if err := c.finish(c.prove("c=biws,r=" + c.part("r"))); err != nil {
		t.Fatalf("everything right: %v", err)
	}
	replayed := c.final
	tests := []struct {
		name  string
		final func(c *speak) string
		want  error
	}{
		{"a replayed last message", func(*speak) string { return replayed }, auth.ErrNotAuthorized},
		{"another nonce", func(c *speak) string { return c.prove("c=biws,r=" + c.part("r") + "x") }, auth.ErrNotAuthorized},
		{"one's own nonce only", func(c *speak) string { return c.prove("c=biws,r=abcdef") }, auth.ErrNotAuthorized},
		{"no nonce", func(c *speak) string { return c.prove("c=biws,r=") }, auth.ErrNotAuthorized},
		{"another header", func(c *speak) string { return c.prove("c=eSws,r=" + c.part("r")) }, auth.ErrNotAuthorized},
		{"an authzid that was not said", func(c *speak) string {
			return c.prove("c=" + base64.StdEncoding.EncodeToString([]byte("n,a=bob,")) + ",r=" + c.part("r"))
		}, auth.ErrNotAuthorized},
		{"an extension", func(c *speak) string { return c.prove("c=biws,r=" + c.part("r") + ",x=1") }, nil},
		{"an extension that insists", func(c *speak) string { return c.prove("c=biws,r=" + c.part("r") + ",m=1") }, auth.ErrMalformed},
		{"no proof", func(c *speak) string { return "c=biws,r=" + c.part("r") }, auth.ErrMalformed},
		{"an empty proof", func(c *speak) string { return "c=biws,r=" + c.part("r") + ",p=" }, auth.ErrMalformed},
		{"a short proof", func(c *speak) string { return "c=biws,r=" + c.part("r") + ",p=AAAA" }, auth.ErrMalformed},
		{"a proof of zeros", func(c *speak) string {
			return "c=biws,r=" + c.part("r") + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
		}, auth.ErrNotAuthorized},
		{"a proof that is not base64", func(c *speak) string { return "c=biws,r=" + c.part("r") + ",p=!" }, auth.ErrMalformed},
		{"the wrong order", func(c *speak) string { return c.prove("r=" + c.part("r") + ",c=biws") }, auth.ErrMalformed},
		{"nothing", func(*speak) string { return "" }, auth.ErrMalformed},
		{"bad UTF-8", func(c *speak) string { return c.prove("c=biws,r=" + c.part("r") + ",x=\xff") }, auth.ErrMalformed},
		{"too much", func(c *speak) string { return c.prove("c=biws,r=" + c.part("r") + ",x=" + strings.Repeat("x", 5000)) }, auth.ErrMalformed},
		{"a wrong password", func(c *speak) string { c.password = "Secret"; return c.prove("c=biws,r=" + c.part("r")) }, auth.ErrNotAuthorized},
		{"an empty password", func(c *speak) string { c.password = ""; return c.prove("c=biws,r=" + c.part("r")) }, auth.ErrNotAuthorized},
	}
	for _, tt := range tests {
		c := good()
		err := c.finish(tt.final(c))
		if !errors.Is(err, tt.want) || (err == nil) != (c.e.Identity().User.Local() == "alice") {
			t.Errorf("%s: %+v %v, want %v", tt.name, c.e.Identity(), err, tt.want)
		}
		if err != nil && c.finish(c.prove("c=biws,r="+c.part("r"))) == nil {
			t.Errorf("%s: after the failure another last message works", tt.name)
		}
	}
}

func TestFirstMessagesThatAreRefused(t *testing.T) {
	s, _ := handshake(t, tls.VersionTLS13, nil)
	h, _ := accounts(t, storagetest.Open(t), nil)
	register(t, h, "alice", "secret")
	tests := []struct {
		mechanism, first string
		want             error
	}{
		{"SCRAM-SHA-1", "n,,n=alice,r=abc", nil},
		{"SCRAM-SHA-1", "n,,n=alice,r=abc,x=ignored", nil},
		{"SCRAM-SHA-1", "n,a=alice,n=alice,r=abc", nil},
		{"SCRAM-SHA-1", "y,,n=alice,r=abc", auth.ErrNotAuthorized}, // PLUS was offered: somebody hid it
		{"SCRAM-SHA-1", "p=tls-exporter,,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1-PLUS", "p=tls-exporter,,n=alice,r=abc", nil},
		{"SCRAM-SHA-1-PLUS", "n,,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1-PLUS", "y,,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1-PLUS", "p=tls-unique,,n=alice,r=abc", auth.ErrNotAuthorized},
		{"SCRAM-SHA-1-PLUS", "p=,,n=alice,r=abc", auth.ErrNotAuthorized},
		{"SCRAM-SHA-1", "n,a=bob,n=alice,r=abc", auth.ErrInvalidAuthzid},
		{"SCRAM-SHA-1", "n,,m=1,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice,r=abc,m=1", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice,r=", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,r=abc,n=alice", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=al=ce,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=al=3d,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,x,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "q,,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", ",,n=alice,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice,r=a\tb", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice,r=a\x00b", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice,r=" + strings.Repeat("x", 257), auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=" + strings.Repeat("x", 5000) + ",r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=al\xffce,r=abc", auth.ErrMalformed},
		{"SCRAM-SHA-1", "n,,n=alice,r=abc,", auth.ErrMalformed},
		{"SCRAM-SHA-1", "", auth.ErrMalformed},
		{"SCRAM-SHA-1", ",,,,", auth.ErrMalformed},
	}
	for _, tt := range tests {
		if c := begin(t, h, tt.mechanism, s, tt.first); !errors.Is(c.err, tt.want) || (c.err == nil) != (c.answer != "") {
			t.Errorf("%s %.60q: %q %v, want %v", tt.mechanism, tt.first, c.answer, c.err, tt.want)
		}
	}
	if c := begin(t, h, "SCRAM-SHA-1", auth.Stream{}, "y,,n=alice,r=abc"); c.err != nil {
		t.Errorf("y where no PLUS was offered: %v", c.err)
	}
}

func TestDowngradeHash(t *testing.T) {
	s, _ := handshake(t, tls.VersionTLS13, nil)
	db := storagetest.Open(t)
	h, _ := accounts(t, db, nil)
	mechanisms := []string{"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS"}
	sum := func(text string) string {
		b := sha512.Sum512([]byte(text))
		return base64.StdEncoding.EncodeToString(b[:])
	}
	want := sum(strings.Join(mechanisms, "\x1e") + "\x1ftls-exporter\x1etls-server-end-point")
	if c := begin(t, h, "SCRAM-SHA-512", s, "n,,n=alice,r=abc"); c.part("h") != want {
		t.Errorf("on TLS: %q, want h=%s", c.answer, want)
	}
	want = sum("PLAIN\x1eSCRAM-SHA-1\x1eSCRAM-SHA-256\x1eSCRAM-SHA-512")
	if c := begin(t, h, "SCRAM-SHA-512", auth.Stream{}, "n,,n=alice,r=abc"); c.part("h") != want {
		t.Errorf("without TLS: %q, want h=%s", c.answer, want)
	}
	off, _ := accounts(t, db, func(o *auth.Options) { o.NoDowngradeProtection = true })
	if c := begin(t, off, "SCRAM-SHA-512", s, "n,,n=alice,r=abc"); strings.Contains(c.answer, "h=") {
		t.Errorf("switched off: %q", c.answer)
	}
}

// TestTheExampleOfXEP0474 holds the hash against the one printed there.
func TestTheExampleOfXEP0474(t *testing.T) {
	s, _ := handshake(t, tls.VersionTLS13, nil)
	h, _ := accounts(t, storagetest.Open(t), func(o *auth.Options) {
		o.PasswordFormat, o.DisabledMechanisms = "scram", []string{"PLAIN"}
	})
	if c := begin(t, h, "SCRAM-SHA-1", s, "n,,n=user,r=abc"); c.part("h") != "G6k/rBLDqgOhRRaCuuatSDFkJ08=" {
		t.Errorf("got %q, want h=G6k/rBLDqgOhRRaCuuatSDFkJ08=", c.answer)
	}
}

func FuzzScram(f *testing.F) {
	h, _ := accounts(f, storagetest.Open(f), func(o *auth.Options) { o.PasswordFormat = "scram" })
	register(f, h, "alice", "secret")
	f.Add("n,,n=alice,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("y,a=alice,n=a=2Cb,r=abc,x=1", "c=biws,r=,x=1,p=")
	f.Add("p=tls-exporter,,n=alice,r=abc", ",,,p=")
	f.Fuzz(func(t *testing.T, first, last string) {
		e, err := h.Begin("SCRAM-SHA-1", auth.Stream{})
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := e.Step(t.Context(), []byte(first))
		if done {
			t.Error("done after one message")
		}
		if err == nil {
			_, done, err = e.Step(t.Context(), []byte(last))
		}
		var failure *auth.Failure
		if done || !errors.As(err, &failure) || e.Identity() != (auth.Identity{}) {
			t.Errorf("%q, %q: %v %v %+v", first, last, done, err, e.Identity())
		}
	})
}
