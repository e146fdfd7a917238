package server

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// kindCommands end things after telling people.
func (s *Server) kindCommands() []admin.Command {
	const rest = "Everybody who is connected gets a message with the announcement. The command ends when the delay is over."
	const off = rest + " If it is interrupted before, nothing happens."
	return []admin.Command{
		admin.New("stop_kindly", "Tell users, wait, and stop the server.", s.cmdStopKindly).Tags("server", "async").
			Long(off).Endless().Example("", "60", "Server will stop in one minute."),
		admin.New("restart_kindly", "Tell users, wait, and restart the server.", s.cmdRestartKindly).Tags("server", "async").
			Long(off).Endless().Note("added in 25.10").Example("", "60", "Server will restart in one minute."),
		admin.New("evacuate_kindly", "Tell users, wait, and end all sessions; nobody can log in any more.", s.cmdEvacuate).Tags("server").
			Long(rest+" No client can connect from the first moment on; to let them in again, restart the server. If it is interrupted, the sessions end at once.").
			Endless().Note("added in 24.12").Example("", "60", "Server will stop in one minute."),
	}
}

// kindly is the arguments of commands that tell people first.
type kindly struct {
	Delay        int
	Announcement string
}

// Fields declares the arguments.
func (a *kindly) Fields(f *config.Fields) {
	f.Int(&a.Delay, "delay", 0, "Seconds to wait.").Must(config.AtLeast(0))
	f.String(&a.Announcement, "announcement", "", "What users are told.")
}

func (s *Server) cmdStopKindly(ctx context.Context, in kindly) (admin.Rescode, error) {
	if err := s.farewell(ctx, "stop", in); err != nil {
		return admin.False, err
	}
	s.stop(errStop)
	return admin.OK, nil
}

func (s *Server) cmdRestartKindly(ctx context.Context, in kindly) (admin.Rescode, error) {
	if err := s.farewell(ctx, "restart", in); err != nil {
		return admin.False, err
	}
	s.stop(ErrRestart)
	return admin.OK, nil
}

func (s *Server) cmdEvacuate(ctx context.Context, in kindly) (admin.Rescode, error) {
	s.mu.Lock()
	var doors, others []*listening
	for _, l := range s.listeners {
		if l.module == "ejabberd_c2s" {
			doors = append(doors, l)
		} else {
			others = append(others, l)
		}
	}
	s.listeners, s.evacuated = others, true
	s.mu.Unlock()
	for _, l := range doors {
		l.ln.Close()
	}
	err := s.farewell(ctx, "evacuation", in)
	// The doors are shut already: also an operator who has gone away in between
	// has wanted that.
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	closeListeners(leave, doors, stream.SystemShutdown)
	for _, h := range s.running() {
		for _, x := range h.Sessions.Here() {
			x.Close(stream.SystemShutdown)
		}
	}
	return admin.Whether(err == nil), err
}

// farewell tells everybody who is connected to this node what is about to happen, and waits.
func (s *Server) farewell(ctx context.Context, what string, in kindly) error {
	subject := fmt.Sprintf("Server %s in %d seconds!", what, in.Delay)
	for _, h := range s.running() {
		for _, x := range h.Sessions.Here() {
			x.Send(ctx, xmpp.NewMessage("headline", h.JID, x.JID,
				xmpp.TextEl(xmpp.NSClient, "subject", subject), xmpp.TextEl(xmpp.NSClient, "body", in.Announcement)))
		}
	}
	t := time.NewTimer(time.Duration(in.Delay) * time.Second)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return admin.Failed.With("the %s was called off", what)
	case <-s.ctx.Done():
		return admin.Failed.With("the server stops already")
	}
}
