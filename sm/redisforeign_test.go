package sm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// foreignFields is what others may write into our hashes.
func foreignFields() map[string]func() (field, value string) {
	like := func(change func(*sm.Record)) (field, value string) {
		rec := sm.RecordOf(sessionOn("a", "romeo@localhost/foreign"), 1)
		field = rec.ID().String()
		change(&rec)
		return field, rec.String()
	}
	prio := 0
	return map[string]func() (field, value string){
		"a word":           func() (string, string) { return "hello", "world" },
		"an Erlang term":   func() (string, string) { return "\x83h\x02a\x01", "\x83m\x00\x00\x00\x01x" },
		"no JSON":          func() (string, string) { f, _ := like(func(*sm.Record) {}); return f, "world" },
		"another JSON":     func() (string, string) { f, _ := like(func(*sm.Record) {}); return f, `["v",1]` },
		"nothing":          func() (string, string) { f, _ := like(func(*sm.Record) {}); return f, "" },
		"very much":        func() (string, string) { f, v := like(func(*sm.Record) {}); return f, v + strings.Repeat(" ", 100_000) },
		"another version":  func() (string, string) { return like(func(r *sm.Record) { r.V = 2 }) },
		"another session":  func() (string, string) { return like(func(r *sm.Record) { r.N++ }) },
		"another node":     func() (string, string) { return like(func(r *sm.Record) { r.Node = "c" }) },
		"another user":     func() (string, string) { return like(func(r *sm.Record) { r.JID = "juliet@localhost/x" }) },
		"another host":     func() (string, string) { return like(func(r *sm.Record) { r.JID = "romeo@example.org/x" }) },
		"no address":       func() (string, string) { return like(func(r *sm.Record) { r.JID = "@@" }) },
		"no resource":      func() (string, string) { return like(func(r *sm.Record) { r.JID = "romeo@localhost" }) },
		"a great priority": func() (string, string) { return like(func(r *sm.Record) { p := 1000; r.Priority = &p }) },
		"no XML": func() (string, string) {
			return like(func(r *sm.Record) { r.Priority, r.Presence = &prio, "<presence" })
		},
		"a message": func() (string, string) {
			return like(func(r *sm.Record) { r.Priority, r.Presence = &prio, "<message/>" })
		},
		"a field of nobody": func() (string, string) { _, v := like(func(*sm.Record) {}); return "1-1@", v },
	}
}

// Whatever others write into our hashes is ignored, counted, said once and left
// alone, and costs nobody anything.
func TestForeignFields(t *testing.T) {
	server := redistest.Start(t)
	for name, make := range foreignFields() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, server)
			a, b := w.join("a"), w.join("b")
			field, value := make()
			keys := map[string]string{
				a.client.Key("sm", "romeo@localhost"):            field,
				a.client.Key("sm", "localhost"):                  "romeo@localhost||" + field,
				a.client.Key("sm", "localhost", "node", "other"): a.client.Key("sm", "romeo@localhost") + "||" + field,
			}
			for key, field := range keys {
				server.Do("HSET", key, field, value)
			}
			s := sessionOn("a", "romeo@localhost/orchard")
			add(t, a.store, s)
			for range 2 {
				if all := must[[]*sm.Session](t)(b.store.Fresh(romeo)); ids(all) != s.ID.String() {
					t.Errorf("Fresh is %s", ids(all))
				}
				if all := must[[]*sm.Session](t)(b.store.All()); ids(all) != s.ID.String() {
					t.Errorf("All is %s", ids(all))
				}
			}
			if n := b.store.Foreign(); n != 4 {
				t.Errorf("%d foreign things were counted", n)
			}
			if n := strings.Count(b.log.String(), "\n"); n != 2 {
				t.Errorf("logged:\n%s", b.log)
			}
			own := sessionOn("b", "romeo@localhost/balcony")
			add(t, b.store, own)
			a.sees(s, own)
			if err := b.store.Rewrite(context.Background(), nil); err != nil {
				t.Error(err)
			}
			if n, err := b.store.Sweep(context.Background(), "other", 99, func(s *sm.Session) { t.Errorf("%v is gone", s.ID) }); n != 0 || err != nil {
				t.Errorf("swept %d, %v", n, err)
			}
			remove(t, a.store, s)
			remove(t, b.store, own)
			for key, field := range keys {
				if strings.HasSuffix(key, ":other") {
					continue // the index of a node that names nothing may go
				}
				if got := fmt.Sprint(server.Do("HGETALL", key)); got != fmt.Sprint([]any{field, value}) {
					t.Errorf("%.100s holds %.300s", key, got)
				}
			}
		})
	}
}

// Where others have put a key of another type it is moved away, not lost, and the
// session is written all the same.
func TestForeignKeys(t *testing.T) {
	t.Run("one Redis", func(t *testing.T) {
		server := redistest.Start(t)
		foreignKeys(t, newWorld(t, server))
		foreignEpoch(t, newWorld(t, server))
		foreignLater(t, newWorld(t, server))
	})
	t.Run("Redis Cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t)
		foreignKeys(t, newWorld(t, cluster))
		foreignLater(t, newWorld(t, cluster))
	})
}

func foreignKeys(t *testing.T, w *world) {
	ctx := context.Background()
	a, b := w.join("a"), w.join("b")
	for i, user := range []string{"romeo@localhost", "ro{me}o@localhost"} {
		for range 2 { // the second does not write over the first
			for _, key := range []string{a.client.Key("sm", user), a.client.Key("sm", "localhost"), a.client.Key("sm", "localhost", "node", "a")} {
				if err := a.client.Del(ctx, key).Err(); err != nil {
					t.Fatal(err)
				}
				if err := a.client.LPush(ctx, key, "foreign").Err(); err != nil {
					t.Fatal(err)
				}
			}
			s := sessionOn("a", user+"/orchard")
			add(t, a.store, s)
			for name, got := range map[string][]*sm.Session{
				"Fresh": must[[]*sm.Session](t)(b.store.Fresh(s.JID.Bare())), "All": must[[]*sm.Session](t)(b.store.All()),
			} {
				if ids(got) != s.ID.String() {
					t.Errorf("%s of %s is %s", name, user, ids(got))
				}
			}
			remove(t, a.store, s)
		}
		moved := w.everyKey(a, "foreign:*sm:*")
		if want := 2*(i+1) + 2 + 2*(i+1) + 2; len(moved) < 6 || len(moved) > want {
			t.Errorf("moved away: %v", moved)
		}
		for _, key := range moved {
			if got, err := a.client.LRange(ctx, key, 0, -1).Result(); err != nil || fmt.Sprint(got) != "[foreign]" {
				t.Errorf("%s holds %v, %v", key, got, err)
			}
		}
	}
	if a.store.Behind() {
		t.Error("something was not written")
	}
}

// everyKey finds keys in all of Redis.
func (w *world) everyKey(n *node, pattern string) (all []string) {
	for _, s := range w.servers() {
		for _, key := range s.Do("KEYS", n.client.Key(pattern)).([]any) {
			all = append(all, key.(string))
		}
	}
	return all
}

func (w *world) servers() []*redistest.Server {
	if c, ok := w.at.(*redistest.Cluster); ok {
		return c.Nodes
	}
	return []*redistest.Server{w.at.(*redistest.Server)}
}

// The key of the epoch is not ours to put right, and no reason to write nothing.
func foreignEpoch(t *testing.T, w *world) {
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	for i, value := range []string{"SADD", "SET"} {
		key := a.client.Key("{nodes}", "epoch", "a")
		w.servers()[0].Do("DEL", key)
		w.servers()[0].Do(value, key, "foreign")
		add(t, a.store, s)
		b.sees(s)
		if i == 0 {
			remove(t, a.store, s)
		}
	}
}

// A key that is overwritten while its user is connected comes back when somebody
// asks for it.
func foreignLater(t *testing.T, w *world) {
	ctx := context.Background()
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	if err := a.client.Set(ctx, a.client.Key("sm", "romeo@localhost"), "foreign", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.sees(s)
}

// What others say on our channel is ignored, and drops nothing that is known.
func TestForeignNotices(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	cached(t, server, b, romeo)
	said := []string{"", "hello", "{", `[1]`, `{"v":2,"drop":"romeo@localhost"}`, `{"v":1}`, `{"v":1,"drop":"romeo@localhost/x"}`,
		`{"v":1,"drop":"@"}`, `{"v":1,"drop":7}`, `{"v":1,"drop":"romeo@localhost","x":"` + strings.Repeat("x", 10_000) + `"}`, "\x83h\x02"}
	for _, text := range said {
		server.Do("PUBLISH", b.client.Key("sm"), text)
	}
	await(t, "all was heard", func() bool { return b.store.Foreign() == uint64(len(said)) })
	before := hgetalls(server)
	b.sees(s)
	if hgetalls(server) != before {
		t.Error("it has dropped what it knew")
	}
	if n := strings.Count(b.log.String(), "\n"); n != 1 {
		t.Errorf("logged:\n%s", b.log)
	}
	server.Do("PUBLISH", b.client.Key("sm"), `{"v":1,"drop":"romeo@elsewhere"}`) // of another virtual host
	server.Do("PUBLISH", b.client.Key("sm"), `{"v":1,"drop":"romeo@localhost","gone":"nonsense","node":"x"}`)
	await(t, "that was heard", func() bool {
		b.sees(s)
		return hgetalls(server) > before
	})
	if b.store.Foreign() != uint64(len(said)) {
		t.Error("what is for others counts as foreign")
	}
}

// Not even a flood of foreign things fills the memory or the log.
func TestForeignFlood(t *testing.T) {
	server := redistest.Start(t)
	a := newWorld(t, server).join("a")
	key := a.client.Key("sm", "romeo@localhost")
	for i := 0; i < 3000; i += 1000 {
		args := []any{"HSET", key}
		for k := range 1000 {
			args = append(args, fmt.Sprintf("foreign%d", i+k), "x")
		}
		server.Do(args...)
	}
	must[[]*sm.Session](t)(a.store.User(romeo))
	if n := a.store.Foreign(); n != 3000 {
		t.Errorf("counted %d", n)
	}
	if n := strings.Count(a.log.String(), "\n"); n != 1024 {
		t.Errorf("logged %d lines", n)
	}
}
