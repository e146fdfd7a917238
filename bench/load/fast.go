package load

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// tokens is the mechanism by which a token is proved, without channel binding.
const tokens = "HT-SHA-256-NONE"

// fastLogins has every session log in by SASL2, ask for a token and use it once, which
// is not measured: a token is used for a day. Then it logs in with it (XEP-0484): TLS,
// SASL2 with Bind 2 in one round trip, roster, presence. Like a login it is done when the
// roster has come.
func (w *worker) fastLogins() error {
	all := w.users(w.First, w.Sessions)
	for _, s := range all {
		s.named = true
	}
	for _, before := range []func(*session) error{w.fetchToken, w.loginFast} {
		err := w.each(all, func(s *session, _ *Histogram) error {
			defer s.again()
			return before(s)
		})
		if err != nil {
			return err
		}
	}
	return w.measured(all, w.loginFast)
}

// again ends the session, so that its user can have another one.
func (s *session) again() {
	s.close()
	*s = session{number: s.number, user: s.user, bare: s.bare, token: s.token, named: s.named}
}

// agent is the same for a user each time.
func (w *worker) agent(s *session) string {
	return fmt.Sprintf("<user-agent id='d4565fa7-4d72-4749-b3d3-%012x'><software>load</software></user-agent>", w.First+s.number)
}

// fetchToken logs in with the password and keeps the token that is given for it.
func (w *worker) fetchToken(s *session) error {
	if err := w.connect(s); err != nil {
		return err
	}
	features, err := w.secure(s)
	if err != nil {
		return err
	}
	if !bytes.Contains(features, []byte(">"+tokens+"<")) {
		return fmt.Errorf("no tokens (%s) are offered in %.600s", tokens, features)
	}
	m, err := w.choose(features)
	if err != nil || m == "PLAIN" {
		return errors.Join(err, errors.New("tokens are asked for with SCRAM"))
	}
	x := newScram(m, s.user, "")
	e, err := s.ask(authenticate(m, x.start(), w.agent(s)+"<request-token xmlns='urn:xmpp:fast:0' mechanism='"+tokens+"'/>"))
	if err != nil {
		return err
	}
	answer, err := w.respond(x, m, s.user, e)
	if err != nil {
		return err
	}
	e, err = s.ask("<response xmlns='urn:xmpp:sasl:2'>" + base64.StdEncoding.EncodeToString([]byte(answer)) + "</response>")
	if err := succeeded(e, err); err != nil {
		return err
	}
	if err := additional(e, x.finish); err != nil {
		return err
	}
	i := bytes.Index(e, []byte("<token"))
	if i < 0 {
		return fmt.Errorf("no token in %.400s", e)
	}
	s.token = string(attribute(e[i:], "token"))
	return nil
}

// loginFast logs in with the token.
func (w *worker) loginFast(s *session) error {
	if err := w.connect(s); err != nil {
		return err
	}
	if _, err := w.secure(s); err != nil {
		return err
	}
	e, err := s.ask(authenticate(tokens, s.user+"\x00"+proof(s.token, "Initiator"), w.agent(s)+"<bind xmlns='urn:xmpp:bind:0'><tag>load</tag></bind><fast xmlns='urn:xmpp:fast:0'/>"))
	if err := succeeded(e, err); err != nil {
		return err
	}
	err = additional(e, func(got string) error {
		if got != proof(s.token, "Responder") {
			return errors.New("the server has not proved that it knows the token")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.full = string(text(e, "authorization-identifier")); !bytes.Contains(e, []byte("<bound")) {
		return fmt.Errorf("bind: %.400s", e)
	}
	return w.arrive(s, available)
}

// proof is what only who has the token can say.
func proof(token, who string) string {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte(who))
	return string(m.Sum(nil))
}

// authenticate begins a login by SASL2 (XEP-0388).
func authenticate(mechanism, first, inline string) string {
	return "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='" + mechanism + "'><initial-response>" + base64.StdEncoding.EncodeToString([]byte(first)) + "</initial-response>" + inline + "</authenticate>"
}

// additional checks what the server says along with its success.
func additional(success []byte, check func(string) error) error {
	data, err := base64.StdEncoding.DecodeString(string(text(success, "additional-data")))
	if err != nil {
		return fmt.Errorf("success: %w", err)
	}
	return check(string(data))
}
