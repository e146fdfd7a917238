package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/storage"
)

// work does what is slow about passwords, and sees to it that it is done as
// often for an account that does not exist as for one that does: every attempt
// that fails because of a name or a password stretches exactly one password.
type work struct {
	secret []byte
	runs   atomic.Int64 // how many passwords were stretched

	mu    sync.Mutex
	known map[derivation]derived
}

// A derivation is a plain password of an account to be used with a hash.
type derivation struct {
	user string
	hash Type
}

type derived struct {
	mark  []byte // of the password that the keys are of
	keys  Keys
	until time.Time
}

// A trial is what a server has to know to let somebody try: salt and iterations
// to ask with, and what to check the proof against. It is made in the same way
// for an account that exists and one that does not.
type trial struct {
	hash       Type
	salt       []byte
	iterations int
	keys       *Keys  // ready; nil: to be derived from plain
	plain      string // prepared
	mark       []byte // of plain
	user       string
}

// Format shows whose trial it is, and no password.
func (t trial) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "trial of %s", t.user) }

// trial chooses among the passwords of an account the one for a SCRAM hash. An
// account without passwords gets keys that fit no password, with a salt that
// stays the same as long as the server's secret does.
func (w *work) trial(user string, passwords []Password, t Type) trial {
	var plain *Password
	for i, p := range passwords {
		if p.Type == t {
			k := &passwords[i].Keys
			return trial{hash: t, salt: k.Salt, iterations: k.Iterations, keys: k, user: user}
		}
		if p.Type == Plain {
			plain = &passwords[i]
		}
	}
	if plain != nil {
		if prepared, err := prepare(plain.Plain); err == nil && prepared != "" {
			return trial{
				hash: t, salt: w.tag("salt", t, user, prepared)[:saltSize], iterations: iterations,
				plain: prepared, mark: w.tag("mark", t, user, prepared), user: user,
			}
		}
	}
	h := t.hash()
	seed := w.tag("nobody", t, user, "")
	none := Keys{Stored: mac(h, seed, "stored"), Server: mac(h, seed, "server")}
	return trial{hash: t, salt: w.tag("salt", t, user, "")[:saltSize], iterations: iterations, keys: &none, user: user}
}

// tag is a value that only this server can compute.
func (w *work) tag(purpose string, t Type, user, password string) []byte {
	m := hmac.New(sha256.New, w.secret)
	fmt.Fprintf(m, "%s\x00%d\x00%d\x00%s\x00%s", purpose, t, len(user), user, password)
	return m.Sum(nil)
}

// A memory bounds what is remembered of derived keys.
type memory struct {
	size int
	life time.Duration
}

// check finds the keys of a trial and has right look at them. What it costs
// depends on the outcome only.
func (w *work) check(t trial, m memory, right func(Keys) bool) (Keys, bool) {
	if t.keys == nil {
		if k, ok := w.recall(t); ok {
			t.keys = &k
		}
	}
	if t.keys != nil {
		ok := right(*t.keys)
		if !ok {
			w.burn(t.hash)
		}
		return *t.keys, ok
	}
	k := w.stretch(t.hash, t.plain, t.salt, t.iterations)
	ok := right(k)
	if ok {
		w.remember(t, k, m)
	}
	return k, ok
}

// stretch derives keys and counts it.
func (w *work) stretch(t Type, prepared string, salt []byte, n int) Keys {
	w.runs.Add(1)
	return stretch(t, prepared, salt, n)
}

// burn does the work of checking a password for nothing.
func (w *work) burn(t Type) { w.stretch(t, "nobody", make([]byte, saltSize), iterations) }

func (w *work) recall(t trial) (Keys, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.known[derivation{t.user, t.hash}]
	if !ok || !bytes.Equal(d.mark, t.mark) || time.Now().After(d.until) {
		return Keys{}, false
	}
	return d.keys, true
}

// remember keeps derived keys. When there is no more room another goes, which
// one is left to chance.
func (w *work) remember(t trial, k Keys, m memory) {
	if m.size <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = map[derivation]derived{}
	}
	for key := range w.known {
		if len(w.known) < m.size {
			break
		}
		delete(w.known, key)
	}
	w.known[derivation{t.user, t.hash}] = derived{t.mark, k, time.Now().Add(m.life)}
}

// forget drops what is remembered of a user.
func (w *work) forget(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range []Type{SHA1, SHA256, SHA512} {
		delete(w.known, derivation{user, t})
	}
}

// secretTables keep the secret of each virtual host, so that the salt of an
// account that does not exist is the same after a restart and on other nodes.
var secretTables = storage.Version{storage.Table{
	Name:    "gabberd_secret",
	Columns: "server_host text, name text, secret text",
	Indexes: "unique(server_host, name)",
}}

// loadSecret finds the secret of a virtual host or makes one. Without a
// database it lasts as long as the process.
func loadSecret(ctx context.Context, db *storage.DB) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	if db == nil {
		return fresh, nil
	}
	if err := db.Migrate(ctx, "gabberd_auth", ownTables...); err != nil {
		return nil, err
	}
	_, err := db.Exec(ctx, `INSERT INTO gabberd_secret ({server_host,} name, secret) VALUES ({?host,} ?, ?)
		ON CONFLICT ({server_host,} name) DO NOTHING`, "auth", base64.StdEncoding.EncodeToString(fresh))
	if err != nil {
		return nil, fmt.Errorf("make the secret of %s: %w", db.Host(), err)
	}
	var text string
	if err := db.Get(ctx, []any{&text}, `SELECT secret FROM gabberd_secret WHERE {host} AND name = ?`, "auth"); err != nil {
		return nil, fmt.Errorf("read the secret of %s: %w", db.Host(), err)
	}
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(secret) < 32 {
		return nil, errors.New("the secret in table gabberd_secret is damaged: delete its row, a new one is made")
	}
	return secret, nil
}
