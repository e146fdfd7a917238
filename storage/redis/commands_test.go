package redis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

func TestClassify(t *testing.T) {
	s := redistest.Start(t)
	plain := goredis.NewClient(&goredis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer plain.Close()
	answer := func(text string) error {
		t.Helper()
		err := plain.Eval(t.Context(), `return redis.error_reply(ARGV[1])`, nil, text).Err()
		if err == nil || err.Error() != text {
			t.Fatalf("got %v for %s", err, text)
		}
		return err
	}
	for _, c := range []struct {
		err  error
		away bool
	}{
		{nil, false},
		{redis.Nil, false},
		{context.Canceled, false},
		{errors.New("redis: can't marshal chan int"), false},
		{answer("ERR unknown command"), false},
		{answer("WRONGTYPE Operation against a key holding the wrong kind of value"), false},
		{answer("NOSCRIPT No matching script. Please use EVAL."), false},
		{answer("CROSSSLOT Keys in request don't hash to the same slot"), false},
		{answer("NOPERM this user has no permissions"), false},
		{answer("EXECABORT Transaction discarded"), false},
		{answer("LOADING Redis is loading the dataset in memory"), true},
		{answer("CLUSTERDOWN The cluster is down"), true},
		{answer("MASTERDOWN Link with MASTER is down"), true},
		{answer("READONLY You can't write against a read only replica."), true},
		{answer("TRYAGAIN Multiple keys request during rehashing of slot"), true},
		{answer("BUSY Redis is busy running a script."), true},
		{answer("MISCONF Redis is configured to save RDB snapshots"), true},
		{answer("NOREPLICAS Not enough good replicas to write."), true},
		{answer("OOM command not allowed when used memory > 'maxmemory'."), true},
		{answer("NOAUTH Authentication required."), true},
		{answer("ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'."), true},
		{answer("ERR Error running script (call to f_0): @user_script:1: OOM is a word"), false},
		{answer("ERR max number of clients reached"), true},
		{context.DeadlineExceeded, true},
		{io.EOF, true},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
		{net.ErrClosed, true},
		{goredis.ErrClosed, true},
		{goredis.ErrPoolTimeout, true},
		{errors.New("redis: all sentinels specified in configuration are unreachable"), true},
		{errors.New("redis: cluster has no nodes"), true},
	} {
		got := redis.Classify(c.err)
		if errors.Is(got, redis.ErrAway) != c.away || !errors.Is(got, c.err) {
			t.Errorf("%v became %v", c.err, got)
		}
		if again := redis.Classify(got); again != got {
			t.Errorf("%v became %v when classified again", got, again)
		}
	}
}

// cutting is what a proxy before Redis does that passes the question on, and
// breaks the connection once instead of passing the answer back.
func cutting(t *testing.T, s *redistest.Server, cut *atomic.Bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.Addr())
			if err != nil {
				client.Close()
				return
			}
			all.Go(func() { io.Copy(server, client); server.Close() })
			all.Go(func() {
				defer client.Close()
				defer server.Close()
				answer := make([]byte, 4096)
				for {
					n, err := server.Read(answer)
					if err != nil || cut.CompareAndSwap(true, false) {
						return
					}
					if _, err := client.Write(answer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// What may have been executed is not sent again.
func TestNothingTwice(t *testing.T) {
	s := redistest.Start(t)
	var cut atomic.Bool
	c := open(t, options("redis://"+cutting(t, s, &cut)), silent)
	count := redis.NewScript(`return redis.call('INCR', KEYS[1])`)
	key := c.Key("count")
	for want := 1; want <= 3; want++ {
		await(t, "it is up", func() bool { return c.Get(t.Context(), "x").Err() == redis.Nil })
		cut.Store(true)
		var err error
		switch want {
		case 1:
			err = c.Incr(t.Context(), key).Err()
		case 2:
			_, err = c.Pipelined(t.Context(), func(p goredis.Pipeliner) error { p.Incr(t.Context(), key); return nil })
		case 3:
			err = count.Run(t.Context(), c, []string{key}).Err()
		}
		if !errors.Is(err, redis.ErrAway) {
			t.Errorf("%d: got %v", want, err)
		}
		if got := s.Do("GET", key); got != fmt.Sprint(want) {
			t.Errorf("%v times after %d", got, want)
		}
	}
}

// What Redis refuses for a while is away, and noticed to be back, though there
// are answers all the time.
func TestRefusesToWrite(t *testing.T) {
	other := redistest.Start(t)
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	for name, switches := range map[string][2][]any{
		"replica":     {{"REPLICAOF", "127.0.0.1", other.Port()}, {"REPLICAOF", "NO", "ONE"}},
		"full memory": {{"CONFIG", "SET", "maxmemory", 1}, {"CONFIG", "SET", "maxmemory", 0}},
		"no replicas": {{"CONFIG", "SET", "min-replicas-to-write", 1}, {"CONFIG", "SET", "min-replicas-to-write", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Do(switches[0]...)
			if err := c.Set(t.Context(), c.Key("x"), "1", 0).Err(); !errors.Is(err, redis.ErrAway) {
				t.Errorf("got %v", err)
			}
			await(t, "it is seen to be away", func() bool { return !c.Up() })
			s.Do(switches[1]...)
			await(t, "it is back", c.Up)
			works(t, c)
		})
	}
}

func TestAnswersAreNotAway(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	s.Do("SET", c.Key("text"), "1")
	s.Do("SET", c.Key("{nodes}", "look"), "somebody else's")
	s.Do("DEL", c.Key("{nodes}", "look"))
	s.Do("HSET", c.Key("{nodes}", "look"), "of", "another type")
	_, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
		p.Set(t.Context(), c.Key("before"), 1, 0)
		p.HGetAll(t.Context(), c.Key("text"))
		p.Set(t.Context(), c.Key("behind"), 1, 0)
		return nil
	})
	if !goredis.HasErrorPrefix(err, "WRONGTYPE") || errors.Is(err, redis.ErrAway) {
		t.Errorf("got %v", err)
	}
	if n, err := c.Exists(t.Context(), c.Key("before"), c.Key("behind")).Result(); n != 2 || err != nil {
		t.Errorf("%d of 2 are there, %v", n, err)
	}
	if !c.Up() {
		t.Error("it is away")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Get(ctx, c.Key("text")).Err(); !errors.Is(err, context.Canceled) || errors.Is(err, redis.ErrAway) {
		t.Errorf("cancelled by who asked: %v", err)
	}
}

var push = redis.NewScript(`redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]`)
var length = redis.NewScript(`return redis.call('LLEN', KEYS[1])`)

func TestScript(t *testing.T) {
	s := redistest.Start(t)
	var log book
	c := open(t, options(s.URL()), log.logger(slog.LevelDebug))
	key := []string{c.Key("list")}
	forget := func() { s.Do("SCRIPT", "FLUSH") }
	restart := func() {
		s.Kill()
		s.Resume()
		await(t, "it is back", func() bool { return c.Get(t.Context(), "x").Err() == redis.Nil })
	}
	for _, before := range []func(){func() {}, func() {}, forget, restart} {
		before()
		got, err := push.Run(t.Context(), c, key, "a").Text()
		if err != nil || got != "a" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if got := log.String(); !strings.Contains(got, "cmd=\"EVALSHA ") {
		t.Errorf("it was never sent by its digest:\n%s", got)
	}
	bad := redis.NewScript(`return redis.call('HSET', KEYS[1], 'a', 'b')`)
	s.Do("SET", c.Key("text"), "1")
	for range 2 {
		if err := bad.Run(t.Context(), c, []string{c.Key("text")}).Err(); !goredis.HasErrorPrefix(err, "WRONGTYPE") || errors.Is(err, redis.ErrAway) {
			t.Errorf("got %v", err)
		}
	}
	if got, err := redis.NewScript(`return #KEYS`).Run(t.Context(), c, nil).Int(); err != nil || got != 0 {
		t.Errorf("without keys: %d, %v", got, err)
	}
}

// Scripts for one key keep their order, whichever of them Redis has forgotten.
func TestScriptOrder(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	key := []string{c.Key("list")}
	drop := redis.NewScript(`return redis.call('DEL', KEYS[1])`)
	if err := push.Run(t.Context(), c, key, "a").Err(); err != nil {
		t.Fatal(err)
	}
	s.Do("SCRIPT", "FLUSH") // push is thought to be known, drop is not
	if _, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
		push.Queue(t.Context(), p, key, "b")
		drop.Queue(t.Context(), p, key)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := c.LLen(t.Context(), key[0]).Result(); n != 0 || err != nil {
		t.Errorf("%d are left, %v", n, err)
	}
	s.Do("SCRIPT", "FLUSH") // both are
	if _, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
		push.Queue(t.Context(), p, key, "c")
		drop.Queue(t.Context(), p, key)
		push.Queue(t.Context(), p, key, "d")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.LRange(t.Context(), key[0], 0, -1).Result(); err != nil || fmt.Sprint(got) != "[d]" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A pipeline of scripts and commands does all of it, once each and in order,
// whatever Redis has forgotten before.
func TestScriptInPipeline(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	key := []string{c.Key("list")}
	for _, how := range []struct {
		name   string
		before func()
		run    func(context.Context, func(goredis.Pipeliner) error) ([]goredis.Cmder, error)
		order  bool // also between scripts and other commands
	}{
		{"first", func() {}, c.Pipelined, true},
		{"known", func() {}, c.Pipelined, true},
		{"forgotten", func() { s.Do("SCRIPT", "FLUSH") }, c.Pipelined, false},
		{"restarted", func() {
			s.Kill()
			s.Resume()
			await(t, "it is back", func() bool { return c.Get(t.Context(), "x").Err() == redis.Nil })
		}, c.Pipelined, true},
		{"transaction", func() { s.Do("SCRIPT", "FLUSH") }, c.TxPipelined, true},
	} {
		t.Run(how.name, func(t *testing.T) {
			how.before()
			s.Do("DEL", key[0])
			var results []*goredis.Cmd
			_, err := how.run(t.Context(), func(p goredis.Pipeliner) error {
				for i := range 3 {
					results = append(results, push.Queue(t.Context(), p, key, fmt.Sprint("script ", i)))
					p.RPush(t.Context(), key[0], fmt.Sprint("command ", i))
				}
				results = append(results, length.Queue(t.Context(), p, key))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results[:3] {
				if got, err := r.Text(); err != nil || got != fmt.Sprint("script ", i) {
					t.Errorf("result %d is %q, %v", i, got, err)
				}
			}
			if got, err := results[3].Int(); err != nil || got != 6 {
				t.Errorf("length %d, %v", got, err)
			}
			got, err := c.LRange(t.Context(), key[0], 0, -1).Result()
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"script 0", "command 0", "script 1", "command 1", "script 2", "command 2"}
			if !how.order {
				slices.Sort(want)
				got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "command") })
				if fmt.Sprint(got) != "[script 0 script 1 script 2]" {
					t.Errorf("order of the scripts: %q", got)
				}
				got = want[3:]
				want = want[3:]
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestDebugLog(t *testing.T) {
	s := redistest.Start(t, "requirepass the-password")
	o := options("redis://default@" + s.Addr())
	o.Password = "the-password"
	var log, quiet book
	works(t, open(t, o, quiet.logger(slog.LevelInfo)))
	if got := quiet.String(); got != "" {
		t.Errorf("logged without debug:\n%s", got)
	}
	c := open(t, o, log.logger(slog.LevelDebug))
	works(t, c)
	if _, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
		p.HSet(t.Context(), c.Key("h"), "field", strings.Repeat("x", 5000), "line\nbreak", []byte{0, 0xff})
		p.HGet(t.Context(), c.Key("h"), "none")
		p.Get(t.Context(), c.Key("h"))
		return nil
	}); !goredis.HasErrorPrefix(err, "WRONGTYPE") && !errors.Is(err, redis.Nil) {
		t.Errorf("got %v", err)
	}
	if err := c.ConfigSet(t.Context(), "masterauth", "another secret").Err(); err != nil {
		t.Fatal(err)
	}
	subscribed := make(chan bool, 1)
	c.Subscribe(t.Context(), "channel", func(string) {}, func() { subscribed <- true })
	<-subscribed
	got := log.String()
	for _, want := range []string{
		`cmd="SET gabberd:x 1"`, `cmd="GET gabberd:x"`, `cmd="HELLO …"`, `cmd="CONFIG …"`, `cmd="SUBSCRIBE channel"`,
		`HSET gabberd:h field ` + strings.Repeat("x", 200) + `…(+4800) \"line\\nbreak\"`, `WRONGTYPE`,
	} {
		if strings.Count(got, want) != 1 && want != `cmd="HELLO …"` || !strings.Contains(got, want) {
			t.Errorf("%d times %s", strings.Count(got, want), want)
		}
	}
	for _, secret := range []string{"the-password", "another secret"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
	for line := range strings.Lines(got) {
		if len(line) > 5000 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}
