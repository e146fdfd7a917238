package auth

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/xmpp"
)

// handUser reads the words JID of a hook that an operator runs by hand.
func handUser(_ context.Context, words []string) (xmpp.JID, error) {
	if len(words) != 1 {
		return xmpp.JID{}, errors.New("one word is needed, the address of a user")
	}
	j, err := xmpp.Parse(words[0])
	return j.Bare(), err
}

// handCheck reads the words JID of somebody who wants an account.
func handCheck(ctx context.Context, words []string) (bool, xmpp.JID, error) {
	j, err := handUser(ctx, words)
	return true, j, err
}

// handKnown reads the words JID of somebody who has no account.
func handKnown(ctx context.Context, words []string) (bool, xmpp.JID, error) {
	j, err := handUser(ctx, words)
	return false, j, err
}

// handDisabled reads the words JID of somebody who is about to log in.
func handDisabled(ctx context.Context, words []string) (*Failure, xmpp.JID, error) {
	j, err := handUser(ctx, words)
	return nil, j, err
}
