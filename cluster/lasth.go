package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// How many stanzas of a client are handled must be known when its node is dead: a
// client that hears h sends nothing again that is safe (XEP-0198 §5). So each node
// writes it to Redis, for streams that can be resumed, every beat in which it has
// moved. What stands there is never more than is true.

// How long h of a stream stands in Redis, and when that of one that lives is written
// again.
const (
	toldFor   = time.Hour
	toldAgain = toldFor / 2
	maxEnded  = 100_000 // streams whose end Redis has not taken yet
)

// A told is what was last written of a stream.
type told struct {
	h    uint32
	at   time.Time
	user xmpp.JID
}

// tally writes h of this node's streams.
type tally struct {
	c     *Cluster
	mu    sync.Mutex // one writes at a time
	last  map[*host]map[string]told
	ended map[*host][]sm.EndedStream // that are still to be written
}

// streamKey is where h of a stream is. The stream's id is a secret.
func (c *Cluster) streamKey(domain string, user xmpp.JID, id string) string {
	sum := sha256.Sum256([]byte(domain + "\x00" + user.String() + "\x00" + id))
	return c.redis.Key("stream", hex.EncodeToString(sum[:16]))
}

// run writes what has moved until the cluster is left.
func (t *tally) run() {
	for t.c.sleep(t.c.opt.Beat) {
		if t.c.gate.isOpen() {
			t.write(t.c.ctx)
		}
	}
}

// write writes what has moved. What cannot be written is written the next time.
func (t *tally) write(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	hosts := *t.c.hosts.Load()
	last := map[*host]map[string]told{}
	if t.ended == nil {
		t.ended = map[*host][]sm.EndedStream{}
	}
	pipe := t.c.redis.Pipeline()
	n := 0
	set := func(h *host, id string, x told) {
		pipe.Set(ctx, t.c.streamKey(h.domain, x.user, id), strconv.FormatUint(uint64(x.h), 10), toldFor)
		n++
	}
	for _, h := range hosts {
		old, fresh := t.last[h], map[string]told{}
		h.Streams(func(id string, user xmpp.JID, count uint32) {
			x, ok := old[id]
			if !ok || x.h != count || now.Sub(x.at) > toldAgain {
				x = told{count, now, user}
				set(h, id, x)
			}
			fresh[id] = x
		})
		if t.ended[h] = append(t.ended[h], h.JustEnded()...); len(t.ended[h]) > maxEnded {
			t.ended[h] = t.ended[h][len(t.ended[h])-maxEnded:]
		}
		for _, e := range t.ended[h] {
			set(h, e.ID, told{e.H, now, e.User})
		}
		last[h] = fresh
	}
	if n > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return
		}
	}
	t.last = last
	clear(t.ended)
}

// lastHandled is h of a stream whose node is gone; ok is false if it is not known.
func (c *Cluster) lastHandled(ctx context.Context, domain string, user xmpp.JID, id string) (h uint32, ok bool) {
	if id == "" || !c.gate.isOpen() {
		return 0, false
	}
	text, err := c.redis.Get(ctx, c.streamKey(domain, user, id)).Result()
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		c.once.foreign("stream", err)
		return 0, false
	}
	return uint32(n), true
}
