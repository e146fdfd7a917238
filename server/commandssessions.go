package server

import (
	"context"
	"fmt"
	"slices"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// sessionCommands are about who is connected.
func (s *Server) sessionCommands() []admin.Command {
	return []admin.Command{
		admin.New("connected_users", "List all sessions.", s.cmdConnected).Tags("session").Policy(admin.Admin).
			Result("connected_users", "sessions").Example("user1@example.com/laptop\nuser2@example.com/phone"),
		admin.New("connected_users_number", "Count all sessions.", s.cmdConnectedNumber).Tags("session", "statistics").Policy(admin.Admin).
			Result("num_sessions").Example("2"),
		admin.New("user_resources", "List the resources with which a user is connected.", s.cmdResources).Tags("session").Policy(admin.Admin).
			Result("resources").Example("tka1\nGajim", "user1", "example.com"),
		admin.New("kick_user", "End all sessions of a user, and count them.", s.cmdKickUserNumber).Tags("session").
			Result("num_resources").Example("3", "user1", "example.com"),
		admin.New("kick_user", "End all sessions of a user.", s.cmdKickUser).Tags("session").Version(2).Note("modified in 24.06").
			Example("Kicked sessions: 2", "user1", "example.com"),
		admin.New("kick_users", "End all sessions of a virtual host, and count them.", s.cmdKickUsers).Tags("session").Note("added in 25.04").
			Result("num_sessions").Example("3", "example.com"),
	}
}

func (s *Server) cmdConnected(context.Context, admin.NoArgs) ([]string, error) {
	out := []string{}
	for _, h := range s.running() {
		for _, x := range h.Sessions.All() {
			out = append(out, x.JID.String())
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *Server) cmdConnectedNumber(context.Context, admin.NoArgs) (int, error) {
	n := 0
	for _, h := range s.running() {
		n += h.Sessions.Count()
	}
	return n, nil
}

func (s *Server) cmdResources(_ context.Context, in admin.OfUser) ([]string, error) {
	h, user, err := s.find(in)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, x := range h.Sessions.User(user) {
		out = append(out, x.JID.Resource())
	}
	slices.Sort(out)
	return out, nil
}

func (s *Server) cmdKickUserNumber(ctx context.Context, in admin.OfUser) (int, error) {
	h, user, err := s.find(in)
	if err != nil {
		return 0, err
	}
	return kick(ctx, h, user), nil
}

func (s *Server) cmdKickUser(ctx context.Context, in admin.OfUser) (admin.Restuple, error) {
	n, err := s.cmdKickUserNumber(ctx, in)
	return admin.Restuple{Text: fmt.Sprintf("Kicked sessions: %d", n)}, err
}

func (s *Server) cmdKickUsers(_ context.Context, in admin.OnHost) (int, error) {
	h, err := s.onHost(in.Host)
	if err != nil {
		return 0, err
	}
	return endSessions(h.Sessions.All(), "has been kicked"), nil
}

// kick ends the sessions of a user and returns how many there were.
func kick(ctx context.Context, h *local.Host, user xmpp.JID) int {
	sm.Kicked.Run(ctx, h.Parts.Hooks, user)
	return endSessions(h.Sessions.UserNow(user), "has been kicked")
}

// endSessions has clients leave at an operator's word. It does not wait for
// them.
func endSessions(list []*sm.Session, why string) int {
	for _, x := range list {
		x.Close(stream.PolicyViolation.With(why))
	}
	return len(list)
}
