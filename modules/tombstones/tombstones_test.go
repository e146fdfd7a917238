package tombstones_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/tombstones"
	"github.com/gabberd/gabberd/xmpp"
)

var romeo = xmpp.MustParse("romeo@localhost")

func TestNameIsNotFree(t *testing.T) {
	s := modtest.Start(t, "", tombstones.Module)
	s.Register("romeo@localhost", "x")
	if err := s.Auth.Remove(t.Context(), romeo); err != nil {
		t.Fatal(err)
	}
	if err := s.Auth.Register(t.Context(), romeo, "y"); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("registered again: %v", err)
	}
	s.Register("juliet@localhost", "x")
	out, err := s.Command("list_tombstones", "localhost")
	if err != nil || !strings.HasPrefix(out, "romeo\t2") || strings.Contains(out, "\n") {
		t.Errorf("listed: %q, %v", out, err)
	}
	if _, err := s.Command("delete_tombstone", "romeo", "localhost"); err != nil {
		t.Error(err)
	}
	s.Register("romeo@localhost", "y")
}

// TestNameIsNotFreeOnAnotherNode is also the test on PostgreSQL.
func TestNameIsNotFreeOnAnotherNode(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", tombstones.Module)
	c.List[0].Register("romeo@localhost", "x")
	for range 2 {
		if err := c.List[0].Auth.Remove(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
		if err := c.List[1].Auth.Register(t.Context(), romeo, "y"); !errors.Is(err, auth.ErrRefused) {
			t.Errorf("registered again: %v", err)
		}
		if _, err := c.List[1].Command("delete_tombstone", "romeo", "localhost"); err != nil {
			t.Error(err)
		}
		c.List[1].Register("romeo@localhost", "y")
	}
}

// TestTimeIsOver: the database says when an account was removed.
func TestTimeIsOver(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_tombstones: {time: 1 hour}}", tombstones.Module)
	s.Register("romeo@localhost", "x")
	if err := s.Auth.Remove(t.Context(), romeo); err != nil {
		t.Fatal(err)
	}
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "UPDATE gabberd_tombstone SET removed_at = removed_at - 3601"); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command("list_tombstones", "localhost"); out != "" || err != nil {
		t.Errorf("listed: %q, %v", out, err)
	}
	s.Register("romeo@localhost", "y")
}

// TestGuests: an anonymous user has no account, and the name is free again.
func TestGuests(t *testing.T) {
	s := modtest.Start(t, "auth_method: [anonymous, sql]\nanonymous_protocol: login_anon\n", tombstones.Module)
	g, err := s.Guest("guest@localhost/1")
	if err != nil {
		t.Fatal(err)
	}
	g.Logout()
	if out, err := s.Command("list_tombstones", "localhost"); out != "" || err != nil {
		t.Errorf("listed: %q, %v", out, err)
	}
}
