package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/e2e/play"
	"github.com/gabberd/gabberd/server"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// A theatre gives plays: it says where a play's server listens, and how the play
// reads there.
type theatre func(t *testing.T, p *play.Play) (at play.Server, here *play.Play)

// TestPlays gives every play of e2e/plays: on our server with each kind of
// database, or on the server that GABBERD_PLAYS_SERVER names (ejabberd, prosody,
// two-nodes for two of ours, or HOST:PORT of one that lets people register), and only those that GABBERD_PLAY
// matches.
func TestPlays(t *testing.T) {
	plays, err := play.Load("plays/*.scs")
	if err != nil {
		t.Fatal(err)
	}
	if only := os.Getenv("GABBERD_PLAY"); only != "" {
		plays = matching(t, plays, only)
	}
	if server := os.Getenv("GABBERD_PLAYS_SERVER"); server != "" {
		give(t, plays, theatreOf(t, server, plays), knownFailures(t, server))
		return
	}
	for _, v := range storagetest.Variants() {
		if v.Flavour == storage.MultiHost {
			t.Run(v.Name, func(t *testing.T) { give(t, plays, ours(t, v, plays), nil) })
		}
	}
	t.Run("two-nodes", func(t *testing.T) {
		list := slices.DeleteFunc(slices.Clone(plays), func(p *play.Play) bool { return !carried.MatchString(p.Name) })
		give(t, list, theatreOf(t, "two-nodes", list), nil)
	})
}

// carried are the plays about what a session carries with it: they are given on two
// nodes as well, with every other client on the second.
var carried = regexp.MustCompile(`^(bind2_counts|blocking|carbons|csi|fast|last_contact|mam_pages|message_to|offline_flexible|offline_message|order|presence_|privacy|push|resource_conflict|roster_|sm_|subscription_accepted)`)

// give gives plays at a theatre, where some are known to fail.
func give(t *testing.T, plays []*play.Play, open theatre, failing map[string]string) {
	for _, p := range plays {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			at, here := open(t, p)
			ctx := t.Context()
			reason, known := failing[p.Name]
			if known {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
			}
			err := here.Perform(ctx, at)
			switch {
			case known && err == nil && !strings.HasPrefix(reason, "sometimes"):
				t.Errorf("%s passes, although plays/README.md says that it fails (%s)", p.Name, reason)
			case known:
				t.Logf("fails as plays/README.md says (%s): %v", reason, err)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

func matching(t *testing.T, plays []*play.Play, only string) []*play.Play {
	t.Helper()
	rx, err := regexp.Compile(only)
	if err != nil {
		t.Fatal(err)
	}
	var out []*play.Play
	for _, p := range plays {
		if rx.MatchString(p.Name) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no play matches %s", only)
	}
	return out
}

func theatreOf(t *testing.T, server string, plays []*play.Play) theatre {
	t.Helper()
	switch server {
	case "ejabberd":
		return ejabberds(t, plays)
	case "prosody":
		return prosodysTheatre(t, plays)
	case "two-nodes":
		return twoNodes(t, storagetest.Variants()[2], plays)
	}
	at := play.Server{Addr: server}
	return func(t *testing.T, p *play.Play) (play.Server, *play.Play) {
		for jid, password := range p.Accounts() {
			if err := play.Renew(t.Context(), at, jid, password); err != nil {
				t.Fatal(err)
			}
		}
		return at, p
	}
}

// knownFailures are the rows of plays/README.md about a server: play, reason.
func knownFailures(t *testing.T, server string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("plays/README.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) == 5 && server != "" && strings.TrimSpace(cells[2]) == server {
			out[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[3])
		}
	}
	return out
}

// stages gives each play a virtual host of its own.
func stages(plays []*play.Play) map[string]*play.Play {
	out := map[string]*play.Play{}
	for _, p := range plays {
		out[p.Name] = p.On(stageName(p.Name))
	}
	return out
}

// stageName is the domain on which a play is given where all share a server.
func stageName(play string) string { return strings.ReplaceAll(play, "_", "-") + ".localhost" }

func ejabberds(t *testing.T, plays []*play.Play) theatre {
	t.Helper()
	shared, hosts := stages(plays), map[string]options{}
	for name, p := range shared {
		hosts[stageName(name)] = base(0).with(parseOptions(t, p.Config)).hostOnly()
	}
	// Listeners belong to no host.
	alone := func(p *play.Play) bool { return strings.Contains(p.Config, "listen:") }
	all := startEjabberd(t, options{}, hosts)
	return func(t *testing.T, p *play.Play) (play.Server, *play.Play) {
		t.Helper()
		here, on := shared[p.Name], all
		if alone(p) {
			o := parseOptions(t, p.Config)
			listen := options{"listen": o["listen"]}
			delete(o, "listen")
			here = p
			on = startEjabberd(t, listen, map[string]options{"localhost": base(0).hostOnly().with(o)})
		}
		for jid, password := range here.Accounts() {
			on.register(t, jid, password)
		}
		// ejabberd 26.07 refuses right tls-exporter data in about every second run.
		return play.Server{Addr: on.addr, NoChannelBinding: true}, here
	}
}

func prosodysTheatre(t *testing.T, plays []*play.Play) theatre {
	t.Helper()
	shared, hosts, accounts := stages(plays), map[string]options{}, map[string]map[string]string{}
	for name, p := range shared {
		host := stageName(name)
		hosts[host], accounts[host] = parseOptions(t, p.Config), p.Accounts()
	}
	all := startProsody(t, hosts, accounts)
	return func(_ *testing.T, p *play.Play) (play.Server, *play.Play) {
		return play.Server{Addr: all.addr}, shared[p.Name]
	}
}

// ours is a server of ours for each play. On SQLite each has a database of its own;
// on PostgreSQL, where making one takes longer than a play, all share one, and each
// has a virtual host of its own in it.
func ours(t *testing.T, v storagetest.Variant, plays []*play.Play) theatre {
	t.Helper()
	shared, db := stages(plays), storage.SQL{}
	if v.PostgreSQL {
		db = v.SQL(t)
	}
	return func(t *testing.T, p *play.Play) (play.Server, *play.Play) {
		t.Helper()
		var kept options
		if v.PostgreSQL {
			p, kept = shared[p.Name], keptIn(db).with(options{"hosts": []any{stageName(p.Name)}})
		} else {
			kept = keptIn(v.SQL(t))
		}
		s := startServer(t, kept.with(parseOptions(t, p.Config)).text(t))
		for jid, password := range p.Accounts() {
			s.register(jid, password)
		}
		return play.Server{Addr: s.addr}, p
	}
}

// twoNodes are two servers of ours for each play. All share a PostgreSQL and a
// Redis, where each play has a virtual host and a prefix of its own.
func twoNodes(t *testing.T, v storagetest.Variant, plays []*play.Play) theatre {
	t.Helper()
	shared, db, sessions := stages(plays), v.SQL(t), redistest.Start(t)
	return func(t *testing.T, p *play.Play) (play.Server, *play.Play) {
		t.Helper()
		p = shared[p.Name]
		config := keptIn(db).with(options{
			"hosts": []any{stageName(p.Name)}, "sm_db_type": "redis",
			"redis_server": "127.0.0.1", "redis_port": sessions.Port(), "redis_prefix": p.Name,
			"listen": []any{options{}, options{"module": "gabberd_metrics", "ip": "127.0.0.1", "port": 0}},
		}).with(parseOptions(t, p.Config)).text(t)
		first, second := startNamed(t, "n1", config), startNamed(t, "n2", config)
		for jid, password := range p.Accounts() {
			first.register(jid, password)
		}
		known := func(ctx context.Context, jid string) error {
			return errors.Join(first.awaits(ctx, jid), second.awaits(ctx, jid))
		}
		written := func(ctx context.Context) error { return errors.Join(first.writes(ctx), second.writes(ctx)) }
		return play.Server{Addr: first.addr, Second: second.addr, Known: known, Written: written}, p
	}
}

// awaits waits until the node knows of a session.
func (s *running) awaits(ctx context.Context, jid string) error {
	bare, resource, _ := strings.Cut(jid, "/")
	user, host, _ := strings.Cut(bare, "@")
	for {
		if slices.Contains(strings.Split(s.ctl("user_resources", user, host), "\n"), resource) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a node does not know of %s: %w", jid, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// nothingQueued is what a node says to Prometheus when no write waits for its commit.
var nothingQueued = regexp.MustCompile(`(?m)^gabberd_storage_queue_length\{[^}]*\} 0$`)

// writes waits until the node has nothing to write.
func (s *running) writes(ctx context.Context) error {
	i := slices.IndexFunc(s.all, func(at server.Address) bool { return at.Module == "gabberd_metrics" })
	for {
		ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.all[i].Addr.String()+"/metrics", nil)
		if err != nil {
			return err
		}
		ask.Close = true
		answer, err := http.DefaultClient.Do(ask)
		if err != nil {
			return fmt.Errorf("a node does not end its writing: %w", err)
		}
		figures, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
		if nothingQueued.Match(figures) {
			return nil
		}
	}
}

// keptIn is the options that have everything kept in a database.
func keptIn(db storage.SQL) options {
	return options{
		"default_db": "sql", "auth_method": []any{"sql"},
		"sql_type": db.Type, "sql_database": db.Database, "sql_server": db.Server, "sql_port": db.Port,
		"sql_username": db.Username, "sql_password": db.Password, "sql_pool_size": 2,
	}
}
