package auth

import (
	"bytes"
	"context"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp"
)

// plainStep is the mechanism PLAIN (RFC 4616).
type plainStep struct {
	h    *Host
	user xmpp.JID
}

func (p *plainStep) claims() xmpp.JID { return p.user }

func (p *plainStep) step(ctx context.Context, response []byte) ([]byte, *Identity, error) {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || !utf8.Valid(response) {
		return nil, nil, malformed("PLAIN needs a name and a password, separated as RFC 4616 says")
	}
	user, err := p.h.as(string(parts[1]), string(parts[0]))
	if err != nil {
		return nil, nil, err
	}
	p.user = user
	id, f := p.h.login(ctx, user, string(parts[2]))
	if f != nil {
		return nil, nil, f
	}
	return nil, &id, nil
}
