package sm_test

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/sm"
)

// severalNodes is what nodes must see of each other. open makes a world without
// nodes.
func severalNodes(t *testing.T, open func(*testing.T) *world) {
	for name, test := range map[string]func(*testing.T, *world){
		"see each other": nodesSeeEachOther, "presence": nodesSeePresence, "one address at once": nodesAgreeOnOne,
		"replaced elsewhere": nodesReplace, "epochs": nodesIgnoreOldEpochs, "gone": nodesHearOfTheEnd,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func nodesSeeEachOther(t *testing.T, w *world) {
	a, b := w.join("a@host"), w.join("b@host")
	a.sees()
	b.sees() // and both may have kept that
	s := sessionOn("a@host", "romeo@localhost/orchard")
	s.ConnectedBy(netip.MustParseAddrPort("127.0.0.1:34014"), "c2s_tls")
	s.Auth, s.Anonymous, s.Lang = "sql", true, "it"
	s.Device = "Zm9vYmFyYmF6"
	sm.New("localhost", sm.Parts{Store: a.store}).SetCopied(context.Background(), s, true)
	add(t, a.store, s)
	b.sees(s)
	all := must[[]*sm.Session](t)(b.store.User(romeo))
	got := all[0]
	if !got.Remote() || got.ID != s.ID || got.JID != s.JID || got.Addr() != s.Addr() || got.Transport() != s.Transport() || got.Auth != s.Auth ||
		!got.Anonymous || !got.Copied() || got.Device != s.Device || got.Lang != "it" || !got.Opened.Equal(s.ID.Time) {
		t.Errorf("it came as %+v", got)
	}
	if _, ok := got.Priority(); ok {
		t.Error("it has a priority without presence")
	}
	if len(b.store.Local(romeo)) != 0 || len(b.store.Here()) != 0 {
		t.Error("b says that it is on b")
	}
	other := sessionOn("b@host", "romeo@localhost/balcony")
	if all := must[[]*sm.Session](t)(b.store.Add(context.Background(), other)); ids(all) != ids([]*sm.Session{s, other}) {
		t.Errorf("Add returned %s", ids(all))
	}
	a.sees(s, other)
	b.sees(s, other)
	for _, n := range []*node{a, b} {
		if all := must[[]*sm.Session](t)(n.store.All()); ids(all) != ids([]*sm.Session{s, other}) {
			t.Errorf("All is %s", ids(all))
		}
		if c := must[int](t)(n.store.Count()); c != 2 {
			t.Errorf("Count is %d", c)
		}
	}
	remove(t, a.store, s)
	a.store.Changed(context.Background(), s) // comes too late to bring it back
	b.sees(other)
	a.sees(other)
	if all := must[[]*sm.Session](t)(b.store.Fresh(romeo)); !holds(all, other) {
		t.Errorf("removed, and still there: %s", ids(all))
	}
	remove(t, b.store, other)
	a.sees()
	if keys, err := a.client.Keys(context.Background(), a.client.Key("sm*")).Result(); !a.client.IsCluster() && (err != nil || len(keys) != 0) {
		t.Errorf("left in Redis: %v, %v", keys, err)
	}
}

func nodesSeePresence(t *testing.T, w *world) {
	a, b := w.join("a"), w.join("b")
	c := a.connected("romeo@localhost/orchard")
	b.sees(c.Session)
	for _, x := range []struct {
		say, want string
		prio      int
		ok        bool
	}{
		{"<presence><show>away</show><priority>5</priority></presence>", "away", 5, true},
		{"<presence><priority>-3</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>", "caps", -3, true},
		// It tells more than others need.
		{"<presence><show>dnd</show><status>" + strings.Repeat("so long ", 3000) + "</status><priority>7</priority></presence>", "dnd", 7, true},
		{"<presence><show>" + strings.Repeat("long ", 5000) + "</show><priority>9</priority></presence>", "<priority>9<", 9, true},
		{"<presence type='unavailable'/>", "", 0, false},
	} {
		c.say(x.say)
		var got *sm.Session
		await(t, "b sees "+x.want, func() bool {
			all, err := b.store.User(romeo)
			if err != nil || len(all) != 1 {
				return false
			}
			got = all[0]
			p, ok := got.Priority()
			return p == x.prio && ok == x.ok
		})
		p, since := got.Presence()
		if x.ok && (p == nil || !strings.Contains(p.XML(), x.want) || len(p.XML()) > 16<<10 || p.From != c.JID || since.IsZero()) || !x.ok && p != nil {
			t.Errorf("presence is %v since %v", p, since)
		}
		all := must[[]*sm.Session](t)(b.store.All())
		if len(all) != 1 {
			t.Fatalf("All is %v", all)
		}
		if p, ok := all[0].Priority(); p != x.prio || ok != x.ok {
			t.Errorf("All has priority %d, %v", p, ok)
		}
	}
	c.leave()
	b.sees()
}

// The same address bound on two nodes at the same moment is one session, and
// both know which.
func nodesAgreeOnOne(t *testing.T, w *world) {
	a, b := w.join("a"), w.join("b")
	for range 40 {
		ca, cb := a.unopened("romeo@localhost/orchard"), b.unopened("romeo@localhost/orchard")
		var wg sync.WaitGroup
		for _, c := range []*client{ca, cb} {
			wg.Go(func() {
				if err := c.h.Open(context.Background(), c.Session); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		winner, loser := ca, cb
		if cb.ID.After(ca.ID) {
			winner, loser = cb, ca
		}
		<-loser.done
		a.sees(winner.Session)
		b.sees(winner.Session)
		if loser.why() != "conflict" || winner.why() != "" {
			t.Fatalf("the loser has ended with %q, the winner with %q", loser.why(), winner.why())
		}
		winner.leave()
	}
}

func nodesReplace(t *testing.T, w *world) {
	a, b := w.join("a"), w.join("b")
	old := a.connected("romeo@localhost/orchard")
	young := b.connected("romeo@localhost/orchard")
	// The bind has waited for it.
	if old.why() != "conflict" || young.why() != "" {
		t.Errorf("the old one has ended with %q, the new one with %q", old.why(), young.why())
	}
	a.sees(young.Session)
	young.leave()
}

// What a node has written in another epoch than its own is not there, for whoever
// has it cached neither.
func nodesIgnoreOldEpochs(t *testing.T, w *world) {
	a, b := w.join("a"), w.join("b")
	s, own := sessionOn("a", "romeo@localhost/orchard"), sessionOn("b", "romeo@localhost/balcony")
	add(t, a.store, s)
	add(t, b.store, own)
	b.sees(s, own)
	a.begin(2)
	if all := must[[]*sm.Session](t)(b.store.User(romeo)); !holds(all, own) {
		t.Errorf("of an epoch that is over: %s", ids(all))
	}
	if all := must[[]*sm.Session](t)(b.store.Fresh(romeo)); !holds(all, own) {
		t.Errorf("of an epoch that is over, read anew: %s", ids(all))
	}
	if all := must[[]*sm.Session](t)(b.store.All()); !holds(all, own) {
		t.Errorf("All of an epoch that is over: %s", ids(all))
	}
	late := sessionOn("b", "romeo@localhost/late")
	if all := must[[]*sm.Session](t)(b.store.Add(context.Background(), late)); !holds(all, own, late) {
		t.Errorf("Add of an epoch that is over: %s", ids(all))
	}
	if err := a.store.Rewrite(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	b.sees(s, own, late)
}

func nodesHearOfTheEnd(t *testing.T, w *world) {
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	gone := b.store.Gone(s.JID, s.ID)
	never := b.store.Gone(s.JID, sessionOn("a", "romeo@localhost/x").ID)
	<-never
	select {
	case <-gone:
		t.Fatal("it is still there")
	default:
	}
	if again := b.store.Gone(s.JID, s.ID); again != gone {
		t.Error("whoever asks often waits for many")
	}
	remove(t, a.store, s)
	<-gone
	// A dead node cannot tell.
	dead := sessionOn("a", "romeo@localhost/dead")
	add(t, a.store, dead)
	gone = b.store.Gone(dead.JID, dead.ID)
	a.begin(2)
	if n, err := b.store.Sweep(context.Background(), "a", 1, nil); n != 1 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	<-gone
}

func TestRecordIsReadable(t *testing.T) {
	s := sessionOn("gabberd@verona", "romeo@localhost/orchard")
	s.ConnectedBy(s.Addr(), "c2s_tls")
	text := sm.RecordOf(s, 7).String()
	for _, want := range []string{`{"v":1,"node":"gabberd@verona","epoch":7,"jid":"romeo@localhost/orchard"`, `"priority":null`, `"conn":"c2s_tls"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %s", text, want)
		}
	}
	c := newHouse(t).available("romeo@localhost/orchard", "5")
	if text := sm.RecordOf(c.Session, 7).String(); !strings.Contains(text, "<priority>5</priority>") {
		t.Errorf("presence is not to be read in %s", text)
	}
	rec, err := sm.ParseRecord(s.ID.String(), text)
	if err != nil || rec.ID() != s.ID || rec.Epoch != 7 {
		t.Errorf("read again: %+v, %v", rec, err)
	}
}

func FuzzParseRecord(f *testing.F) {
	s := sessionOn("gabberd@verona", "romeo@localhost/orchard")
	f.Add(s.ID.String(), sm.RecordOf(s, 7).String())
	f.Add("1-2@x", `{"v":1,"opened":1,"n":2,"node":"x","priority":200}`)
	f.Fuzz(func(t *testing.T, field, text string) {
		rec, err := sm.ParseRecord(field, text)
		if err != nil {
			return
		}
		if rec.ID().String() != field {
			t.Errorf("%q was taken for %q", text, field)
		}
		if again, err := sm.ParseRecord(field, rec.String()); err != nil || again.ID() != rec.ID() {
			t.Errorf("%q does not come back: %v", text, err)
		}
	})
}
