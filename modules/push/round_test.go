package push_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/push"
	"github.com/gabberd/gabberd/xmpp"
)

// crowd has users whose clients have enabled 15 nodes each, and are gone.
func (w *world) crowd(users int) {
	w.t.Helper()
	for i := range users {
		c := w.Login(fmt.Sprintf("u%02d@localhost/x", i))
		for j := range 15 {
			w.enable(c, fmt.Sprintf("u%02d-%02d", i, j), "")
		}
		c.Logout()
	}
}

// wakeAll begins a round. It is over when the returned func returns.
func (w *world) wakeAll() (stop context.CancelFunc, wait func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var round sync.WaitGroup
	round.Go(func() { push.WakeAll.Run(ctx, w.Parts.Hooks, w.JID) })
	return cancel, round.Wait
}

// TestARoundWakesWhoIsNotThere: all nodes of clients that have no session at the moment,
// whatever others the user has, without a word of what has come.
func TestARoundWakesWhoIsNotThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "include_body: true, include_sender: true")
		w.crowd(10)
		zoe, yan, old := w.Login("zoe@localhost/x"), w.Login("yan@localhost/x"), w.Login("zoe@localhost/old")
		w.enable(zoe, "zoe-1", "")
		w.enable(old, "zoe-2", "")
		w.enable(yan, "yan-1", "")
		zoe.Logout()
		old.Logout()
		begin := time.Now()
		_, wait := w.wakeAll()
		time.Sleep(time.Second)
		yan.Logout()
		w.enable(w.Login("zoe@localhost/y"), "zoe-1", "") // before it is her turn
		synctest.Wait()
		if text := w.explain(); !strings.Contains(text, "wake_on_start: a round through all users") || !strings.Contains(text, "and goes on") {
			t.Errorf("explained:\n%s", text)
		}
		wait()
		if d := time.Since(begin); d != 154*20*time.Millisecond {
			t.Errorf("154 nodes took %v", d)
		}
		got, seen := w.app.told(), map[string]bool{}
		for _, iq := range got {
			node := iq.Payload().Child("", "publish").Attr("node")
			if seen[node] || field(iq, "message-count") != "no form" {
				t.Errorf("told %v", iq)
			}
			seen[node] = true
		}
		if len(seen) != 153 || !seen["n1"] || !seen["yan-1"] || seen["zoe-1"] || !seen["zoe-2"] {
			t.Errorf("%d were told, n1 %v, yan %v, zoe %v", len(seen), seen["n1"], seen["yan-1"], seen["zoe-1"])
		}
		text := w.explain()
		for _, want := range []string{
			"and has ended; 153 nodes of clients without a session were told, 1 of clients with one were not; the last user was \"zoe\"",
			"the server has started (wake_on_start): clients without a session are woken", `push.localhost has taken it, for node "n1"`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("explained, without %q:\n%s", want, text)
			}
		}
	})
}

// TestARoundAndASilentService: what it owes is bounded, and others are told as ever.
func TestARoundAndASilentService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.crowd(40)
		w.app.set(nil, true)
		_, wait := w.wakeAll()
		time.Sleep(20 * time.Second)
		if got := w.app.told(); len(got) != 500 {
			t.Fatalf("%d owe an answer", len(got))
		}
		zoe := w.Login("zoe@localhost/x")
		w.enable(zoe, "zoe-1", "")
		zoe.Logout()
		w.romeo.Say(`<message to='zoe@localhost' type='chat'><body>x</body></message>`)
		if got := w.app.told(); len(got) != 1 || field(got[0], "message-count") != "1" {
			t.Errorf("meanwhile told %v", got)
		}
		w.chat("m1", "x") // juliet's node owes an answer
		time.Sleep(13 * time.Second)
		w.app.set(nil, false)
		got := w.app.told()
		if len(got) == 0 || len(got) > 101 {
			t.Errorf("when the first were given up %d were told", len(got))
		}
		wait()
		time.Sleep(time.Minute)
		if got = append(got, w.app.told()...); len(got) != 102 { // the rest of the crowd, and what waited for juliet; not zoe again
			t.Errorf("then told %d", len(got))
		}
	})
}

// TestARoundAndASlowService: it is told no more than it answers.
func TestARoundAndASlowService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.crowd(40)
		var mu sync.Mutex
		owed, most := 0, 0
		slow := slowService(func(ctx context.Context, iq *xmpp.Stanza) {
			mu.Lock()
			defer mu.Unlock()
			owed++
			most = max(most, owed)
			time.AfterFunc(20*time.Second, func() {
				mu.Lock()
				owed--
				mu.Unlock()
				w.Router.Route(ctx, iq.Reply(nil))
			})
		})
		w.unroute()
		t.Cleanup(w.Router.Register("push.localhost", "localhost", slow))
		_, wait := w.wakeAll()
		wait()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != 500 || owed != 0 {
			t.Errorf("it owed up to %d answers, and at the end %d", most, owed)
		}
		if text := w.explain(); !strings.Contains(text, "and has ended; 601 nodes") || !strings.Contains(text, "has taken it") {
			t.Errorf("explained:\n%s", text)
		}
	})
}

// A slowService takes its time. It implements router.Handler.
type slowService func(context.Context, *xmpp.Stanza)

// Route takes a notification.
func (s slowService) Route(ctx context.Context, iq *xmpp.Stanza) { s(ctx, iq) }

// TestARoundIsStopped: who makes it is not kept, and nobody else is told.
func TestARoundIsStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.crowd(2)
		w.app.set(nil, true)
		stop, wait := w.wakeAll()
		time.Sleep(210 * time.Millisecond)
		synctest.Wait()
		stop()
		begin := time.Now()
		wait()
		if d := time.Since(begin); d != 0 {
			t.Errorf("it took %v", d)
		}
		time.Sleep(time.Hour)
		if got := w.app.told(); len(got) != 10 {
			t.Errorf("told %d", len(got))
		}
		if text := w.explain(); !strings.Contains(text, "and was stopped; 10 nodes") {
			t.Errorf("explained:\n%s", text)
		}
	})
}

// TestARoundAndADatabaseThatIsAway: it goes on where it was.
func TestARoundAndADatabaseThatIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		db, err := w.DB(t.Context(), "mnesia")
		if err != nil {
			t.Fatal(err)
		}
		rename := func(from, to string) {
			if _, err := db.Exec(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("push_session", "elsewhere")
		_, wait := w.wakeAll()
		time.Sleep(25 * time.Second)
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("told %v", got)
		}
		rename("elsewhere", "push_session")
		wait()
		if got := w.app.told(); len(got) != 1 {
			t.Errorf("told %v", got)
		}
		if n := strings.Count(w.Log(), "has to wait"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

// TestARoundThatMayTellNothing: or is told that there is no such node.
func TestARoundThatMayTellNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "notify_on: messages")
		_, wait := w.wakeAll()
		wait()
		if got := w.app.told(); len(got) != 0 || !strings.Contains(w.Log(), "notify_on is messages") {
			t.Errorf("told %v", got)
		}
	})
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.app.set(xmpp.ItemNotFound, false)
		_, wait := w.wakeAll()
		wait()
		if text := w.explain(); !strings.HasPrefix(text, "no client has enabled notifications\n") || !strings.Contains(text, `node "n1" is disabled`) {
			t.Errorf("explained:\n%s", text)
		}
	})
}
