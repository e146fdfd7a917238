package server

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/gabberd/gabberd/admin"
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

// commands are all commands that belong to no module. Those of a nil Server are
// for the manual.
func (s *Server) commands() []admin.Command {
	return slices.Concat(s.serverCommands(), s.kindCommands(), s.configCommands(), s.logCommands(),
		s.moduleCommands(), s.hookCommands(), s.accountCommands(), s.deviceCommands(), s.sessionCommands(), s.clusterCommands())
}

// serverCommands are about the process.
func (s *Server) serverCommands() []admin.Command {
	return []admin.Command{
		admin.New("status", "Tell whether the server is up, and which it is.", s.cmdStatus).Tags("server").
			Example("The node 'gabberd@atlas' is started with status: started\nejabberd 26.07 is running in that node, as gabberd 0.1.0"),
		admin.New("stop", "Stop the server.", s.cmdStop).Tags("server").
			Long("Clients are told and get what is under way to them. stop_kindly tells people before."),
		admin.New("restart", "Restart the server in its process.", s.cmdRestart).Tags("server").
			Long("Everything is stopped and started again with the configuration as it is then. For another version of the program stop it and start that."),
		admin.New("halt", "End the process at once, with exit code 1.", s.cmdHalt).Tags("server").Note("added in 23.10").
			Long("Clients are told nothing, and what waits to be written is lost. It is for a server that does not stop."),
		admin.New("gc", "Collect garbage and give memory back to the system.", s.cmdGC).Tags("server").Note("added in 20.01"),
		admin.New("clear_cache", "Forget what is kept in memory of databases.", s.cmdClearCache).Tags("server").
			Long("It is needed when something else has written to a database of this server."),
		admin.New("registered_vhosts", "List the virtual hosts.", s.cmdHosts).Tags("server").
			Result("vhosts").Example("example.com\nanon.example.com"),
	}
}

func (s *Server) cmdStatus(context.Context, admin.NoArgs) (admin.Restuple, error) {
	return admin.Restuple{Text: fmt.Sprintf("The node '%s' is started with status: started\nejabberd %s is running in that node, as gabberd %s, for %s",
		s.opt.node(), Version, ownVersion, time.Since(s.started).Round(time.Second))}, nil
}

func (s *Server) cmdStop(context.Context, admin.NoArgs) (admin.Rescode, error) {
	s.stop(errStop)
	return admin.OK, nil
}

func (s *Server) cmdRestart(context.Context, admin.NoArgs) (admin.Rescode, error) {
	s.stop(ErrRestart)
	return admin.OK, nil
}

func (s *Server) cmdHalt(context.Context, admin.NoArgs) (admin.Rescode, error) {
	s.log.Error("halted by command")
	exit := s.opt.Exit
	if exit == nil {
		exit = os.Exit
	}
	exit(exitError)
	return admin.OK, nil
}

func (s *Server) cmdGC(context.Context, admin.NoArgs) (admin.Rescode, error) {
	runtime.GC()
	debug.FreeOSMemory()
	return admin.OK, nil
}

func (s *Server) cmdClearCache(ctx context.Context, _ admin.NoArgs) (admin.Rescode, error) {
	for _, h := range s.running() {
		h.Auth.Forget()
		local.ClearCache.Run(ctx, h.Parts.Hooks, h)
	}
	return admin.OK, nil
}

func (s *Server) cmdHosts(context.Context, admin.NoArgs) ([]string, error) { return s.domains(), nil }

// running is the virtual hosts in the order of the file.
func (s *Server) running() []*local.Host {
	var out []*local.Host
	for _, d := range s.domains() {
		if h := s.Host(d); h != nil {
			out = append(out, h)
		}
	}
	return out
}

// onHost is the virtual host that an operator has named, in whichever spelling.
func (s *Server) onHost(name string) (*local.Host, error) {
	if j, err := xmpp.NewJID("", name, ""); err == nil {
		if h := s.Host(j.Domain()); h != nil {
			return h, nil
		}
	}
	return nil, admin.NotFound.With("%q is not a virtual host of this server", name)
}

// find is an account's virtual host and address; the account need not exist.
func (s *Server) find(a admin.OfUser) (*local.Host, xmpp.JID, error) {
	h, err := s.onHost(a.Host)
	if err != nil {
		return nil, xmpp.JID{}, err
	}
	j, err := a.JID()
	return h, j, err
}
