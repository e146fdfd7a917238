package vcard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's.
var schema = storage.Version{
	storage.Table{
		Name:    "vcard",
		Columns: "username text, server_host text, vcard text, created_at timestamp default",
		Indexes: "unique(server_host, username)",
	},
	storage.Table{
		Name: "vcard_search",
		Columns: "username text, lusername text, server_host text, fn text, lfn text, family text, lfamily text, given text, lgiven text, " +
			"middle text, lmiddle text, nickname text, lnickname text, bday text, lbday text, ctry text, lctry text, " +
			"locality text, llocality text, email text, lemail text, orgname text, lorgname text, orgunit text, lorgunit text",
		Indexes: "unique(server_host, lusername); index(server_host, lfn); index(server_host, lfamily); index(server_host, lgiven); " +
			"index(server_host, lmiddle); index(server_host, lnickname); index(server_host, lbday); index(server_host, lctry); " +
			"index(server_host, llocality); index(server_host, lemail); index(server_host, lorgname); index(server_host, lorgunit)",
	},
}

// A field is something that users can be searched by.
type field struct {
	name, label string     // in the forms of ejabberd
	column      string     // of what is shown; with an l before it, of what is compared
	paths       [][]string // where it stands in a vCard, the first that has a text counts
}

// fields are all there are, in the order of ejabberd's form. The first is the
// user's name, which is in no vCard.
var fields = []field{
	{"user", "User", "username", nil},
	{"fn", "Full Name", "fn", [][]string{{"FN"}}},
	{"first", "Name", "given", [][]string{{"N", "GIVEN"}}},
	{"middle", "Middle Name", "middle", [][]string{{"N", "MIDDLE"}}},
	{"last", "Family Name", "family", [][]string{{"N", "FAMILY"}}},
	{"nick", "Nickname", "nickname", [][]string{{"NICKNAME"}}},
	{"bday", "Birthday", "bday", [][]string{{"BDAY"}}},
	{"ctry", "Country", "ctry", [][]string{{"ADR", "CTRY"}}},
	{"locality", "City", "locality", [][]string{{"ADR", "LOCALITY"}}},
	{"email", "Email", "email", [][]string{{"EMAIL", "USERID"}, {"EMAIL"}}},
	{"orgname", "Organization Name", "orgname", [][]string{{"ORG", "ORGNAME"}}},
	{"orgunit", "Organization Unit", "orgunit", [][]string{{"ORG", "ORGUNIT"}}},
}

// in is the field's text in a vCard.
func (f field) in(card *xmpp.Element) string {
	for _, path := range f.paths {
		el := card
		for _, name := range path {
			el = el.Child("", name)
		}
		if text := el.Text(); text != "" {
			return clip(text)
		}
	}
	return ""
}

// maxText bounds what is kept of a field, in bytes: an index of PostgreSQL takes
// no more than some 2700.
const maxText = 512

// clip cuts a text to that, between characters.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// lowered is how texts are compared: with the case folded and normalised (RFC
// 3454 table B.2), as ejabberd does.
var lowered = stringprep.Profile{Mappings: []stringprep.Mapping{stringprep.TableB2}, Normalize: true}

func lower(s string) string {
	s = clip(s) // folding much takes long
	if l, err := lowered.Prepare(s); err == nil {
		s = l
	}
	return clip(s)
}

// store keeps vCards as XML, and what users are searched by.
type store struct {
	*storage.DB
	everywhere bool // searches are for the users of all virtual hosts
}

// get returns storage.ErrNotFound for who has none.
func (s store) get(ctx context.Context, user xmpp.JID) (*xmpp.Element, error) {
	var data string
	err := s.Get(ctx, []any{&data}, `SELECT vcard FROM vcard WHERE {host} AND username = ?`, user.Local())
	if errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read vCard: %w", err)
	}
	el, err := xmpp.ParseElement([]byte(data), NS)
	if err != nil {
		return nil, fmt.Errorf("stored vCard of %s: %w", user, err)
	}
	return el, nil
}

// upsert writes a row of vcard_search.
var upsert = func() string {
	names, places, sets := "", "", "username = excluded.username"
	for _, f := range fields {
		names += ", " + f.column + ", l" + f.column
		places += ", ?, ?"
		if f.paths != nil {
			sets += fmt.Sprintf(", %[1]s = excluded.%[1]s, l%[1]s = excluded.l%[1]s", f.column)
		}
	}
	return `INSERT INTO vcard_search ({server_host,} ` + names[2:] + `) VALUES ({?host,} ` + places[2:] + `)
		ON CONFLICT ({server_host,} lusername) DO UPDATE SET ` + sets
}()

func (s store) set(ctx context.Context, user xmpp.JID, card *xmpp.Element) error {
	row := []any{user.Local(), user.Local()}
	for _, f := range fields[1:] {
		text := f.in(card)
		row = append(row, text, lower(text))
	}
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO vcard ({server_host,} username, vcard) VALUES ({?host,} ?, ?)
			ON CONFLICT ({server_host,} username) DO UPDATE SET vcard = excluded.vcard`, user.Local(), card.XML())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, upsert, row...)
		return err
	})
	if err != nil {
		return fmt.Errorf("write vCard: %w", err)
	}
	return nil
}

func (s store) remove(ctx context.Context, user xmpp.JID) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM vcard WHERE {host} AND username = ?`, user.Local()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM vcard_search WHERE {host} AND lusername = ?`, user.Local())
		return err
	})
}

// A hit is a user who was found: an address and the texts of all fields but the
// first.
type hit struct {
	jid   string
	texts []string
}

// search returns up to limit users who have, in each of the fields named in
// wanted, the text given there, or one that begins with it if it ends with *.
func (s store) search(ctx context.Context, wanted map[string]string, limit int) ([]hit, error) {
	text, args := s.query(wanted)
	var out []hit
	err := s.Each(ctx, text, append(args, int64(limit)), func(r storage.Row) error {
		row := make([]string, len(fields)+1)
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := r.Scan(dest...); err != nil {
			return err
		}
		host := row[0]
		if host == "" {
			host = s.Host()
		}
		out = append(out, hit{row[1] + "@" + host, row[2:]})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search vCards: %w", err)
	}
	return out, nil
}

// query writes the query. There are few texts, however many fields are wanted:
// one field whose text is wanted exactly finds the rows by its index, all others
// are patterns that may stand for anything.
func (s store) query(wanted map[string]string) (text string, args []any) {
	names, exact, conditions := "", "", ""
	var patterns []any
	for _, f := range fields {
		names += ", " + f.column
		want, open := strings.CutSuffix(wanted[f.name], "*")
		want = lower(want)
		if want != "" && !open && exact == "" {
			exact, args = " AND l"+f.column+" = ?", []any{want}
			continue
		}
		pattern := storage.LikeEscape(want)
		if open || want == "" {
			pattern += "%"
		}
		conditions += " AND l" + f.column + ` LIKE ? ESCAPE '\'`
		patterns = append(patterns, pattern)
	}
	host, where := "''", "{host}"
	if s.everywhere && s.MultiHost() {
		host, where = "server_host", "1 = 1"
	}
	return `SELECT ` + host + names + ` FROM vcard_search WHERE ` + where + exact + conditions + ` ORDER BY lusername LIMIT ?`, append(args, patterns...)
}
