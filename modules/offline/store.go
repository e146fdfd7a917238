package offline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

var schema = []storage.Version{{storage.Table{
	Name:    "spool",
	Columns: "username text, server_host text, xml text, seq bigserial, created_at timestamp default",
	Indexes: "index(server_host, username); index(created_at)",
}}}

// Bounds on what is read at a time.
const (
	pageRows  = 64
	pageBytes = 256 << 10
)

// message is a message that waits. stanza is nil if what is stored cannot be
// read.
type message struct {
	seq    int64
	stanza *xmpp.Stanza
	text   string
	absent bool // it refers to what is not in the archive
}

// store keeps messages that wait, in the order in which they came.
type store struct{ *storage.DB }

const insertSpool = `INSERT INTO spool ({server_host,} username, xml) VALUES ({?host,} ?, ?)`

// add queues a message for the database, with what is to be done about it. It does
// not wait.
func (s store) add(user xmpp.JID, st *xmpp.Stanza, jobs ...storage.Job) (*storage.Ticket, error) {
	return s.QueueWith(jobs, storage.Statement{
		Query: insertSpool, Args: []any{user.Local(), st.XML()}})
}

// count counts what waits for user, up to limit.
func (s store) count(ctx context.Context, user xmpp.JID, limit int) (int, error) {
	var n int64
	err := s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM spool WHERE {host} AND username = ? LIMIT ?) AS waiting`,
		user.Local(), int64(limit))
	return int(n), err
}

var errPage = errors.New("the page is full")

// page reads the first messages for user behind the one numbered after, not
// much more than pageBytes of them. more says that there are others.
func (s store) page(ctx context.Context, user xmpp.JID, after int64) (page []message, more bool, err error) {
	size := 0
	err = s.Each(ctx, `SELECT seq, xml FROM spool WHERE {host} AND username = ? AND seq > ? ORDER BY seq LIMIT ?`,
		[]any{user.Local(), after, int64(pageRows + 1)}, func(row storage.Row) error {
			if len(page) == pageRows || size > pageBytes {
				more = true
				return errPage
			}
			m, err := readMessage(row)
			page = append(page, m)
			size += len(m.text)
			return err
		})
	if errors.Is(err, errPage) {
		err = nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read waiting messages: %w", err)
	}
	return page, more, nil
}

func readMessage(row storage.Row) (m message, err error) {
	if err = row.Scan(&m.seq, &m.text); err != nil {
		return m, err
	}
	st, err := xmpp.ParseXML([]byte(m.text))
	if err == nil && st.Kind == xmpp.Message {
		m.stanza = st
	}
	return m, nil
}

// one reads a single message. It returns storage.ErrNotFound if user has none
// with that number.
func (s store) one(ctx context.Context, user xmpp.JID, seq int64) (m message, err error) {
	err = s.Each(ctx, `SELECT seq, xml FROM spool WHERE {host} AND username = ? AND seq = ?`,
		[]any{user.Local(), seq}, func(row storage.Row) error {
			m, err = readMessage(row)
			return err
		})
	if err == nil && m.seq == 0 {
		err = storage.ErrNotFound
	}
	return m, err
}

// all calls f for every message of user, in order.
func (s store) all(ctx context.Context, user xmpp.JID, f func(message) error) error {
	return s.Each(ctx, `SELECT seq, xml FROM spool WHERE {host} AND username = ? ORDER BY seq`,
		[]any{user.Local()}, func(row storage.Row) error {
			m, err := readMessage(row)
			if err != nil {
				return err
			}
			return f(m)
		})
}

// delete removes those messages of user, and returns how many there were.
func (s store) delete(ctx context.Context, user xmpp.JID, seqs []int64) (n int64, err error) {
	err = s.Tx(ctx, func(tx *storage.Tx) error {
		n, err = s.deleteIn(ctx, tx, user, seqs)
		return err
	})
	return n, err
}

// removing is how long remove waits. With the database away they come again.
const removing = 10 * time.Second

// remove is delete in one transaction with whatever else is to be written: of many who
// come at the same time, each needs none of his own.
func (s store) remove(ctx context.Context, user xmpp.JID, seqs []int64) error {
	var ticket *storage.Ticket
	err := error(storage.ErrFull)
	if !s.Busy() {
		ticket, err = s.QueueAll(deletions(user, seqs)...)
	}
	if errors.Is(err, storage.ErrFull) { // what is written behind so much else comes too late
		_, err = s.delete(ctx, user, seqs)
		return err
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, removing)
	defer cancel()
	return ticket.Wait(ctx)
}

// deleteIn is delete within a transaction.
func (s store) deleteIn(ctx context.Context, tx *storage.Tx, user xmpp.JID, seqs []int64) (n int64, err error) {
	for _, d := range deletions(user, seqs) {
		some, err := tx.Exec(ctx, d.Query, d.Args...)
		if err != nil {
			return n, err
		}
		n += some
	}
	return n, nil
}

// together is how many messages one statement deletes. There are two texts of it,
// so that databases need not prepare one for every number of messages.
const together = 16

var (
	deleteTogether = `DELETE FROM spool WHERE {host} AND username = ? AND seq IN (?` + strings.Repeat(", ?", together-1) + `)`
	deleteOne      = `DELETE FROM spool WHERE {host} AND username = ? AND seq = ?`
)

// deletions are the statements that delete those messages of user.
func deletions(user xmpp.JID, seqs []int64) (all []storage.Statement) {
	for len(seqs) > 1 {
		list := seqs[:min(together, len(seqs))]
		args := append(make([]any, 0, together+1), user.Local())
		for i := range together {
			args = append(args, list[min(i, len(list)-1)]) // the last one fills the rest
		}
		all = append(all, storage.Statement{Query: deleteTogether, Args: args})
		seqs = seqs[len(list):]
	}
	if len(seqs) == 1 {
		all = append(all, storage.Statement{Query: deleteOne, Args: []any{user.Local(), seqs[0]}})
	}
	return all
}

// beyond is the number of the newest message of user that is not among his last limit
// ones, 0 if there is none.
func (s store) beyond(ctx context.Context, user xmpp.JID, limit int) (seq int64, err error) {
	err = s.Get(ctx, []any{&seq}, `SELECT seq FROM spool WHERE {host} AND username = ? ORDER BY seq DESC LIMIT 1 OFFSET ?`, user.Local(), int64(limit))
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	return seq, err
}

// replace puts references in the place of the messages of user that are marks, unless
// somebody else has done so meanwhile: of a message that is in the archive there
// remains the reference to it, and one that is not stays without its place there.
func (s store) replace(ctx context.Context, user xmpp.JID, refs []*xmpp.Stanza, mark func(message) bool) error {
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		var marks []message
		there := map[int64]bool{}
		err := tx.Each(ctx, `SELECT seq, xml FROM spool WHERE {host} AND username = ? ORDER BY seq {for update}`, []any{user.Local()}, func(row storage.Row) error {
			w, err := readMessage(row)
			switch {
			case err != nil || w.stanza == nil:
			case mark(w):
				marks = append(marks, w)
			case refers(w.stanza):
				there[place(w.stanza, user)] = true
			}
			return err
		})
		if err != nil || len(marks) == 0 {
			return err
		}
		known := map[int64]*xmpp.Stanza{}
		for _, r := range refs {
			known[place(r, user)] = r
		}
		for _, w := range marks {
			if err := s.unmark(ctx, tx, user, w, known, there); err != nil {
				return err
			}
		}
		for _, r := range refs {
			if p := place(r, user); !there[p] {
				there[p] = true
				_, err := tx.Exec(ctx, insertSpool, user.Local(), r.XML())
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take over waiting messages: %w", err)
	}
	return nil
}

// unmark deals with one mark: known are the references to what is in the archive,
// there those that are stored.
func (s store) unmark(ctx context.Context, tx *storage.Tx, user xmpp.JID, w message, known map[int64]*xmpp.Stanza, there map[int64]bool) error {
	p := place(w.stanza, user)
	next := placeless(w.stanza, user)
	switch r := known[p]; {
	case p == 0 || there[p]:
		_, err := tx.Exec(ctx, deleteOne, user.Local(), w.seq)
		return err
	case r != nil:
		next, there[p] = r, true
	}
	_, err := tx.Exec(ctx, `UPDATE spool SET xml = ? WHERE {host} AND username = ? AND seq = ?`, next.XML(), user.Local(), w.seq)
	return err
}

// clear removes everything that waits for user.
func (s store) clear(ctx context.Context, user xmpp.JID) (int64, error) {
	return s.Exec(ctx, `DELETE FROM spool WHERE {host} AND username = ?`, user.Local())
}

// deleteOld removes at most limit messages that came before t, and returns how
// many there were.
func (s store) deleteOld(ctx context.Context, t time.Time, limit int) (int64, error) {
	return s.Exec(ctx, `DELETE FROM spool WHERE seq IN
		(SELECT seq FROM spool WHERE {host} AND created_at < ? ORDER BY created_at LIMIT ?)`, t, int64(limit))
}

// countOld counts the messages that came before t.
func (s store) countOld(ctx context.Context, t time.Time) (n int64, err error) {
	err = s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM spool WHERE {host} AND created_at < ?`, t)
	return n, err
}

// expired lists the numbers of messages that dead says are not to be read any
// more, at most limit and behind the one numbered after. last is how far it has
// looked, 0 at the end.
func (s store) expired(ctx context.Context, after int64, dead func(*xmpp.Stanza) bool) (seqs []int64, last int64, err error) {
	err = s.Each(ctx, `SELECT seq, xml FROM spool WHERE {host} AND seq > ? AND xml LIKE '%jabber:x:expire%' ORDER BY seq LIMIT 1000`,
		[]any{after}, func(row storage.Row) error {
			m, err := readMessage(row)
			last = m.seq
			if err == nil && m.stanza != nil && dead(m.stanza) {
				seqs = append(seqs, m.seq)
			}
			return err
		})
	return seqs, last, err
}

// deleteSeqs removes messages whoever they are for.
func (s store) deleteSeqs(ctx context.Context, seqs []int64) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		for _, seq := range seqs {
			if _, err := tx.Exec(ctx, `DELETE FROM spool WHERE {host} AND seq = ?`, seq); err != nil {
				return err
			}
		}
		return nil
	})
}
