package local

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/xmpp"
)

type hostKey struct{}

// ByHand returns a context for hooks that an operator runs by hand on h: what
// words name is looked up there.
func (h *Host) ByHand(ctx context.Context) context.Context {
	return h.Sessions.ByHand(context.WithValue(ctx, hostKey{}, h))
}

// handStanza reads the words STANZA.
func handStanza(ctx context.Context, words []string) (*xmpp.Stanza, *Host, error) {
	h, ok := ctx.Value(hostKey{}).(*Host)
	switch {
	case !ok:
		return nil, nil, errors.New("this hook runs on a virtual host; name it before the hook")
	case len(words) != 1:
		return nil, nil, errors.New("one word is needed, the stanza")
	}
	st, err := xmpp.ParseXML([]byte(words[0]))
	return st, h, err
}

// handHost reads no words: the host is the one on which the hook is run.
func handHost(ctx context.Context, words []string) (*Host, error) {
	h, ok := ctx.Value(hostKey{}).(*Host)
	switch {
	case !ok:
		return nil, errors.New("this hook runs on a virtual host; name it before the hook")
	case len(words) != 0:
		return nil, errors.New("no words are needed")
	}
	return h, nil
}

// String is the host's domain, for traces.
func (h *Host) String() string { return h.Domain }
