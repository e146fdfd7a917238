package server

import (
	"context"
	"fmt"

	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/hooks"
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
	if s.member != nil {
		return nil
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
	m := &membership{s: s, redis: client}
	s.log.Info("Redis is there", "redis", client.Addr(), "version", client.Version(), "pool", client.PoolSize(), "prefix", client.Prefix())
	m.cluster, err = cluster.Open(s.ctx, cluster.Options{
		Redis: client, Router: s.router, Log: s.log, Name: s.opt.node(), Instance: mark,
		Heard: m.heard,
	})
	if err != nil {
		if err := client.Close(); err != nil {
			s.log.Warn("Redis did not take its leave", "error", err)
		}
		return err
	}
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
	c := hc.session.cache(hc.options.Cache)
	return sm.NewRedis(hc.domain, s.member.redis, s.member.cluster,
		sm.RedisOptions{Cache: c.Use, CacheSize: c.Size, CacheMissed: c.Missed, CacheLife: c.LifeTime}, s.log), nil
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
