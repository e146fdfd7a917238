package msgforward_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/msgforward"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

type none struct{}

func (*none) Fields(*config.Fields) {}

// keeper stores what users send as an archive does: a row for the sender and one
// for the recipient.
var keeper = modules.Define("mod_test_keeper", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
	db, err := h.DB(h.Context(), "")
	if err != nil {
		return err
	}
	rows := storage.Version{storage.Table{Name: "gabberd_test_rows", Columns: "username text, stamp bigint, server_host text", Indexes: "unique(server_host, username, stamp)"}}
	if err := db.Migrate(h.Context(), "gabberd_test_rows", rows); err != nil {
		return err
	}
	sm.KeepMessages(h.Context(), h, db)
	sm.UserSend.Add(h, hooks.Normal, func(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.Kind != xmpp.Message {
			return st, hooks.Next
		}
		st = h.Sessions.Stamped(st)
		for _, w := range []sm.Storage{
			{Table: "archive", User: st.From.Bare(), Peer: st.To, Direction: sm.Out, Stanza: st},
			{Table: "archive", User: st.To.Bare(), Peer: st.From, Direction: sm.In, Stanza: st},
		} {
			jobs := sm.Storing.Run(ctx, h.Hooks(), nil, w)
			_, err := db.QueueWith(jobs, storage.Statement{
				Query: `INSERT INTO gabberd_test_rows ({server_host,} username, stamp) VALUES ({?host,} ?, ?)`,
				Args:  []any{w.User.Local(), st.Stamp},
			})
			if err != nil {
				h.Log.Error("not stored", "error", err)
			}
		}
		return st, hooks.Next
	})
	return nil
}})

// receiver is a web server that remembers what it was sent.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
	req []*http.Request
	say int
}

func receive(t testing.TB) *receiver {
	r := &receiver{say: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.req = append(r.got, string(b)), append(r.req, req)
		w.WriteHeader(r.say)
		if _, err := io.WriteString(w, "thank you"); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

func (r *receiver) wait(t testing.TB, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(r.all()) < n; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests, want %d: %q", len(r.all()), n, r.all())
		}
	}
	return r.all()
}

func TestAChatIsForwardedOncePerDestination(t *testing.T) {
	one, two := receive(t), receive(t)
	s := modtest.Start(t, `modules: {mod_msg_forward: {url: "`+one.URL+`", destinations: {second: {url: "`+two.URL+`/hook", types: [chat]}}}}`, keeper, msgforward.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	for _, text := range []string{"a", "b", "c"} {
		romeo.Say(`<message to='juliet@localhost' type='chat' id='x'><body>` + text + `</body></message>`)
	}
	romeo.Say(`<message to='juliet@localhost'><body>d</body></message>`)
	if got := juliet.Inbox(); len(got) != 4 {
		t.Errorf("juliet got %d messages", len(got))
	}
	want := "abcd"
	for i, got := range [][]string{one.wait(t, 4), two.wait(t, 3)} {
		var all, ids string
		for _, b := range got {
			var m struct{ ID, Body, From, Host, Message_ID string }
			if err := json.Unmarshal([]byte(b), &m); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(ids, m.ID+" ") || m.ID == "" || m.From != "romeo@localhost/orchard" || m.Host != "localhost" {
				t.Errorf("got %s", b)
			}
			all, ids = all+m.Body, ids+m.ID+" "
		}
		if all != want[:4-i] {
			t.Errorf("destination %d got %q, want %q", i, all, want[:4-i])
		}
	}
	for _, r := range one.req {
		if r.Header.Get("Idempotency-Key") == "" || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
			t.Errorf("headers %v", r.Header)
		}
	}
}

func TestCommands(t *testing.T) {
	r := receive(t)
	r.say = http.StatusBadRequest
	s := modtest.Start(t, `modules: {mod_msg_forward: {url: "`+r.URL+`"}}`, keeper, msgforward.Module)
	romeo := s.Available("romeo@localhost/orchard")
	command := func(want string, name string, words ...string) {
		t.Helper()
		out, err := s.Command(name, words...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("%s %q says %q, want %q in it", name, words, out, want)
		}
	}
	romeo.Say(`<message to='juliet@localhost' type='chat'><body>a</body></message>`)
	romeo.Say(`<message to='juliet@localhost' type='chat'><body>b</body></message>`)
	r.wait(t, 2)
	awaitOutput(t, s, "400 Bad Request", "forward_list_dead")
	awaitOutput(t, s, "localhost\tdefault\twell\t0\t0\t2\t2\t0\t0\t100.0%\t100.0%\t100.0%", "forward_status")
	command("did not take the sample: the server answers 400", "forward_test", "default")
	command("no destination other", "forward_test", "other")
	out, err := s.Command("forward_list_dead", "1")
	if err != nil || strings.Contains(out, "\n") {
		t.Fatalf("one dead letter: %q, %v", out, err)
	}
	r.mu.Lock()
	r.say = http.StatusOK
	r.mu.Unlock()
	id, _, _ := strings.Cut(out, "\t")
	command("1", "forward_drop", id)
	command("0", "forward_retry", id)
	command("1", "forward_retry", "all")
	if got := r.wait(t, 4); !strings.Contains(got[3], `"body":"a"`) {
		t.Errorf("delivered %q", got[3])
	}
	awaitOutput(t, s, "localhost\tdefault\twell\t1\t0\t2\t0\t0\t0\t66.7%", "forward_status")
	command("localhost: 200 OK thank you", "forward_test", "default")
	if got := r.wait(t, 5)[4]; !strings.Contains(got, `"test":true`) {
		t.Errorf("the sample is not marked: %s", got)
	}
}

// leaver leaves a message behind for a destination that is not there any more.
var leaver = modules.Define("mod_leaver", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
	db, err := h.DB(h.Context(), "")
	if err != nil {
		return err
	}
	if err := db.Migrate(h.Context(), storage.JobsKeeper, storage.Jobs...); err != nil {
		return err
	}
	sm.KeepMessages(h.Context(), h, db)
	if _, err := db.Exec(h.Context(), `INSERT INTO gabberd_job_leases ({server_host,} queue, owner, beat) VALUES ({?host,} 'forward:old', 'killed', 7)`); err != nil {
		return err
	}
	t, err := db.QueueWith([]storage.Job{{Queue: "forward:old", Key: "1", Data: []byte("x")}, {Queue: "forward:old", Key: "2", Data: []byte("x")}})
	if err != nil {
		return err
	}
	return t.Wait(h.Context())
}})

func TestMessagesOfADestinationThatIsGone(t *testing.T) {
	r := receive(t)
	s := modtest.Start(t, `modules: {mod_msg_forward: {url: "`+r.URL+`"}}`, leaver, msgforward.Module)
	awaitOutput(t, s, "not configured any more", "forward_list_dead")
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.Log(), "messages=2") && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	for _, tt := range []struct{ command, want string }{
		{"forward_retry all", "localhost has no destination old any more: configure it again"}, {"forward_retry 1", "no destination old any more"},
		{"forward_retry 3", "0"}, {"forward_drop 1", "1"}, {"forward_drop 1", "0"}, {"forward_drop all", "1"}, {"forward_retry all", "0"},
	} {
		words := strings.Fields(tt.command)
		out, err := s.Command(words[0], words[1:]...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, tt.want) {
			t.Errorf("%s says %q, want %q in it", tt.command, out, tt.want)
		}
	}
	if n := strings.Count(s.Log(), "destination=old messages=2"); n != 1 || len(r.all()) > 0 {
		t.Errorf("%d messages were sent, and the log says\n%s", len(r.all()), s.Log())
	}
}

// awaitOutput waits until a command says something.
func awaitOutput(t *testing.T, s *modtest.Server, want, name string, words ...string) {
	t.Helper()
	var out string
	var err error
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if out, err = s.Command(name, words...); err == nil && strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s says %q, %v, want %q in it", name, out, err, want)
		}
	}
}

func TestHookByHand(t *testing.T) {
	r := receive(t)
	s := modtest.Start(t, `modules: {mod_msg_forward: {url: "`+r.URL+`"}}`, msgforward.Module)
	var calls []hooks.Call
	words := []string{"romeo@localhost", "out", "archive", "<message from='romeo@localhost/x' to='juliet@localhost' type='chat'><body>hi</body></message>"}
	if err := s.Parts.Hooks.RunByHand(s.ByHand(context.Background()), "msg_forward", words, func(c hooks.Call) { calls = append(calls, c) }); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 1 || !strings.Contains(calls[0].Handler, "mod_msg_forward") || !strings.Contains(calls[0].Result, "forward:default") {
		t.Errorf("calls: %+v", calls)
	}
}
