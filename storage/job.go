package storage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Job is something to be done about rows, once they are committed: it is written
// in the same transaction as they are, so that both are there or neither is.
type Job struct {
	Queue string // whose it is and where it leads to; not empty
	Key   string // of several jobs of a queue with the same key one is kept
	Group string // jobs of a queue with the same group are done in their order; empty: in any
	Data  []byte // what to do, for whoever does it
}

// String says all but what is to be done, for traces.
func (j Job) String() string {
	return fmt.Sprintf("%s %s (%s) %d bytes", j.Queue, j.Key, j.Group, len(j.Data))
}

// Jobs is the tables that jobs are in, of the keeper "gabberd_jobs".
//
// The columns of gabberd_jobs: state is 0 while a job waits, 1 when it is done and
// only its key is still remembered, 2 when it was given up. at is when it may be
// tried again, was done, or was given up; at and created are microseconds since
// 1970. The key comes first in the unique index so that no planner takes that
// index for a way to read a queue in order, which is what id is for. died is 0 unless a
// job was given up: an index of those with state 2 would have to be looked at whenever a
// job is done, and keep PostgreSQL from writing its row within the page (HOT).
//
// gabberd_job_leases says who works on a queue: beat grows while he lives. It has a
// row for each queue that there has been, until nothing of it is left. waiting and
// oldest are what its worker has counted last, and low is a number below those of all
// jobs that wait.
var Jobs = []Version{{
	Table{
		Name: "gabberd_jobs",
		Columns: "id bigserial, server_host text, queue text, key text, grp text, data blob, " +
			"state smallint default, tries integer default, at bigint default, error text default, created bigint",
		Indexes: "unique(id); unique(key, queue, server_host)",
	},
	Table{
		Name:    "gabberd_job_leases",
		Columns: "queue text, server_host text, owner text, beat bigint",
		Indexes: "unique(queue, server_host)",
	},
}, {
	AddColumn{Table: "gabberd_jobs", Column: "died bigint default"},
	OwnIndex{Name: "gabberd_jobs_dead", Table: "gabberd_jobs", Columns: "server_host, queue, id", Where: "died > 0"},
	AddColumn{Table: "gabberd_job_leases", Column: "waiting bigint default"},
	AddColumn{Table: "gabberd_job_leases", Column: "oldest bigint default"},
	AddColumn{Table: "gabberd_job_leases", Column: "low bigint default"},
}}

// JobsKeeper is the name under which Jobs are marked in the database.
const JobsKeeper = "gabberd_jobs"

const insertJob = `INSERT INTO gabberd_jobs ({server_host,} queue, key, grp, data, created) VALUES ({?host,} ?, ?, ?, ?, ?)
	ON CONFLICT DO NOTHING`

// QueueWith is QueueAll for statements that come with jobs. Whoever makes jobs has
// made the tables (Migrate with JobsKeeper and Jobs); where nobody has, the error
// says so and nothing is queued. When the jobs are committed, those are told who asked with OnJobs.
func (db *DB) QueueWith(jobs []Job, statements ...Statement) (*Ticket, error) {
	if len(jobs) == 0 {
		return db.QueueAll(statements...)
	}
	if !db.base.jobs.kept() {
		return nil, fmt.Errorf("%s has no tables for jobs: the module that makes them uses another db_type", db)
	}
	now := time.Now().UnixMicro()
	var t *Ticket
	var err error
	if db.base.engine.dialect() == postgres {
		list := make([]boundJob, len(jobs))
		for i, j := range jobs {
			list[i] = boundJob{j, db.host, now}
		}
		t, err = db.queue(statements, list, false)
	} else {
		statements = statements[:len(statements):len(statements)]
		for _, j := range jobs {
			statements = append(statements, Statement{insertJob, []any{j.Queue, j.Key, j.Group, j.Data, now}})
		}
		t, err = db.queue(statements, nil, false)
	}
	if err != nil {
		return nil, err
	}
	t.Then(db.base.jobs.committed)
	return t, nil
}

// boundJob is a job of a host, made at some time.
type boundJob struct {
	Job
	host    string
	created int64
}

// Jobs of all tickets of a transaction are one statement: one for each of them would
// cost PostgreSQL as much as the messages do.
const (
	insertJobs = `INSERT INTO gabberd_jobs (queue, key, grp, data, created)
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[]) ON CONFLICT DO NOTHING`
	insertHostJobs = `INSERT INTO gabberd_jobs (queue, key, grp, data, created, server_host)
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::text[]) ON CONFLICT DO NOTHING`
)

// jobStatement writes the jobs of tickets, in their order and each key of a queue once;
// nil if there is none.
func jobStatement(f flavour, tickets []*Ticket) *bound {
	type key struct{ host, queue, key string }
	var seen map[key]bool
	var queues, keys, groups, hosts []string
	var data [][]byte
	var created []int64
	for _, t := range tickets {
		for _, j := range t.jobs {
			k := key{j.host, j.Queue, j.Key}
			if seen[k] {
				continue
			}
			if seen == nil {
				seen = map[key]bool{}
			}
			seen[k] = true
			queues, keys, groups, hosts = append(queues, j.Queue), append(keys, j.Key), append(groups, j.Group), append(hosts, j.host)
			data, created = append(data, j.Data), append(created, j.created)
		}
	}
	switch {
	case len(queues) == 0:
		return nil
	case f == multiHost:
		return &bound{&query{text: insertHostJobs, writes: true}, []any{queues, keys, groups, data, created, hosts}}
	}
	return &bound{&query{text: insertJobs, writes: true}, []any{queues, keys, groups, data, created}}
}

// OnJobs has f called when jobs were committed by this server, whichever queue they
// are in, until stop is called. f is called by the goroutine that commits and must
// not block.
func (db *DB) OnJobs(f func()) (stop func()) { return db.base.jobs.listen(f) }

// Overtakes reports whether several writers commit to the database at once: then a
// row may become visible later than one with a higher number.
func (db *DB) Overtakes() bool { return db.base.engine.dialect() == postgres }

// A JobMark is the highest number of a job that was there at some time. Jobs with
// lower ones may become visible later where others write, too: when Ended of a later
// mark has reached Begun of this one, all of those that ever will are.
type JobMark struct{ ID, Begun, Ended int64 }

// MarkJobs is the mark of now.
func (db *DB) MarkJobs(ctx context.Context) (m JobMark, err error) {
	query := `SELECT COALESCE(MAX(id), 0), 0, 0 FROM gabberd_jobs`
	if db.Overtakes() { // what transactions have begun, and before which all have ended
		query = `SELECT COALESCE(MAX(id), 0), txid_snapshot_xmax(txid_current_snapshot()), txid_snapshot_xmin(txid_current_snapshot()) FROM gabberd_jobs`
	}
	return m, db.Get(ctx, []any{&m.ID, &m.Begun, &m.Ended}, query)
}

// Same reports whether o is the same database, for whichever host.
func (db *DB) Same(o *DB) bool { return db.base == o.base }

// jobs is what a database knows of those who work on jobs.
type jobs struct {
	mu        sync.RWMutex
	there     bool // the tables
	listeners []*func()
}

func (j *jobs) keep() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.there = true
}

func (j *jobs) kept() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.there
}

func (j *jobs) listen(f func()) (stop func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.listeners = append(j.listeners, &f)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.listeners = slices.DeleteFunc(j.listeners, func(o *func()) bool { return o == &f })
	}
}

// committed is told the fate of a ticket with jobs.
func (j *jobs) committed(err error) {
	if err != nil {
		return
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, f := range j.listeners {
		(*f)()
	}
}
