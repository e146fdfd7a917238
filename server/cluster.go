package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
)

// membership is what a server has that is a node of a cluster: one of its virtual
// hosts at least keeps its sessions in Redis.
type membership struct {
	s       *Server
	redis   *redis.Client
	cluster *cluster.Cluster
}

// join makes the server a node of the cluster that shares its Redis. It is called
// while the server is built.
func (s *Server) join() error {
	switch {
	case s.member != nil:
		return nil
	case s.serving.Load():
		return errors.New("a server joins a cluster when it starts; restart it")
	}
	mark, err := instance(s.opt.Data)
	if err != nil {
		return err
	}
	opt := s.conf.redis
	opt.CAFile = s.conf.global.CAFile
	client, err := redis.Open(s.ctx, opt, s.log)
	if err != nil {
		return err
	}
	if !client.AtLeast(5, 0) {
		return errors.Join(fmt.Errorf("%s at %s has no streams, in which stanzas go from node to node: 5.0 is the oldest that will do", client.Version(), client.Addr()), client.Close())
	}
	m := &membership{s: s, redis: client}
	s.log.Info("Redis is there", "redis", client.Addr(), "version", client.Version(), "pool", client.PoolSize(), "prefix", client.Prefix())
	m.cluster, err = cluster.Open(s.ctx, cluster.Options{
		Redis: client, Router: s.router, Log: s.log, Name: s.opt.node(), Instance: mark,
		Heard: m.heard, Missed: m.missed,
	})
	if err != nil {
		return errors.Join(err, client.Close())
	}
	s.router.Named(m.cluster.Name())
	s.log.Info("this is a node of a cluster", "node", m.cluster.Name(), "epoch", m.cluster.Epoch())
	s.hooks.Spread("", m.cluster.Spread)
	s.member = m
	return nil
}

// leave takes leave of the other nodes, bounded by ctx. The sessions of this node
// must be over.
func (m *membership) leave(ctx context.Context) {
	m.s.hooks.Spread("", nil)
	if err := m.cluster.Close(ctx); err != nil {
		m.s.log.Warn("the other nodes were not taken leave of in time; they find out by themselves", "error", err)
	}
}

// share is where the sessions of a virtual host are that has them in Redis.
func (s *Server) share(hc *hostConfig) (*sm.Redis, error) {
	if err := s.join(); err != nil {
		return nil, fmt.Errorf("%s has its sessions in Redis: %w", hc.domain, err)
	}
	if hc.sql.Type == "" || hc.options.DefaultDB != "sql" {
		s.log.Warn("sessions are shared with other nodes, but accounts or messages are kept in a database of this node alone, which is right for one node only; default_db: sql and a PostgreSQL make them common", "host", hc.domain)
	}
	c := hc.session.cache(hc.options.Cache)
	return sm.NewRedis(hc.domain, s.member.redis, s.member.cluster,
		sm.RedisOptions{Cache: c.Use, CacheSize: c.Size, CacheMissed: c.Missed, CacheLife: c.LifeTime,
			Fenced: func(uint64) { s.member.cluster.Check() }}, s.log), nil
}

// serve has the other nodes reach the sessions of a virtual host, until stop is
// called. That also closes the store.
func (m *membership) serve(v *virtualHost) (stop func()) {
	unserve := m.cluster.Serve(v.Domain, v.Sessions, v.shared)
	v.Parts.Hooks.Spread(v.Domain, m.cluster.Spread)
	return func() {
		v.Parts.Hooks.Spread(v.Domain, nil)
		unserve()
		v.shared.Close()
	}
}

// missed forgets what is kept in memory of databases: others may have changed it,
// and what they have told this node is lost.
func (m *membership) missed() {
	for _, domain := range m.s.domains() {
		m.heard(domain, local.ClearCache.Name(), []byte("{}"))
	}
}

// heard runs an event that has happened on another node.
func (m *membership) heard(domain, event string, payload []byte) {
	t := m.s.hooks
	if domain != "" {
		h := m.s.host(domain)
		if h == nil {
			return
		}
		t = h.Parts.Hooks
	}
	if err := hooks.Hear(m.s.ctx, t, event, payload); err != nil {
		m.s.log.Warn("an event of another node was not understood; are the nodes of different versions?", "event", event, "error", err)
	}
}

// errNoListener is why a session of another node is not taken over.
var errNoListener = errors.New("there is no listener for clients")

// adopt has a listener take over a session that comes from another node.
func (s *Server) adopt(h *local.Host, x *sm.Session, m *sm.Moved) (conn sm.Conn, begin func(), err error) {
	err = errNoListener
	for _, l := range s.listens() {
		if doors, ok := l.service.(*c2s.Listener); ok {
			if conn, begin, err = doors.Adopt(h, x, m); err == nil {
				return conn, begin, nil
			}
		}
	}
	return nil, nil, err
}
