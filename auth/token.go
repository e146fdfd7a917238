package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp"
)

// tokenMechanisms are the mechanisms by which a token is proved (XEP-0484,
// draft-schmaus-kitten-sasl-ht), the strongest first, and what binds them to the
// channel.
var tokenMechanisms = []struct{ name, binding string }{
	{"HT-SHA-256-EXPR", tlsExporter},
	{"HT-SHA-256-UNIQ", tlsUnique},
	{"HT-SHA-256-ENDP", tlsServerEndPoint},
	{"HT-SHA-256-NONE", ""},
}

// A Token is what a client was given to log in with again. It is never printed.
type Token struct {
	Secret    string
	Mechanism string    // the only one it is good for; empty: any
	Expires   time.Time // it is good until then
	Due       bool      // it is to be replaced when it is used
	// Redeem is called when the client has proved that it has the token. count is how
	// often the client says that it has used it, 0 if it does not count. False says
	// that this count was there already, or that the token has gone meanwhile.
	Redeem func(ctx context.Context, count uint64) (bool, error)
}

// Format keeps a token out of logs, messages and traces, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(token)")) }

// A TokenList is the tokens of a user agent, or why they cannot be told.
type TokenList struct {
	Tokens []Token
	Err    error
}

// TokenMechanisms are those by which a token can be used on a stream: none where
// nobody keeps tokens, or without encryption. It does not block.
func (h *Host) TokenMechanisms(s Stream) (list []string) {
	if !s.SASL2 || s.TLS == nil || !Tokens.Heard(h.hooks) {
		return nil
	}
	have := bindings(s)
	for _, m := range tokenMechanisms {
		if m.binding == "" || slices.Contains(have, m.binding) {
			list = append(list, m.name)
		}
	}
	return slices.DeleteFunc(list, func(m string) bool { return slices.Contains(h.options().DisabledMechanisms, m) })
}

// tokenStep is one of the mechanisms HT-SHA-256-*: the client sends its name and a
// hash that only who has the token can make, and gets one back.
type tokenStep struct {
	h         *Host
	stream    Stream
	mechanism string
	user      xmpp.JID
}

func (t *tokenStep) claims() xmpp.JID { return t.user }

func (t *tokenStep) step(ctx context.Context, response []byte) ([]byte, *Identity, error) {
	name, proof, ok := bytes.Cut(response, []byte{0})
	switch {
	case !ok || len(name) == 0 || !utf8.Valid(name) || len(proof) != sha256.Size:
		return nil, nil, malformed("A name and a hash are needed, with a NUL between them")
	case t.stream.Agent == "":
		return nil, nil, malformed("The id of the user agent is needed")
	}
	user, err := t.h.as(strings.TrimSuffix(string(name), "@"+t.h.domain), "")
	if err != nil {
		return nil, nil, err
	}
	t.user = user
	bound, err := t.bound()
	if err != nil {
		return nil, nil, temporary(err)
	}
	found, err := t.find(ctx, bound, proof)
	if err != nil {
		return nil, nil, err
	}
	switch ok, err := found.Redeem(ctx, t.stream.Count); {
	case err != nil:
		return nil, nil, temporary(err)
	case !ok:
		return nil, nil, wrong()
	}
	id := &Identity{User: t.user, Method: "mod_auth_fast", TokenDue: found.Due}
	return mac(sha256.New, []byte(found.Secret), "Responder"+string(bound)), id, nil
}

// bound is the data of the channel binding that belongs to the mechanism.
func (t *tokenStep) bound() ([]byte, error) {
	for _, m := range tokenMechanisms {
		if m.name == t.mechanism && m.binding != "" {
			return binding(t.stream, m.binding)
		}
	}
	return nil, nil
}

// find finds the token that the client has. All of them are tried, so that the time
// does not tell which it was; nor does it tell whether there is such an account. That
// a token is not good any more is only told to who has it.
func (t *tokenStep) find(ctx context.Context, bound, proof []byte) (*Token, error) {
	if t.user.IsZero() {
		return nil, wrong()
	}
	acc, f := t.h.find(ctx, t.user)
	if f != nil {
		return nil, f
	}
	t.user = acc.user
	list := Tokens.Run(ctx, t.h.hooks, TokenList{}, Device{User: t.user, ID: t.stream.Agent})
	if list.Err != nil {
		return nil, temporary(list.Err)
	}
	var found *Token
	for i := range list.Tokens {
		want := mac(sha256.New, []byte(list.Tokens[i].Secret), "Initiator"+string(bound))
		if subtle.ConstantTimeCompare(want, proof) == 1 {
			found = &list.Tokens[i]
		}
	}
	if found == nil || found.Mechanism != "" && found.Mechanism != t.mechanism {
		return nil, wrong()
	}
	if acc.keeper == nil { // only who has a token waits for this
		switch there, err := t.h.Exists(ctx, t.user); {
		case err != nil:
			return nil, temporary(err)
		case !there:
			return nil, wrong()
		}
	}
	if !time.Now().Before(found.Expires) {
		return nil, &Failure{Condition: "credentials-expired", Text: "The token is not valid any more"}
	}
	return found, nil
}
