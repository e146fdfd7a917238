package last_test

import (
	"testing"

	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/modtest"
)

// TestRemovedUserLeavesNothingOnAnotherNode: the client that is connected there
// ends because of the removal, which is no activity.
func TestRemovedUserLeavesNothingOnAnotherNode(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", last.Module)
	here, there := c.List[0], c.List[1]
	romeo := there.Available("romeo@localhost/orchard")
	if got, err := here.Command("get_last", "romeo", "localhost"); err != nil || got[len(got)-6:] != "ONLINE" {
		t.Errorf("while he is on the other node: %q, %v", got, err)
	}
	if err := here.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	if romeo.Closed() == "" {
		t.Error("the session on the other node goes on")
	}
	db, err := there.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := db.Queue(`DELETE FROM last WHERE 1 = 0`) // behind what that node has queued
	if err == nil {
		err = ticket.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if err := db.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM last WHERE {host} AND username = 'romeo'`); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}
