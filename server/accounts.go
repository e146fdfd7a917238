package server

import (
	"errors"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/xmpp"
)

// registerError is what an operator is told when an account cannot be made.
func registerError(j xmpp.JID, err error) error {
	switch {
	case errors.Is(err, auth.ErrExists):
		return admin.Conflict.With("User %s already registered", j)
	case errors.Is(err, xmpp.ErrJID):
		return admin.Usage.With("%v", err)
	}
	return err
}
