package caps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/storage"
)

// schema is ejabberd's.
var schema = storage.Version{storage.Table{
	Name:    "caps_features",
	Columns: "node text, subnode text, feature text null, created_at timestamp default",
	Indexes: "index(node, subnode)",
}}

// maxStored bounds how many sets of features the database keeps. More are kept
// in memory only.
const maxStored = 50_000

// store keeps what was verified, for the next start.
type store struct{ *storage.DB }

// get returns the features named c, or storage.ErrNotFound.
func (s store) get(ctx context.Context, c Caps) ([]string, error) {
	var out []string
	err := s.Each(ctx, `SELECT feature FROM caps_features WHERE node = ? AND subnode = ?`, []any{c.Node, c.Ver}, func(r storage.Row) error {
		var f *string
		if err := r.Scan(&f); err != nil {
			return err
		}
		if f != nil {
			out = append(out, *f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	// A lone number is ejabberd's note of when it last failed to find out.
	if len(out) == 0 || len(out) == 1 && strings.Trim(out[0], "0123456789") == "" {
		return nil, storage.ErrNotFound
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// put keeps the features named c, unless there are too many already.
func (s store) put(ctx context.Context, c Caps, features []string) error {
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		var n int64
		if err := tx.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM (SELECT DISTINCT node, subnode FROM caps_features) AS sets`); err != nil {
			return err
		}
		if n >= maxStored {
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM caps_features WHERE node = ? AND subnode = ?`, c.Node, c.Ver); err != nil {
			return err
		}
		for _, f := range features {
			if _, err := tx.Exec(ctx, `INSERT INTO caps_features (node, subnode, feature) VALUES (?, ?, ?)`, c.Node, c.Ver, f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write capabilities: %w", err)
	}
	return nil
}
