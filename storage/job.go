package storage

// A Job is something to be done about rows, once they are committed: it is written
// in the same transaction as they are, so that both are there or neither is.
type Job struct {
	Queue string // whose it is and where it leads to; not empty
	Key   string // of several jobs of a queue with the same key one is kept
	Group string // jobs of a queue with the same group are done in their order; empty: in any
	Data  []byte // what to do, for whoever does it
}

// Jobs is the tables that jobs are in, of the keeper "gabberd_jobs".
var Jobs = []Version{{
	Table{
		Name: "gabberd_jobs",
		Columns: "id bigserial, server_host text, queue text, key text, grp text, data blob, " +
			"created_at timestamp default",
		Indexes: "unique(id); unique(server_host, queue, key)",
	},
}}

const insertJob = `INSERT INTO gabberd_jobs ({server_host,} queue, key, grp, data) VALUES ({?host,} ?, ?, ?, ?)
	ON CONFLICT ({server_host,} queue, key) DO NOTHING`

// QueueWith is QueueAll for statements that come with jobs. Whoever makes jobs has
// made the tables (DB.Migrate with Jobs).
func (db *DB) QueueWith(jobs []Job, statements ...Statement) (*Ticket, error) {
	for _, j := range jobs {
		statements = append(statements[:len(statements):len(statements)], Statement{insertJob, []any{j.Queue, j.Key, j.Group, j.Data}})
	}
	return db.QueueAll(statements...)
}
