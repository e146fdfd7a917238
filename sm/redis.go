package sm

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
)

// ErrFull says that more waits for Redis than there is room for.
var ErrFull = errors.New("too much is waiting for Redis")

// RedisOptions is how a Redis store works.
type RedisOptions struct {
	Cache       bool          // sm_use_cache: keep what was read of sessions on other nodes
	CacheSize   int           // sm_cache_size: of how many users
	CacheMissed bool          // sm_cache_missed: also of those who have no sessions
	CacheLife   time.Duration // sm_cache_life_time; 0 is for ever

	// Fenced, if there is one, is called when Redis has refused to write a session
	// because the epoch of this node, there, is not Nodes.Epoch but this greater
	// one. It is called once for each epoch, and must not wait.
	Fenced func(epoch uint64)
}

// Redis is the Store of a virtual host whose nodes share a Redis. What it knows of
// this node's sessions is in memory and never asked for; what others have is read
// when it is needed, and kept until somebody says that it has changed.
//
// While Redis is away sessions of this node come and go as always, and are not
// known elsewhere. Whoever owns the store calls Rewrite when Redis is back.
type Redis struct {
	domain string
	client *redis.Client
	nodes  Nodes
	opt    RedisOptions
	log    *slog.Logger

	mem    *Memory
	cache  *cache
	reads  *pipe
	writes *pipe

	foreign   foreign
	behind    atomic.Bool   // something that had to be written was not
	fenced    atomic.Uint64 // the epoch that was last reported
	rewriting sync.Mutex

	mu     sync.Mutex
	gone   map[ID]*waiter // who waits for a session elsewhere to end
	closed bool
	stop   context.CancelFunc
	work   sync.WaitGroup
}

// NewRedis returns the store of the virtual host domain. It needs no answer from
// Redis: that may be away. Close ends it. This node must have a name, and no name
// may hold "||".
func NewRedis(domain string, client *redis.Client, nodes Nodes, opt RedisOptions, log *slog.Logger) *Redis {
	if opt.CacheSize < 1 {
		opt.Cache = false
	}
	if opt.CacheLife < 0 || opt.CacheLife >= math.MaxInt64/2 {
		opt.CacheLife = 0
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Redis{
		domain: domain, client: client, nodes: nodes, opt: opt, log: log,
		mem: NewMemory(), cache: newCache(opt), reads: newPipe(client), writes: newPipe(client),
		gone: map[ID]*waiter{}, stop: stop,
	}
	r.foreign.log = log
	r.work.Go(r.reads.run)
	r.work.Go(r.writes.run)
	client.Subscribe(ctx, client.Key("sm"), r.heard, r.subscribed)
	return r
}

// Close writes what is still to be written, as far as Redis takes it within
// redis.Timeout, and ends what belongs to the store. Sessions that are left stay in
// Redis until this node starts again or another one removes them.
func (r *Redis) Close() {
	r.stop()
	r.mu.Lock()
	r.closed = true
	for id, w := range r.gone {
		close(w.done)
		delete(r.gone, id)
	}
	r.mu.Unlock()
	r.writes.close()
	r.reads.close()
	r.work.Wait()
}

// Add makes s known. The sessions returned are those of all nodes, as they were at
// the moment in which s was written; with Redis away, those of this node. The ID of s
// must have the name of this node. The error is ErrFull.
func (r *Redis) Add(ctx context.Context, s *Session) ([]*Session, error) {
	if s.ID.Node != r.nodes.Name() {
		return nil, fmt.Errorf("session %v is none of node %s", s.ID, r.nodes.Name())
	}
	if _, err := r.mem.Add(ctx, s); err != nil {
		return nil, err
	}
	w := r.newWrite(put, s)
	if err := r.writes.add(w); err != nil {
		return nil, errors.Join(fmt.Errorf("write session: %w", err), r.mem.Remove(ctx, s))
	}
	if r.wait(ctx, w) != nil {
		return r.mem.Local(w.user), nil
	}
	return r.join(r.mem.Local(w.user), w.got), nil
}

// Changed makes the presence of s known.
func (r *Redis) Changed(ctx context.Context, s *Session) {
	w := r.newWrite(touch, s)
	if r.writes.add(w) != nil {
		r.behind.Store(true)
		return
	}
	_ = r.wait(ctx, w) // what was not written will be
}

// Remove forgets s. What cannot be removed from Redis now is removed by Rewrite:
// that is no error.
func (r *Redis) Remove(ctx context.Context, s *Session) error {
	if !r.holds(s.JID, s.ID) {
		return nil
	}
	if err := r.mem.Remove(ctx, s); err != nil {
		return err
	}
	if s.silenced() {
		return nil
	}
	w := r.newWrite(del, s)
	if r.writes.add(w) != nil {
		r.behind.Store(true)
		return nil
	}
	_ = r.wait(ctx, w)
	return nil
}

// wait gives a write the time it may take.
func (r *Redis) wait(ctx context.Context, w *write) error {
	t := time.NewTimer(redis.Timeout)
	defer t.Stop()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		// It may still be written, but then nobody looks for conflicts.
		r.behind.Store(true)
		return ErrAway
	}
}

// Local is the sessions of a user on this node.
func (r *Redis) Local(bare xmpp.JID) []*Session { return r.mem.Local(bare) }

// Here is every session on this node.
func (r *Redis) Here() []*Session { return r.mem.Here() }

// holds reports whether the session with that ID is on this node.
func (r *Redis) holds(user xmpp.JID, id ID) bool {
	for _, s := range r.mem.Local(user.Bare()) {
		if s.ID == id {
			return true
		}
	}
	return false
}

// Behind reports whether something could not be written since Rewrite was last
// begun. Then Rewrite should be called when Redis can be asked.
func (r *Redis) Behind() bool { return r.behind.Load() }

// Foreign is how often something was found in Redis, or heard on the channel, that
// no gabberd can have written.
func (r *Redis) Foreign() uint64 { return r.foreign.count.Load() }

// The names of keys and of fields in them: docs/decisions/redis-layout.md.

func (r *Redis) userKey(user xmpp.JID) string { return r.client.Key("sm", user.String()) }
func (r *Redis) hostKey() string              { return r.client.Key("sm", r.domain) }
func (r *Redis) nodeKey(node string) string   { return r.client.Key("sm", r.domain, "node", node) }
func (r *Redis) epochKey() string             { return r.client.Key("{nodes}", "epoch", r.nodes.Name()) }

// between stands before the ID in the fields of the indexes. The last one counts.
const between = "||"

// indexed reads a field of the hash of the host that node has written.
func (r *Redis) indexed(field, node string) (user xmpp.JID, id ID, ok bool) {
	front, ok := strings.CutSuffix(field, "@"+node) // which may hold anything
	if !ok {
		return user, id, false
	}
	at := strings.LastIndex(front, between)
	if at < 0 {
		return user, id, false
	}
	if id, ok = parseID(field[at+len(between):]); !ok || id.Node != node {
		return user, id, false
	}
	user, err := xmpp.Parse(field[:at])
	return user, id, err == nil && r.ours(user) && user.String() == field[:at]
}

// ours reports whether bare can be a user of the virtual host.
func (r *Redis) ours(bare xmpp.JID) bool {
	return bare.IsBare() && bare.Domain() == r.domain && bare.Local() != ""
}

// foreign is what others have left in our places.
type foreign struct {
	log   *slog.Logger
	count atomic.Uint64
	mu    sync.Mutex
	seen  map[string]struct{}
}

// Bounds on what is remembered, and said, of foreign things.
const (
	maxForeign     = 1024
	maxForeignText = 200
)

// found counts something foreign, and logs it if it is the first time.
func (f *foreign) found(where, field string, why error) {
	f.count.Add(1)
	if len(field) > maxForeignText {
		field = field[:maxForeignText] + "…"
	}
	f.mu.Lock()
	_, was := f.seen[where+"\x00"+field]
	full := len(f.seen) >= maxForeign
	if !was && !full {
		if f.seen == nil {
			f.seen = map[string]struct{}{}
		}
		f.seen[where+"\x00"+field] = struct{}{}
	}
	f.mu.Unlock()
	if !was && !full {
		f.log.Warn("something in Redis is not ours and is ignored", "key", where, "field", field, "reason", why)
	}
}

// A notice is what is published when sessions have changed.
type notice struct {
	V     int    `json:"v"`
	Drop  string `json:"drop"`            // the user: what is known of him is old
	Node  string `json:"node"`            // who says so
	Gone  string `json:"gone,omitempty"`  // the ID of a session that is not there any more
	Again bool   `json:"again,omitempty"` // who has sessions of the user shall write them
}

func (n notice) String() string {
	n.V = recordVersion
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // there is nothing in it that cannot be written
	}
	return string(b)
}
