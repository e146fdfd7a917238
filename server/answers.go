package server

import (
	"context"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/register"
)

// answers is the server as the owner of handlers in its own table, which live as
// long as it does.
type answers struct{ s *Server }

// Name is how lists of hooks call it.
func (answers) Name() string { return "gabberd" }

// Hooks is the server's table.
func (a answers) Hooks() *hooks.Table { return a.s.hooks }

// OnStop does nothing: the table goes with the server.
func (answers) OnStop(func()) {}

// answer tells modules what the options of the whole server say.
func (s *Server) answer() {
	register.Timeout.Add(answers{s}, hooks.Normal, func(context.Context, time.Duration, struct{}) (time.Duration, hooks.Flow) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.conf.register.Timeout, hooks.Next
	})
	Reloaded.AddElsewhere(answers{s}, hooks.Normal, func(_ context.Context, r Reload) {
		s.log.Info("another node has a new configuration; if the file here has changed as well, say reload_config", "node", r.Node)
	})
}
