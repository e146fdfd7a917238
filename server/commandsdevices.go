package server

import (
	"context"
	"slices"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// deviceCommands are about the clients with which users log in by SASL2.
func (s *Server) deviceCommands() []admin.Command {
	return []admin.Command{
		admin.New("list_devices", "List the clients that a user has logged in with.", s.cmdDevices).Tags("accounts", "session").
			Long("Clients that tell of themselves (XEP-0388) are listed, at most 50 of a user, the last one first. token says whether the client can log in with a token instead of the password (mod_auth_fast).").
			Result("devices", "device").Example("d4565fa7-4d72-4749-b3d3-740edbf87770\tConversations\tPixel 9\t2026-03-01T12:30:00Z\t192.0.2.7\ttrue", "peter", "myserver.com"),
		admin.New("revoke_device", "Forget a client of a user.", s.cmdRevoke).Tags("accounts", "session").
			Long("Its tokens are not valid any more and its sessions end. The password stays: a client that has kept it can log in again.").
			Example("", "peter", "myserver.com", "d4565fa7-4d72-4749-b3d3-740edbf87770"),
	}
}

type listedDevice struct {
	Agent    string `json:"agent"`
	Software string `json:"software"`
	Device   string `json:"device"`
	LastSeen string `json:"last_login"`
	Address  string `json:"address"`
	Token    bool   `json:"token"`
}

func (s *Server) cmdDevices(ctx context.Context, in admin.OfUser) ([]listedDevice, error) {
	h, j, err := s.find(in)
	if err != nil {
		return nil, err
	}
	devices, err := h.Auth.Devices(ctx, j)
	if err != nil {
		return nil, err
	}
	var out []listedDevice
	for _, d := range devices {
		tokens := auth.Tokens.Run(ctx, h.Parts.Hooks, auth.TokenList{}, d)
		if tokens.Err != nil {
			return nil, tokens.Err
		}
		l := listedDevice{Agent: d.ID, Software: d.Software, Device: d.Name, LastSeen: d.Seen.UTC().Format(time.RFC3339)}
		if d.Addr.IsValid() {
			l.Address = d.Addr.String()
		}
		l.Token = slices.ContainsFunc(tokens.Tokens, func(t auth.Token) bool { return time.Now().Before(t.Expires) })
		out = append(out, l)
	}
	return out, nil
}

type deviceOf struct {
	admin.OfUser
	Agent string
}

// Fields declares the arguments.
func (a *deviceOf) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Agent, "agent", "", "The id of the user agent, as list_devices shows it.")
}

func (s *Server) cmdRevoke(ctx context.Context, in deviceOf) (admin.Rescode, error) {
	h, j, err := s.find(in.OfUser)
	if err != nil {
		return admin.False, err
	}
	if !auth.ValidAgent(in.Agent) {
		return admin.False, admin.Usage.With("this cannot be the id of a user agent")
	}
	if err := h.Auth.Revoke(ctx, auth.Device{User: j, ID: in.Agent}); err != nil {
		return admin.False, err
	}
	name := h.Auth.DeviceName(j, in.Agent)
	for _, session := range h.Sessions.UserNow(j) {
		if session.Device == name {
			session.Close(stream.PolicyViolation.With("This client was revoked"))
		}
	}
	return admin.OK, nil
}
