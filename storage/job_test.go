package storage_test

import (
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// TestOldJobs: the tables of an older gabberd are brought up to date with what is in
// them.
func TestOldJobs(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), storage.JobsKeeper, storage.Jobs[:1]...); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `INSERT INTO gabberd_job_leases ({server_host,} queue, owner, beat) VALUES ({?host,} 'q', 'a', 3)`); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), storage.JobsKeeper, storage.Jobs...); err != nil {
			t.Fatal(err)
		}
		ticket, err := db.QueueWith([]storage.Job{{Queue: "q", Key: "1", Data: []byte("x")}, {Queue: "q", Key: "1", Data: []byte("x")}})
		if err != nil || ticket.Wait(t.Context()) != nil {
			t.Fatal(err, ticket.Err())
		}
		var beat, low, jobs int64
		if err := db.Get(t.Context(), []any{&beat, &low}, `SELECT beat, low FROM gabberd_job_leases WHERE {host} AND queue = 'q'`); beat != 3 || low != 0 || err != nil {
			t.Errorf("beat %d, low %d, %v", beat, low, err)
		}
		if err := db.Get(t.Context(), []any{&jobs}, `SELECT COUNT(*) FROM gabberd_jobs WHERE {host}`); jobs != 1 || err != nil {
			t.Errorf("%d jobs, %v", jobs, err)
		}
	})
}
