package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A device is a client that logs in by SASL2 and tells which it is.
type device struct{ agent, token string }

const nsFast = "urn:xmpp:fast:0"

// says has the device log in with more in its request, and returns the answer.
func (d *device) says(r *running, mechanism, response, more string) (*wire, string) {
	r.t.Helper()
	w := r.dial("localhost")
	w.until("</stream:features>")
	w.send(fmt.Sprintf("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='%s'><initial-response>%s</initial-response>"+
		"<user-agent id='%s'><software>Test</software><device>%s</device></user-agent>%s</authenticate>",
		mechanism, base64.StdEncoding.EncodeToString([]byte(response)), d.agent, d.agent[:1], more))
	return w, w.until("</success>", "</failure>")
}

// logIn is a session with the password, and a token for later.
func (d *device) logIn(r *running) *wire {
	r.t.Helper()
	w, answer := d.says(r, "PLAIN", "\x00romeo\x00secret", "<bind xmlns='urn:xmpp:bind:0'/><request-token xmlns='"+nsFast+"' mechanism='HT-SHA-256-NONE'/>")
	m := regexp.MustCompile(`<token [^>]*token='([^']+)'`).FindStringSubmatch(answer)
	if m == nil {
		r.t.Fatalf("no token: %s", answer)
	}
	d.token = m[1]
	return w
}

// returns logs in with the token, in its count-th use; it returns the answer.
func (d *device) returns(r *running, count int, more string) (*wire, string) {
	r.t.Helper()
	m := hmac.New(sha256.New, []byte(d.token))
	m.Write([]byte("Initiator"))
	return d.says(r, "HT-SHA-256-NONE", "romeo\x00"+string(m.Sum(nil)), fmt.Sprintf("<fast xmlns='%s' count='%d'/>%s", nsFast, count, more))
}

// A device that has logged in on one node is seen on the others, and its token lets it
// in on each of them, once with each count; its older session ends. When it is revoked
// on another node its session ends and its token is refused everywhere; the user's
// other device stays.
func TestDevicesOfAllNodes(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost")
	phone, desk := &device{agent: "d4565fa7-4d72-4749-b3d3-740edbf87770"}, &device{agent: "a4565fa7-4d72-4749-b3d3-740edbf87771"}
	first, other := phone.logIn(n[0]), desk.logIn(n[1])
	for _, r := range n {
		eventually(t, r.opt.Node+" knows of both", func() bool {
			got := r.ctl("list_devices", "romeo", "localhost")
			return strings.Count(got, "\ttrue") == 2 && strings.Contains(got, phone.agent) && strings.Contains(got, desk.agent)
		})
	}
	second, answer := phone.returns(n[1], 1, "<bind xmlns='urn:xmpp:bind:0'><tag>again</tag></bind>")
	if !strings.Contains(answer, "<bound") {
		t.Fatalf("the token is refused on another node: %s", answer)
	}
	if got := first.until("</stream:stream>"); !strings.Contains(got, "<conflict") {
		t.Errorf("the device's session on the first node hears %s", got)
	}
	for _, r := range n {
		if _, answer := phone.returns(r, 1, ""); !strings.Contains(answer, "not-authorized") {
			t.Errorf("%s takes a count that was used: %s", r.opt.Node, answer)
		}
	}
	n[2].ctl("revoke_device", "romeo", "localhost", phone.agent)
	if got := second.until("</stream:stream>"); !strings.Contains(got, "policy-violation") || !strings.Contains(got, "revoked") {
		t.Errorf("the session of the device hears %s", got)
	}
	for i, r := range n {
		if _, answer := phone.returns(r, 10+i, ""); !strings.Contains(answer, "not-authorized") {
			t.Errorf("%s takes the token that was revoked: %s", r.opt.Node, answer)
		}
		if got := r.ctl("list_devices", "romeo", "localhost"); strings.Contains(got, phone.agent) || !strings.Contains(got, desk.agent) {
			t.Errorf("%s knows of %s", r.opt.Node, got)
		}
	}
	other.send("<iq type='get' id='still' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	other.until("id='still'")
	if _, answer := desk.returns(n[2], 1, ""); !strings.Contains(answer, "<success") {
		t.Errorf("the other device is refused: %s", answer)
	}
}
