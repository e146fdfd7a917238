package server

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
)

// moduleCommands are about what virtual hosts can do.
func (s *Server) moduleCommands() []admin.Command {
	return []admin.Command{
		admin.New("modules", "List the modules of the virtual hosts.", s.cmdModules).Tags("modules").
			Result("modules", "module").Example("localhost\tmod_ping\tSends pings to clients, and ends the sessions of those that do not answer.", "localhost"),
		admin.New("restart_module", "Stop a module and start it again, with those that need it.", s.cmdRestartModule).Tags("erlang").
			Long("It starts with the options it had; reload_config is for others. The result is 0 if it was restarted, 1 if the virtual host has no such module, 2 if it was stopped but did not start; the log says why.").
			Example("0", "myserver.com", "mod_ping"),
	}
}

// someHost is the argument of commands about one virtual host, or all.
type someHost struct{ Host string }

// Fields declares the arguments.
func (a *someHost) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "A virtual host; without it, all.").Optional()
}

// listedModule is a line of modules.
type listedModule struct {
	Host string `json:"host"`
	Name string `json:"name"`
	Doc  string `json:"summary"`
}

func (s *Server) cmdModules(_ context.Context, in someHost) ([]listedModule, error) {
	domains := s.domains()
	if in.Host != "" {
		h, err := s.onHost(in.Host)
		if err != nil {
			return nil, err
		}
		domains = []string{h.Domain}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	out := []listedModule{}
	for _, d := range domains {
		v := s.host(d)
		if v == nil {
			continue
		}
		for _, m := range v.running {
			out = append(out, listedModule{d, m.Name, m.Doc})
		}
	}
	return out, nil
}

// ofModule is the arguments that name a module.
type ofModule struct{ Host, Module string }

// Fields declares the arguments.
func (a *ofModule) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.String(&a.Module, "module", "", "The module: mod_ping.")
}

// The results of restart_module.
const (
	moduleRestarted = 0
	moduleMissing   = 1
	moduleFailed    = 2
)

func (s *Server) cmdRestartModule(_ context.Context, in ofModule) (int, error) {
	h, err := s.onHost(in.Host)
	if err != nil {
		return moduleMissing, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	v := s.host(h.Domain)
	if v == nil {
		return moduleMissing, nil
	}
	found, err := v.restartModule(in.Module)
	switch {
	case !found:
		return moduleMissing, nil
	case err != nil:
		s.log.Error("module restart failed", "module", in.Module, "host", h.Domain, "error", err)
		return moduleFailed, nil
	}
	return moduleRestarted, nil
}

// restartModule stops a module and those that need it, and starts them again.
// What does not start stays away; the others start all the same.
func (v *virtualHost) restartModule(name string) (found bool, err error) {
	v.s.mu.RLock()
	hc := v.s.conf.host(v.Domain)
	v.s.mu.RUnlock()
	before := v.running
	again := map[string]bool{}
	for _, m := range before { // in the order of their start, so what is needed comes first
		again[m.Name] = m.Name == name
		for _, need := range m.Needs {
			again[m.Name] = again[m.Name] || again[need]
		}
	}
	if !again[name] || hc == nil {
		return false, nil
	}
	for i := len(before) - 1; i >= 0; i-- {
		if again[before[i].Name] {
			before[i].host.Stop()
		}
	}
	v.running = nil
	for _, m := range before {
		if !again[m.Name] {
			v.running = append(v.running, m)
			continue
		}
		err = errors.Join(err, v.start(m.Prepared, hc))
	}
	return true, err
}
