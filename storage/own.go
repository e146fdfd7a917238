package storage

import "strings"

// OwnIndex adds an index of ours to a table that another keeper declares, such as
// one of ejabberd's, which does not mind. It is declared under a keeper of its own,
// whose tables are made after those of the other. Name begins with gabberd_;
// columns are written as in Table. With Where it has only the rows for which that
// holds.
type OwnIndex struct{ Name, Table, Columns, Where string }

func (c OwnIndex) apply(l *layout) error {
	l.own = append(l.own, c)
	return nil
}

// own is something of ours beside the tables of another keeper.
type own interface {
	// statement makes it, unless it is there.
	statement(d dialect, f flavour) string
}

func (c OwnIndex) statement(_ dialect, f flavour) string {
	var columns []string
	for _, name := range fields(c.Columns, ',') {
		if name != hostColumn || f == multiHost {
			columns = append(columns, name)
		}
	}
	text := "CREATE INDEX IF NOT EXISTS " + c.Name + " ON " + c.Table + " (" + strings.Join(columns, ", ") + ")"
	if c.Where != "" {
		text += " WHERE " + c.Where
	}
	return text
}
