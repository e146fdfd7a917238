package mam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// filter is which messages of an archive are wanted.
type filter struct {
	user       xmpp.JID
	with       xmpp.JID // bare: also all of its devices; zero: anybody
	start, end int64    // microseconds; 0: open
	after      int64    // a message they are behind; 0: none
	before     int64
	ids        []int64 // these alone, if named
	named      bool
	match      string // a condition besides, with its arguments: that some words are in the text
	matchArgs  []any
}

// row is a message in an archive.
type row struct {
	stamp int64
	xml   string
	bad   bool // it cannot be read
}

func (r row) id() string { return strconv.FormatInt(r.stamp, 10) }

// time is when the server took charge of the message.
func (r row) time() time.Time { return time.UnixMicro(r.stamp).UTC() }

// result is a page of messages, the oldest first.
type result struct {
	rows     []row
	complete bool // there is nothing behind it, in the direction in which pages go
	index    int  // of the first row; -1: unknown
	count    int64
}

// among makes room for a page to end before a message that does not fit: messages of
// one time are not parted, since the next page begins behind a time. It reports
// whether the page has no other time, and the message must be taken.
func (r *result) among(stamp int64) bool {
	n := len(r.rows)
	for n > 0 && r.rows[n-1].stamp == stamp {
		n--
	}
	if n == 0 && len(r.rows) > 0 {
		return true
	}
	r.rows = r.rows[:n]
	return false
}

// where is the condition of f and its arguments. There are few texts of it: they
// are prepared by the databases.
func (f filter) where() (string, []any) {
	cond := &strings.Builder{}
	cond.WriteString(`{host} AND username = ?`)
	args := []any{f.user.Local()}
	add := func(text string, arg any) {
		cond.WriteString(text)
		args = append(args, arg)
	}
	switch {
	case f.with.IsZero():
	case f.with.IsBare():
		add(` AND bare_peer = ?`, f.with.String())
	default: // what was said with all of his devices is in order; with one it is not
		add(` AND bare_peer = ?`, f.with.Bare().String())
		add(` AND peer = ?`, f.with.String())
	}
	if n := max(f.start, f.after+1); n > 1 {
		add(` AND timestamp >= ?`, n)
	}
	if f.end != 0 {
		add(` AND timestamp <= ?`, f.end)
	}
	if f.before != 0 {
		add(` AND timestamp < ?`, f.before)
	}
	if f.named {
		cond.WriteString(` AND timestamp IN (NULL`)
		for _, id := range f.ids {
			add(`, ?`, id)
		}
		cond.WriteString(`)`)
	}
	if f.match != "" {
		cond.WriteString(` AND ` + f.match)
		args = append(args, f.matchArgs...)
	}
	return cond.String(), args
}

// by is the marker of the index that has what was said with somebody in order. With
// times SQLite would go through what was said with everybody. Words and named
// messages are found by their own indexes.
func (f filter) by() string {
	if f.with.IsZero() || f.named || f.match != "" {
		return ``
	}
	return `{by ` + byPeer.Name + `} `
}

// narrowed is f with the bounds of a page.
func (f filter) narrowed(p page) filter {
	f.after = max(f.after, p.after)
	if p.before != 0 && (f.before == 0 || p.before < f.before) {
		f.before = p.before
	}
	return f
}

// limits are how many rows are asked for, by whether it is more than a page has by
// default: one more than is needed, and few texts.
var limits = map[bool]int{false: pageDefault + 1, true: pageMost + 1}

var errPage = errors.New("the page is full")

// find reads a page. What it costs does not depend on how long the archive is: it
// is read from where the page begins, along an index. How many messages there are
// is counted only for who wants no page but that (XEP-0059 §2.7).
func (s store) find(ctx context.Context, f filter, p page) (r result, err error) {
	r = result{index: -1, count: -1}
	if p.max == 0 {
		cond, args := f.where()
		err = s.Get(ctx, []any{&r.count}, `SELECT COUNT(*) FROM archive WHERE `+cond, args...)
		r.complete = r.count == 0
		return r, err
	}
	cond, args := f.narrowed(p).where()
	order, skip := ``, max(p.index, 0)
	if p.backwards() {
		order = ` DESC`
	}
	// A limit that is an argument, PostgreSQL takes for a big one, and sorts.
	order += ` LIMIT ` + strconv.Itoa(limits[p.max > pageDefault])
	if skip > 0 {
		order, args = order+` OFFSET ?`, append(args, int64(skip))
	}
	size, full := 0, false
	err = s.Each(ctx, `SELECT timestamp, xml, peer FROM archive `+f.by()+`WHERE `+cond+` ORDER BY timestamp`+order, args, func(in storage.Row) error {
		x, err := scanRow(in, f.user)
		if err != nil {
			return err
		}
		if (len(r.rows) >= p.max || size > pageBytes) && !r.among(x.stamp) {
			full = true
			return errPage
		}
		size += len(x.xml) + p.each
		r.rows = append(r.rows, x)
		return nil
	})
	if err != nil && !errors.Is(err, errPage) {
		return r, fmt.Errorf("read an archive: %w", err)
	}
	// One more than fits is read only where all of them are of one time.
	r.complete = !full && len(r.rows) < limits[p.max > pageDefault]
	if p.backwards() {
		slices.Reverse(r.rows)
	}
	if first := p.after == 0 && p.before == 0; first && (!p.backwards() || r.complete) {
		r.index = skip
		if r.complete {
			r.count = int64(skip + len(r.rows))
		}
	}
	return r, nil
}

// has reports whether all these messages are in the archive of user.
func (s store) has(ctx context.Context, user xmpp.JID, ids ...int64) (bool, error) {
	for _, id := range ids {
		err := s.Get(ctx, nil, `SELECT 1 FROM archive WHERE {host} AND username = ? AND timestamp = ?`, user.Local(), id)
		if errors.Is(err, storage.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for a message: %w", err)
		}
	}
	return true, nil
}

// ends are the times of the first and the last message of user, 0 if there is
// none.
func (s store) ends(ctx context.Context, user xmpp.JID) (first, last int64, err error) {
	for _, e := range []struct {
		to    *int64
		order string
	}{{&first, ``}, {&last, ` DESC`}} {
		err = s.Get(ctx, []any{e.to}, `SELECT timestamp FROM archive WHERE {host} AND username = ? ORDER BY timestamp`+e.order+` LIMIT 1`, user.Local())
		if errors.Is(err, storage.ErrNotFound) {
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read the ends of an archive: %w", err)
		}
	}
	return first, last, nil
}
