package msgforward

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// rows is a table of messages, as an archive has one.
var rows = storage.Version{storage.Table{Name: "gabberd_test_rows", Columns: "stamp bigint, server_host text", Indexes: "unique(server_host, stamp)"}}

// makeTables makes the tables of a test.
func makeTables(t testing.TB, db *storage.DB) {
	t.Helper()
	if err := db.Migrate(context.Background(), storage.JobsKeeper, storage.Jobs...); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(context.Background(), "gabberd_test_rows", rows); err != nil {
		t.Fatal(err)
	}
}

// newDestination is one with the defaults and no patience.
func newDestination(url string) *destination {
	var o options
	config.Decode(nil, &o)
	o.URL = url
	o.Retry.First, o.Retry.Ceiling, o.Timeout = 10*time.Millisecond, 50*time.Millisecond, 5*time.Second
	return &o.destination
}

// message is one of romeo's, with that stamp, in a conversation of that number.
func chat(stamp int64, conversation int) sm.Storage {
	romeo, other := xmpp.MustParse("romeo@localhost/orchard"), xmpp.MustParse(fmt.Sprintf("friend%d@localhost", conversation))
	st := xmpp.NewMessage("chat", romeo, other, xmpp.TextEl(xmpp.NSClient, "body", fmt.Sprint("message ", stamp))).WithStamp(stamp)
	return sm.Storage{Table: "archive", User: romeo.Bare(), Peer: other, Direction: sm.Out, Stanza: st}
}

// jobOf is the job of a message.
func jobOf(d *destination, w sm.Storage) storage.Job {
	j := storage.Job{Queue: queueOf(defaultName), Key: strconv.FormatInt(w.Stanza.Stamp, 10), Data: encode(w)}
	if d.Order == "conversation" {
		j.Group = conversation(w)
	}
	return j
}

// keep stores messages with their jobs and waits until they are committed.
func keep(t testing.TB, db *storage.DB, d *destination, list ...sm.Storage) {
	t.Helper()
	var last *storage.Ticket
	for _, w := range list {
		var err error
		last, err = db.QueueWith([]storage.Job{jobOf(d, w)},
			storage.Statement{Query: `INSERT INTO gabberd_test_rows ({server_host,} stamp) VALUES ({?host,} ?)`, Args: []any{w.Stanza.Stamp}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := last.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// newWorker is a worker that does not run yet.
func newWorker(t testing.TB, db *storage.DB, d *destination, to target.Target) *worker {
	t.Helper()
	if to == nil {
		conf, err := d.tls()
		if err != nil {
			t.Fatal(err)
		}
		if to, err = newWebhook(d, conf, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := to.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return &worker{store: store{db, queueOf(defaultName)}, d: d, name: defaultName, host: "localhost", target: to, count: new(counters),
		log: slog.New(slog.NewTextHandler(t.Output(), nil)), hurry: make(chan struct{}, 1), again: make(chan struct{}, 1)}
}

// startWorker runs a worker until stop is called or the test ends.
func startWorker(t testing.TB, db *storage.DB, d *destination, to target.Target) (w *worker, stop func()) {
	t.Helper()
	w = newWorker(t, db, d, to)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	quiet := db.OnJobs(w.poke)
	running.Go(func() { w.run(ctx) })
	stop = sync.OnceFunc(func() {
		quiet()
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return w, stop
}

// await waits until something is so.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// each runs f on every kind of database, with the tables made.
func each(t *testing.T, f func(t *testing.T, db *storage.DB)) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		makeTables(t, db)
		f(t, db)
	})
}

// A sink is a web server that takes messages.
type sink struct {
	*httptest.Server
	mu      sync.Mutex
	got     []body           // what was taken, in order
	asked   int              // requests
	answers func([]body) int // the status; nil or 0: 200
}

func newSink(t testing.TB) *sink {
	s := new(sink)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP takes a message or a list of them.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	list, err := readBodies(b)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.asked++
	answers := s.answers
	s.mu.Unlock()
	if answers != nil {
		if code := answers(list); code != 0 && code != http.StatusOK {
			w.WriteHeader(code)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, list...)
}

func readBodies(b []byte) ([]body, error) {
	var all struct {
		Messages []body `json:"messages"`
		body
	}
	err := json.Unmarshal(b, &all)
	if all.Messages == nil {
		return []body{all.body}, err
	}
	return all.Messages, err
}

// answer changes what the server says.
func (s *sink) answer(f func([]body) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = f
}

// taken is what was taken so far.
func (s *sink) taken() []body {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *sink) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// inOrder complains if a conversation's messages did not come in their order, or
// not exactly once.
func inOrder(t testing.TB, got []body, want int) {
	t.Helper()
	last := map[string]int64{}
	seen := map[string]bool{}
	for _, b := range got {
		n, err := strconv.ParseInt(b.ID, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n <= last[b.To] {
			t.Errorf("%s came behind %d", b.ID, last[b.To])
		}
		last[b.To], seen[b.ID] = n, true
	}
	if len(seen) != want || len(got) != want {
		t.Errorf("%d messages, %d different ones, want %d", len(got), len(seen), want)
	}
}
