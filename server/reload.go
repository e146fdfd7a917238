package server

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Reloaded runs in the server's table when a new configuration is in force.
var Reloaded = hooks.NewEvent[Reload]("config_reloaded", "A new configuration is in force.").Everywhere(hooks.JSON[Reload]())

// A Reload says where a new configuration is in force.
type Reload struct {
	Node string `json:"node"`
}

// reload reads the configuration again and applies what can be applied while
// the server runs. It returns a sentence for everything that cannot. An error
// leaves everything as it was.
func (s *Server) reload(ctx context.Context) (left []string, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	fresh, err := readConfiguration(s.opt)
	if err != nil {
		return nil, err
	}
	if err := s.certs.use(fresh); err != nil {
		return nil, err
	}
	fresh.warn(s.log)
	s.mu.Lock()
	old := s.conf
	s.conf = fresh
	s.mu.Unlock()
	s.rules.Replace(fresh.global.rules)
	if s.opt.Level != nil {
		s.opt.Level.Set(fresh.global.LogLevel)
	}
	left = s.reloadHosts(ctx, old, fresh)
	left = append(left, s.reloadListeners(fresh)...)
	if s.member != nil && old.redis != fresh.redis {
		left = append(left, "the redis options have changed; Redis is connected to anew by a restart only")
	}
	Reloaded.Run(ctx, s.hooks, Reload{s.opt.node()})
	for _, l := range left {
		s.log.Warn("not applied: " + l)
	}
	s.log.Info("configuration reloaded")
	return left, nil
}

func (s *Server) reloadHosts(ctx context.Context, old, fresh *configuration) (left []string) {
	for _, h := range old.hosts {
		if fresh.host(h.domain) != nil {
			continue
		}
		if v := s.host(h.domain); v != nil {
			s.dismiss(v)
		}
	}
	for _, h := range fresh.hosts {
		if v := s.host(h.domain); v != nil {
			left = append(left, v.reload(ctx, h)...)
			continue
		}
		if _, err := s.storage.Attach(ctx, h.domain, h.sql); err != nil {
			left = append(left, fmt.Sprintf("%s does not come up: %v", h.domain, err))
		} else if err := s.addHost(h); err != nil {
			left = append(left, fmt.Sprintf("%s does not come up: %v", h.domain, err))
		}
	}
	return left
}

// gone is who refuses late sessions of a host that is gone. Nothing is taken
// away: the table goes with the host.
type gone struct{ table *hooks.Table }

func (gone) Name() string          { return "host-gone" }
func (g gone) Hooks() *hooks.Table { return g.table }
func (gone) OnStop(func())         {}

// dismiss ends a virtual host that is not ours any more, and the sessions of its
// users, bounded in time.
func (s *Server) dismiss(v *virtualHost) {
	// Who has logged in but has no session yet gets none.
	sm.Opened.Add(gone{v.Parts.Hooks}, hooks.Normal, func(_ context.Context, x *sm.Session) { x.Close(stream.HostGone) })
	all := v.Sessions.Here()
	for _, x := range all {
		x.Close(stream.HostGone)
	}
	patience := time.NewTimer(shutdownTimeout)
	defer patience.Stop()
	for _, x := range all {
		select {
		case <-x.Done():
		case <-patience.C:
			s.log.Warn("not every client of a host that is gone has taken its leave in time", "host", v.Domain)
			s.removeHost(v.Domain)
			return
		}
	}
	s.removeHost(v.Domain)
}

func (c *configuration) host(domain string) *hostConfig {
	for _, h := range c.hosts {
		if h.domain == domain {
			return h
		}
	}
	return nil
}

func (s *Server) host(domain string) *virtualHost {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hosts[domain]
}

// reload applies a new configuration to a virtual host that runs.
func (v *virtualHost) reload(ctx context.Context, fresh *hostConfig) (left []string) {
	old := v.born // what a reload before this one has not changed is still to be changed
	v.Rules.Replace(fresh.rules)
	if err := v.Auth.Reload(ctx, fresh.auth); err != nil {
		left = append(left, err.Error())
	}
	moved := !same(old.sql, fresh.sql)
	if moved {
		left = append(left, "the sql options of "+v.Domain+" have changed; the database is opened anew by a restart only")
	}
	if !same(old.session, fresh.session) {
		left = append(left, "sm_db_type, default_ram_db and the cache options of sessions of "+v.Domain+" take effect after a restart")
	}
	if old.options.Language != fresh.options.Language {
		left = append(left, "language of "+v.Domain+" takes effect after a restart")
	}
	if moved && old.options.DefaultDB != fresh.options.DefaultDB {
		left = append(left, "default_db of "+v.Domain+" takes effect after a restart, together with the sql options")
	}
	return append(left, v.reloadModules(fresh, v.inherit(fresh, moved))...)
}

// inherit puts default_db and the cache options in force and returns the modules
// that have gone by others. Only a module that starts asks for them, and only who
// holds changing can have one start. Where the database itself has moved, default_db
// waits for that.
func (v *virtualHost) inherit(fresh *hostConfig, moved bool) (stale map[string]bool) {
	now := *v.born
	if !moved {
		now.options.DefaultDB = fresh.options.DefaultDB
	}
	now.options.Cache = fresh.options.Cache
	if now.options == v.born.options {
		return nil
	}
	stale = map[string]bool{}
	for _, m := range v.running {
		b, ok := backendOf(m.Config)
		stale[m.Name] = ok && (v.DefaultCache != now.options.Cache || v.DefaultDB != now.options.DefaultDB && b.DBType == "")
	}
	v.DefaultDB, v.DefaultCache, v.born = now.options.DefaultDB, now.options.Cache, &now
	return stale
}

// reloadModules stops what is gone, has changed or is stale and starts what is new,
// has changed or is stale, and everything that needs one of those.
func (v *virtualHost) reloadModules(fresh *hostConfig, stale map[string]bool) (left []string) {
	keep := map[string]bool{}
	running := map[string]*runningModule{}
	for _, m := range v.running {
		running[m.Name] = m
	}
	for _, p := range fresh.modules {
		m := running[p.Name]
		keep[p.Name] = m != nil && !stale[p.Name] && same(m.Config, p.Config) && allKept(p, keep)
	}
	for i := len(v.running) - 1; i >= 0; i-- {
		if !keep[v.running[i].Name] {
			v.running[i].host.Stop()
		}
	}
	v.running = nil
	for _, p := range fresh.modules {
		if keep[p.Name] {
			v.running = append(v.running, running[p.Name])
			continue
		}
		if err := v.start(p, fresh); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

func allKept(p modules.Prepared, keep map[string]bool) bool {
	for _, n := range p.Needs {
		if !keep[n] {
			return false
		}
	}
	return true
}
