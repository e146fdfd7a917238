package authfast

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

var romeo, juliet = xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")

func each(t *testing.T, test func(*testing.T, store)) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), "mod_auth_fast_sql", schema...); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), "gabberd_auth_fast", countSchema...); err != nil {
			t.Fatal(err)
		}
		test(t, store{db})
	})
}

// secrets are the tokens of a user agent, the one in use first.
func (s store) secrets(t *testing.T, user xmpp.JID, agent string) (current, next string) {
	t.Helper()
	list, err := s.tokens(t.Context(), user, agent)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.next {
			next = r.secret
		} else {
			current = r.secret
		}
	}
	return current, next
}

func (s store) give(t *testing.T, user xmpp.JID, agent, secret string) row {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	r := row{next: true, secret: secret, created: now, expires: now.Add(time.Hour)}
	if err := s.add(t.Context(), user, agent, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (s store) use(t *testing.T, user xmpp.JID, agent string, r row, count uint64) bool {
	t.Helper()
	ok, err := s.redeem(t.Context(), user, agent, r, count)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestTokensTakeTurns(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		first := s.give(t, romeo, "phone", "one")
		list, err := s.tokens(t.Context(), romeo, "phone")
		if err != nil || len(list) != 1 || !list[0].next || !list[0].created.Equal(first.created) || !list[0].expires.Equal(first.expires) {
			t.Fatalf("got %v, %v", list, err)
		}
		first = s.give(t, romeo, "phone", "two") // the first was lost on its way
		if c, n := s.secrets(t, romeo, "phone"); c != "" || n != "two" {
			t.Errorf("got %q, %q", c, n)
		}
		if !s.use(t, romeo, "phone", first, 0) {
			t.Error("a new token cannot be used")
		}
		second := s.give(t, romeo, "phone", "three")
		if c, n := s.secrets(t, romeo, "phone"); c != "two" || n != "three" {
			t.Errorf("got %q, %q", c, n)
		}
		first.next = false
		if !s.use(t, romeo, "phone", first, 0) {
			t.Error("a token is not good any more before its successor was used")
		}
		if !s.use(t, romeo, "phone", second, 0) {
			t.Error("the successor cannot be used")
		}
		if c, n := s.secrets(t, romeo, "phone"); c != "three" || n != "" {
			t.Errorf("got %q, %q", c, n)
		}
		if s.use(t, romeo, "phone", second, 0) {
			t.Error("a successor that has been used is one again")
		}
	})
}

func TestCountOnlyGoesUp(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		r := s.give(t, romeo, "phone", "one")
		for _, c := range []struct {
			count uint64
			want  bool
		}{{3, true}, {3, false}, {2, false}, {4, true}, {1<<31 - 1, true}, {5, false}, {0, true}} {
			if got := s.use(t, romeo, "phone", r, c.count); got != c.want {
				t.Errorf("count %d: %v", c.count, got)
			}
			r.next = false
		}
		// A new token begins anew; what was refused has changed nothing.
		r = s.give(t, romeo, "phone", "two")
		if !s.use(t, romeo, "phone", r, 1) || s.use(t, romeo, "phone", row{secret: "two"}, 1) {
			t.Error("the count of the next token does not begin anew")
		}
		if !s.use(t, juliet, "phone", row{secret: "two"}, 1) {
			t.Error("users share a count")
		}
	})
}

// Of many who use the same count at the same time one gets in.
func TestCountIsTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		r := s.give(t, romeo, "phone", "one")
		var in atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				ok, err := s.redeem(context.Background(), romeo, "phone", r, 1)
				if err != nil {
					t.Error(err)
				}
				if ok {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%d got in", in.Load())
		}
	})
}

func TestTokensAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		for _, user := range []xmpp.JID{romeo, juliet} {
			for _, agent := range []string{"phone", "desk"} {
				s.use(t, user, agent, s.give(t, user, agent, user.Local()+agent), 1)
				s.give(t, user, agent, "next")
			}
		}
		if err := s.removeAgent(t.Context(), romeo, "phone"); err != nil {
			t.Fatal(err)
		}
		if c, n := s.secrets(t, romeo, "phone"); c+n != "" {
			t.Errorf("left: %q %q", c, n)
		}
		if c, _ := s.secrets(t, romeo, "desk"); c == "" {
			t.Error("another user agent has lost its token")
		}
		if err := s.removeUser(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
		if c, n := s.secrets(t, romeo, "desk"); c+n != "" {
			t.Errorf("left: %q %q", c, n)
		}
		if c, n := s.secrets(t, juliet, "phone"); c == "" || n == "" {
			t.Error("another user has lost tokens")
		}
		var n int
		if err := s.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM gabberd_fast_count WHERE {host}`); err != nil || n != 2 {
			t.Errorf("%d counts are left, %v", n, err)
		}
	})
}

func TestUserAgentsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		s.use(t, juliet, "phone", s.give(t, juliet, "phone", "hers"), 1)
		for i := range maxAgents + 3 {
			s.give(t, romeo, fmt.Sprint("agent", i), "x")
		}
		var n int
		if err := s.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM auth_fast_tokens WHERE {host} AND username = ?`, "romeo"); err != nil || n > maxAgents+1 {
			t.Errorf("%d tokens, %v", n, err)
		}
		if _, next := s.secrets(t, romeo, fmt.Sprint("agent", maxAgents+2)); next == "" {
			t.Error("the last one has got nothing")
		}
		if c, _ := s.secrets(t, juliet, "phone"); c == "" {
			t.Error("another user has lost a token")
		}
	})
}
