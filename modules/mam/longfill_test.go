package mam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/storage"
)

// longPart is how many messages are written at once.
const longPart = 500_000

// fill writes the messages, and makes the indexes behind them: so it takes minutes
// and not hours.
func (a *longArchive) fill(b *testing.B) {
	if a.lite != nil {
		a.do(b, `PRAGMA synchronous = OFF`)
	}
	names, texts := a.indexes(b)
	for _, name := range names {
		a.do(b, `DROP INDEX `+name)
	}
	for from := int64(1); from <= a.n; from += longPart {
		a.do(b, a.rows(from, min(from+longPart-1, a.n)))
	}
	for _, text := range texts {
		a.do(b, text)
	}
	if a.pg != nil {
		a.do(b, `VACUUM ANALYZE archive`)
		return
	}
	a.do(b, fmt.Sprintf(`INSERT INTO %s (rowid, owner, words) SELECT id, '%s', txt FROM archive WHERE txt <> ''`, words.Name, longOwner(a)))
	a.do(b, `PRAGMA wal_checkpoint(TRUNCATE)`)
}

// longOwner is the word by which the index of words knows juliet, as the module
// writes it.
func longOwner(a *longArchive) string {
	for _, s := range a.AddWords(words, "juliet", "x") {
		return s.Args[0].(string)
	}
	return ""
}

// rows is the statement that writes messages. The text is juliet's alone, and sixty
// of hers have the word that is looked for.
func (a *longArchive) rows(from, to int64) string {
	series, word := fmt.Sprintf(`generate_series(%d::bigint, %d) AS t(i)`, from, to), max(a.n/10/60, 1)
	if a.lite != nil {
		series = fmt.Sprintf(`(WITH RECURSIVE t(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM t WHERE i < %d) SELECT i FROM t)`, from, to)
	}
	return fmt.Sprintf(`INSERT INTO archive (server_host, username, timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id)
		SELECT 'localhost', CASE WHEN i %% 10 = 0 THEN 'juliet' ELSE 'user' || ((i - i / 10) %% %[1]d) END, %[2]d + i * %[3]d,
		'peer' || (i / 10 %% %[4]d) || '@localhost/dev', 'peer' || (i / 10 %% %[4]d) || '@localhost',
		'<message to=''juliet@localhost/balcony'' from=''peer' || (i / 10 %% %[4]d) || '@localhost/dev'' type=''chat'' id=''m' || i || '''><body>It is the east, and Juliet is the sun ' || i || '</body></message>',
		CASE WHEN i %% 10 <> 0 THEN '' WHEN i / 10 %% %[5]d = 0 THEN 'the nightingale, and not the lark ' || i ELSE 'It is the east, and Juliet is the sun ' || i END,
		'chat', '', 'm' || i FROM %[6]s`, longUsers(a.n), int64(longBase), longStep, longPeers, word, series)
}

// indexes are those of the table, and the statements that make them.
func (a *longArchive) indexes(b *testing.B) (names, texts []string) {
	text := `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'archive' AND sql <> ''`
	if a.pg != nil {
		text = `SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'archive'`
	}
	err := a.Each(b.Context(), text, nil, func(r storage.Row) error {
		var name, text string
		err := r.Scan(&name, &text)
		if !strings.Contains(name, "pkey") {
			names, texts = append(names, name), append(texts, text)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		b.Fatal(names, err)
	}
	return names, texts
}

// do runs a statement of the filling, however long it takes.
func (a *longArchive) do(b *testing.B, text string) {
	var err error
	if a.pg != nil {
		_, err = a.pg.Exec(b.Context(), `SET synchronous_commit = off; SET maintenance_work_mem = '1GB'`)
		if err == nil {
			_, err = a.pg.Exec(b.Context(), text)
		}
	} else {
		_, err = a.lite.ExecContext(b.Context(), text)
	}
	if err != nil {
		b.Fatal(err)
	}
}
