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
	// statement makes it, unless it is there. Empty: there is nothing to do.
	statement(d dialect, f flavour) string
}

func (c OwnIndex) statement(_ dialect, f flavour) string {
	text := "CREATE INDEX IF NOT EXISTS " + c.Name + " ON " + c.Table + " (" + strings.Join(columnsOn(c.Columns, f), ", ") + ")"
	if c.Where != "" {
		text += " WHERE " + c.Where
	}
	return text
}

// columnsOn are the columns of a list that tables of that flavour have.
func columnsOn(list string, f flavour) (columns []string) {
	for _, name := range fields(list, ',') {
		if name != hostColumn || f == multiHost {
			columns = append(columns, name)
		}
	}
	return columns
}

// NoIndex removes the index that Table makes of these columns, because one of ours
// begins with them: who looks for it finds the other. One that ejabberd's SQL files
// have made has another name, and stays.
type NoIndex struct{ Table, Columns string }

func (c NoIndex) apply(l *layout) error {
	l.own = append(l.own, c)
	return nil
}

func (c NoIndex) statement(_ dialect, f flavour) string {
	return "DROP INDEX IF EXISTS i_" + c.Table + "_" + strings.Join(columnsOn(c.Columns, f), "_")
}

// NoWords removes what Words had in PostgreSQL, if it is there: words in another form
// have another index.
type NoWords struct{ Index string }

func (c NoWords) apply(l *layout) error {
	l.own = append(l.own, c)
	return nil
}

func (c NoWords) statement(d dialect, _ flavour) string {
	if d == lite {
		return ""
	}
	return "DROP INDEX IF EXISTS " + c.Index
}
