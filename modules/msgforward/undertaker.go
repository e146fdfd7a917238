package msgforward

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
)

// How long things of destinations take that are in no configuration any more.
const (
	// graceTime is how long nobody must have worked on a queue, where other nodes
	// may have a configuration in which its destination is: longer than a lease is
	// not renewed, and than a node takes to start anew.
	graceTime   = 15 * time.Minute
	lookEvery   = time.Minute // for such queues
	buryEvery   = time.Hour   // the same one, for what is left of it
	keepGone    = 7 * 24 * time.Hour
	rememberOld = 15 * time.Minute
)

// gone is why these messages are dead letters.
const gone = "the destination is not configured any more"

// An undertaker makes dead letters of what waits in a database for destinations that
// are not configured any more, and forgets them when their time has come. Such a
// queue he takes as a worker does, by its lease, so that he takes none from a node
// that still has the destination. He belongs to one goroutine.
type undertaker struct {
	*storage.DB
	node  string
	ours  map[string]bool // queues of destinations that are configured
	grace time.Duration
	log   *slog.Logger
	seen  map[string]sighting
}

// A sighting is since when a lease has been as it is.
type sighting struct {
	lease
	since time.Time
	next  time.Time // not before
}

func newUndertaker(h *modules.Host, db *storage.DB, lines []*line) *undertaker {
	u := &undertaker{DB: db, node: h.Parts.Sessions.Node(), ours: map[string]bool{}, log: h.Log, seen: map[string]sighting{}}
	for _, l := range lines {
		u.ours[queueOf(l.name)] = true
	}
	if u.node != "" && db.Overtakes() { // a file is of one node
		u.grace = graceTime
	}
	return u
}

// run works until ctx ends.
func (u *undertaker) run(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		if err := u.round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			u.log.Warn("messages for destinations that are not configured any more are left for later", "error", err)
		}
		next.Reset(lookEvery)
	}
}

// strangers are the queues of destinations that are not configured, with who works on
// them.
func strangers(ctx context.Context, db *storage.DB, ours map[string]bool) (map[string]lease, error) {
	out := map[string]lease{}
	err := db.Each(ctx, `SELECT queue, owner, beat FROM gabberd_job_leases WHERE {host}`, nil, func(row storage.Row) error {
		var queue string
		var l lease
		err := row.Scan(&queue, &l.owner, &l.beat)
		if strings.HasPrefix(queue, queueOf("")) && !ours[queue] {
			out[queue] = l
		}
		return err
	})
	return out, err
}

// round deals with those queues on which nobody has worked for long enough.
func (u *undertaker) round(ctx context.Context, now time.Time) error {
	found, err := strangers(ctx, u.DB, u.ours)
	if err != nil {
		return err
	}
	for queue := range u.seen {
		if _, there := found[queue]; !there {
			delete(u.seen, queue)
		}
	}
	for queue, l := range found {
		x, there := u.seen[queue]
		if !there || x.lease != l {
			x.lease, x.since = l, now
		}
		if now.Before(x.next) || now.Sub(x.since) < u.grace {
			u.seen[queue] = x
			continue
		}
		x.next = now.Add(buryEvery)
		u.seen[queue] = x
		if err := u.bury(ctx, store{u.DB, queue}, l, now); err != nil {
			return err
		}
	}
	return nil
}

// bury takes a queue, if nobody else does, and makes dead letters of what waits in it.
func (u *undertaker) bury(ctx context.Context, s store, seen lease, now time.Time) error {
	owner := newOwner(u.node)
	if ok, err := s.take(ctx, owner, seen); !ok || err != nil {
		return err
	}
	died, left, err := u.empty(ctx, s, owner, now)
	if died > 0 {
		u.log.Warn("messages for a destination that is not configured any more are dead letters", "destination", s.destination(), "messages", died)
	}
	if err == nil && !left {
		_, err = s.Exec(ctx, `DELETE FROM gabberd_job_leases WHERE {host} AND queue = ? AND owner = ?`, s.queue, owner)
		return err
	}
	if err2 := s.release(ctx, owner); err == nil {
		err = err2
	}
	return err
}

// empty goes through the table, a part at a time. It returns how many jobs have died,
// and whether anything is left of the queue.
func (u *undertaker) empty(ctx context.Context, s store, owner string, now time.Time) (died int64, left bool, err error) {
	at, err := s.lowest(ctx)
	if err != nil {
		return 0, true, err
	}
	last, err := s.last(ctx)
	for at--; err == nil && at < last; at = min(at+cleanSpan, last) {
		upto := min(at+cleanSpan, last)
		// Whoever has the destination may have come in the meantime.
		if mine, err := s.renew(ctx, owner); !mine || err != nil {
			return died, true, err
		}
		n, err := s.Exec(ctx, `UPDATE gabberd_jobs SET state = 2, at = ?, died = ?, error = ? WHERE {host} AND queue = ? AND state = 0 AND id > ? AND id <= ?`,
			now.UnixMicro(), now.UnixMicro(), gone, s.queue, at, upto)
		if died += n; err != nil {
			return died, true, err
		}
		for state, keep := range map[int]time.Duration{done: rememberOld, dead: keepGone} {
			if _, err := s.forget(ctx, state, now.Add(-keep), at, upto); err != nil {
				return died, true, err
			}
		}
		var rest int64
		if err := s.Get(ctx, []any{&rest}, `SELECT COUNT(*) FROM gabberd_jobs WHERE {host} AND queue = ? AND id > ? AND id <= ?`, s.queue, at, upto); err != nil {
			return died, true, err
		}
		left = left || rest > 0
	}
	if err == nil {
		err = s.note(ctx, owner, numbers{}, last)
	}
	return died, left, err
}
