package sm_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gabberd/gabberd/sm"
)

// What comes from another node is taken over only if it can be a session: anybody may
// have written it.
func TestMovedIsChecked(t *testing.T) {
	h := newHouse(t)
	errTaken := errors.New("it would be taken")
	h.AdoptBy(func(*sm.Session, *sm.Moved) (sm.Conn, func(), error) { return nil, nil, errTaken })
	good := func() *sm.Moved {
		return &sm.Moved{
			Record: sm.Record{V: 1, Node: "a", JID: "juliet@localhost/x", Opened: 1, N: 1},
			Acks:   sm.Acks{ID: "secret", Resume: time.Minute},
			Sent:   3, Queue: []sm.Unacked{{XML: "<message xmlns='jabber:client'/>"}}, Open: map[string]uint64{"m": 2},
		}
	}
	if _, _, err := h.Adopt(t.Context(), good()); !errors.Is(err, errTaken) {
		t.Fatalf("a good one is refused: %v", err)
	}
	for what, spoil := range map[string]func(*sm.Moved){
		"of another version":        func(m *sm.Moved) { m.Record.V = 2 },
		"of another host":           func(m *sm.Moved) { m.Record.JID = "juliet@elsewhere/x" },
		"without a resource":        func(m *sm.Moved) { m.Record.JID = "juliet@localhost" },
		"without an account":        func(m *sm.Moved) { m.Record.Anonymous = true },
		"without an id":             func(m *sm.Moved) { m.Acks.ID = "" },
		"for no time":               func(m *sm.Moved) { m.Acks.Resume = 0 },
		"with a presence of none":   func(m *sm.Moved) { m.Record.Presence = "<presence xmlns='jabber:client'/>" },
		"with more than was sent":   func(m *sm.Moved) { m.Sent = 0; m.Open = nil },
		"with something open later": func(m *sm.Moved) { m.Open["m"] = 3 },
	} {
		m := good()
		spoil(m)
		if _, _, err := h.Adopt(t.Context(), m); err == nil || errors.Is(err, errTaken) {
			t.Errorf("one %s is taken over: %v", what, err)
		}
	}
}
