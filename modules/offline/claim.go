package offline

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// errGiven keeps a transaction from being tried again after its messages were
// given to a client.
var errGiven = errors.New("the messages were handed over already")

// claim locks those messages of user that are behind the one numbered after, up
// to the one numbered last, and still there; it deletes those of them that give
// returns. Who else wants them, on whichever node, waits meanwhile and then finds
// what is left. give is called once at most; if its node dies in between, or
// deleting fails, they all stay.
func (s store) claim(ctx context.Context, user xmpp.JID, after, last int64, give func(there map[int64]bool) []int64) error {
	given := false
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		if given {
			return errGiven
		}
		there := map[int64]bool{}
		err := tx.Each(ctx, `SELECT seq FROM spool WHERE {host} AND username = ? AND seq > ? AND seq <= ? ORDER BY seq {for update}`,
			[]any{user.Local(), after, last}, func(row storage.Row) error {
				var seq int64
				err := row.Scan(&seq)
				there[seq] = true
				return err
			})
		if err != nil || len(there) == 0 {
			return err
		}
		given = true
		_, err = s.deleteIn(ctx, tx, user, give(there))
		return err
	})
	if err != nil {
		return fmt.Errorf("claim waiting messages: %w", err)
	}
	return nil
}

// handClaimed gives the client of s those messages of a page that no client of
// another node is given at the same moment. What takes long has been done before.
func (m *offline) handClaimed(ctx context.Context, s *sm.Session, after, last int64, page []message) error {
	verdicts := make([]verdict, len(page))
	for i, w := range page {
		verdicts[i] = m.judge(ctx, s, w)
	}
	// Also when the client or the module is about to go: the database must hear
	// what was handed over.
	ctx = context.WithoutCancel(ctx)
	return m.store.claim(ctx, s.JID.Bare(), after, last, func(there map[int64]bool) (done []int64) {
		for i, w := range page {
			if there[w.seq] && (verdicts[i] == drop || verdicts[i] == hand && m.send(ctx, s, w)) {
				done = append(done, w.seq)
			}
		}
		if over(s) {
			return nil // who knows what arrived: it comes again
		}
		return done
	})
}
