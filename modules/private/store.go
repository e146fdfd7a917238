package private

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// What a user may keep, in bytes and in namespaces, and how long the name of one
// may be: PostgreSQL has a limit for what is in an index.
const (
	maxBytes     = 1 << 20
	maxPieces    = 500
	maxNamespace = 1000
)

// errFull says that a user would have more than that.
var errFull = errors.New("too much private data")

// schema is ejabberd's.
var schema = storage.Version{storage.Table{
	Name:    "private_storage",
	Columns: "username text, server_host text, namespace text, data text, created_at timestamp default",
	Indexes: "unique(server_host, username, namespace)",
}}

// store keeps one element for each user and namespace, as XML.
type store struct{ *storage.DB }

// get returns storage.ErrNotFound where nothing is stored. So does what is
// stored but no XML: ejabberd takes it for nothing, too.
func (s store) get(ctx context.Context, user xmpp.JID, ns string) (*xmpp.Element, error) {
	var data string
	err := s.Get(ctx, []any{&data}, `SELECT data FROM private_storage WHERE {host} AND username = ? AND namespace = ?`, user.Local(), ns)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read private data: %w", err)
	}
	el, err := xmpp.ParseElement([]byte(data), "")
	if err != nil {
		return nil, fmt.Errorf("private data of %s in %s: %w: %w", user, ns, storage.ErrNotFound, err)
	}
	return el, nil
}

// set stores all pieces or none; the last of a namespace stays. The error may be
// errFull.
func (s store) set(ctx context.Context, user xmpp.JID, pieces []piece) error {
	last := map[string]string{}
	for _, p := range pieces {
		last[p.ns] = p.el.XML()
	}
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		for _, ns := range slices.Sorted(maps.Keys(last)) {
			_, err := tx.Exec(ctx, `INSERT INTO private_storage ({server_host,} username, namespace, data) VALUES ({?host,} ?, ?, ?)
				ON CONFLICT ({server_host,} username, namespace) DO UPDATE SET data = excluded.data`, user.Local(), ns, last[ns])
			if err != nil {
				return err
			}
		}
		var count, size int64
		err := tx.Get(ctx, []any{&count, &size}, `SELECT COUNT(*), COALESCE(SUM(OCTET_LENGTH(namespace) + OCTET_LENGTH(data)), 0)
			FROM private_storage WHERE {host} AND username = ?`, user.Local())
		if err != nil {
			return err
		}
		if count > maxPieces || size > maxBytes {
			return errFull
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write private data: %w", err)
	}
	return nil
}

func (s store) remove(ctx context.Context, user xmpp.JID) error {
	_, err := s.Exec(ctx, `DELETE FROM private_storage WHERE {host} AND username = ?`, user.Local())
	return err
}
