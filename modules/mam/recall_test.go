package mam

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gabberd/gabberd/xmpp"
)

func TestRowsAreReadByTheirPlaces(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		const n = 3*recallRows + 1
		var all []int64
		for i := range int64(n) {
			put(t, s, juliet, romeo, i+1)
			all = append(all, i+1)
		}
		put(t, s, juliet, romeo, recallRows) // two of one time
		put(t, s, romeo, juliet, 5)
		var got []int64
		for after := int64(0); ; after = got[len(got)-1] {
			page, err := s.rowsAfter(t.Context(), juliet, after)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > recallRows+1 {
				t.Errorf("%d rows at once", len(page))
			}
			for _, x := range page {
				got = append(got, x.stamp)
			}
		}
		if len(got) != n+1 || !slices.Equal(slices.Compact(got), all) {
			t.Errorf("got %v", got)
		}
		page, err := s.namedRows(t.Context(), juliet, []int64{7, 3, 1000})
		if err != nil || len(page) != 2 || page[0].stamp != 3 || page[1].stamp != 7 {
			t.Errorf("got %v, %v", page, err)
		}
	})
}

// Only what the user was sent is handed over, as he is sent it.
func TestRecallLeavesOut(t *testing.T) {
	m := &mam{}
	list := m.sentTo(juliet, []row{
		{stamp: 1, xml: `<message to='juliet@localhost/x' from='romeo@localhost/y'><body>1</body><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='666'/></message>`},
		{stamp: 2, xml: `<message to='romeo@localhost' from='juliet@localhost/x'><body>2</body></message>`},
		{stamp: 3, xml: "\x01\x02", bad: true},
		{stamp: 4, xml: `<message to='juliet@localhost' from='romeo@localhost'><retracted xmlns='urn:xmpp:message-retract:1'/></message>`},
		{stamp: 5, xml: `<iq to='juliet@localhost' from='romeo@localhost' id='x' type='get'/>`},
		{stamp: 6, xml: `<message to='juliet@localhost' from='juliet@localhost/x'><body>6</body></message>`},
	})
	var got []string
	for _, st := range list {
		got = append(got, fmt.Sprint(st.Stamp, st.Body(), st.Child(nsStanzaID, "stanza-id").Attr("id")))
	}
	if !slices.Equal(got, []string{"111", "666"}) {
		t.Errorf("got %q", got)
	}
}

// Whoever asks in the same breath is told that a message did not get into the archive.
func TestFlightRemembersWhatFailed(t *testing.T) {
	var f flight
	f.start(juliet, 1, nil)
	for i := range int64(maxFailed + 10) {
		f.fail(i)
	}
	f.land(juliet, nil)
	if f.look(juliet, 5).Failed || !f.look(juliet, 15).Failed || !f.look(juliet, maxFailed+9).Failed || len(f.failed) != maxFailed {
		t.Errorf("%d are remembered", len(f.failed))
	}
	m := &mam{}
	m.flight.fail(7)
	st := xmpp.NewMessage("chat", romeo, juliet, xmpp.TextEl(nsClient, "body", "x")).WithStamp(7)
	if w, _ := m.writing(t.Context(), Write{}, st); w.Failed {
		t.Error("it was not archived at all")
	}
	if w, _ := m.writing(t.Context(), Write{}, marked(st, juliet)); !w.Failed {
		t.Error("nobody is told")
	}
}
