package msgforward

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gabberd/gabberd/storage"
)

// What becomes of a job, as gabberd_jobs.state has it.
const (
	waiting = 0
	done    = 1
	dead    = 2
)

// store is the queue of one destination in one database.
type store struct {
	*storage.DB
	queue string // as jobs name it
}

// queueOf is how jobs for a destination name it.
func queueOf(destination string) string { return "forward:" + destination }

// destination is whose queue it is.
func (s store) destination() string { return strings.TrimPrefix(s.queue, queueOf("")) }

// A job is a message that waits.
type job struct {
	id      int64
	key     string
	group   string
	data    []byte
	tries   int
	at      int64 // not before, in microseconds
	created int64 // in microseconds
}

const jobColumns = `id, key, grp, data, tries, at, created`

func readJob(row storage.Row) (*job, error) {
	j := new(job)
	return j, row.Scan(&j.id, &j.key, &j.group, &j.data, &j.tries, &j.at, &j.created)
}

// jobs runs a query for jobs.
func (s store) jobs(ctx context.Context, query string, args ...any) ([]*job, error) {
	var out []*job
	err := s.Each(ctx, query, args, func(row storage.Row) error {
		j, err := readJob(row)
		out = append(out, j)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is to be forwarded: %w", err)
	}
	return out, nil
}

// Queries for parts of the queue go by ranges of numbers. With ORDER BY and LIMIT
// over more than that, PostgreSQL sorts the whole queue for each page: it takes it
// for granted that hardly any row waits.

// span is how many numbers a query spans: first, and at most where few of them are
// of this queue.
const (
	firstSpan = 256
	lastSpan  = 1 << 14
)

// last is the highest number there is, 0 if there is none.
func (s store) last(ctx context.Context) (id int64, err error) {
	err = s.Get(ctx, []any{&id}, `SELECT COALESCE(MAX(id), 0) FROM gabberd_jobs`)
	return id, err
}

// lowest is the lowest number there is, 0 if there is none.
func (s store) lowest(ctx context.Context) (id int64, err error) {
	err = s.Get(ctx, []any{&id}, `SELECT COALESCE(MIN(id), 0) FROM gabberd_jobs`)
	return id, err
}

// page is the jobs that wait in a range, in order.
func (s store) page(ctx context.Context, from, to int64) ([]*job, error) {
	return s.jobs(ctx, `SELECT `+jobColumns+` FROM gabberd_jobs
		WHERE {host} AND queue = ? AND state = 0 AND id > ? AND id <= ? ORDER BY id`, s.queue, from, to)
}

// ofGroup is the first limit jobs of a conversation that wait in a range, and
// whether there may be others.
func (s store) ofGroup(ctx context.Context, group string, from, to int64, limit int) (out []*job, more bool, err error) {
	for span := int64(firstSpan); from < to && len(out) <= limit; span = min(2*span, lastSpan) {
		upto := min(from+span, to)
		l, err := s.jobs(ctx, `SELECT `+jobColumns+` FROM gabberd_jobs
			WHERE {host} AND queue = ? AND state = 0 AND grp = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?`, s.queue, group, from, upto, int64(limit+1))
		if err != nil {
			return nil, false, err
		}
		out, from = append(out, l...), upto
	}
	if len(out) > limit {
		return out[:limit], true, nil
	}
	return out, false, nil
}

// one is a job that waits; nil if it does not.
func (s store) one(ctx context.Context, id int64) (*job, error) {
	l, err := s.jobs(ctx, `SELECT `+jobColumns+` FROM gabberd_jobs WHERE {host} AND queue = ? AND state = 0 AND id = ?`, s.queue, id)
	if err != nil || len(l) == 0 {
		return nil, err
	}
	return l[0], nil
}

// between calls f for each waiting job in a range.
func (s store) between(ctx context.Context, from, to int64, f func(id int64, group string)) error {
	return s.Each(ctx, `SELECT id, grp FROM gabberd_jobs WHERE {host} AND queue = ? AND state = 0 AND id > ? AND id <= ? ORDER BY id`,
		[]any{s.queue, from, to}, func(row storage.Row) error {
			var id int64
			var group string
			err := row.Scan(&id, &group)
			if err == nil {
				f(id, group)
			}
			return err
		})
}

// idSizes are for how many jobs there is a statement.
var idSizes = []int{1, 8, 64, 512}

// maxIDs is how many jobs a statement takes.
const maxIDs = 512

// idList is a condition for those jobs, at most maxIDs, and its arguments. Lists
// are filled up with the last id so that there are few texts.
func idList(ids []int64) (string, []any) {
	size := maxIDs
	for _, n := range idSizes {
		if n >= len(ids) {
			size = n
			break
		}
	}
	args := make([]any, size)
	for i := range args {
		args[i] = ids[min(i, len(ids)-1)]
	}
	return `id IN (?` + strings.Repeat(`, ?`, size-1) + `)`, args
}

// finish is the statement that remembers jobs as done.
func finish(ids []int64, now time.Time) storage.Statement {
	in, args := idList(ids)
	return storage.Statement{
		Query: `UPDATE gabberd_jobs SET state = 1, died = 0, data = ?, grp = '', error = '', at = ? WHERE ` + in,
		Args:  append([]any{[]byte{}, now.UnixMicro()}, args...),
	}
}

// postpone is the statement that has jobs tried again later.
func postpone(ids []int64, at time.Time, why string) storage.Statement {
	in, args := idList(ids)
	return storage.Statement{
		Query: `UPDATE gabberd_jobs SET tries = tries + 1, at = ?, error = ? WHERE ` + in,
		Args:  append([]any{at.UnixMicro(), why}, args...),
	}
}

// bury is the statement that makes dead letters of jobs.
func bury(ids []int64, now time.Time, why string) storage.Statement {
	in, args := idList(ids)
	return storage.Statement{
		Query: `UPDATE gabberd_jobs SET state = 2, at = ?, died = ?, error = ? WHERE state = 0 AND ` + in,
		Args:  append([]any{now.UnixMicro(), now.UnixMicro(), why}, args...),
	}
}

// first is the numbers of the first jobs in a range that wait and were stored
// before.
func (s store) first(ctx context.Context, from, to int64, before time.Time, limit int) (out []int64, err error) {
	for span := int64(firstSpan); from < to && len(out) < limit && err == nil; span = min(2*span, lastSpan) {
		upto := min(from+span, to)
		err = s.Each(ctx, `SELECT id FROM gabberd_jobs WHERE {host} AND queue = ? AND state = 0 AND created < ? AND id > ? AND id <= ? ORDER BY id`,
			[]any{s.queue, before.UnixMicro(), from, upto}, func(row storage.Row) error {
				var id int64
				err := row.Scan(&id)
				out = append(out, id)
				return err
			})
		from = upto
	}
	return out[:min(limit, len(out))], err
}

// forget removes jobs of a state in a range that have been in it since before. It
// returns how many there were.
func (s store) forget(ctx context.Context, state int, before time.Time, from, to int64) (int64, error) {
	return s.Exec(ctx, `DELETE FROM gabberd_jobs WHERE {host} AND queue = ? AND state = ? AND at < ? AND id > ? AND id <= ?`,
		s.queue, int64(state), before.UnixMicro(), from, to)
}

// A lease says who works on the queue.
type lease struct {
	owner string
	beat  int64
}

// newOwner names a worker: the node, and something that no other worker has.
func newOwner(node string) string { return node + "/" + rand.Text() }

// lease reads who has the queue; the zero lease: nobody.
func (s store) lease(ctx context.Context) (l lease, err error) {
	err = s.Get(ctx, []any{&l.owner, &l.beat}, `SELECT owner, beat FROM gabberd_job_leases WHERE {host} AND queue = ?`, s.queue)
	if errors.Is(err, storage.ErrNotFound) {
		_, err = s.Exec(ctx, `INSERT INTO gabberd_job_leases ({server_host,} queue, owner, beat) VALUES ({?host,} ?, '', 0) ON CONFLICT DO NOTHING`, s.queue)
	}
	return l, err
}

// take makes the lease that was seen that of owner. It reports whether nobody was
// faster.
func (s store) take(ctx context.Context, owner string, seen lease) (bool, error) {
	n, err := s.Exec(ctx, `UPDATE gabberd_job_leases SET owner = ?, beat = beat + 1 WHERE {host} AND queue = ? AND owner = ? AND beat = ?`,
		owner, s.queue, seen.owner, seen.beat)
	return n == 1, err
}

// renew reports whether owner still has the lease.
func (s store) renew(ctx context.Context, owner string) (bool, error) {
	n, err := s.Exec(ctx, `UPDATE gabberd_job_leases SET beat = beat + 1 WHERE {host} AND queue = ? AND owner = ?`, s.queue, owner)
	return n == 1, err
}

// release gives the lease back.
func (s store) release(ctx context.Context, owner string) error {
	_, err := s.Exec(ctx, `UPDATE gabberd_job_leases SET owner = '' WHERE {host} AND queue = ? AND owner = ?`, s.queue, owner)
	return err
}

// ownerNode is the node of a worker.
func ownerNode(owner string) string {
	node, _, _ := strings.Cut(owner, "/")
	return node
}
