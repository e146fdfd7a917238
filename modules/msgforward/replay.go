package msgforward

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
)

type span struct{ Since, Until, Destination string }

// Fields declares the arguments.
func (a *span) Fields(f *config.Fields) {
	when := config.That("a time like 2026-03-01T12:30:00Z", func(s string) bool { _, err := time.Parse(time.RFC3339, s); return err == nil })
	f.String(&a.Since, "since", "", "From when on, by the time when the server took charge of a message.").Must(when)
	f.String(&a.Until, "until", "", "Up to when.").Must(when)
	f.String(&a.Destination, "destination", "", "The name of one destination; all if it is left out.").Optional()
}

// replay puts messages of the archive into the queues once more.
func (m *module) replay(ctx context.Context, in span) (int64, error) {
	if in.Destination != "" && m.line(in.Destination) == nil {
		return 0, admin.NotFound.With("%s has no destination %s", m.host.Domain, in.Destination)
	}
	if !mam.Scan.Heard(m.host.Hooks()) {
		return 0, admin.Failed.With("%s has no archive to replay: mod_mam is not enabled", m.host.Domain)
	}
	var sum int64
	s := mam.Scanning{Take: func(db *storage.DB, list []sm.Storage) error {
		n, err := m.requeue(ctx, db, in.Destination, list)
		sum += n
		return err
	}}
	s.Since, _ = time.Parse(time.RFC3339, in.Since) // they were checked
	s.Until, _ = time.Parse(time.RFC3339, in.Until)
	read := mam.Scan.Run(ctx, m.host.Hooks(), mam.Scanned{}, s)
	if sum > 0 {
		Revived.Run(ctx, m.host.Hooks(), m.host.JID)
	}
	return sum, read.Err
}

// requeue has the destinations that want them take these messages, again or for the
// first time. What waits anyway is not counted.
func (m *module) requeue(ctx context.Context, db *storage.DB, only string, list []sm.Storage) (sum int64, err error) {
	for _, l := range m.lines {
		if only != "" && l.name != only {
			continue
		}
		var jobs []storage.Job
		for _, w := range list {
			if !l.wants(m.host.Rules, w) {
				continue
			}
			j := storage.Job{Queue: queueOf(l.name), Key: strconv.FormatInt(w.Stanza.Stamp, 10), Data: encode(w)}
			if l.Order == "conversation" {
				j.Group = conversation(w)
			}
			jobs = append(jobs, j)
		}
		n, err := store{db, queueOf(l.name)}.requeue(ctx, jobs)
		if sum += n; err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// requeue has jobs wait that are not there, or that are remembered as done. It
// returns how many that were.
func (s store) requeue(ctx context.Context, jobs []storage.Job) (sum int64, err error) {
	now := time.Now().UnixMicro()
	err = s.Tx(ctx, func(tx *storage.Tx) error {
		sum = 0
		for _, j := range jobs {
			n, err := tx.Exec(ctx, `INSERT INTO gabberd_jobs ({server_host,} queue, key, grp, data, created) VALUES ({?host,} ?, ?, ?, ?, ?)
				ON CONFLICT (key, queue {,server_host}) DO UPDATE SET state = 0, tries = 0, at = 0, error = '',
				grp = excluded.grp, data = excluded.data, created = excluded.created WHERE gabberd_jobs.state = 1`,
				j.Queue, j.Key, j.Group, j.Data, now)
			if err != nil {
				return fmt.Errorf("queue a message once more: %w", err)
			}
			sum += n
		}
		return nil
	})
	if err != nil || sum == 0 {
		return sum, err
	}
	return sum, s.unnote(ctx)
}
