package server

import (
	"context"
	"fmt"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

// addCommands adds what moves the server as a whole, its accounts and its
// sessions.
func (s *Server) addCommands() {
	for _, c := range s.commands() {
		s.registry.Add(c)
	}
}

func (s *Server) commands() []admin.Command {
	return []admin.Command{
		admin.New("stop", "Stop the server.", s.cmdStop).Tags("server"),
		admin.New("register", "Make an account.", s.cmdRegister).Tags("accounts").Policy(admin.Admin),
	}
}

func (s *Server) cmdStop(context.Context, admin.NoArgs) (admin.Rescode, error) {
	s.stop(errStop)
	return admin.Whether(true), nil
}

// account is the arguments that name an account.
type account struct{ User, Host string }

// Fields declares the arguments.
func (a *account) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name, without the host.")
	f.String(&a.Host, "host", "", "The virtual host.")
}

type accountPassword struct {
	account
	Password string
}

// Fields declares the arguments.
func (a *accountPassword) Fields(f *config.Fields) {
	a.account.Fields(f)
	f.Secret(&a.Password, "password", "", "The password.")
}

// find is the account's virtual host and address; the account need not exist.
func (s *Server) find(a account) (*local.Host, xmpp.JID, error) {
	h := s.Host(a.Host)
	if h == nil {
		return nil, xmpp.JID{}, admin.NotFound.With("%q is not a host of this server", a.Host)
	}
	j, err := h.User(a.User)
	if err != nil || j.Local() == "" {
		return nil, xmpp.JID{}, admin.Usage.With("%q cannot be a user's name", a.User)
	}
	return h, j, nil
}

func (s *Server) cmdRegister(ctx context.Context, in accountPassword) (admin.Restuple, error) {
	h, j, err := s.find(in.account)
	if err != nil {
		return admin.Restuple{}, err
	}
	if err := h.Auth.Register(ctx, j, in.Password); err != nil {
		return admin.Restuple{}, registerError(j, err)
	}
	return admin.Restuple{Text: fmt.Sprintf("User %s successfully registered", j)}, nil
}
