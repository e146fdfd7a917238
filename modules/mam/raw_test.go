package mam

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage"
)

// raw writes rows as add does, from the stamp on, in one transaction and with the
// driver alone.
func (a *longArchive) raw(ctx context.Context, stamp, rows int64) error {
	text := a.numbered(strings.NewReplacer("{server_host,}", "server_host,", "{?host,}", "'localhost',").Replace(insert))
	var list []storage.Statement
	for i := range rows {
		st := benchMessage(stamp + i)
		list = append(list, storage.Statement{Query: text, Args: []any{"juliet", stamp + i, romeo.String(), romeo.String(), st.XML(), st.Body(), st.ID}})
		list = append(list, a.AddWords(words, "juliet", st.Body())...)
	}
	if a.pg != nil {
		var batch pgx.Batch
		for _, s := range list {
			batch.Queue(s.Query, s.Args...)
		}
		return a.pg.SendBatch(ctx, &batch).Close()
	}
	return a.rawLite(ctx, list)
}

func (a *longArchive) rawLite(ctx context.Context, list []storage.Statement) (err error) {
	for _, s := range list {
		if a.made[s.Query] == nil {
			if a.made[s.Query], err = a.lite.PrepareContext(ctx, s.Query); err != nil {
				return err
			}
		}
	}
	tx, err := a.lite.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	own := map[string]*sql.Stmt{}
	for _, s := range list {
		if own[s.Query] == nil {
			own[s.Query] = tx.Stmt(a.made[s.Query])
		}
		if _, err := own[s.Query].Exec(s.Args...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
