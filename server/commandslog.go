package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
)

// logCommands are about the log.
func (s *Server) logCommands() []admin.Command {
	const rotate = "Rotating is left to the system; this is what logrotate calls afterwards. A log that goes to standard error is whoever's who started the server: that is an error."
	return []admin.Command{
		admin.New("get_loglevel", "Tell how much is logged.", s.cmdGetLevel).Tags("logs").Result("levelatom").Example("warning"),
		admin.New("set_loglevel", "Set how much is logged, until the next start or reload.", s.cmdSetLevel).Tags("logs").Example("", "debug"),
		admin.New("reopen_log", "Open the log file again, after it was moved away.", s.cmdReopen).Tags("logs").Policy(admin.Admin).Long(rotate),
		admin.New("rotate_log", "Open the log file again, after it was moved away.", s.cmdReopen).Tags("logs").Long(rotate),
	}
}

type logLevel struct{ Level string }

// Fields declares the arguments.
func (a *logLevel) Fields(f *config.Fields) {
	f.String(&a.Level, "loglevel", "", "none, emergency, alert, critical, error, warning, notice, info, debug, or 0 to 5.")
}

func (s *Server) cmdGetLevel(context.Context, admin.NoArgs) (admin.Atom, error) {
	if s.opt.Level == nil {
		return "", errNoLevel
	}
	return admin.Atom(levelName(s.opt.Level.Level())), nil
}

// levelName is ejabberd's word for a level.
func levelName(level slog.Level) string {
	for _, name := range []string{"none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"} {
		if l, err := config.ReadLogLevel(name); err == nil && level >= l {
			return name
		}
	}
	return "debug"
}

func (s *Server) cmdSetLevel(_ context.Context, in logLevel) (admin.Rescode, error) {
	level, err := config.ReadLogLevel(in.Level)
	switch {
	case err != nil:
		return admin.False, admin.Usage.With("set_loglevel.loglevel: %v", err)
	case s.opt.Level == nil:
		return admin.False, errNoLevel
	}
	s.opt.Level.Set(level)
	return admin.OK, nil
}

// errNoLevel is for servers that run inside of another program.
var errNoLevel = admin.Failed.With("the program that runs this server decides how much is logged")

func (s *Server) cmdReopen(context.Context, admin.NoArgs) (admin.Rescode, error) {
	if s.opt.Reopen == nil {
		return admin.False, admin.Failed.With("there is no log file: the log goes to standard error, to be kept by whoever started the server")
	}
	if err := s.opt.Reopen(); err != nil {
		return admin.False, fmt.Errorf("open the log file again: %w", err)
	}
	return admin.OK, nil
}
