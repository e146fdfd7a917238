package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// options are the defaults for a server.
func options(server string) redis.Options {
	o := redis.Defaults()
	o.Server = server
	return o
}

// open connects, and closes at the end.
func open(t *testing.T, o redis.Options, log *slog.Logger) *redis.Client {
	t.Helper()
	c, err := redis.Open(t.Context(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// book is a log that can be read while it is written.
type book struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *book) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
}

var silent = slog.New(slog.DiscardHandler)

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// works fails unless commands do.
func works(t *testing.T, c *redis.Client) {
	t.Helper()
	if err := c.Set(t.Context(), c.Key("x"), "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), c.Key("x")).Result(); err != nil || got != "1" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := c.Get(t.Context(), c.Key("none")).Err(); !errors.Is(err, redis.Nil) || errors.Is(err, redis.ErrAway) {
		t.Fatalf("a key that is not there: %v", err)
	}
}

func TestOpen(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	works(t, c)
	if c.IsCluster() || c.Prefix() != "gabberd" || c.PoolSize() != 10 || !c.Up() || !c.AtLeast(5, 0) || c.AtLeast(1000, 0) {
		t.Errorf("cluster %v, prefix %q, pool size %d, up %v", c.IsCluster(), c.Prefix(), c.PoolSize(), c.Up())
	}
	if got := c.Key("sm", "a@b"); got != "gabberd:sm:a@b" {
		t.Errorf("key %q", got)
	}
	if product, number, _ := strings.Cut(c.Version(), " "); (product != "Redis" && product != "Valkey") || !strings.Contains(number, ".") {
		t.Errorf("version %q", c.Version())
	}
}

// Every form of redis_server reaches what it names, with the database and the
// password that were given.
func TestForms(t *testing.T) {
	plain := redistest.Start(t, "requirepass the-password")
	secure := redistest.StartTLS(t, "requirepass the-password")
	host := options("127.0.0.1")
	host.Port = plain.Port()
	ca := options(secure.URL())
	ca.CAFile = secure.CAFile()
	for name, o := range map[string]redis.Options{
		"host": host, "URL": options(plain.URL()), "user": options("redis://default@" + plain.Addr()),
		"socket": options("unix:" + plain.Socket()), "TLS": ca,
	} {
		t.Run(name, func(t *testing.T) {
			o.Password, o.DB = "the-password", 3
			c := open(t, o, silent)
			works(t, c)
			s := plain
			if name == "TLS" {
				s = secure
			}
			got := fmt.Sprint(s.Do("INFO", "keyspace"))
			if !strings.Contains(got, "db3:keys=1") {
				t.Errorf("the key is not in database 3: %s", got)
			}
			heard, subscribed := make(chan string, 1), make(chan bool, 1)
			c.Subscribe(t.Context(), "channel", func(m string) { heard <- m }, func() { subscribed <- true })
			<-subscribed
			if err := c.Publish(t.Context(), "channel", "hello").Err(); err != nil {
				t.Fatal(err)
			}
			if got := <-heard; got != "hello" {
				t.Errorf("heard %q", got)
			}
			s.Flush()
		})
	}
}

func TestRefused(t *testing.T) {
	s := redistest.Start(t, "requirepass the-password")
	secure := redistest.StartTLS(t)
	cluster := redistest.StartCluster(t)
	good := options(s.URL())
	good.Password = "the-password"
	wrong := good
	wrong.Password = "wrong"
	numbered := options(cluster.URL())
	numbered.DB = 1
	notCluster := good
	notCluster.Server = "cluster://" + s.Addr()
	noFile := options(secure.URL())
	noFile.CAFile = filepath.Join(t.TempDir(), "none")
	nobody := options("127.0.0.1")
	nobody.Port = 1
	for _, c := range []struct {
		name string
		opt  redis.Options
		away bool
		says string
	}{
		{"no password", options(s.URL()), false, "correct redis_password"},
		{"wrong password", wrong, false, "correct redis_password"},
		{"nobody there", nobody, true, "start it, or correct redis_server and redis_port"},
		{"unknown certificate", options(secure.URL()), false, "correct ca_file"},
		{"no TLS where TLS is spoken", options("redis://" + secure.Addr()), true, "start it"},
		{"TLS where none is spoken", options("rediss://" + s.Addr()), true, "TLS with"},
		{"no ca_file", noFile, false, "read ca_file"},
		{"a cluster's node", options(cluster.Nodes[0].URL()), false, "write redis_server: cluster://"},
		{"no cluster", notCluster, false, "is not a Redis Cluster"},
		{"a database of a cluster", numbered, false, "only database 0"},
		{"no server", options("what is this"), false, "is not a host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := redis.Open(t.Context(), c.opt, silent)
			if err == nil {
				t.Fatal("it was opened", got.Close())
			}
			if errors.Is(err, redis.ErrAway) != c.away || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, away %v", err, errors.Is(err, redis.ErrAway))
			}
			if strings.Contains(err.Error(), "the-password") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

// seen collects what OnState says.
type seen struct {
	mu  sync.Mutex
	all []bool
}

func (s *seen) add(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, up)
}

func (s *seen) is(want ...bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.all) == fmt.Sprint(want)
}

func TestRestart(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, ...string) *redistest.Server{"plain": redistest.Start, "TLS": redistest.StartTLS} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			o := options(s.URL())
			o.CAFile = s.CAFile()
			var log book
			c := open(t, o, log.logger(slog.LevelDebug))
			looks := func() int { return strings.Count(log.String(), "cmd=\"SETRANGE ") }
			var states seen
			c.OnState(states.add)
			var forgotten seen
			c.OnState(forgotten.add)()
			works(t, c)

			s.Kill()
			if err := c.Set(t.Context(), c.Key("x"), "1", 0).Err(); !errors.Is(err, redis.ErrAway) {
				t.Errorf("got %v", err)
			}
			await(t, "it is seen to be away", func() bool { return states.is(false) })
			for range 100 {
				if err := c.Get(t.Context(), c.Key("x")).Err(); !errors.Is(err, redis.ErrAway) {
					t.Fatalf("got %v", err)
				}
			}
			before := looks()
			await(t, "it is looked for again", func() bool { return looks() > before+3 })
			s.Resume()
			await(t, "it is seen to be back", func() bool { return states.is(false, true) })
			works(t, c)
			before = looks()
			await(t, "it is looked at again", func() bool { return looks() > before })
			if !states.is(false, true) {
				t.Errorf("told %v", states.all)
			}
			if !forgotten.is() {
				t.Error("somebody who was taken away was told")
			}
			got := log.String()
			if strings.Count(got, "Redis is away") != 1 || strings.Count(got, "Redis is back") != 1 ||
				strings.Count(got, "\n")-strings.Count(got, "level=DEBUG") != 2 {
				t.Errorf("logged:\n%s", got)
			}
		})
	}
}

// Nobody waits longer than Timeout for a Redis that says nothing; when that is
// known, nobody waits at all.
func TestFrozen(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	works(t, c)
	pause := redis.NewScript("return 1")
	s.Freeze()
	began := time.Now()
	var all sync.WaitGroup
	for i := range 60 { // far more than there are connections
		all.Go(func() {
			var err error
			switch i % 3 {
			case 0:
				err = c.Get(t.Context(), c.Key("x")).Err()
			case 1:
				_, err = c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
					p.Get(t.Context(), c.Key("x"))
					return nil
				})
			case 2:
				err = pause.Run(t.Context(), c, nil).Err()
			}
			if !errors.Is(err, redis.ErrAway) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	// The machine may be busy; were the bounds of dialling, of the pool and of the
	// answer added up, it would be three times Timeout and more.
	if took := time.Since(began); took > 2*redis.Timeout {
		t.Errorf("somebody waited %v", took)
	}
	await(t, "it is seen to be away", func() bool { return !c.Up() })
	began = time.Now()
	for range 1000 {
		if err := c.Get(t.Context(), c.Key("x")).Err(); !errors.Is(err, redis.ErrAway) {
			t.Fatalf("got %v", err)
		}
	}
	if took := time.Since(began); took > 10*redis.Timeout { // waiting would be 1000 times
		t.Errorf("1000 commands that could be refused at once took %v", took)
	}
	s.Thaw()
	await(t, "it is back", c.Up)
	works(t, c)
}

func TestClose(t *testing.T) {
	s := redistest.Start(t)
	c, err := redis.Open(t.Context(), options(s.URL()), silent)
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe(t.Context(), "channel", func(string) {}, nil)
	waiting := make(chan error)
	go func() {
		waiting <- c.BLPop(redis.Blocking(context.WithoutCancel(t.Context()), time.Minute), time.Minute, c.Key("list")).Err()
	}()
	await(t, "it waits in Redis", func() bool {
		return strings.Contains(fmt.Sprint(s.Do("INFO", "clients")), "blocked_clients:1")
	})
	s.Freeze()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, redis.ErrAway) {
		t.Errorf("who waited got %v", err)
	}
	if err := c.Get(t.Context(), "x").Err(); !errors.Is(err, redis.ErrAway) {
		t.Errorf("after Close: %v", err)
	}
}

// Who may wait in Redis may wait longer than Timeout.
func TestBlocking(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	wait := redis.Timeout + 500*time.Millisecond
	if err := c.BLPop(redis.Blocking(t.Context(), wait), wait, c.Key("list")).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("got %v", err)
	}
	if err := c.BLPop(t.Context(), wait, c.Key("list")).Err(); !errors.Is(err, redis.ErrAway) {
		t.Errorf("without Blocking: got %v", err)
	}
}

// A Redis that stays away leaves nothing behind when the client is closed,
// however many were dialling.
func TestCloseWhileAway(t *testing.T) {
	s := redistest.Start(t)
	c, err := redis.Open(t.Context(), options(s.URL()), silent)
	if err != nil {
		t.Fatal(err)
	}
	works(t, c)
	s.Kill()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := c.Get(t.Context(), "x").Err(); !errors.Is(err, redis.ErrAway) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t)
}
