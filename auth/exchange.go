package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// Stream is what a mechanism may know of the stream. It must stay the same from
// the list of mechanisms to the end of the login.
type Stream struct {
	TLS               *tls.ConnectionState // nil: not encrypted
	Addr              netip.AddrPort
	Lang              string
	ServerCertificate *x509.Certificate // that this client was shown
	SASL2             bool              // the login is by XEP-0388, and the list of mechanisms its own
	Both              bool              // that is offered on the stream, beside the profile of RFC 6120
	From              xmpp.JID          // who the client says it is in its stream header; zero if it does not
	Agent             string            // the id of its user agent (XEP-0388 §2.3)
	Token             bool              // it logs in with a token (XEP-0484)
	Count             uint64            // of the uses of its token; 0 if it does not count
}

// Identity is who has logged in.
type Identity struct {
	User              xmpp.JID // bare
	Method, Mechanism string   // the backend; the SASL mechanism
	Anonymous         bool     // without an account: call Host.Enter and Host.Leave
	TokenDue          bool     // logged in with a token that is to be replaced
}

// Exchange is one login. It belongs to the goroutine of the stream.
type Exchange interface {
	// Step takes what the client has sent, decoded; nil where it sent no initial
	// response. It returns what to answer: a challenge, or with done what goes
	// with the success (nil: nothing). The error is a *Failure, after which the
	// exchange is over. Step waits for the database.
	Step(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	// Identity is who has logged in, once Step has said done.
	Identity() Identity
}

// offered are the mechanisms in the order in which ejabberd lists them.
var offered = []string{
	"ANONYMOUS", "PLAIN",
	"SCRAM-SHA-512-PLUS", "SCRAM-SHA-512",
	"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256",
	"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1",
}

// Mechanisms is what to offer on a stream, in order. It does not block.
func (h *Host) Mechanisms(s Stream) []string {
	o := h.options()
	var list []string
	if clientCertificate(s) != nil {
		list = append(list, "EXTERNAL")
	}
	for _, m := range offered {
		if h.serves(o, m, s) {
			list = append(list, m)
		}
	}
	return slices.DeleteFunc(list, func(m string) bool { return slices.Contains(o.DisabledMechanisms, m) })
}

// serves reports whether a mechanism can work on a stream.
func (h *Host) serves(o *Options, mechanism string, s Stream) bool {
	switch mechanism {
	case "ANONYMOUS":
		return slices.Contains(o.Methods, "anonymous") && o.AnonymousProtocol != "login_anon"
	case "PLAIN":
		return s.SASL2 || !slices.Contains(o.HiddenTypes, "plain")
	}
	name, plus := strings.CutSuffix(mechanism, "-PLUS")
	kind := scramTypes[name]
	if !s.SASL2 && slices.Contains(o.HiddenTypes, kind) || plus && len(bindings(s)) == 0 {
		return false
	}
	return o.keeps() && (slices.Contains(o.stored(), "plain") || slices.Contains(o.stored(), kind))
}

// scramTypes are the stored types that the mechanisms use.
var scramTypes = map[string]string{
	"SCRAM-SHA-1": "scram_sha1", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512",
}

// Bindings are the types of channel binding to announce on a stream (XEP-0440),
// none where no mechanism can use them. There is one list for both profiles. It does
// not block.
func (h *Host) Bindings(s Stream) []string {
	if hasPlus(h.Mechanisms(s)) {
		return bindings(s)
	}
	if s.SASL2 = !s.SASL2; s.Both && hasPlus(h.Mechanisms(s)) {
		return bindings(s)
	}
	return nil
}

func hasPlus(mechanisms []string) bool {
	return slices.ContainsFunc(mechanisms, func(m string) bool { return strings.HasSuffix(m, "-PLUS") })
}

// Begin starts a login with a mechanism that was offered on this stream. The
// error is a *Failure. It does not block.
func (h *Host) Begin(mechanism string, s Stream) (Exchange, error) {
	list := h.Mechanisms(s)
	e := &exchange{h: h, stream: s, mechanism: mechanism}
	if s.Token && slices.Contains(h.TokenMechanisms(s), mechanism) {
		e.stepper = &tokenStep{h: h, stream: s, mechanism: mechanism}
		return e, nil
	}
	if !slices.Contains(list, mechanism) {
		return nil, &Failure{Condition: "invalid-mechanism"}
	}
	switch mechanism {
	case "PLAIN":
		e.stepper = &plainStep{h: h}
	case "ANONYMOUS":
		e.stepper = &anonymousStep{h}
	case "EXTERNAL":
		e.stepper = &externalStep{h: h, certificate: clientCertificate(s)}
	default:
		e.stepper = newScram(h, mechanism, s, list)
	}
	return e, nil
}

// A stepper is a mechanism at work.
type stepper interface {
	// step takes a response and returns a challenge, or who has logged in.
	step(ctx context.Context, response []byte) ([]byte, *Identity, error)
	// claims is who the client says it is, as far as that is known.
	claims() xmpp.JID
}

// exchange is what all mechanisms have in common.
type exchange struct {
	h         *Host
	stream    Stream
	mechanism string
	stepper
	begun, over bool
	identity    Identity
}

// maxResponse is the longest response in bytes; a real one has a few hundred.
const maxResponse = 4096

func (e *exchange) Identity() Identity { return e.identity }

func (e *exchange) Step(ctx context.Context, response []byte) ([]byte, bool, error) {
	first := !e.begun
	e.begun = true
	switch {
	case e.over:
		return nil, false, malformed("This login is over")
	case first && response == nil && e.mechanism != "ANONYMOUS":
		return []byte{}, false, nil // the client speaks first (RFC 4422 §5)
	case len(response) > maxResponse:
		return nil, false, e.end(ctx, malformed("The response is too long"))
	}
	challenge, id, err := e.step(ctx, response)
	if err != nil {
		return nil, false, e.end(ctx, failure(err))
	}
	if id == nil {
		return challenge, false, nil
	}
	if !isFrom(e.stream.From, id.User) {
		return nil, false, e.end(ctx, &Failure{Condition: "not-authorized", Text: "Your stream header names somebody else"})
	}
	e.identity = *id
	e.identity.Mechanism = strings.Clone(e.mechanism) // which may be a piece of all that the client has said
	if f := e.end(ctx, nil); f != nil {
		e.identity = Identity{}
		return nil, false, f
	}
	return challenge, true, nil
}

// isFrom reports whether a stream header that names from may be that of user, who
// may be stored under an older spelling.
func isFrom(from, user xmpp.JID) bool {
	if from.IsZero() || from.Bare() == user {
		return true
	}
	_, older := spellings(from)
	return from.Domain() == user.Domain() && older == user.Local()
}

// end tells everybody how the login went, and returns why it failed.
func (e *exchange) end(ctx context.Context, f *Failure) error {
	e.over = true
	a := Attempt{Addr: e.stream.Addr, User: e.claims(), Mechanism: e.mechanism, Failure: f}
	if f == nil {
		a.User = e.identity.User
	}
	end := Result.Run(ctx, e.h.hooks, nil, a)
	switch {
	case f == nil && end == nil:
		return nil
	case f == nil:
		return &Failure{Condition: "not-authorized", End: end}
	}
	f.End = end
	return f
}

// as finds the account that a name of a client means, and checks whether the
// client wants to act for anybody else (RFC 6120 §6.3.8). The address is zero if
// the name can be nobody's.
func (h *Host) as(name, authzid string) (xmpp.JID, error) {
	user, err := xmpp.NewJID(name, h.domain, "")
	if err != nil || name == "" || user.Local() == "" {
		user = xmpp.JID{}
	}
	if authzid == "" {
		return user, nil
	}
	other, err := xmpp.Parse(authzid)
	if !strings.Contains(authzid, "@") {
		other, err = xmpp.NewJID(authzid, h.domain, "")
	}
	if err != nil || user.IsZero() || other != user {
		return xmpp.JID{}, &Failure{Condition: "invalid-authzid", Text: "You cannot log in for somebody else"}
	}
	return user, nil
}
