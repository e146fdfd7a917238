package msgforward

import (
	"context"
	"time"

	"github.com/gabberd/gabberd/storage"
)

// A letter is a dead one.
type letter struct {
	job
	died int64
	why  string
}

// deadLetters is the newest dead letters.
func (s store) deadLetters(ctx context.Context, limit int) ([]letter, error) {
	var out []letter
	err := s.Each(ctx, `SELECT `+jobColumns+`, error FROM gabberd_jobs WHERE {host} AND queue = ? AND died > 0 ORDER BY id DESC LIMIT ?`,
		[]any{s.queue, int64(limit)}, func(row storage.Row) error {
			var l letter
			err := row.Scan(&l.id, &l.key, &l.group, &l.data, &l.tries, &l.at, &l.created, &l.why)
			l.died = l.at
			out = append(out, l)
			return err
		})
	return out, err
}

// isDead reports whether there is a dead letter with that key; the empty key: any.
func (s store) isDead(ctx context.Context, key string) (bool, error) {
	ids, err := s.deadIDs(ctx, key, 0, 1)
	return len(ids) > 0, err
}

// deadIDs is the numbers of the first dead letters behind a number, or of the one with
// that key.
func (s store) deadIDs(ctx context.Context, key string, after int64, limit int) (out []int64, err error) {
	query, args := `SELECT id FROM gabberd_jobs WHERE {host} AND queue = ? AND died > 0 AND id > ?`, []any{s.queue, after}
	if key != "" {
		query, args = query+` AND key = ?`, append(args, key)
	}
	err = s.Each(ctx, query+` ORDER BY id LIMIT ?`, append(args, int64(limit)), func(row storage.Row) error {
		var id int64
		err := row.Scan(&id)
		out = append(out, id)
		return err
	})
	return out, err
}

// forDead changes dead letters, all or the one with that key, some at a time. It
// returns how many there were.
func (s store) forDead(ctx context.Context, key string, change func(ids []int64) storage.Statement) (sum int64, err error) {
	for after := int64(0); ; {
		ids, err := s.deadIDs(ctx, key, after, maxIDs)
		if err != nil || len(ids) == 0 {
			return sum, err
		}
		c := change(ids)
		n, err := s.Exec(ctx, c.Query, c.Args...)
		if sum += n; err != nil {
			return sum, err
		}
		after = ids[len(ids)-1]
	}
}

// revive has dead letters wait again: all, or the one with that key.
func (s store) revive(ctx context.Context, key string, now time.Time) (int64, error) {
	n, err := s.forDead(ctx, key, func(ids []int64) storage.Statement {
		in, args := idList(ids)
		return storage.Statement{
			Query: `UPDATE gabberd_jobs SET state = 0, died = 0, tries = 0, at = 0, error = '', created = ? WHERE state = 2 AND ` + in,
			Args:  append([]any{now.UnixMicro()}, args...),
		}
	})
	if err != nil || n == 0 {
		return n, err
	}
	return n, s.unnote(ctx)
}

// dropDead forgets dead letters: all, or the one with that key.
func (s store) dropDead(ctx context.Context, key string) (int64, error) {
	return s.forDead(ctx, key, func(ids []int64) storage.Statement {
		in, args := idList(ids)
		return storage.Statement{Query: `DELETE FROM gabberd_jobs WHERE state = 2 AND ` + in, Args: args}
	})
}

// index has dead letters of an older gabberd listed, which has not noted when they died.
func (s store) index(ctx context.Context, from, to int64) error {
	_, err := s.Exec(ctx, `UPDATE gabberd_jobs SET died = at WHERE {host} AND queue = ? AND state = 2 AND died = 0 AND at > 0 AND id > ? AND id <= ?`, s.queue, from, to)
	return err
}
