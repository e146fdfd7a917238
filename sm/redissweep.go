package sm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
)

// rewriteWindow is how many writes of a Rewrite are under way at once.
const rewriteWindow = 4 * maxBatch

// Rewrite writes every session of this node again, and removes what Redis has of
// sessions of this epoch that are not here any more. It is for when Redis is back, was emptied, or this
// node has taken a new epoch; and for when Behind says so. settle, which may be
// nil, is called for every session whose user has several with its address, with all
// sessions of the user. The error wraps ErrAway; then it should be called again.
func (r *Redis) Rewrite(ctx context.Context, settle func(s *Session, all []*Session)) error {
	r.rewriting.Lock()
	defer r.rewriting.Unlock()
	r.behind.Store(false)
	err := r.rewrite(ctx, settle)
	if err == nil {
		err = r.repair(ctx)
	}
	if err != nil {
		r.behind.Store(true)
	}
	return err
}

func (r *Redis) rewrite(ctx context.Context, settle func(*Session, []*Session)) error {
	var failed error
	here := r.mem.Here()
	window := make([]*write, 0, rewriteWindow)
	for len(here) > 0 {
		n := min(len(here), rewriteWindow)
		window = window[:0]
		for _, s := range here[:n] {
			w := r.newWrite(put, s)
			if err := r.writes.push(ctx, w); err != nil {
				return fmt.Errorf("write sessions again: %w", err)
			}
			window = append(window, w)
		}
		here = here[n:]
		for _, w := range window {
			<-w.done // the pipe is bounded
			switch {
			case w.err == nil:
			case errors.Is(w.err, redis.ErrAway), isFence(w.err):
				return w.err
			default: // of this one session
				failed = w.err
				continue
			}
			all := r.join(r.mem.Local(w.user), w.got)
			if settle != nil && several(w.s.JID, all) {
				settle(w.s, all)
			}
		}
	}
	return failed
}

// several reports whether more than one of the sessions has the address j.
func several(j xmpp.JID, all []*Session) bool {
	n := 0
	for _, s := range all {
		if s.JID == j {
			n++
		}
	}
	return n > 1
}

// repair removes what stands in the indexes of this node, and in the hashes of
// users that they name, without being here. What is of a former epoch is left to
// Sweep, which tells others of it.
func (r *Redis) repair(ctx context.Context) error {
	name, now := r.nodes.Name(), strconv.FormatUint(r.nodes.Epoch(), 10)
	return r.each(ctx, name, 0, nil, func(found []entry) error {
		var dels []*write
		for _, e := range found {
			if r.holds(e.user, e.id) {
				continue
			}
			w := &write{r: r, kind: del, user: e.user, id: e.id, only: epochs{from: now}, done: make(chan struct{})}
			if err := r.writes.push(ctx, w); err != nil {
				return fmt.Errorf("remove old sessions: %w", err)
			}
			dels = append(dels, w)
		}
		for _, w := range dels {
			if <-w.done; w.err != nil {
				return w.err
			}
		}
		return nil
	})
}

// Forget returns all sessions of this node, for their streams to be ended, because
// the other nodes have taken it for dead: they have told everybody that these are
// gone, so that nobody is told again. Until they have ended they stay in the store,
// lest what comes for their users overtakes what they leave behind.
func (r *Redis) Forget() []*Session {
	here := r.mem.Here()
	for _, s := range here {
		s.silence()
	}
	return here
}

// An entry is a session that stands in an index.
type entry struct {
	user  xmpp.JID
	id    ID
	short string // its short record, if the index is that of the host
}

// each finds the sessions of node: through its own index, from the cursor from,
// and through that of the host, for what the first has lost. stepped, which may be
// nil, is called after each step of the first.
func (r *Redis) each(ctx context.Context, node string, from uint64, stepped func(cursor uint64), found func([]entry) error) error {
	front := r.client.Key("sm") + ":"
	err := r.scan(ctx, r.nodeKey(node), from, "", func(fields []string, cursor uint64) error {
		var all []entry
		for i := 0; i+1 < len(fields); i += 2 {
			text, ok := strings.CutPrefix(fields[i], front)
			user, id, ours := r.indexed(text, node)
			if !ok || !ours {
				r.foreign.found(r.nodeKey(node), fields[i], errNotOurs)
				continue
			}
			all = append(all, entry{user: user, id: id})
		}
		err := found(all)
		if err == nil && stepped != nil {
			stepped(cursor)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.scan(ctx, r.hostKey(), 0, "*@"+quoteGlob(node), func(fields []string, _ uint64) error {
		var all []entry
		for i := 0; i+1 < len(fields); i += 2 {
			if user, id, ok := r.indexed(fields[i], node); ok {
				all = append(all, entry{user, id, fields[i+1]})
			}
		}
		return found(all)
	})
}

// scan goes through a hash in steps.
func (r *Redis) scan(ctx context.Context, key string, cursor uint64, match string, each func(fields []string, cursor uint64) error) error {
	for {
		fields, next, err := r.client.HScan(ctx, key, cursor, match, step).Result()
		switch {
		case wrongType(err):
			r.foreign.found(key, "", errWrongType)
			return nil
		case err != nil:
			return away(err)
		}
		if err := each(fields, next); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// quoteGlob is text as a pattern that matches nothing else.
func quoteGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// cursorLife is how long a sweep that was broken off can be taken up.
const cursorLife = 30 * time.Second

// Sweep removes the sessions that node has written in its epochs up to epoch, and
// returns how many it has removed. However many nodes sweep at once, gone is called
// once for each session, by the one that removed it. What a start has to clean is
// what its own node has left: its name, and the epoch before its own. The error
// wraps ErrAway; what was removed until then is counted, and the rest can be swept
// later.
func (r *Redis) Sweep(ctx context.Context, node string, epoch uint64, gone func(*Session)) (int, error) {
	n, key := 0, r.nodeKey(node)+":deletioncursor"
	found := func(all []entry) error {
		for ; len(all) > 0; all = all[min(len(all), step):] {
			done, err := r.remove(ctx, all[:min(len(all), step)], epoch, gone)
			if n += done; err != nil {
				return err
			}
		}
		return nil
	}
	stepped := func(cursor uint64) {
		// Only a hint for whoever goes on.
		_ = r.client.Set(ctx, key, strconv.FormatUint(cursor, 10), cursorLife).Err()
	}
	from, err := r.client.Get(ctx, key).Uint64()
	switch {
	case errors.Is(err, redis.ErrAway):
		return 0, away(err)
	case err == nil && from != 0:
		// Somebody has begun. What he has left out is found from the start.
		if err := r.each(ctx, node, from, stepped, found); err != nil {
			return n, err
		}
	}
	err = r.each(ctx, node, 0, stepped, found)
	return n, err
}

// remove removes sessions that were written in epochs up to epoch, and calls gone
// for those that were still there.
func (r *Redis) remove(ctx context.Context, all []entry, epoch uint64, gone func(*Session)) (n int, err error) {
	limit := epochs{to: strconv.FormatUint(epoch, 10)}
	p := r.client.Pipeline()
	dels := make([]*write, len(all))
	for i, e := range all {
		if rec, bad := ParseRecord(e.id.String(), e.short); bad == nil && rec.Epoch > epoch {
			continue
		}
		dels[i] = &write{r: r, kind: del, user: e.user, id: e.id, only: limit}
		dels[i].sendDel(ctx, p)
	}
	_, _ = p.Exec(ctx) // every command has its own error
	p = r.client.Pipeline()
	for i, e := range all {
		if dels[i] == nil {
			continue
		}
		record, over, bad := r.removed(e, dels[i].script)
		err = cmp.Or(err, bad)
		if over && r.client.IsCluster() {
			dels[i].second = true
			dels[i].sendDel(ctx, p)
		}
		if record == "" {
			continue
		}
		n++
		r.cache.drop(e.user)
		if s, bad := r.dead(e.id.String(), record); bad != nil {
			r.foreign.found(r.userKey(e.user), e.id.String(), bad)
		} else if gone != nil {
			gone(s)
		}
	}
	if _, bad := p.Exec(ctx); bad != nil && !wrongType(bad) {
		err = cmp.Or(err, away(bad))
	}
	return n, err
}

// dead is session for one whose node is dead: those are told who had directed
// presence.
func (r *Redis) dead(field, value string) (*Session, error) {
	rec, err := ParseRecord(field, value)
	if err != nil {
		return nil, err
	}
	s, err := rec.session(r.domain, r.nodes)
	if err == nil {
		s.directed = rec.directed()
	}
	return s, err
}

// removed is the record that cmd has removed, empty if there was none. over says
// that the indexes need not name it any more.
func (r *Redis) removed(e entry, cmd *goredis.Cmd) (record string, over bool, err error) {
	record, err = cmd.Text()
	switch text := answerText(err); {
	case err == nil, errors.Is(err, redis.Nil):
		return record, true, nil
	case text == otherEpoch:
		return "", false, nil
	case text == foreignValue:
		r.foreign.found(r.userKey(e.user), e.id.String(), errNotOurs)
		return "", true, nil
	}
	return "", false, away(err)
}
