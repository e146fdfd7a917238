package nats_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/modules/msgforward/target/targettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func url(s *targettest.Server, password, subject string) string {
	return fmt.Sprintf("nats://%s:%s@%s/%s", targettest.User, password, s.Addr(), subject)
}

// with does something with the stream CHAT.
func with(t *testing.T, s *targettest.Server, do func(jetstream.Stream) error, options ...natsgo.Option) {
	t.Helper()
	c, err := natsgo.Connect("nats://"+s.Addr(), append(options, natsgo.UserInfo(targettest.User, targettest.Password))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "CHAT", Subjects: []string{"chat.*"}, MaxMsgSize: 5000})
	if err != nil {
		t.Fatal(err)
	}
	if err := do(stream); err != nil {
		t.Fatal(err)
	}
}

func TestJetStream(t *testing.T) {
	s := targettest.NATS(t)
	targettest.Run(t, targettest.Broker{
		URL:   url(s, targettest.Password, "chat.messages"),
		Read:  func(t *testing.T) []targettest.Entry { return read(t, s) },
		Clear: func(t *testing.T) { with(t, s, func(st jetstream.Stream) error { return st.Purge(t.Context()) }) },

		BadPassword: url(s, "wr0ng", "chat.messages"),
		Missing:     url(s, targettest.Password, "gossip"), Advice: "nats stream add",
		Kill: s.Kill, Resume: s.Resume, Freeze: s.Freeze, Thaw: s.Thaw,
	})
}

// read is what a consumer reads.
func read(t *testing.T, s *targettest.Server) (out []targettest.Entry) {
	t.Helper()
	with(t, s, func(st jetstream.Stream) error {
		info, err := st.Info(t.Context())
		if err != nil {
			return err
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			m, err := st.GetMsg(t.Context(), seq)
			if err != nil {
				return err
			}
			out = append(out, targettest.Entry{
				ID: m.Header.Get("Nats-Msg-Id"), Group: m.Header.Get("Group-Id"), Type: m.Header.Get("Content-Type"),
				Body: string(m.Data), Head: m.Header.Get(targettest.Head),
			})
		}
		return nil
	})
	return out
}

// The stream tells repetitions by the id.
func TestRepetitionsAreDropped(t *testing.T) {
	s := targettest.NATS(t)
	with(t, s, func(jetstream.Stream) error { return nil })
	o := open(t, url(s, targettest.Password, "chat.messages"))
	for range 3 {
		if err := o.Deliver(t.Context(), []target.Message{{ID: "1", Body: []byte("x")}, {ID: "2", Body: []byte("y")}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, s); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

// What is too large is refused for good, whoever finds it so.
func TestTooLarge(t *testing.T) {
	s := targettest.NATS(t)
	with(t, s, func(jetstream.Stream) error { return nil })
	o := open(t, url(s, targettest.Password, "chat.messages"))
	for size, want := range map[int]string{6000: "max_msg_size", 100_000: "max_payload"} {
		err := o.Deliver(t.Context(), []target.Message{{ID: "1", Body: make([]byte, size)}})
		if f := (*target.Final)(nil); !errors.As(err, &f) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
	if err := o.Deliver(t.Context(), []target.Message{{ID: "2"}}); err != nil {
		t.Error(err)
	}
}

// With TLS the server must be one that is trusted.
func TestTLS(t *testing.T) {
	s := targettest.NATSWithTLS(t)
	secure := natsgo.Secure(s.Trusted())
	with(t, s, func(jetstream.Stream) error { return nil }, secure)
	targettest.OnlyTrusted(t, strings.Replace(url(s, targettest.Password, "chat.messages"), "nats:", "tls:", 1), s.Trusted())
	with(t, s, func(st jetstream.Stream) error {
		info, err := st.Info(t.Context())
		if err == nil && info.State.Msgs != 1 {
			t.Errorf("%d messages are there", info.State.Msgs)
		}
		return err
	}, secure)
}

// One of several servers is enough.
func TestAnotherServer(t *testing.T) {
	s := targettest.NATS(t)
	with(t, s, func(jetstream.Stream) error { return nil })
	u := strings.Replace(url(s, targettest.Password, "chat.messages"), "@", "@127.0.0.1:1,", 1)
	if err := open(t, u).Deliver(t.Context(), []target.Message{{ID: "1"}}); err != nil {
		t.Error(err)
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
