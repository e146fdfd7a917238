package auth

import (
	"context"

	"github.com/gabberd/gabberd/storage"
)

// Plan returns the statements by which a start with these options would make
// or change the tables of accounts in db, and changes nothing.
func Plan(ctx context.Context, db *storage.DB, o Options) ([]string, error) {
	plan := db.PlanKeep
	if len(o.stored()) > 1 {
		plan = db.Plan
	}
	users, err := plan(ctx, "ejabberd_auth_sql", usersTables...)
	if err != nil {
		return nil, err
	}
	own, err := db.Plan(ctx, "gabberd_auth", ownTables...)
	return append(users, own...), err
}
