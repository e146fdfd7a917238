package sm_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/xmpp"
)

// Many who ask for one user at once are one question.
func TestLookupsAreShared(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	cached(t, server, b, mercutio)
	before := hgetalls(server)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if all, err := b.store.User(romeo); err != nil || ids(all) != s.ID.String() {
				t.Errorf("%s, %v", ids(all), err)
			}
		})
	}
	wg.Wait()
	if n := hgetalls(server) - before; n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// A login is one question, and what it brings is kept: its own notification drops
// nothing.
func TestLoginIsOneRoundTrip(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	cached(t, server, b, mercutio)
	cached(t, server, a, mercutio)
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	before := hgetalls(server) // counts those of scripts
	own := sessionOn("b", "romeo@localhost/balcony")
	add(t, b.store, own)
	// a hears of it after b has, or would have.
	a.sees(s, own)
	after := hgetalls(server)
	if after-before > 3 { // the script's, and those of a, which may have asked too early once
		t.Errorf("hashes were read %d times", after-before)
	}
	for range 3 {
		b.sees(s, own)
	}
	if n := hgetalls(server) - after; n != 0 {
		t.Errorf("what the login brought was asked for %d times again", n)
	}
}

// Notifications that were missed are made up for when they come in again: for what
// is cached, and for those who wait for a session to end.
func TestMissedNotifications(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s, awaited := sessionOn("a", "romeo@localhost/orchard"), sessionOn("a", "mercutio@localhost/street")
	add(t, a.store, s, awaited)
	cached(t, server, b, romeo)
	before := hgetalls(server)
	gone := b.store.Gone(awaited.JID, awaited.ID)
	await(t, "that it is there was checked", func() bool { return hgetalls(server) > before })
	for _, s := range []*sm.Session{s, awaited} {
		server.Do("HDEL", a.client.Key("sm", s.JID.Bare().String()), s.ID.String()) // nobody says so
	}
	if all, err := b.store.User(romeo); err != nil || ids(all) != s.ID.String() {
		t.Fatalf("it was not cached: %s, %v", ids(all), err)
	}
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	b.sees()
	<-gone
}

// Whoever ends all sessions of a user looks past what is remembered, unless Redis is
// away.
func TestUserNow(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s, later := sessionOn("a", "romeo@localhost/orchard"), sessionOn("a", "romeo@localhost/street")
	add(t, a.store, s)
	cached(t, server, b, romeo)
	server.Do("HDEL", a.client.Key("sm", romeo.String()), s.ID.String()) // nobody says so
	if known, now := ids(b.User(romeo)), ids(b.UserNow(romeo)); known != s.ID.String() || now != "" {
		t.Errorf("%q is known, and now it is %q", known, now)
	}
	add(t, a.store, later)
	b.sees(later)
	server.Freeze()
	defer server.Thaw()
	if now := ids(b.UserNow(romeo)); now != later.ID.String() {
		t.Errorf("while Redis is away it is %q", now)
	}
}

// Without the cache every question is asked.
func TestNoCache(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	w.opt.Cache = false
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	before := hgetalls(server)
	for range 5 {
		if all, err := b.store.User(romeo); err != nil || ids(all) != s.ID.String() {
			t.Fatalf("%s, %v", ids(all), err)
		}
	}
	if n := hgetalls(server) - before; n != 5 {
		t.Errorf("it was asked %d times", n)
	}
}

// A session of another node is no session of this one.
func TestAddOfAnotherNode(t *testing.T) {
	a := newWorld(t, redistest.Start(t)).join("a")
	if all, err := a.store.Add(context.Background(), sessionOn("b", "romeo@localhost/orchard")); err == nil || len(a.store.Here()) != 0 {
		t.Errorf("added: %v", all)
	}
}

// Somebody else's users are not asked for.
func TestStrangersAreNotAskedFor(t *testing.T) {
	server := redistest.Start(t)
	b := newWorld(t, server).join("b")
	before := hgetalls(server)
	for _, j := range []string{"romeo@elsewhere", "localhost", "romeo@localhost/orchard"} {
		for _, ask := range []func(xmpp.JID) ([]*sm.Session, error){b.store.User, b.store.Fresh} {
			if all, err := ask(xmpp.MustParse(j)); err != nil || all != nil {
				t.Errorf("%s: %v, %v", j, all, err)
			}
		}
	}
	if hgetalls(server) != before {
		t.Error("Redis was asked")
	}
}

// A store that is closed answers nobody, waits for nobody, and writes what it had.
func TestClosedStore(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	waits := a.store.Gone(s.JID, s.ID)
	nobody, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range 500 {
		if _, err := a.store.Add(nobody, sessionOn("a", fmt.Sprintf("romeo@localhost/%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	a.store.Close()
	<-waits
	if all := must[[]*sm.Session](t)(b.store.User(romeo)); len(all) != 500 {
		t.Errorf("written were %d", len(all))
	}
	if _, err := a.store.Add(context.Background(), s); err == nil {
		t.Error("it takes sessions after Close")
	}
	unknown(t, a, mercutio)
	<-a.store.Gone(s.JID, s.ID)
	a.store.Close()
}

func BenchmarkRedisLogin(b *testing.B) {
	w := newWorld(b, redistest.Start(b))
	n := w.join("a")
	b.ReportAllocs()
	b.SetParallelism(64)
	before := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := sessionOn("a", "romeo@localhost/orchard")
			s.JID = xmpp.MustParse(fmt.Sprintf("u%d@localhost/x", s.ID.N))
			if _, err := n.store.Add(context.Background(), s); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op") // without Redis's
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// BenchmarkRedisRewrite is what happens after Redis was away, with 10,000 sessions.
func BenchmarkRedisRewrite(b *testing.B) {
	n := newWorld(b, redistest.Start(b)).join("a")
	n.fill(10_000)
	b.ResetTimer()
	for b.Loop() {
		if err := n.store.Rewrite(context.Background(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// cpu is the processor time of this process so far, in ns.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkRedisUser(b *testing.B) {
	server := redistest.Start(b)
	w := newWorld(b, server)
	here, there := w.join("here"), w.join("there")
	add(b, here.store, sessionOn("here", "romeo@localhost/orchard"))
	add(b, there.store, sessionOn("there", "romeo@localhost/balcony"))
	b.Run("cached", func(b *testing.B) {
		here.sees(here.store.Here()[0], there.store.Here()[0])
		b.ReportAllocs()
		for b.Loop() {
			if all, err := here.store.User(romeo); err != nil || len(all) != 2 {
				b.Fatal(all, err)
			}
		}
	})
	b.Run("asked one after the other", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if all, err := here.store.Fresh(romeo); err != nil || len(all) != 2 {
				b.Fatal(all, err)
			}
		}
	})
	b.Run("asked by 64 at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if all, err := here.store.Fresh(romeo); err != nil || len(all) != 2 {
					b.Error(all, err)
				}
			}
		})
	})
}

// What is cached costs no memory to be asked for.
func TestCachedUserAllocatesNothing(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s, own := sessionOn("a", "romeo@localhost/orchard"), sessionOn("b", "romeo@localhost/balcony")
	add(t, a.store, s)
	add(t, b.store, own)
	cached(t, server, b, romeo)
	if n := testing.AllocsPerRun(1000, func() {
		if all, err := b.store.User(romeo); err != nil || len(all) != 2 {
			t.Errorf("%v, %v", all, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
