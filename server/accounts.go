package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// accountCommands are about who has an account.
func (s *Server) accountCommands() []admin.Command {
	return []admin.Command{
		admin.New("register", "Make an account.", s.cmdRegister).Tags("accounts").Policy(admin.Admin).
			Example("User bob@example.com successfully registered", "bob", "example.com", "SomEPass44"),
		admin.New("unregister", "Remove an account with all that is kept of it.", s.cmdUnregister).Tags("accounts").Policy(admin.Admin).
			Long("The user's sessions end. An account that does not exist is no error: whatever is left of it goes.").
			Example("User bob@example.com successfully unregistered", "bob", "example.com"),
		admin.New("registered_users", "List the accounts of a virtual host.", s.cmdUsers).Tags("accounts").
			Result("users", "username").Example("user1\nuser2", "example.com"),
		admin.New("check_account", "Tell whether an account exists.", s.cmdCheckAccount).Tags("accounts").
			Example("", "myself", "example.com"),
		admin.New("convert_to_scram", "Replace the plain passwords of a virtual host by SCRAM keys.", s.cmdConvert).Tags("sql").Endless().
			Long("Nobody can get the passwords back. The hashes are those of auth_stored_password_types or auth_scram_hash, else SHA-1; set auth_password_format to scram as well, so that new passwords follow.").
			Example("", "example.com"),
	}
}

type accountPassword struct {
	admin.OfUser
	Password string
}

// Fields declares the arguments.
func (a *accountPassword) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Secret(&a.Password, "password", "", "The password.")
}

func (s *Server) cmdRegister(ctx context.Context, in accountPassword) (admin.Restuple, error) {
	h, j, err := s.find(in.OfUser)
	if err != nil {
		return admin.Restuple{}, err
	}
	if err := h.Auth.Register(ctx, j, in.Password); err != nil {
		return admin.Restuple{}, registerError(j, err)
	}
	return admin.Restuple{Text: fmt.Sprintf("User %s successfully registered", j)}, nil
}

// registerError is what an operator is told when an account cannot be made.
func registerError(j xmpp.JID, err error) error {
	switch {
	case errors.Is(err, auth.ErrExists):
		return admin.Conflict.With("User %s already registered", j).WithCode(10090)
	case errors.Is(err, auth.ErrName), errors.Is(err, auth.ErrPassword), errors.Is(err, xmpp.ErrJID):
		return admin.Usage.With("%v", err)
	case errors.Is(err, auth.ErrRefused):
		return admin.Failed.With("a module refuses the account %s", j)
	}
	return err
}

func (s *Server) cmdUnregister(ctx context.Context, in admin.OfUser) (admin.Restuple, error) {
	h, j, err := s.find(in)
	if err != nil {
		return admin.Restuple{}, err
	}
	if err := h.Auth.Remove(ctx, j); err != nil {
		return admin.Restuple{}, fmt.Errorf("remove %s: %w", j, err)
	}
	return admin.Restuple{Text: fmt.Sprintf("User %s successfully unregistered", j)}, nil
}

func (s *Server) cmdUsers(ctx context.Context, in admin.OnHost) ([]string, error) {
	h, err := s.onHost(in.Host)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for user, err := range h.Auth.Users(ctx, "") {
		if err != nil {
			return nil, err
		}
		out = append(out, user.Local())
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (s *Server) cmdCheckAccount(ctx context.Context, in admin.OfUser) (admin.Rescode, error) {
	h, j, err := s.find(in)
	if err != nil {
		return admin.False, err
	}
	there, err := h.Auth.Exists(ctx, j)
	return admin.Whether(there), err
}

func (s *Server) cmdConvert(ctx context.Context, in admin.OnHost) (admin.Rescode, error) {
	h, err := s.onHost(in.Host)
	if err != nil {
		return admin.False, err
	}
	n, err := h.Auth.ConvertToSCRAM(ctx)
	s.log.Info("passwords were converted to SCRAM", "host", h.Domain, "accounts", n)
	return admin.Whether(err == nil), err
}
