package amqp_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/modules/msgforward/target/targettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(s *targettest.Server, password, rest string) string {
	return fmt.Sprintf("amqp://%s:%s@%s/%s", targettest.User, url.QueryEscape(password), s.Addr(), rest)
}

// with does something on a channel.
func with(t *testing.T, s *targettest.Server, do func(*amqp091.Channel) error) {
	t.Helper()
	c, err := amqp091.Dial(at(s, targettest.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(ch); err != nil {
		t.Fatal(err)
	}
}

// RabbitMQ takes seconds to start, so that there is one for all.
func TestRabbitMQ(t *testing.T) {
	s := targettest.RabbitMQ(t)
	targettest.Run(t, targettest.Broker{
		URL:   at(s, targettest.Password, "?exchange="+targettest.Exchange+"&key="+targettest.Key),
		Read:  func(t *testing.T) []targettest.Entry { return read(t, s) },
		Clear: func(t *testing.T) { purge(t, s) },

		BadPassword: at(s, "wr0ng", "?exchange="+targettest.Exchange+"&key="+targettest.Key),
		Missing:     at(s, targettest.Password, "?exchange=gossip&key=x"), Advice: `the exchange "gossip" is not there`,
		Kill: s.Kill, Resume: s.Resume, Freeze: s.Freeze, Thaw: s.Thaw,
	})
	t.Run("no queue", func(t *testing.T) { homeless(t, s) })
	t.Run("queue by name", func(t *testing.T) { byName(t, s) })
	t.Run("full queue", func(t *testing.T) { full(t, s) })
}

// With TLS the server must be one that is trusted.
func TestTLS(t *testing.T) {
	s := targettest.RabbitMQWithTLS(t)
	url := strings.Replace(at(s, targettest.Password, "?key="+targettest.Queue), "amqp:", "amqps:", 1)
	targettest.OnlyTrusted(t, url, s.Trusted())
}

func purge(t *testing.T, s *targettest.Server) {
	with(t, s, func(ch *amqp091.Channel) error {
		_, err := ch.QueuePurge(targettest.Queue, false)
		return err
	})
}

// read is what a consumer reads; it takes nothing away.
func read(t *testing.T, s *targettest.Server) (out []targettest.Entry) {
	t.Helper()
	with(t, s, func(ch *amqp091.Channel) error {
		for {
			m, ok, err := ch.Get(targettest.Queue, false)
			if err != nil || !ok {
				return err
			}
			if m.DeliveryMode != amqp091.Persistent {
				t.Errorf("%s would not outlive a restart", m.MessageId)
			}
			group, _ := m.Headers["group-id"].(string)
			head, _ := m.Headers[targettest.Head].(string)
			out = append(out, targettest.Entry{ID: m.MessageId, Group: group, Type: m.ContentType, Body: string(m.Body), Head: head})
		}
	})
	return out
}

// What no queue takes is not lost without a word.
func homeless(t *testing.T, s *targettest.Server) {
	for rest, want := range map[string]string{
		"?exchange=gabberd&key=gossip":        `no queue takes messages for the exchange "gabberd" and the key "gossip"`,
		"?key=gossip":                         `no queue takes messages for the queue "gossip"`,
		"nowhere?exchange=gabberd&key=gossip": `the virtual host "nowhere" is not there`,
	} {
		err := open(t, at(s, targettest.Password, rest)).Deliver(t.Context(), []target.Message{{ID: "1"}, {ID: "2"}, {ID: "3"}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", rest, err)
		}
	}
}

func byName(t *testing.T, s *targettest.Server) {
	purge(t, s)
	if err := open(t, at(s, targettest.Password, "?key=chat")).Deliver(t.Context(), []target.Message{{ID: "1"}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s); len(got) != 1 || got[0].ID != "1" {
		t.Errorf("got %v", got)
	}
}

// A queue that refuses messages gets none of those behind the first, so that they
// stay in order.
func full(t *testing.T, s *targettest.Server) {
	with(t, s, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare("small", true, false, false, false, amqp091.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
		return err
	})
	o := open(t, at(s, targettest.Password, "?key=small"))
	var batch []target.Message
	for n := range 5 {
		batch = append(batch, target.Message{ID: fmt.Sprint(n), Group: "verona"})
	}
	err := o.Deliver(t.Context(), batch)
	if err == nil || !strings.Contains(err.Error(), "refused 1 messages") {
		t.Errorf("got %v", err)
	}
}

func open(t *testing.T, url string) target.Target {
	t.Helper()
	o, err := target.Open(t.Context(), url, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}
