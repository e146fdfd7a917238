package msgforward_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/msgforward"
	"github.com/gabberd/gabberd/modules/msgforward/target/targettest"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// A broker is a real message queue.
type broker struct {
	url          string
	kill, resume func()
	read         func() (bodies [][]byte, err error) // all that is there
}

func redisStream(t *testing.T) broker {
	s := redistest.Start(t, "requirepass "+targettest.Password, "appendonly yes", "appendfsync always")
	return broker{fmt.Sprintf("redis://:%s@%s/0?stream=chat", targettest.Password, s.Addr()), s.Kill, s.Resume, func() (out [][]byte, err error) {
		list, _ := s.Do("XRANGE", "chat", "-", "+").([]any)
		for _, one := range list {
			pairs := one.([]any)[1].([]any)
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i].(string) == "body" {
					out = append(out, []byte(pairs[i+1].(string)))
				}
			}
		}
		return out, nil
	}}
}

func jetStream(t *testing.T) broker {
	s := targettest.NATS(t)
	stream := func() (jetstream.Stream, func(), error) {
		c, err := natsgo.Connect("nats://"+s.Addr(), natsgo.UserInfo(targettest.User, targettest.Password))
		if err != nil {
			return nil, nil, err
		}
		js, err := jetstream.New(c)
		if err != nil {
			return nil, c.Close, err
		}
		st, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "CHAT", Subjects: []string{"chat.*"}})
		return st, c.Close, err
	}
	read := func() (out [][]byte, err error) {
		st, done, err := stream()
		if done != nil {
			defer done()
		}
		if err != nil {
			return nil, err
		}
		info, err := st.Info(t.Context())
		if err != nil {
			return nil, err
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
			m, err := st.GetMsg(t.Context(), seq)
			if err != nil {
				return nil, err
			}
			out = append(out, m.Data)
		}
		return out, nil
	}
	if _, err := read(); err != nil { // it makes the stream
		t.Fatal(err)
	}
	return broker{fmt.Sprintf("nats://%s:%s@%s/chat.messages", targettest.User, targettest.Password, s.Addr()), s.Kill, s.Resume, read}
}

func rabbitMQ(t *testing.T) broker {
	s := targettest.RabbitMQ(t)
	at := fmt.Sprintf("amqp://%s:%s@%s/", targettest.User, targettest.Password, s.Addr())
	return broker{at + "?exchange=" + targettest.Exchange + "&key=" + targettest.Key, s.Kill, s.Resume, func() (out [][]byte, err error) {
		c, err := amqp091.Dial(at)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		ch, err := c.Channel()
		if err != nil {
			return nil, err
		}
		for { // nothing is acknowledged, so that all are there the next time
			m, ok, err := ch.Get(targettest.Queue, false)
			if err != nil || !ok {
				return out, err
			}
			out = append(out, m.Body)
		}
	}}
}

// TestFromChatToBroker goes all the way: a client sends a message, it is archived, and
// is read out of a real message queue. The queue dies, is away while chat goes on, and
// comes back.
func TestFromChatToBroker(t *testing.T) {
	for name, start := range map[string]func(*testing.T) broker{"Redis Streams": redisStream, "NATS JetStream": jetStream, "RabbitMQ": rabbitMQ} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			s := modtest.Start(t, `modules: {mod_mam: {default: always}, mod_msg_forward: {url: "`+b.url+`", retry: {first: 50ms, ceiling: 200ms}}}`,
				mam.Module, msgforward.Module)
			romeo := s.Available("romeo@localhost/orchard")
			s.Available("juliet@localhost/balcony")
			var want []string
			say := func(n int) {
				for range n {
					want = append(want, fmt.Sprintf("number %d", len(want)))
					romeo.Say(`<message to='juliet@localhost' type='chat'><body>` + want[len(want)-1] + `</body></message>`)
				}
			}
			say(20)
			arrive(t, b, want)
			b.kill()
			say(20)
			awaitOutput(t, s, "localhost\tdefault\twell\t20\t", "forward_status")
			b.resume()
			say(10)
			arrive(t, b, want)
			awaitOutput(t, s, "localhost\tdefault\twell\t50\t", "forward_status")
		})
	}
}

// arrive waits until the broker has the messages, in their order and with all that is
// said of one.
func arrive(t *testing.T, b broker, want []string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		bodies, err := b.read()
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		seen := map[string]bool{}
		for _, text := range bodies {
			var m struct{ ID, Host, User, From, To, Body, XML string }
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if m.Host != "localhost" || m.From != "romeo@localhost/orchard" || m.To != "juliet@localhost" || m.XML == "" || m.ID == "" {
				t.Errorf("read %s", text)
			}
			if !seen[m.ID] { // what was taken when it died may come again
				got = append(got, m.Body)
			}
			seen[m.ID] = true
		}
		if len(got) >= len(want) || time.Now().After(deadline) {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %q, want %q", got, want)
	}
}
