package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// prefix is that of all keys.
const prefix = "gabberd"

// redisStop stops Redis, which forgets everything, and starts it again.
func (r *run) redisStop(ctx context.Context, f *fault) error {
	check := r.unbroken(f.kind)
	if err := r.redis.stop(); err != nil {
		return err
	}
	if err := r.meanwhile(ctx, f, outage); err != nil {
		return err
	}
	if err := r.redis.start(); err != nil {
		return err
	}
	if err := r.until(ctx, "Redis to start", r.redis.answers); err != nil {
		return err
	}
	if err := r.registered(ctx, f, time.Now()); err != nil {
		return err
	}
	check()
	return nil
}

// redisFreeze has Redis take connections and answer nothing.
func (r *run) redisFreeze(ctx context.Context, f *fault) error {
	check := r.unbroken(f.kind)
	if err := r.redis.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := r.meanwhile(ctx, f, outage); err != nil {
		return err
	}
	if err := r.redis.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := r.registered(ctx, f, time.Now()); err != nil {
		return err
	}
	check()
	return nil
}

// meanwhile lets an outage last, and looks whether each node goes on for itself.
func (r *run) meanwhile(ctx context.Context, f *fault, d time.Duration) error {
	end := time.Now().Add(d)
	if err := r.newcomers(ctx, f); err != nil {
		return err
	}
	return pass(ctx, time.Until(end))
}

// killInOutage kills a node while Redis is away, and starts it again after.
func (r *run) killInOutage(ctx context.Context, f *fault) error {
	n := r.victim()
	return r.death(ctx, f, []*node{n}, func() error {
		if err := r.redis.stop(); err != nil {
			return err
		}
		if err := pass(ctx, outage/2); err != nil {
			return err
		}
		if err := n.kill(); err != nil {
			return err
		}
		if err := pass(ctx, outage/2); err != nil {
			return err
		}
		return r.redis.start()
	})
}

// flush empties Redis.
func (r *run) flush(ctx context.Context, f *fault) error {
	check := r.unbroken(f.kind)
	for range 3 {
		began := time.Now()
		if err := r.redis.client.FlushAll(ctx).Err(); err != nil {
			return err
		}
		if err := r.registered(ctx, f, began); err != nil {
			return err
		}
	}
	check()
	return nil
}

// drop breaks all connections to Redis, again and again. Nothing is lost by that, so
// nothing may come twice either.
func (r *run) drop(ctx context.Context, _ *fault) error {
	check := r.unbroken("broken connections to Redis")
	for range 10 {
		for _, kind := range []string{"normal", "pubsub"} {
			if err := r.redis.client.Do(ctx, "CLIENT", "KILL", "TYPE", kind).Err(); err != nil {
				return err
			}
		}
		if err := pass(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	check()
	return nil
}

// evict removes what is under way between the nodes, as a Redis might that is short
// of memory.
func (r *run) evict(ctx context.Context, _ *fault) error {
	check := r.unbroken("keys that Redis has evicted")
	for range 5 {
		for _, n := range r.nodes {
			if err := r.redis.client.Del(ctx, prefix+":inbox:"+n.name).Err(); err != nil {
				return err
			}
		}
		if err := pass(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	check()
	return nil
}

// registered waits until Redis has all sessions and all nodes list them.
func (r *run) registered(ctx context.Context, f *fault, began time.Time) error {
	err := r.until(ctx, "all sessions to be in Redis", func(ctx context.Context) string {
		all, err := r.redis.client.HKeys(ctx, prefix+":sm:"+domain).Result()
		if err != nil {
			return err.Error()
		}
		for _, jid := range r.ledger.online() {
			if !slices.ContainsFunc(all, func(field string) bool { return strings.HasPrefix(field, bare(jid)+"||") }) {
				return "there is none of " + bare(jid)
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	r.figures.add(f.kind, "every user registered again in Redis", time.Since(began))
	if err := r.until(ctx, "all nodes to list all sessions", r.ghosts); err != nil {
		return err
	}
	r.figures.add(f.kind, "all sessions listed everywhere", time.Since(began))
	return nil
}

// foreign writes what is not ours where ours is, and under our names.
func (r *run) foreign(ctx context.Context, f *fault) error {
	check := r.unbroken(f.kind)
	c := r.redis.client
	var errs []error
	add := func(cmd redis.Cmder) {
		if err := cmd.Err(); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", cmd.Args(), err))
		}
	}
	hashes := []string{prefix + ":sm:" + domain, prefix + ":{nodes}"}
	for _, d := range r.devices {
		hashes = append(hashes, prefix+":sm:"+d.bare())
	}
	for _, n := range r.nodes {
		hashes = append(hashes, prefix+":sm:"+domain+":node:"+n.name)
		add(c.XAdd(ctx, &redis.XAddArgs{Stream: prefix + ":inbox:" + n.name, Values: []any{"what", "is this"}}))
		add(c.XAdd(ctx, &redis.XAddArgs{Stream: prefix + ":inbox:" + n.name, Values: []any{"n", r.nodes[0].name, "e", "none", "f", "-1", "s", "x", "b", "\x00\xff"}}))
	}
	fields := []string{
		"plain", "words",
		"u0@" + domain + "||1", "{\"v\":1", "u0@" + domain + "||2", "[]", "u0@" + domain + "||3", `{"v":99,"node":"one@torture","jid":"u0@localhost/ghost"}`,
		"u0@" + domain + "||4", `{"v":1,"node":"nobody@nowhere","epoch":1,"jid":"u0@localhost/ghost","opened":1}`, "\x83h\x02", "\x83h\x03\x00\xff",
		"", "", "null", "null", "1.2.3", `{"v":1}`, "long", strings.Repeat("x", 1<<20),
	}
	for _, key := range hashes {
		add(c.HSet(ctx, key, fields))
	}
	for _, text := range append(fields, `{"v":1,"drop":7}`, `{"v":99,"drop":"u0@localhost"}`, `{"v":1,"drop":"@@@"}`) {
		add(c.Publish(ctx, prefix+":sm", text))
	}
	add(c.Set(ctx, prefix+":sm:", "x", 0))
	add(c.Set(ctx, prefix+":sm:probe1@"+domain, "not a hash", 0)) // where newcomers' sessions belong
	add(c.RPush(ctx, prefix+":sm:probe2@"+domain, "not a hash"))
	add(c.SAdd(ctx, prefix+":sm:twin@"+domain, "not a hash"))
	add(c.Set(ctx, prefix+":unheard-of", "x", 0))
	add(c.Set(ctx, prefix+":inbox:", "x", 0))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := r.newcomers(ctx, f); err != nil {
		return err
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	check()
	return nil
}
