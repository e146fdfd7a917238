package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// virtualHost is a virtual host that runs, and what it runs with.
type virtualHost struct {
	*local.Host
	s       *Server
	born    *hostConfig      // what it was built with
	running []*runningModule // in the order of their start
	unroute func()
	shared  *sm.Redis // where its sessions are if several nodes have them; else nil
	unshare func()
}

type runningModule struct {
	modules.Prepared
	host *modules.Host
}

// addHost builds a virtual host, starts its modules and has stanzas routed to
// it.
func (s *Server) addHost(hc *hostConfig) error {
	domain, err := xmpp.NewJID("", hc.domain, "")
	if err != nil {
		return fmt.Errorf("hosts: %w", err)
	}
	table := hooks.NewTable(s.log)
	rules := acl.NewRuleset(hc.domain, s.serves, &s.groups)
	rules.Replace(hc.rules)
	db := s.storage.Host(hc.domain)
	accounts, err := auth.New(s.ctx, auth.Setup{
		Domain: hc.domain, Options: hc.auth, Hooks: table, DB: db, Log: s.log,
		Embedded: func(ctx context.Context) (*storage.DB, error) { return s.storage.Embedded(ctx, hc.domain) },
	})
	if err != nil {
		return err
	}
	v := &virtualHost{s: s, born: hc, unshare: func() {}}
	parts := sm.Parts{Hooks: table, Router: s.router, Accounts: accounts, Settings: settings{s, hc.domain}, Log: s.log}
	if hc.session.inRedis() {
		if v.shared, err = s.share(hc); err != nil {
			return err
		}
		parts.Store, parts.Node = v.shared, s.member.cluster.Name()
	} else {
		parts.Store = sm.NewMemory()
	}
	sessions := sm.New(hc.domain, parts)
	v.Host = local.New(domain, local.Parts{
		Router: s.router, Hooks: table, Global: s.hooks, Sessions: sessions, Auth: accounts, Rules: rules, Groups: &s.groups,
		Commands: s.registry, Metrics: s.metrics, Storage: s.storage, Log: s.log,
		DefaultDB: hc.options.DefaultDB, DefaultCache: hc.options.Cache, Lang: hc.options.Language,
		Serves: s.serves,
	})
	if v.shared != nil {
		sessions.AdoptBy(func(x *sm.Session, m *sm.Moved) (sm.Conn, func(), error) { return s.adopt(v.Host, x, m) })
		v.unshare = s.member.serve(v)
	}
	for _, p := range hc.modules {
		if err := v.start(p, hc); err != nil {
			v.stopModules()
			v.unshare()
			return err
		}
	}
	v.unroute = s.router.Register(v.Domain, v.Domain, v.Host)
	s.mu.Lock()
	s.hosts[v.Domain] = v
	s.mu.Unlock()
	local.Up.Run(s.ctx, s.hooks, v.Host)
	return nil
}

// start starts one module.
func (v *virtualHost) start(p modules.Prepared, hc *hostConfig) error {
	loaded := func(name string) bool {
		return slices.ContainsFunc(hc.modules, func(p modules.Prepared) bool { return p.Name == name })
	}
	h := modules.NewHost(v.s.ctx, p.Name, v.Host, loaded)
	if err := p.Start(h); err != nil {
		return fmt.Errorf("start %s on %s: %w", p.Name, v.Domain, err)
	}
	v.running = append(v.running, &runningModule{p, h})
	return nil
}

func (v *virtualHost) stopModules() {
	for _, m := range slices.Backward(v.running) {
		m.host.Stop()
	}
	v.running = nil
}

// removeHost ends a virtual host whose clients have been told already.
func (s *Server) removeHost(domain string) {
	s.mu.Lock()
	v := s.hosts[domain]
	s.mu.Unlock()
	if v == nil {
		return
	}
	local.Down.Run(context.WithoutCancel(s.ctx), s.hooks, v.Host)
	v.unroute()
	v.stopModules()
	v.unshare()
	s.mu.Lock()
	delete(s.hosts, domain)
	s.mu.Unlock()
}

// settings is what a virtual host makes of its sessions, as it is configured
// now.
type settings struct {
	s      *Server
	domain string
}

func (x settings) options() hostOptions {
	x.s.mu.RLock()
	defer x.s.mu.RUnlock()
	for _, h := range x.s.conf.hosts {
		if h.domain == x.domain {
			return h.options
		}
	}
	return hostOptions{}
}

// MaxSessions is the shaper rule max_user_sessions.
func (x settings) MaxSessions(user xmpp.JID) int {
	rs := x.s.book(x.domain)
	if rs == nil {
		return 0
	}
	n, infinite := rs.Number("max_user_sessions", acl.Subject{JID: user})
	if infinite {
		return 0
	}
	return n
}

// Conflict is the option resource_conflict.
func (x settings) Conflict() sm.Conflict { return sm.Conflict(x.options().Conflict) }

// ReplacedTimeout is the option replaced_connection_timeout.
func (x settings) ReplacedTimeout() time.Duration { return x.options().ReplacedTimeout }
