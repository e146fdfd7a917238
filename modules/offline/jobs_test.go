package offline_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
)

type nothing struct{}

func (*nothing) Fields(*config.Fields) {}

// TestJobsComeWithTheMessage that is stored, and know it by its stamp.
func TestJobsComeWithTheMessage(t *testing.T) {
	var asked []sm.Storage
	forwards := modules.Define("mod_test_forward", modules.Spec[nothing]{Start: func(h *modules.Host, _ nothing) error {
		sm.Storing.Add(h, hooks.Normal, func(_ context.Context, l []storage.Job, s sm.Storage) ([]storage.Job, hooks.Flow) {
			asked = append(asked, s)
			return append(l, storage.Job{Queue: "q", Key: s.Stanza.ID, Data: []byte("x")}), hooks.Next
		})
		return nil
	}})
	s := modtest.Start(t, "", offline.Module, forwards)
	s.Register("juliet@localhost", "secret")
	s.Login("romeo@localhost/orchard").Say(`<message to='juliet@localhost' type='chat' id='m1'><body>x</body></message>`)
	juliet := s.Available("juliet@localhost/balcony") // waits for what is on its way
	if len(asked) != 1 || asked[0].Table != "spool" || asked[0].User != juliet.JID.Bare() || asked[0].Stanza.Stamp == 0 || asked[0].Direction != sm.In {
		t.Fatalf("asked %+v", asked)
	}
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var key string
	if err := db.Get(t.Context(), []any{&key}, `SELECT key FROM gabberd_jobs WHERE {host} AND queue = 'q'`); key != "m1" || err != nil {
		t.Errorf("the job is %q, %v", key, err)
	}
}
