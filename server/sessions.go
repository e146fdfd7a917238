package server

import (
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
)

// sessionOptions is where the sessions of a virtual host live.
type sessionOptions struct {
	RAMDB string
	DB    string
	Cache local.Cache

	given struct{ db, use, size, missed, life bool }
}

// leastCached is how many users the cache of sessions holds if nobody has said how
// many: ejabberd's 1000 for all caches is less than a server has users at work.
const leastCached = 50_000

// Fields declares the options.
func (o *sessionOptions) Fields(f *config.Fields) {
	ramDB(f, &o.RAMDB, "default_ram_db", "Where data lives that may be lost with the server: `mnesia` is memory, `redis` is shared with the other nodes of a cluster. At present that is sessions.")
	ramDB(f, &o.DB, "sm_db_type", "Where sessions live: `mnesia` is memory, `redis` is shared with the other nodes of a cluster.").Given(&o.given.db).DefaultText("value of default_ram_db")
	f.Bool(&o.Cache.Use, "sm_use_cache", true, "Keep in memory which sessions users have on other nodes.").Given(&o.given.use).DefaultText("value of use_cache")
	f.IntOrInfinity(&o.Cache.Size, "sm_cache_size", 1000, "How many users the cache of sessions holds.").Must(config.AtLeast(1)).Given(&o.given.size).DefaultText("value of cache_size, at least 50000")
	f.Bool(&o.Cache.Missed, "sm_cache_missed", true, "Also remember users without a session.").Given(&o.given.missed).DefaultText("value of cache_missed")
	f.Duration(&o.Cache.LifeTime, "sm_cache_life_time", time.Hour, "How long the cache of sessions keeps a user.").OrInfinity().Given(&o.given.life).DefaultText("value of cache_life_time")
}

// ramDB declares an option for which sql is not built. That must stop the start:
// sessions that others cannot see are misplaced.
func ramDB(f *config.Fields, p *string, name, doc string) *config.Field[string] {
	return config.Value(f, p, name, `"mnesia" | "redis"`, "mnesia", doc, func(n *config.Node) (string, error) {
		switch text, _ := n.Scalar(); text {
		case "mnesia", "ram":
			return "mnesia", nil
		case "redis":
			return "redis", nil
		case "sql":
			return "", n.Errorf("sql is not built, and without it other nodes would not see these sessions; use redis, or mnesia, which is memory")
		default:
			return "", n.Errorf("%q is not one of mnesia, redis", text)
		}
	})
}

// inRedis reports whether other nodes see the sessions.
func (o *sessionOptions) inRedis() bool {
	if o.given.db {
		return o.DB == "redis"
	}
	return o.RAMDB == "redis"
}

// cache is how sessions of other nodes are remembered, where c is what holds for
// the host's other caches.
func (o *sessionOptions) cache(c local.Cache) local.Cache {
	if o.given.use {
		c.Use = o.Cache.Use
	}
	// A message to somebody who is not in it costs a question to Redis.
	c.Size = max(c.Size, leastCached)
	if o.given.size {
		c.Size = o.Cache.Size
	}
	if o.given.missed {
		c.Missed = o.Cache.Missed
	}
	if o.given.life {
		c.LifeTime = o.Cache.LifeTime
	}
	return c
}
