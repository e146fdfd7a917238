// Package redis is our connection to Redis, or to Valkey: one server, a master
// that Sentinels watch, or a Redis Cluster.
//
// It adds to go-redis what a server needs that must go on when Redis does not:
// no call takes longer than Timeout; that Redis is away is noticed once, logged
// once and said to whoever wants to know, and until it is back every command
// fails at once with ErrAway.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeout is the longest that a command, a pipeline or a script takes, all
// waiting included. Only what runs under Blocking may take longer.
const Timeout = 2 * time.Second

// Nil is the error of a key or field that is not there. It is not ErrAway.
const Nil = goredis.Nil

// How often is looked whether Redis is there, and how long an answer may take.
const (
	lookUp   = time.Second            // while it is
	lookAway = 500 * time.Millisecond // while it is not
	lookMax  = time.Second
	lookGap  = 100 * time.Millisecond // between two looks that failing commands asked for
)

// extra are connections beyond redis_pool_size: one to see whether Redis is
// there, and one that a command under Blocking may hold.
const extra = 2

// A Client is what is known of one Redis, and the connections to it. Its
// methods may be called by everybody at once. Commands are those of
// goredis.Cmdable; each is bounded by Timeout and fails with ErrAway when Redis
// cannot be asked.
type Client struct {
	goredis.Cmdable

	all     goredis.UniversalClient
	opt     Options
	at      target
	tls     *tls.Config
	log     *slog.Logger
	version version

	away    atomic.Pointer[awayError] // why Redis cannot be asked; nil while it can
	dials   atomic.Uint64             // connections made so far
	scripts sync.Map                  // *Script to sightings
	kick    chan struct{}             // a command has failed: look now

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	watchers map[*func(bool)]struct{}
}

// Open connects to Redis and checks that it is one we can use: version 3.2 at
// least, the right password, a cluster where one was named. An error that is
// ErrAway means that Redis cannot be asked now but may be later; any other is a
// mistake in the configuration or in Redis. It takes a few seconds at most.
func Open(ctx context.Context, opt Options, log *slog.Logger) (*Client, error) {
	at, err := parseServer(opt.Server, opt.Port)
	if err != nil {
		return nil, fmt.Errorf("redis_server %w", err)
	}
	if at.kind == cluster && opt.DB != 0 {
		return nil, fmt.Errorf("redis_db is %d, but a Redis Cluster has only database 0", opt.DB)
	}
	c := &Client{opt: opt, at: at, log: log, kick: make(chan struct{}, 1), watchers: map[*func(bool)]struct{}{}}
	if c.tls, err = opt.tlsConfig(at); err != nil {
		return nil, err
	}
	// For the whole process: it writes to standard error what it also returns.
	logging.Disable()
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.all = c.connect()
	c.Cmdable = c.all
	c.all.AddHook(hook{c})
	if err := c.inspect(ctx); err != nil {
		c.stop()
		return nil, errors.Join(err, c.all.Close())
	}
	c.work.Go(c.watch)
	return c, nil
}

// connect makes the pool; nothing is dialled yet.
func (c *Client) connect() goredis.UniversalClient {
	o := &goredis.UniversalOptions{
		Addrs: c.at.addrs, MasterName: c.at.master, Username: c.at.user, Password: c.opt.Password, DB: c.opt.DB,
		Dialer: c.dial, DialTimeout: c.opt.ConnectTimeout, DialerRetries: 1,
		ReadTimeout: Timeout, WriteTimeout: Timeout, PoolTimeout: Timeout, ContextTimeoutEnabled: true,
		// What failed may have been executed: whether to send it again is the caller's to know.
		MaxRetries: -1,
		PoolSize:   c.opt.PoolSize + extra, PipelinePoolSize: -1,
		// RESP2 is the same in all versions.
		Protocol: 2, ClientName: "gabberd", DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	switch c.at.kind {
	case cluster:
		co := o.Cluster()
		co.ClusterStateReloadInterval = 5 * time.Second
		return goredis.NewClusterClient(co)
	case sentinel:
		return goredis.NewFailoverClient(o.Failover())
	default:
		return goredis.NewClient(o.Simple())
	}
}

// inspect looks what it is that we are connected to.
func (c *Client) inspect(ctx context.Context) error {
	info, err := c.Info(ctx, "server").Result()
	if err == nil {
		c.version, err = parseInfo(info)
	}
	if err == nil && c.version.mode == "cluster" && c.at.kind != cluster {
		err = fmt.Errorf("it is part of a Redis Cluster: write redis_server: cluster://%s", c.at.addrs[0])
	}
	if err == nil {
		err = c.look(ctx) // which also finds out a replica, a cluster that is down and the like
	}
	if err == nil {
		return nil
	}
	untrusted, answer := (*tls.CertificateVerificationError)(nil), goredis.Error(nil)
	switch {
	case errors.As(err, &untrusted):
		err = fmt.Errorf("its certificate is not trusted (%w): correct ca_file, or the host in redis_server", untrusted.Err)
	case goredis.IsAuthError(err), goredis.IsPermissionError(err), errors.As(err, &answer) && strings.Contains(answer.Error(), "password"):
		err = fmt.Errorf("it does not let us in (%w): correct redis_password", cause(err))
	case strings.Contains(err.Error(), "cluster support disabled"):
		err = fmt.Errorf("it is not a Redis Cluster: write redis_server: redis://%s", c.at.addrs[0])
	case errors.Is(err, ErrAway) && !errors.As(err, &answer):
		err = fmt.Errorf("start it, or correct redis_server and redis_port: %w", err)
	}
	return fmt.Errorf("open Redis at %s: %w", c.at, err)
}

// Close ends all connections and everything that belongs to the client, and
// waits for it. Commands that are under way fail.
func (c *Client) Close() error {
	c.stop()
	err := c.all.Close()
	c.work.Wait()
	return err
}

// Universal is the go-redis client, for what Cmdable has not, with the same
// bounds and errors. It must not be closed.
func (c *Client) Universal() goredis.UniversalClient { return c.all }

// Prefix is redis_prefix.
func (c *Client) Prefix() string { return c.opt.Prefix }

// Key joins parts behind the prefix: Key("sm", "a@b") is gabberd:sm:a@b.
func (c *Client) Key(parts ...string) string {
	if len(parts) == 1 {
		return c.opt.Prefix + ":" + parts[0]
	}
	return c.opt.Prefix + ":" + strings.Join(parts, ":")
}

// IsCluster says whether keys live on several nodes, so that a script or a
// transaction can only touch those with the same hash tag.
func (c *Client) IsCluster() bool { return c.at.kind == cluster }

// Version is what Redis said it is when we first connected: "Redis 7.0.15" or
// "Valkey 8.1.1".
func (c *Client) Version() string { return c.version.String() }

// AtLeast says whether it understands the commands of that version of Redis.
func (c *Client) AtLeast(major, minor int) bool { return c.version.atLeast(major, minor) }

// PoolSize is how many connections for commands there may be: redis_pool_size.
func (c *Client) PoolSize() int { return c.opt.PoolSize }

// Addr is where Redis is, for messages to people.
func (c *Client) Addr() string { return c.at.String() }

// Up says whether Redis could be asked when somebody last looked, which was
// about a second ago.
func (c *Client) Up() bool { return c.away.Load() == nil }

// OnState has f called with false when Redis is away and with true when it is
// back, one after the other and never twice the same. What is so when f is given
// is not said: ask Up. f must return at once, since it is called by the goroutine
// that looks after Redis, and must not call OnState. When the function returned,
// which f must not call either, has returned, f is called no more.
func (c *Client) OnState(f func(up bool)) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := &f
	c.watchers[key] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, key)
	}
}

// watch looks after Redis until Close.
func (c *Client) watch() {
	timer := time.NewTimer(lookUp)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-timer.C:
		case <-c.kick:
		}
		err := c.look(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		c.found(err)
		wait := lookUp
		if err != nil {
			wait = lookAway
		}
		select { // failing commands do not make us look without a pause
		case <-c.ctx.Done():
			return
		case <-time.After(lookGap):
		}
		timer.Reset(wait - lookGap)
	}
}

// found notes, logs and tells what look has found, if it is news.
func (c *Client) found(err error) {
	up := err == nil
	if up == c.Up() {
		return
	}
	if up {
		c.away.Store(nil)
		c.log.Info("Redis is back", "redis", c.at.String())
	} else {
		why := &awayError{cause(err)}
		c.away.Store(why)
		c.log.Error("Redis is away; what needs it waits until it is back", "redis", c.at.String(), "err", why.cause)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.watchers {
		(*f)(up)
	}
}

// look asks Redis for something that it does only when it can be written to,
// and that changes nothing: a replica, a cluster that is down, a full memory
// all refuse it. The error is ErrAway or nil.
func (c *Client) look(ctx context.Context) error {
	began := time.Now()
	err := c.lookOnce(ctx)
	// What failed at once may have had a connection that broke before. Where it
	// took longer than it may, it was us who stood still, not Redis.
	if took := time.Since(began); err != nil && ctx.Err() == nil && (took < lookMax/2 || took > lookMax*3/2) {
		err = c.lookOnce(ctx)
	}
	return err
}

func (c *Client) lookOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ungated(ctx), lookMax)
	defer cancel()
	err := c.SetRange(ctx, c.Key("{nodes}", "look"), 0, "").Err()
	if errors.Is(err, ErrAway) {
		return err
	}
	return nil // any answer will do
}
