package storage

import (
	"context"
	"crypto/md5" // names an owner as both databases can; it protects nothing
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Words is an index over the words in a column of a table that another keeper
// declares, by which the rows of one owner are found that have some words. Like
// OwnIndex it is declared under a keeper of its own. The table has a column id that
// counts by itself and, in a multi-host database, server_host.
//
// PostgreSQL keeps the index itself. SQLite cannot do so without changing what
// other programs do with the table; there it is a table of our own. So whoever writes
// rows adds AddWords to the same ticket, and who removes or empties them DropWords
// before it in the same transaction (Tx) or ticket (DB); on PostgreSQL these
// are nothing. Rows that others wrote are taken up by FindWords.
type Words struct {
	Name   string // begins with gabberd_
	Index  string // the same, of the index in PostgreSQL
	Table  string
	Owner  string // the column that says whose a row is
	Column string // may be NULL
}

const (
	maxWords   = 32      // in a search
	maxWord    = 2046    // bytes of one; PostgreSQL ignores longer ones
	maxIndexed = 1 << 16 // characters of a text, in PostgreSQL
	takeUp     = 500     // rows that FindWords looks at together
)

func (w Words) apply(l *layout) error {
	l.own = append(l.own, w)
	return nil
}

// separators are what PostgreSQL is to take for white space, so that it finds words
// and not addresses and paths. Other punctuation it takes for that by itself.
const separators = `.:/\-_@&+<~`

// expression is what PostgreSQL has in the index: the owner and the words. A text is
// gone through once for each separator, which costs a tenth of translate().
func (w Words) expression(f flavour) string {
	owner := w.Owner
	if f == multiHost {
		owner = hostColumn + " || '/' || " + owner
	}
	text := fmt.Sprintf(`CASE WHEN octet_length(%[1]s) > %[2]d THEN left(%[1]s, %[2]d) ELSE coalesce(%[1]s, '') END`, w.Column, maxIndexed)
	for _, c := range separators {
		text = fmt.Sprintf(`replace(%s, E'%s', ' ')`, text, strings.ReplaceAll(string(c), `\`, `\\`))
	}
	return fmt.Sprintf(`(array_to_tsvector(ARRAY['u' || md5(%s)]) || to_tsvector('simple'::regconfig, %s))`, owner, text)
}

func (w Words) statement(d dialect, f flavour) string {
	if d == postgres {
		return "CREATE INDEX IF NOT EXISTS " + w.Index + " ON " + w.Table + " USING gin (" + w.expression(f) + ")"
	}
	return "CREATE VIRTUAL TABLE IF NOT EXISTS " + w.Name + " USING fts5(owner, words, content='', contentless_delete=1)"
}

// owner is the word that stands for an owner.
func (db *DB) owner(name string) string { return db.ownerOn(db.host, name) }

// ownerOn is owner for one on that virtual host.
func (db *DB) ownerOn(host, name string) string {
	if db.MultiHost() {
		name = host + "/" + name
	}
	sum := md5.Sum([]byte(name))
	return "u" + hex.EncodeToString(sum[:])
}

// Matching is the condition that a row is the owner's and has all of the words in
// text, and its arguments. ok is false if there is no word in it, or too many, or one
// is too long.
func (db *DB) Matching(w Words, owner, text string) (cond string, args []any, ok bool) {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N) })
	words = slices.DeleteFunc(words, func(word string) bool { // accents on nothing, ½: PostgreSQL ignores them
		return !strings.ContainsFunc(word, func(r rune) bool { return unicode.In(r, unicode.L, unicode.Nd, unicode.Nl) })
	})
	long := slices.ContainsFunc(words, func(word string) bool { return len(word) > maxWord })
	if len(words) == 0 || len(words) > maxWords || long {
		return "", nil, false
	}
	if db.base.engine.dialect() == postgres {
		return w.expression(db.base.flavour) + ` @@ (plainto_tsquery('simple'::regconfig, CAST(? AS text)) && CAST(CAST(? AS text) AS tsquery))`,
			[]any{strings.Join(words, " "), db.owner(owner)}, true
	}
	return `id IN (SELECT rowid FROM ` + w.Name + ` WHERE ` + w.Name + ` MATCH ?)`,
		[]any{`owner : ` + db.owner(owner) + ` AND words : ("` + strings.Join(words, `" AND "`) + `")`}, true
}

// AddWords is what is to be queued right behind the statement that inserts a row.
func (db *DB) AddWords(w Words, owner, text string) []Statement {
	if text == "" || db.base.engine.dialect() == postgres {
		return nil
	}
	return []Statement{{`INSERT INTO ` + w.Name + ` (rowid, owner, words) VALUES (last_insert_rowid(), ?, ?)`, []any{db.owner(owner), text}}}
}

// DropWords is what is to be queued before the statement that removes or empties the
// rows which fulfil a condition.
func (db *DB) DropWords(w Words, cond string, args ...any) []Statement {
	if db.base.engine.dialect() == postgres {
		return nil
	}
	return []Statement{{`DELETE FROM ` + w.Name + ` WHERE rowid IN (SELECT id FROM ` + w.Table + ` WHERE ` + cond + `)`, args}}
}

// DropWords forgets the words of the rows that fulfil a condition. It is done in the
// transaction that removes or empties them, before that.
func (tx *Tx) DropWords(ctx context.Context, w Words, cond string, args ...any) error {
	for _, s := range tx.db.DropWords(w, cond, args...) {
		if _, err := tx.Exec(ctx, s.Query, s.Args...); err != nil {
			return err
		}
	}
	return nil
}

// FindWords takes up the words of some rows that were written by others, of whichever
// virtual host, from behind the one numbered after; 0 is where it ended the last
// time. It returns how far it has come, 0 at the end. It is for a goroutine that has
// time: it waits for the database, and others write in between.
//
// How far it has come is kept in the index, as an empty row with that number below
// zero.
func (db *DB) FindWords(ctx context.Context, w Words, after int64) (last int64, err error) {
	if db.base.engine.dialect() == postgres {
		return 0, nil
	}
	if after == 0 {
		if err := db.Get(ctx, []any{&after}, `SELECT COALESCE(MAX(-id), 0) FROM `+w.Name+`_docsize WHERE id < 0`); err != nil {
			return 0, err
		}
	}
	// A part of the table at a time: nobody else can write meanwhile.
	err = db.Get(ctx, []any{&last}, `SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM `+w.Table+` WHERE id > ? ORDER BY id LIMIT ?) AS part`, after, int64(takeUp))
	if err != nil || last == 0 {
		return 0, err
	}
	err = db.Tx(ctx, func(tx *Tx) error {
		if err := tx.takeUp(ctx, w, after, last); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM `+w.Name+` WHERE rowid < 0`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+w.Name+` (rowid, owner, words) VALUES (?, '', '')`, -last)
		return err
	})
	return last, err
}

// takeUp adds the words of rows in a range that are not in the index.
func (tx *Tx) takeUp(ctx context.Context, w Words, after, upto int64) error {
	type row struct {
		id                int64
		host, owner, text string
	}
	var rows []row
	err := tx.Each(ctx, `SELECT {server_host,} id, `+w.Owner+`, `+w.Column+` FROM `+w.Table+` WHERE id > ? AND id <= ? AND `+w.Column+` <> ''
		AND NOT EXISTS (SELECT 1 FROM `+w.Name+`_docsize d WHERE d.id = `+w.Table+`.id)`,
		[]any{after, upto}, func(r Row) (err error) {
			var x row
			if tx.db.MultiHost() {
				err = r.Scan(&x.host, &x.id, &x.owner, &x.text)
			} else {
				err = r.Scan(&x.id, &x.owner, &x.text)
			}
			rows = append(rows, x)
			return err
		})
	for _, x := range rows {
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO `+w.Name+` (rowid, owner, words) VALUES (?, ?, ?)`, x.id, tx.db.ownerOn(x.host, x.owner), x.text)
	}
	return err
}
