package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/server"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// writerEnv makes this test program a gabberd that stores messages by itself: the
// stamp of the first, FIRST:COUNT for so many, or `list` to print those that are stored, as
// they stand in the queue.
const writerEnv = "GABBERD_TEST_WRITER"

func TestMain(m *testing.M) {
	if os.Getenv(writerEnv) != "" {
		os.Exit(server.Main(append(all.Modules, writer)))
	}
	os.Exit(m.Run())
}

// theEnd is said behind the last row.
const theEnd = 0

type noOptions struct{}

// Fields declares nothing.
func (*noOptions) Fields(*config.Fields) {}

// writer stores messages as an archive does, and says which are committed.
var writer = modules.Define("mod_test_writer", modules.Spec[noOptions]{Needs: []string{"mod_msg_forward"}, Start: func(h *modules.Host, _ noOptions) error {
	db, err := h.DB(h.Context(), "")
	if err != nil {
		return err
	}
	rows := storage.Version{storage.Table{Name: "gabberd_test_rows", Columns: "stamp bigint, server_host text", Indexes: "unique(server_host, stamp)"}}
	if err := db.Migrate(h.Context(), "gabberd_test_rows", rows); err != nil {
		return err
	}
	sm.KeepMessages(h.Context(), h, db)
	from, count, few := strings.Cut(os.Getenv(writerEnv), ":")
	last := int64(math.MaxInt64)
	first, err := strconv.ParseInt(from, 10, 64)
	if n, wrong := strconv.ParseInt(count, 10, 64); few && wrong == nil {
		last = first + n - 1
	}
	if err != nil {
		err := db.Each(h.Context(), `SELECT r.stamp FROM gabberd_test_rows r LEFT JOIN gabberd_jobs j ON j.key = CAST(r.stamp AS text) ORDER BY j.id`, nil, func(r storage.Row) error {
			var n int64
			err := r.Scan(&n)
			fmt.Println("row", n)
			return err
		})
		fmt.Println("row", theEnd)
		return err
	}
	go func() {
		for n := first; h.Context().Err() == nil && n <= last; n++ {
			storeOne(h, db, n)
			if n%8 == 0 || few {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return nil
}})

// writers is how far apart the stamps of different writers are, whose conversations are
// different ones.
const writers = 1_000_000_000

// storeOne stores a message.
func storeOne(h *modules.Host, db *storage.DB, n int64) {
	from, to := xmpp.MustParse("romeo@localhost/x"), xmpp.MustParse(fmt.Sprintf("friend%dof%d@localhost", n%5, n/writers))
	st := xmpp.NewMessage("chat", from, to, xmpp.TextEl(xmpp.NSClient, "body", "x")).WithStamp(n)
	jobs := sm.Storing.Run(h.Context(), h.Hooks(), nil, sm.Storage{Table: "archive", User: from.Bare(), Peer: to, Direction: sm.Out, Stanza: st})
	t, err := db.QueueWith(jobs, storage.Statement{Query: `INSERT INTO gabberd_test_rows ({server_host,} stamp) VALUES ({?host,} ?)`, Args: []any{n}})
	if err != nil {
		return
	}
	t.Then(func(err error) {
		if err == nil {
			fmt.Println("committed", n)
		}
	})
}

// receiver is the web server that messages are forwarded to.
type receiver struct {
	mu    sync.Mutex
	ids   []int64 // as they came
	group map[int64]string
}

// ServeHTTP takes a list of messages.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	var all struct{ Messages []struct{ ID, To string } }
	if err := json.Unmarshal(b, &all); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range all.Messages {
		n, err := strconv.ParseInt(m.ID, 10, 64)
		if err != nil {
			n = -1
		}
		r.ids = append(r.ids, n)
		r.group[n] = m.To
	}
}

// TestForwardingSurvivesKills kills a server again and again between the commit of
// messages and their delivery. Every message that was committed must arrive, each
// conversation in its order, and nothing that was not committed.
func TestForwardingSurvivesKills(t *testing.T) {
	for _, v := range []storagetest.Variant{storagetest.Variants()[0], storagetest.Variants()[2]} {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			r := &receiver{group: map[int64]string{}}
			web := httptest.NewServer(r)
			t.Cleanup(web.Close)
			file := killable(t, v, web.URL)
			committed, stored := new(stamps), new(stamps)
			for round := range 50 {
				before := committed.len()
				life(t, file, strconv.Itoa(1+round*1_000_000), "committed %d", committed, func() bool { return committed.len() > before })
			}
			life(t, file, "list", "row %d", stored, func() bool { return stored.list()[theEnd] && r.has(stored) })
			r.judge(t, committed, stored)
		})
	}
}

// killable is a configuration for a server that forwards to url.
func killable(t *testing.T, v storagetest.Variant, url string, more ...options) string {
	t.Helper()
	o := options{
		"loglevel": "error", "hosts": []any{"localhost"}, "listen": []any{},
		"modules": options{"mod_test_writer": options{}, "mod_msg_forward": options{"url": url, "batch": 10}},
	}
	if v.PostgreSQL {
		db := v.SQL(t)
		for name, value := range map[string]any{"default_db": "sql", "sql_type": db.Type, "sql_database": db.Database, "sql_server": db.Server,
			"sql_port": db.Port, "sql_username": db.Username, "sql_password": db.Password, "sql_pool_size": 3} {
			o[name] = value
		}
	}
	for _, m := range more {
		maps.Copy(o, m)
	}
	file := filepath.Join(t.TempDir(), "ejabberd.yml")
	if err := os.WriteFile(file, []byte(o.text(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// life starts a server, notes the stamps in what it says, and kills it a short time
// after ready says so.
func life(t *testing.T, file, what, form string, heard *stamps, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "--config", file, "--data", filepath.Dir(file))
	cmd.Env = append(os.Environ(), writerEnv+"="+what)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for !ready() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(15_000)) * time.Microsecond)
		_ = cmd.Process.Kill() // Wait says if that was not needed
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int64
		if _, err := fmt.Sscanf(lines.Text(), form, &n); err == nil {
			heard.add(n)
		}
	}
	err = cmd.Wait()
	late := ctx.Err() != nil
	cancel()
	watching.Wait()
	if err == nil || late || errOut.Len() > 0 {
		t.Fatalf("the server ended by itself, or did nothing, or complained: %v\n%s", err, &errOut)
	}
}

// stamps is those of messages.
type stamps struct {
	mu    sync.Mutex
	all   map[int64]bool
	place map[int64]int // in the order in which they were added
}

func (s *stamps) add(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all, s.place = map[int64]bool{}, map[int64]int{}
	}
	if !s.all[n] {
		s.all[n], s.place[n] = true, len(s.place)
	}
}

func (s *stamps) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func (s *stamps) list() map[int64]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.all)
}

// has reports whether all of them have arrived.
func (r *receiver) has(want *stamps) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range want.list() {
		if _, ok := r.group[n]; !ok && n != theEnd {
			return false
		}
	}
	return true
}

func (r *receiver) judge(t *testing.T, committed, stored *stamps) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := stored.list()
	for n := range committed.list() {
		if !there[n] {
			t.Errorf("%d was committed and is not stored", n)
		}
	}
	// What a killed server had sent to PostgreSQL, and nobody was told of, may come to the
	// queue when the next server has begun: it is forwarded where it stands there.
	told := committed.list()
	type front struct {
		stamp int64
		place int
	}
	last := map[string]front{}
	seen := map[int64]bool{}
	for _, n := range r.ids {
		if !there[n] {
			t.Errorf("%d has arrived and is not stored", n)
		}
		at, before := stored.place[n], last[r.group[n]]
		if !seen[n] && (at < before.place || told[n] && n < before.stamp) {
			t.Errorf("%d, at %d, came first behind %+v", n, at, before)
		}
		seen[n] = true
		last[r.group[n]] = front{max(before.stamp, n), max(before.place, at)}
	}
	t.Logf("%d stored, %d arrived, %d of them again", len(there), len(seen), len(r.ids)-len(seen))
}
