package c2s_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"
	"mellium.im/sasl"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsSASL2 = " xmlns='urn:xmpp:sasl:2'"
	nsBind2 = " xmlns='urn:xmpp:bind:0'"
	agent   = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Test</software><device>Bench</device></user-agent>"
)

// encrypted is a client on a stream with TLS, whose header has these attributes.
func (h *house) encrypted(attrs string) (s *stranger, offer string) {
	h.t.Helper()
	s = h.connect()
	s.secure(insecure())
	s.send(strings.Replace(header, " to=", attrs+" to=", 1))
	return s, s.until(features)
}

// authenticate is a request to log in, with what is wanted besides.
func authenticate(mechanism, data, inline string) string {
	return "<authenticate" + nsSASL2 + " mechanism='" + mechanism + "'><initial-response>" + data + "</initial-response>" + inline + "</authenticate>"
}

// text is what stands in the first element of that name.
func text(t testing.TB, in, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(in, "<"+name)
	if !ok {
		t.Fatalf("there is no %s in %s", name, in)
	}
	_, rest, _ = strings.Cut(rest, ">")
	inner, _, _ := strings.Cut(rest, "</"+name)
	return inner
}

func TestSASL2IsOfferedWithEncryption(t *testing.T) {
	h := newHouse(t, starttls)
	s := h.connect()
	if got := s.open(); strings.Contains(got, "urn:xmpp:sasl:2") {
		t.Errorf("in the clear: %s", got)
	}
	s.send(authenticate("PLAIN", plain("romeo", "secret"), ""))
	if got := s.until("</failure>"); !strings.Contains(got, "<encryption-required") {
		t.Errorf("in the clear: %s", got)
	}
	h = newHouse(t, direct)
	_, got := h.encrypted("")
	_, list, _ := strings.Cut(got, "<authentication"+nsSASL2)
	for _, want := range []string{"<mechanism>SCRAM-SHA-256-PLUS</mechanism>", "<mechanism>PLAIN</mechanism>", "<inline><bind" + nsBind2 + "/></inline>"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	h = newHouse(t, func(o *c2s.Options) { o.PlainSASL2 = true })
	if got := h.connect().open(); !strings.Contains(got, "urn:xmpp:sasl:2") {
		t.Errorf("in the clear, as the operator wants: %s", got)
	}
}

func TestSASL2HasNoNewStream(t *testing.T) {
	h := newHouse(t, direct)
	s, _ := h.encrypted(" from='romeo@localhost'")
	s.send(authenticate("PLAIN", plain("romeo", "secret"), agent))
	got := s.until(features)
	if !strings.HasPrefix(got, "<success"+nsSASL2+"><authorization-identifier>romeo@localhost</authorization-identifier></success><stream:features>") ||
		!strings.Contains(got, "xmpp-bind") {
		t.Errorf("got %s", got)
	}
	s.bind("x")
	if sess := h.session("romeo@localhost/x"); sess.Device == "" || sess.Auth != "sql" {
		t.Errorf("%+v", sess)
	}
}

// The client of another library proves its password, on either side of which there
// is SASL2, with and without channel binding.
func TestMechanismsBySASL2(t *testing.T) {
	h := newHouse(t, direct)
	for _, m := range mechanisms {
		for _, password := range []string{"secret", "wrong"} {
			s, _ := h.encrypted("")
			state := s.conn.(*tls.Conn).ConnectionState()
			client := sasl.NewClient(m, sasl.TLSState(state), sasl.RemoteMechanisms(m.Name),
				sasl.Credentials(func() ([]byte, []byte, []byte) { return []byte("romeo"), []byte(password), nil }))
			_, data, err := client.Step(nil)
			if err != nil {
				t.Fatal(err)
			}
			s.send(authenticate(m.Name, base64.StdEncoding.EncodeToString(data), agent))
			if m.Name != "PLAIN" {
				challenge, err := base64.StdEncoding.DecodeString(text(t, s.until("</challenge>"), "challenge"))
				if err != nil {
					t.Fatal(err)
				}
				if _, data, err = client.Step(challenge); err != nil {
					t.Fatal(err)
				}
				s.send("<response" + nsSASL2 + ">" + base64.StdEncoding.EncodeToString(data) + "</response>")
			}
			if password == "wrong" {
				if got := s.until("</failure>"); !strings.Contains(got, "<not-authorized") {
					t.Errorf("%s: %s", m.Name, got)
				}
				continue
			}
			got := s.until("</success>")
			if m.Name == "PLAIN" {
				continue
			}
			proof, err := base64.StdEncoding.DecodeString(text(t, got, "additional-data"))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := client.Step(proof); err != nil {
				t.Errorf("%s: the server has not proved that it knows the password: %v", m.Name, err)
			}
		}
	}
}

// counts says how often a token was used.
func counts(n string) string { return agent + "<fast xmlns='urn:xmpp:fast:0' count='" + n + "'/>" }

func TestSASL2Failures(t *testing.T) {
	h := newHouse(t, direct)
	for _, c := range []struct{ what, in, want string }{
		{"wrong password", authenticate("PLAIN", plain("romeo", "wrong"), ""), "not-authorized"},
		{"no such user", authenticate("PLAIN", plain("tybalt", "secret"), ""), "not-authorized"},
		{"unknown mechanism", authenticate("KERBEROS", "", ""), "invalid-mechanism"},
		{"a token without tokens", authenticate("HT-SHA-256-NONE", plain("romeo", "x"), agent+"<fast xmlns='urn:xmpp:fast:0'/>"), "invalid-mechanism"},
		{"no base64", authenticate("PLAIN", "?", ""), "incorrect-encoding"},
		{"the equals sign of RFC 6120", authenticate("PLAIN", "=", ""), "incorrect-encoding"},
		{"no message", authenticate("PLAIN", "", ""), "malformed-request"},
		{"a response to nothing", "<response" + nsSASL2 + ">eA==</response>", "malformed-request"},
		{"a task that nobody wants", "<next" + nsSASL2 + " task='X'/>", "malformed-request"},
		{"data for no task", "<task-data" + nsSASL2 + "/>", "malformed-request"},
		{"an abort", "<abort" + nsSASL2 + "/>", "aborted"},
		{"for somebody else", authenticate("PLAIN", "anVsaWV0QGxvY2FsaG9zdAByb21lbwBzZWNyZXQ=", ""), "invalid-authzid"},
		{"not who the header names", authenticate("PLAIN", plain("juliet", "secret"), "<bind"+nsBind2+"/>"), "not-authorized"},
		{"a user agent with a long id", authenticate("PLAIN", plain("romeo", "secret"), "<user-agent id='"+strings.Repeat("x", 65)+"'/>"), "malformed-request"},
		{"a count of nothing", authenticate("PLAIN", plain("romeo", "secret"), counts("0")), "malformed-request"},
		{"a count below that", authenticate("PLAIN", plain("romeo", "secret"), counts("-1")), "malformed-request"},
		{"a count beyond xs:int", authenticate("PLAIN", plain("romeo", "secret"), counts("2147483648")), "malformed-request"},
		{"no count", authenticate("PLAIN", plain("romeo", "secret"), counts("")), "malformed-request"},
		{"a word for a count", authenticate("PLAIN", plain("romeo", "secret"), counts("one")), "malformed-request"},
	} {
		s, _ := h.encrypted(" from='romeo@localhost'")
		s.send(c.in)
		got := s.until("</failure>")
		if !strings.HasPrefix(got, "<failure"+nsSASL2+"><"+c.want+nsSASL+"/>") {
			t.Errorf("%s: %s", c.what, got)
		}
		s.send(authenticate("PLAIN", plain("romeo", "secret"), "")) // the next try may succeed
		s.until("<success" + nsSASL2)
		s.send(farewell)
		s.rest()
	}
}

func TestTooManyFailedLoginsBySASL2(t *testing.T) {
	h := newHouse(t, direct)
	s, _ := h.encrypted("")
	for range c2s.MaxFailures - 1 {
		s.send(authenticate("PLAIN", plain("romeo", "wrong"), ""))
		s.until("</failure>")
	}
	s.send(authenticate("PLAIN", plain("romeo", "wrong"), "") + authenticate("PLAIN", plain("romeo", "secret"), ""))
	if got := s.rest(); ended(t, got) != "policy-violation" || strings.Contains(got, "<success") {
		t.Errorf("after the tenth: %s", got)
	}
}

// What must not happen in the middle of a login ends the stream.
func TestNothingElseInTheMiddleOfALogin(t *testing.T) {
	h := newHouse(t, direct)
	half := "<authenticate" + nsSASL2 + " mechanism='PLAIN'/>"
	old := "<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "secret") + "</auth>"
	done := authenticate("PLAIN", plain("romeo", "secret"), "")
	for _, c := range []struct{ what, in, want string }{
		{"a stanza", half + "<message to='romeo@localhost'/>", "policy-violation"},
		{"another login", half + half, "policy-violation"},
		{"an element of the old profile", half + old, "policy-violation"},
		{"something unknown", half + "<foo xmlns='bar'/>", "policy-violation"},
		{"an unknown element of SASL2", half + "<foo" + nsSASL2 + "/>", "unsupported-stanza-type"},
		{"the old profile after a failure of the new", authenticate("PLAIN", "?", "") + old, "policy-violation"},
		{"the new profile after a failure of the old", "<auth" + nsSASL + " mechanism='X'/>" + done, "policy-violation"},
		{"a login after success", done + done, "unsupported-stanza-type"},
		{"a stanza before bind", done + "<presence/>", "not-authorized"},
		{"a login with a session", authenticate("PLAIN", plain("romeo", "secret"), "<bind"+nsBind2+"/>") + done, "unsupported-stanza-type"},
	} {
		s, _ := h.encrypted("")
		s.send(c.in)
		if got := s.rest(); ended(t, got) != c.want {
			t.Errorf("%s: %s", c.what, got)
		}
	}
}

func TestFromOfTheStreamHeader(t *testing.T) {
	h := newHouse(t, direct)
	for attrs, want := range map[string]string{
		" from='romeo@elsewhere.example'": "invalid-from",
		" from='second.example'":          "invalid-from",
	} {
		s := h.connect()
		s.secure(insecure())
		s.send(strings.Replace(header, " to=", attrs+" to=", 1))
		if got := ended(t, s.rest()); got != want {
			t.Errorf("%s: %s", attrs, got)
		}
	}
	for _, attrs := range []string{" from='localhost'", " from='not an address'", " from='ROMEO@localhost/x'"} {
		s, _ := h.encrypted(attrs)
		s.send(authenticate("PLAIN", plain("romeo", "secret"), ""))
		if got := s.until(features); !strings.HasPrefix(got, "<success") {
			t.Errorf("%s: %s", attrs, got)
		}
	}
}

// A reconnection is one round trip after the handshake: everything goes in one
// packet, and everything comes back.
func TestEverythingInOnePacket(t *testing.T) {
	h := newHouse(t, direct)
	s := h.connect()
	s.secure(insecure())
	s.send(header + authenticate("PLAIN", plain("romeo", "secret"), agent+"<bind"+nsBind2+"><tag>Test</tag></bind>") + "<presence id='first'/>")
	got := s.until("id='first'/>")
	full := text(t, got, "authorization-identifier")
	if !strings.HasPrefix(full, "romeo@localhost/Test/") || strings.Count(got, features) != 2 || !strings.Contains(got, "<bound"+nsBind2+"/>") {
		t.Errorf("got %s", got)
	}
	if sess := h.session(full); sess.Device == "" || sess.JID.Resource() != "Test/"+sess.Device {
		t.Errorf("%+v", sess)
	}
}

func TestResourcesOfBind2(t *testing.T) {
	h := newHouse(t, direct)
	bind := func(user, inline string) string {
		s, _ := h.encrypted("")
		s.send(authenticate("PLAIN", plain(user, "secret"), inline))
		full := text(t, s.until(features), "authorization-identifier")
		s.send(farewell)
		s.rest()
		return full
	}
	bare, tagged := "<bind"+nsBind2+"/>", "<bind"+nsBind2+"><tag>Test</tag></bind>"
	other := strings.Replace(agent, "d4565fa7", "00000000", 1)
	first := bind("romeo", agent+tagged)
	for _, c := range []struct {
		what, user, inline string
		same               bool
	}{
		{"the same user agent", "romeo", agent + tagged, true},
		{"the same with its id in capitals", "romeo", strings.Replace(agent, "d4565fa7", "D4565FA7", 1) + tagged, true},
		{"another user agent", "romeo", other + tagged, false},
		{"no user agent", "romeo", tagged, false},
	} {
		if got := bind(c.user, c.inline); (got == first) != c.same || !strings.HasPrefix(got, "romeo@localhost/Test/") {
			t.Errorf("%s: %s after %s", c.what, got, first)
		}
	}
	_, name, _ := strings.Cut(first, "/Test/")
	if got := bind("romeo", agent+bare); got != "romeo@localhost/"+name {
		t.Errorf("without a tag: %s", got)
	}
	if got := bind("juliet", agent+bare); got == "juliet@localhost/"+name || strings.Contains(first, "d4565fa7") {
		t.Errorf("the name tells the id, or is the same for another user: %s, %s", first, got)
	}
	for _, tag := range []string{strings.Repeat("x", 257), "\t", ""} {
		if got := bind("romeo", agent+"<bind"+nsBind2+"><tag>"+tag+"</tag></bind>"); got != "romeo@localhost/"+name {
			t.Errorf("tag %q: %s", tag, got)
		}
	}
}

// The broken connection of the same user agent is replaced, whatever the rule.
func TestBind2ReplacesItsOwnSession(t *testing.T) {
	h := newHouse(t, direct)
	h.settings.conflict = sm.CloseNew
	login := func(inline string) (*stranger, string) {
		s, _ := h.encrypted("")
		s.send(authenticate("PLAIN", plain("romeo", "secret"), inline))
		return s, text(t, s.until(features), "authorization-identifier")
	}
	first, a := login(agent + "<bind" + nsBind2 + "><tag>A</tag></bind>")
	second, b := login(agent + "<bind" + nsBind2 + "><tag>A</tag></bind>")
	if got := ended(t, first.rest()); a != b || got != "conflict" {
		t.Errorf("%s, %s: %s", a, b, got)
	}
	_, c := login(agent + "<bind" + nsBind2 + "><tag>B</tag></bind>")
	if got := ended(t, second.rest()); c == b || got != "conflict" {
		t.Errorf("another tag of the same user agent, %s: %s", c, got)
	}
	login(strings.Replace(agent, "d4565fa7", "00000000", 1) + "<bind" + nsBind2 + "/>")
	h.session(c) // still there
}

func TestBind2Refused(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.TLS, o.Access = true, acl.NewAccess("none") })
	s, _ := h.encrypted("")
	s.send(authenticate("PLAIN", plain("romeo", "secret"), agent+"<bind"+nsBind2+"/>"))
	got := s.until(features)
	if strings.Contains(got, "<bound") || text(t, got, "authorization-identifier") != "romeo@localhost" || !strings.Contains(got, "xmpp-bind") {
		t.Errorf("got %s", got)
	}
	if got := s.bind("x"); !strings.Contains(got, "<not-allowed") {
		t.Errorf("got %s", got)
	}
}

func TestAnonymousBySASL2(t *testing.T) {
	h := newHouse(t, direct)
	s, _ := h.encrypted("")
	s.send("<authenticate" + nsSASL2 + " mechanism='ANONYMOUS'>" + agent + "<bind" + nsBind2 + "/></authenticate>")
	full := text(t, s.until(features), "authorization-identifier")
	if sess := h.session(full); !sess.Anonymous || sess.Device != "" {
		t.Errorf("%+v", sess)
	}
}

// What is switched on with the login is on before anybody can send to the session.
func TestInlineHandlers(t *testing.T) {
	h := newHouse(t, direct)
	sm.InlineFeatures.Add(h.hook(), hooks.Normal, func(_ context.Context, f sm.Inline, _ *sm.Stream) (sm.Inline, hooks.Flow) {
		f.Bind, f.Login, f.Other = append(f.Bind, "urn:lamp"), append(f.Login, xmpp.El("urn:door", "door")), append(f.Other, xmpp.El("urn:sign", "sign"))
		return f, hooks.Next
	})
	sm.InlineLogin.Add(h.hook(), hooks.Normal, func(_ context.Context, a sm.Answers, l *sm.Login) (sm.Answers, hooks.Flow) {
		if l.Request.Child("urn:door", "open") != nil {
			a = append(a, xmpp.El("urn:door", "opened"))
		}
		return a, hooks.Next
	})
	sm.InlineBind.Add(h.hook(), hooks.Normal, func(_ context.Context, a sm.Answers, b sm.Binding) (sm.Answers, hooks.Flow) {
		if n := b.Session.JID; h.first().Sessions.Find(n) == nil && b.Request.Child("urn:lamp", "light") != nil {
			a = append(a, xmpp.El("urn:lamp", "lit"))
		}
		return a, hooks.Next
	})
	s, offer := h.encrypted("")
	if want := "<inline><bind" + nsBind2 + "><inline><feature var='urn:lamp'/></inline></bind><door xmlns='urn:door'/></inline><sign xmlns='urn:sign'/></authentication>"; !strings.Contains(offer, want) {
		t.Errorf("offered: %s", offer)
	}
	s.send(authenticate("PLAIN", plain("romeo", "wrong"), "<open xmlns='urn:door'/>"))
	if got := s.until("</failure>"); strings.Contains(got, "opened") {
		t.Errorf("a login that failed has opened the door: %s", got)
	}
	s.send(authenticate("PLAIN", plain("romeo", "secret"), agent+"<open xmlns='urn:door'/><bind"+nsBind2+"><light xmlns='urn:lamp'/></bind>"))
	got := s.until("</success>")
	if !strings.HasSuffix(got, "<opened xmlns='urn:door'/><bound"+nsBind2+"><lit xmlns='urn:lamp'/></bound></success>") {
		t.Errorf("got %s", got)
	}
}

func TestTasks(t *testing.T) {
	h := newHouse(t, direct)
	last := func(_ context.Context, el *xmpp.Element) (*xmpp.Element, sm.TaskFunc, error) {
		switch el.Child("urn:riddle", "answer").Text() {
		case "a shadow":
			return nil, nil, nil
		case "I fell ill":
			return nil, nil, errors.New("the sphinx fell ill")
		}
		return nil, nil, &auth.Failure{Condition: "not-authorized"}
	}
	first := func(context.Context, *xmpp.Element) (*xmpp.Element, sm.TaskFunc, error) {
		return xmpp.TextEl("urn:riddle", "riddle", "Who follows you?"), last, nil
	}
	sm.Tasks.Add(h.hook(), hooks.Normal, func(_ context.Context, list []sm.Task, l *sm.Login) ([]sm.Task, hooks.Flow) {
		return append(list, sm.Task{Name: "ONE", Begin: first}, sm.Task{Name: "TWO", Begin: first}), hooks.Next
	})
	next := func(name string) string { return "<next" + nsSASL2 + " task='" + name + "'/>" }
	say := func(answer string) string {
		return "<task-data" + nsSASL2 + "><answer xmlns='urn:riddle'>" + answer + "</answer></task-data>"
	}
	begin := func() *stranger {
		s, _ := h.encrypted("")
		s.send(authenticate("PLAIN", plain("romeo", "secret"), "<bind"+nsBind2+"/>"))
		if got := s.until("</continue>"); !strings.Contains(got, "<tasks><task>ONE</task></tasks>") || strings.Contains(got, "romeo") {
			t.Errorf("got %s", got)
		}
		return s
	}
	s := begin()
	s.send(next("ONE"))
	s.until("<task-data" + nsSASL2 + "><riddle xmlns='urn:riddle'>Who follows you?</riddle></task-data>")
	s.send(say("a shadow"))
	s.until("<task>TWO</task></tasks></continue>")
	s.send(next("TWO") + say("a shadow"))
	s.until("<success" + nsSASL2 + "><authorization-identifier>romeo@localhost/")
	for _, c := range []struct{ what, in, want string }{
		{"a wrong answer", next("ONE") + say("a friend"), "not-authorized"},
		{"an inner reason", next("ONE") + say("I fell ill"), "temporary-auth-failure"},
		{"the tasks in another order", next("TWO"), "malformed-request"},
		{"an answer before the question", say("a shadow"), "malformed-request"},
		{"the question twice", next("ONE") + next("ONE"), "malformed-request"},
		{"the mechanism once more", "<response" + nsSASL2 + "/>", "malformed-request"},
		{"an abort", "<abort" + nsSASL2 + "/>", "aborted"},
	} {
		s := begin()
		s.send(c.in)
		if got := s.until("</failure>"); !strings.Contains(got, "<"+c.want) || strings.Contains(got, "sphinx") {
			t.Errorf("%s: %s", c.what, got)
		}
		s.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
		if got := ended(t, s.rest()); got != "not-authorized" {
			t.Errorf("%s, and then in all the same: %s", c.what, got)
		}
	}
	s = begin()
	s.send("<presence/>")
	if got := ended(t, s.rest()); got != "policy-violation" {
		t.Errorf("a stanza instead of a task: %s", got)
	}
}

// offered are the values between tags in a part of the features.
func offered(in, from, to, open, end string) (list []string) {
	_, in, _ = strings.Cut(in, from)
	in, _, _ = strings.Cut(in, to)
	for _, piece := range strings.Split(in, open)[1:] {
		v, _, _ := strings.Cut(piece, end)
		list = append(list, v)
	}
	return list
}

// downgradeHash is the hash that a client makes of what it was offered (XEP-0474
// §5.1).
func downgradeHash(mechanisms, bindings []string) string {
	slices.Sort(mechanisms)
	slices.Sort(bindings)
	sum := sha256.Sum256([]byte(strings.Join(mechanisms, "\x1e") + "\x1f" + strings.Join(bindings, "\x1e")))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// The hash covers the list of the profile that the client uses, and the types of
// channel binding: who takes one away in the middle is found out.
func TestDowngradeIsNoticed(t *testing.T) {
	h := newHouse(t, direct)
	for _, newer := range []bool{false, true} {
		s, got := h.encrypted("")
		mechanisms := offered(got, "<mechanisms", "</mechanisms>", "<mechanism>", "</mechanism>")
		if newer {
			mechanisms = offered(got, "<authentication", "<inline>", "<mechanism>", "</mechanism>")
		}
		bindings := offered(got, "<sasl-channel-binding", "</sasl-channel-binding>", "type='", "'")
		if len(mechanisms) < 5 || len(bindings) != 2 {
			t.Fatalf("offered %s", got)
		}
		client, err := xdg.SHA256.NewClient("romeo", "secret", "")
		if err != nil {
			t.Fatal(err)
		}
		first, err := client.NewConversation().Step("")
		if err != nil {
			t.Fatal(err)
		}
		data := base64.StdEncoding.EncodeToString([]byte(first))
		if newer {
			s.send(authenticate("SCRAM-SHA-256", data, ""))
		} else {
			s.send("<auth" + nsSASL + " mechanism='SCRAM-SHA-256'>" + data + "</auth>")
		}
		challenge, err := base64.StdEncoding.DecodeString(text(t, s.until("</challenge>"), "challenge"))
		if err != nil {
			t.Fatal(err)
		}
		_, hash, ok := strings.Cut(string(challenge), ",h=")
		hash, _, _ = strings.Cut(hash, ",")
		if want := downgradeHash(mechanisms, bindings); !ok || hash != want {
			t.Errorf("SASL2 %v: %s, want %s", newer, challenge, want)
		}
		if downgradeHash(mechanisms[1:], bindings) == hash || downgradeHash(mechanisms, bindings[1:]) == hash {
			t.Error("a list without its first entry has the same hash")
		}
	}
}
